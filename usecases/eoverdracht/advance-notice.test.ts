import { describe, expect, it } from '@jest/globals';
import { readFileSync, existsSync } from 'node:fs';
import path from 'node:path';
import type { JsonObject } from 'sluis/usecase';
import { anonymityProblems } from './anonymity.ts';
import { parseConfig } from './config.ts';
import { collect } from './collect.ts';
import { buildHandoff } from './handoff.ts';
import { objects, text } from './json.ts';
import { prepareNotice } from './prepare-document.ts';
import { buildDocument } from './document-writing.ts';
import { createWorld, fillDossier, HANDOFF, NOTICE } from './test-support.ts';

const EXAMPLES = path.join(process.env['SLUIS_TEST_DATA'] ?? '../shared/data', 'eoverdracht/own-examples');
const config = parseConfig({});

const patient: JsonObject = {
  resourceType: 'Patient',
  id: 'real',
  name: [{ family: 'de Vries', given: ['Anna'], _family: { extension: [{ url: 'x', valueString: 'Bakker' }] } }],
  identifier: [{ system: 'http://fhir.nl/fhir/NamingSystem/bsn', value: '999911120' }],
  birthDate: '1942-05-03',
  address: [{ line: ['Dorpsstraat 12'], postalCode: '7511AB' }],
};

function problems(...resources: readonly JsonObject[]): readonly string[] {
  const map = new Map(resources.map((each) => [`${text(each, 'resourceType') ?? ''}/${text(each, 'id') ?? ''}`, each]));
  return anonymityProblems(map, { reference: 'Patient/real', resource: patient }).map((each) => each.field);
}

const condition = { resourceType: 'Condition', id: 'c', code: { text: 'CVA' }, subject: { reference: 'Patient/anon' } };

describe('whether a notice is anonymous (facts §3.3)', () => {
  it('is so with year of birth, four digits and gender', () => {
    const anonymous = {
      resourceType: 'Patient',
      id: 'anon',
      gender: 'female',
      birthDate: '1942',
      address: [{ postalCode: '7511' }],
    };
    expect(problems(anonymous, condition)).toEqual([]);
  });

  it('is not so with anything more of the patient', () => {
    const more: readonly JsonObject[] = [
      { name: [{ family: 'X' }] },
      { identifier: [{ value: '1' }] },
      { telecom: [{ value: '06' }] },
      { birthDate: '1942-05' },
      { address: [{ postalCode: '7511AB' }] },
      { address: [{ postalCode: '7511', city: 'Enschede' }] },
      { photo: [{}] },
      { text: { div: '<div/>' } },
      { contact: [{}] },
      { link: [{}] },
      { contained: [{}] },
    ];
    for (const each of more) expect(problems({ resourceType: 'Patient', id: 'anon', ...each })).not.toEqual([]);
  });

  it('is not so when anything points to, or is, the real patient', () => {
    expect(problems({ ...condition, subject: { reference: 'Patient/real' } })).toEqual(['Condition/c: subject.reference']);
    expect(problems(patient)).toEqual(['Patient/real']);
    expect(problems({ resourceType: 'RelatedPerson', id: 'r' })).toEqual(['RelatedPerson/r']);
    expect(problems({ ...condition, subject: { reference: 'Patient/anon', display: 'x' } })).toEqual([
      'Condition/c: subject.display',
    ]);
    expect(
      problems({ ...condition, subject: { identifier: { system: 'http://fhir.nl/fhir/NamingSystem/bsn', value: '1' } } }),
    ).toEqual(expect.arrayContaining(['Condition/c: subject.identifier', 'Condition/c: subject.identifier.system']));
  });

  it('is not so when a name, number, street or date of the patient stands anywhere', () => {
    for (const said of [
      'CVA van mevr. De Vries',
      'Anna',
      'mevr. Bakker',
      'bsn 999911120',
      'woont Dorpsstraat 12',
      '1942-05-03',
      '7511ab',
    ]) {
      expect(problems({ ...condition, code: { text: said } })).toEqual(['Condition/c: code.text']);
    }
    // Part of a word is no name.
    for (const said of ['Annabel', 'bakkerij', 'vriesweer de Vriesland'])
      expect(problems({ ...condition, code: { text: said } })).toEqual([]);
  });

  it('is not so with free text, notes or an insured number', () => {
    const coverage = { resourceType: 'Coverage', id: 'v', beneficiary: { reference: 'Patient/anon' } };
    expect(problems({ ...condition, note: [{ text: 'x' }] })).toEqual(['Condition/c: note']);
    expect(problems({ ...condition, text: { div: 'x' } })).toEqual(['Condition/c: text']);
    expect(problems({ ...coverage, subscriberId: '1' })).toEqual(['Coverage/v: subscriberId']);
    expect(problems({ ...coverage, policyHolder: { reference: 'Organization/o' } })).toEqual(['Coverage/v: policyHolder']);
    expect(problems({ resourceType: 'Composition', id: 'a', section: [{ section: [{ text: { div: 'x' } }] }] })).toEqual([
      'Composition/a: section[0].section[0].text',
    ]);
  });

  const example = existsSync(EXAMPLES) ? it : it.skip;
  if (example === it.skip) process.stderr.write(`skipped: there is no ${EXAMPLES}; name the data folder in SLUIS_TEST_DATA\n`);
  example('is so for our example notice, and not for our example hand-off', async () => {
    const files = new Map<string, JsonObject>();
    for (const name of [
      'composition-advance-notice',
      'composition-nursing-handoff',
      'patient-anonymous',
      'patient-full',
      'condition',
      'condition-anonymous',
      'procedure',
      'procedure-anonymous',
      'coverage',
      'coverage-anonymous',
      'practitioner',
      'practitionerrole',
      'organization-sender',
      'organization-receiver',
      'documentreference',
    ]) {
      const resource = JSON.parse(readFileSync(path.join(EXAMPLES, `${name}.json`), 'utf8')) as JsonObject;
      files.set(`${text(resource, 'resourceType') ?? ''}/${text(resource, 'id') ?? ''}`, resource);
    }
    const real = 'Patient/b2f1c8d0-6f10-4e0c-b8f5-6f2a3f9c0d04';
    const check = async (id: string): Promise<number> => {
      const collection = await collect(
        files.get(`Composition/${id}`)!,
        (type, each) => Promise.resolve(files.get(`${type}/${each}`)),
        config,
      );
      return anonymityProblems(collection.resources, { reference: real, resource: files.get(real)! }).length;
    };
    expect(await check('1f6d6a52-2a2e-4c0e-8f5b-0d5b0b8f0a01')).toBe(0);
    expect(await check('2a9c3c80-4b1d-4d7a-9a61-5c8e7d9b0b02')).toBeGreaterThan(0);
  });
});

