import { describe, expect, it } from '@jest/globals';
import { DOSSIER, DOSSIER_NAMES, loadDossier } from '../../../src/sandbox/dossier/index.ts';
import { localReference, references, valuesAt } from '../../../src/sandbox/fhir/resource.ts';
import type { Resource } from '../../../src/sandbox/fhir/resource.ts';

const byKey = (resources: readonly Resource[]): ReadonlyMap<string, Resource> =>
  new Map(resources.map((resource) => [`${resource.resourceType}/${resource.id}`, resource]));
const hospital = byKey(loadDossier('ziekenhuis-oost'));
const get = (key: string): Resource => {
  const resource = hospital.get(key);
  if (resource === undefined) throw new Error(`${key} is not in the dossier`);
  return resource;
};

/** What a Composition reaches, itself included: references and attachments, to the end. */
function reach(start: string): readonly Resource[] {
  const seen = new Map<string, Resource>();
  const visit = (key: string): void => {
    if (seen.has(key)) return;
    const resource = get(key);
    seen.set(key, resource);
    const attachments = valuesAt(resource, 'content.attachment.url').filter((url) => typeof url === 'string');
    for (const reference of [...references(resource), ...attachments]) visit(localReference(reference) ?? reference);
  };
  visit(start);
  return [...seen.values()];
}

const patientsOf = (resources: readonly Resource[]): ReadonlySet<string> =>
  new Set(
    resources.flatMap((resource) => [
      ...(resource.resourceType === 'Patient' ? [`Patient/${resource.id}`] : []),
      ...references(resource).filter((reference) => reference.startsWith('Patient/')),
    ]),
  );

describe('the dossiers', () => {
  it.each(DOSSIER_NAMES)('%s: every reference and attachment resolves inside it, and no id occurs twice', (name) => {
    const resources = loadDossier(name);
    const known = byKey(resources);
    expect(known.size).toBe(resources.length);
    const dangling = resources.flatMap((resource) =>
      [...references(resource), ...valuesAt(resource, 'content.attachment.url').map(String)].filter(
        (reference) => !known.has(reference),
      ),
    );
    expect(dangling).toEqual([]);
  });

  it.each(DOSSIER_NAMES)('%s: persons are visibly invented, BSNs are test numbers that pass the eleven test', (name) => {
    const resources = loadDossier(name);
    const families = resources.flatMap((resource) => valuesAt(resource, 'name.family'));
    expect(families.length).toBeGreaterThan(0);
    for (const family of families) expect(family).toMatch(/^XXX_/);
    const bsns = resources
      .flatMap((resource) => valuesAt(resource, 'identifier'))
      .filter((identifier) => JSON.stringify(identifier).includes('NamingSystem/bsn'))
      .flatMap((identifier) => valuesAt(identifier, 'value').map(String));
    expect(bsns.length).toBeGreaterThan(0);
    for (const bsn of bsns) {
      expect(bsn).toMatch(/^9999/);
      const sum = Array.from(bsn).reduce((total, digit, index) => total + Number(digit) * (index === 8 ? -1 : 9 - index), 0);
      expect(sum % 11).toBe(0);
    }
  });

  it('names only what is there, each under its own type', () => {
    const { organizations, ...rest } = DOSSIER;
    for (const key of [...Object.values(rest).flat(), ...Object.values(organizations)]) expect(hospital.has(key)).toBe(true);
    for (const key of DOSSIER.problems) expect(get(key).resourceType).toBe('Condition');
    for (const name of ['thuiszorg-west', 'zorghuis-noord'] as const)
      expect(byKey(loadDossier(name)).has(organizations[name])).toBe(true);
  });
});

describe('the nursing hand-off', () => {
  const resources = reach(DOSSIER.nursingHandoff);

  it('is about one patient, through all that it reaches', () => {
    expect([...patientsOf(resources)]).toEqual([DOSSIER.patient]);
  });

  it('has what its profile demands, in nested sections', () => {
    const codes = valuesAt(get(DOSSIER.nursingHandoff), 'section.section.code.coding.code');
    for (const code of ['302147001', '185362004', '275645009', '405623001', '52870002', '86644006'])
      expect(codes).toContain(code);
  });

  it('reaches the blood pressure and the PDF, and not the observation outside', () => {
    const keys = resources.map((resource) => `${resource.resourceType}/${resource.id}`);
    expect(keys).toEqual(expect.arrayContaining([DOSSIER.vitalSign, DOSSIER.pdf, ...DOSSIER.problems, ...DOSSIER.interventions]));
    expect(keys).not.toContain(DOSSIER.outsideGrant);
    expect([...patientsOf([get(DOSSIER.outsideGrant)])]).toEqual([DOSSIER.patient]);
  });

  it('has a PDF whose cross-reference table is right', () => {
    const pdf = Buffer.from(String(get(DOSSIER.pdf)['content']), 'base64').toString('latin1');
    expect(pdf).toMatch(/^%PDF-1\.\d[^]*%%EOF\n$/);
    expect(pdf).toContain('Ontslagbrief \\(voorbeeld\\)');
    const start = Number(/startxref\n(\d+)/.exec(pdf)?.[1]);
    expect(pdf.slice(start, start + 4)).toBe('xref');
    const offsets = [...pdf.matchAll(/^(\d{10}) 00000 n $/gm)].map((match) => Number(match[1]));
    expect(offsets).toHaveLength(6);
    for (const [index, offset] of offsets.entries()) expect(pdf.slice(offset)).toMatch(new RegExp(`^${index + 1} 0 obj`));
  });
});

describe('the advance notices', () => {
  const identity = [
    'XXX_Testpatient',
    'Aaltje',
    'XXX_Dochter',
    '999911120',
    '12345678',
    'Voorbeeldlaan',
    '1942-06-11',
    '7511 AA',
    '000-0000042',
  ];
  // Who wrote the notice is known; their name is not the patient's.
  const about = (start: string): readonly Resource[] =>
    reach(start).filter(({ resourceType }) => !['Practitioner', 'PractitionerRole', 'Organization'].includes(resourceType));

  it('the anonymous one holds no field that identifies, and reaches only the anonymous patient', () => {
    const resources = about(DOSSIER.advanceNotice);
    expect([...patientsOf(resources)]).toEqual([DOSSIER.anonymousPatient]);
    const text = JSON.stringify(resources);
    for (const word of identity) expect(text).not.toContain(word);
    for (const resource of resources) {
      for (const field of [
        'identifier',
        'name',
        'telecom',
        'photo',
        'contact',
        'subscriberId',
        'policyHolder',
        'text',
        'note',
        'contained',
      ]) {
        expect(resource).not.toHaveProperty(field);
      }
    }
    expect(get(DOSSIER.anonymousPatient)).toMatchObject({ birthDate: '1942', address: [{ postalCode: '7511' }] });
  });

  it('the other one is not anonymous: the same look finds the name and the number', () => {
    const text = JSON.stringify(about(DOSSIER.notAnonymousNotice));
    for (const word of ['XXX_Testpatient', '999911120', '12345678']) expect(text).toContain(word);
    expect([...patientsOf(about(DOSSIER.notAnonymousNotice))]).toEqual([DOSSIER.patient]);
  });
});
