/** `attackWorld`: two custodians with the same ids and other persons behind them, and a third organisation that only asks (design §11). */
import { resolve } from 'node:path';
import type { Resource } from '../fhir/resource.ts';
import type { OrganizationDefinition, TenantAddresses, WorldDefinition } from './definition.ts';

const BSN_SYSTEM = 'http://fhir.nl/fhir/NamingSystem/bsn';
const OBSERVATIONS_PER_PATIENT = 30;

const BSN: Readonly<Record<string, string>> = {
  'a/mine': '999990019',
  'a/other': '999990020',
  'b/mine': '999990032',
  'b/other': '999990044',
};

const CODES = [
  { code: '8867-4', display: 'Heart rate', unit: '/min' },
  { code: '8310-5', display: 'Body temperature', unit: 'Cel' },
  { code: '29463-7', display: 'Body weight', unit: 'kg' },
] as const;

/** Whose data it is: what `chart` shows, and what must never come out. */
export type Owner = 'mine' | 'other';

/** The world of hostile tests. */
export const attackWorld: WorldDefinition = {
  name: 'attack',
  useCaseFolders: [resolve(import.meta.dirname, '../../../test/attack/chart')],
  organizations: [
    custodian('a', 'Aanval Ziekenhuis', 'Voorbeeldstad'),
    custodian('b', 'Buurt Ziekenhuis', 'Voorbeelddam'),
    { id: 'c', name: 'Cirkel Huisartsen', city: 'Voorbeeldhaven' },
  ],
};

/** A word that stands in every resource of one owner at one tenant, and nowhere else: where it is seen, that record was seen. */
export function marker(tenant: string, owner: Owner): string {
  return `${owner === 'mine' ? 'Mijnheer' : 'Anderman'}-${tenant}`;
}

/** What a tenant of the world holds, patients first: a server that checks references can be loaded in this order. */
export function attackResources(tenant: string): readonly Resource[] {
  const owners: readonly Owner[] = ['mine', 'other'];
  return [...owners.map((owner) => patient(tenant, owner)), ...owners.flatMap((owner) => observations(tenant, owner))];
}

function custodian(id: 'a' | 'b', name: string, city: string): OrganizationDefinition {
  return {
    id,
    name,
    city,
    tenant: {
      fhirVersion: 'R4',
      resources: attackResources(id),
      // What a gate must be safe against, and must hide: real servers do the same.
      behaviour: { lenientPaths: true, echoHost: true, staleVersionStatus: 409 },
      useCases: { chart: {} },
      services: ({ gate }: TenantAddresses) => ({ chart: { fhir: `${gate}/fhir` } }),
    },
  };
}

function patient(tenant: string, owner: Owner): Resource {
  return {
    resourceType: 'Patient',
    id: owner,
    identifier: [{ system: BSN_SYSTEM, value: BSN[`${tenant}/${owner}`] }],
    name: [{ family: marker(tenant, owner), given: [`Voornaam-${marker(tenant, owner)}`] }],
    gender: owner === 'mine' ? 'female' : 'male',
    birthDate: owner === 'mine' ? '1950-02-03' : '1961-11-12',
  };
}

function observations(tenant: string, owner: Owner): readonly Resource[] {
  return Array.from({ length: OBSERVATIONS_PER_PATIENT }, (_each, index) => observation(tenant, owner, index + 1));
}

/** One a day, the oldest first. */
function observation(tenant: string, owner: Owner, number: number): Resource {
  const { code, display, unit } = CODES[number % CODES.length] ?? CODES[0];
  const day = String(number).padStart(2, '0');
  return {
    resourceType: 'Observation',
    id: `${owner}-${number}`,
    status: 'final',
    code: { coding: [{ system: 'http://loinc.org', code, display }], text: `Meting-${marker(tenant, owner)}` },
    subject: { reference: `Patient/${owner}` },
    effectiveDateTime: `2026-09-${day}T08:00:00Z`,
    valueQuantity: { value: 40 + number / 4, unit, system: 'http://unitsofmeasure.org', code: unit },
    note: [{ text: `Notitie-${marker(tenant, owner)}-${number}` }],
  };
}