describe('a notice that we build', () => {
  it('has the sections of the profile, and copies that lead nowhere (facts §3.2)', async () => {
    const world = createWorld();
    fillDossier(world);
    const document = await prepareNotice(world.services, config, { patient: 'Patient/p1', transferDate: '2026-03-05' }, NOTICE);
    expect(document.written).toBe(false);
    const built = await buildDocument(world.services, config, 'Patient/p1', 'advanceNotice', document.recipe!);
    const composition = built.at(-1)!;
    const codes = (of: JsonObject): readonly string[] =>
      objects(of, 'section').flatMap((section) => [
        text(objects(section['code'] as JsonObject, 'coding')[0], 'code') ?? '',
        ...codes(section),
      ]);
    expect(codes(composition)).toEqual(['405624007', '302147001', '371524004', '52870002', '773130005', '86644006']);
    expect(composition).toMatchObject({ status: 'final', title: 'Aanmeldbericht', author: [{ display: 'Ziekenhuis Oost' }] });
    expect(objects(composition, 'section')[0]).toMatchObject({ extension: [{ valueDateTime: '2026-03-05' }] });
    expect(built.find((each) => each['resourceType'] === 'Condition')).toMatchObject({
      meta: { profile: ['http://nictiz.nl/fhir/StructureDefinition/zib-Problem'] },
      code: { coding: [{ code: '230690007' }] },
    });
    expect(built.find((each) => each['resourceType'] === 'Patient')).toEqual({
      resourceType: 'Patient',
      id: document.recipe!.ids['patient'],
      gender: 'female',
      birthDate: '1942',
      address: [{ postalCode: '7511' }],
    });
    // No clinical content in what is kept, and the same again when it is built again.
    expect(JSON.stringify(document)).not.toContain('CVA');
    expect(await buildDocument(world.services, config, 'Patient/p1', 'advanceNotice', document.recipe!)).toEqual(built);
  });

  it('has a payer that says nothing when none is named', async () => {
    const world = createWorld();
    fillDossier(world);
    const { payers: _payers, ...rest } = NOTICE;
    const document = await prepareNotice(world.services, config, { patient: 'Patient/p1', transferDate: '2026-03-05' }, rest);
    expect(document.resources.map((each) => each.split('/')[0]).sort()).toEqual([
      'Composition',
      'Condition',
      'Coverage',
      'Patient',
      'Procedure',
    ]);
  });
});

describe('a hand-off that we build', () => {
  it('has the mandatory sections, with organisations of our own where the EHR names none (facts §3.2)', () => {
    const recipe = {
      at: '2026-03-01T09:00:00Z',
      transferDate: '2026-03-05',
      content: HANDOFF,
      ids: { composition: 'n', sender: 's', receiver: 'r' },
      receiver: { did: 'did:nuts:r1', name: 'Thuiszorg West' },
    };
    const built = buildHandoff(recipe, 'Patient/p1', { did: 'did:nuts:s', name: 'Ziekenhuis Oost' }, config);
    expect(built.map((each) => [each['resourceType'], each['name'] ?? each['title']])).toEqual([
      ['Organization', 'Ziekenhuis Oost'],
      ['Organization', 'Thuiszorg West'],
      ['Composition', 'Overdrachtsbericht'],
    ]);
    const composition = JSON.stringify(built.at(-1));
    for (const code of [
      '185362004',
      '275645009',
      '405623001',
      '52870002',
      '86644006',
      '302147001',
      '397966007',
      '11171000146100',
      '371535009',
    ]) {
      expect(composition).toContain(`"${code}"`);
    }
    expect(composition).toContain('Organization/r');
    expect(built.at(-1)).toMatchObject({ subject: { reference: 'Patient/p1' }, author: [{ reference: 'Practitioner/pr1' }] });
    const given = buildHandoff(
      {
        ...recipe,
        content: { ...HANDOFF, sendingOrganization: ['Organization/own'], receivingOrganization: ['Organization/x'] },
      },
      'Patient/p1',
      { did: 'd', name: 'n' },
      config,
    );
    expect(given).toHaveLength(1);
  });
});
