import { DOSSIER, loadDossier, type DossierName } from '../dossier/index.ts';
import type { OrganizationDefinition, TenantAddresses, WorldDefinition } from './definition.ts';

/** The date of transfer that the examples and the scenario ask for. */
export const TRANSFER_DATE = '2027-01-15';

/** Care workers of the organisations, as `POST /user-sessions` wants them. */
export const USERS = {
  'ziekenhuis-oost': {
    identifier: 'v.oost@example.org',
    initials: 'V',
    familyName: 'XXX_Oosterhof',
    roleName: 'Transferverpleegkundige',
  },
  'thuiszorg-west': {
    identifier: 'w.west@example.org',
    initials: 'W',
    familyName: 'XXX_Westerveld',
    roleName: 'Wijkverpleegkundige',
  },
  'zorghuis-noord': {
    identifier: 'n.noord@example.org',
    initials: 'N',
    familyName: 'XXX_Noordhoek',
    roleName: 'Verpleegkundige',
  },
} as const;

/** The organisations of the scenario: a hospital that sends, and two that can receive. */
export const demoWorld: WorldDefinition = {
  name: 'demo',
  organizations: [
    organization('ziekenhuis-oost', 'Ziekenhuis Oost', 'Voorbeeldstad', senderExamples),
    organization('thuiszorg-west', 'Thuiszorg West', 'Voorbeelddam', () => receiverExamples('thuiszorg-west')),
    organization('zorghuis-noord', 'Zorghuis Noord', 'Voorbeeldhaven', () => receiverExamples('zorghuis-noord')),
  ],
};

function organization(
  id: DossierName,
  name: string,
  city: string,
  examples: (dids: Readonly<Record<string, string>>) => Readonly<Record<string, unknown>>,
): OrganizationDefinition {
  return {
    id,
    name,
    city,
    tenant: {
      fhirVersion: 'STU3',
      resources: loadDossier(id),
      useCases: { eoverdracht: {} },
      services: eOverdrachtServices,
      examples,
    },
  };
}

/** Who can send can receive: every organisation has both services (facts §1.2). */
function eOverdrachtServices({ gate, relay }: TenantAddresses): Readonly<Record<string, Readonly<Record<string, string>>>> {
  return {
    'eOverdracht-sender': { fhir: `${gate}/fhir` },
    'eOverdracht-receiver': { notification: `${relay}/eoverdracht/notification` },
  };
}

function senderExamples(dids: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  const west = { organization: dids['thuiszorg-west'] };
  const north = { organization: dids['zorghuis-noord'] };
  return {
    'POST /user-sessions': { means: 'employeeid', user: USERS['ziekenhuis-oost'] },
    'POST /eoverdracht/transfers': {
      patient: DOSSIER.patient,
      transferDate: TRANSFER_DATE,
      advanceNotice: { problems: DOSSIER.problems, interventions: DOSSIER.interventions },
      receivers: [west, north],
    },
    'POST /eoverdracht/transfers/{transfer}/receivers': { receivers: [north] },
    'POST /eoverdracht/transfers/{transfer}/assignment': {
      negotiation: '{negotiation}',
      handoff: { composition: DOSSIER.nursingHandoff },
    },
    'POST /eoverdracht/transfers/{transfer}/handoff': { handoff: { composition: DOSSIER.nursingHandoff } },
    'POST /eoverdracht/transfers/{transfer}/negotiations/{negotiation}/answer': { answer: 'agree', transferDate: TRANSFER_DATE },
  };
}

function receiverExamples(id: keyof typeof USERS): Readonly<Record<string, unknown>> {
  return {
    'POST /user-sessions': { means: 'employeeid', user: USERS[id] },
    'POST /eoverdracht/inbox/{item}/status': { status: 'accepted' },
  };
}
