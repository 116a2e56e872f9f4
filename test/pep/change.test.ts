import { describe, expect, it } from '@jest/globals';
import type { JsonObject } from '../../src/fhir/json.ts';
import { prepareChange } from '../../src/pep/change.ts';
import type { RequestRecord } from '../../src/pep/record.ts';
import type { RepresentationOptions } from '../../src/pep/representation.ts';
import type { Permitted } from '../../src/pep/stages.ts';

// An update by a rule that finds its patient in what is stored: the new version must stay with that patient.

const about = (patient: string): JsonObject => ({ resourceType: 'Observation', id: '1', subject: { reference: patient } });

async function prepare(proposed: JsonObject, stored: JsonObject | 'nothing' = about('Patient/mine')) {
  // Only what the preparation looks at; everything before it has tests of its own.
  const permitted = {
    authenticated: {
      addressed: { tenant: { id: 'a', fhir: { version: 'R4' } } },
      body: () => Promise.resolve(proposed),
    },
    verdict: {
      selected: { role: { rules: [] } },
      interaction: { kind: 'update', type: 'Observation', id: '1' },
      rule: { id: 'update', patient: { from: 'look-up', element: 'subject' } },
      patient: { reference: 'Patient/mine', proof: 'look-up' },
      request: { resource: { type: 'Observation', id: '1' } },
    },
  } as unknown as Permitted;
  const store = { read: () => Promise.resolve(stored === 'nothing' ? undefined : { resource: stored, version: '3' }) };
  const bases = { upstream: 'http://fhir/fhir', public: 'https://gate/a/fhir' };
  const options = { upstream: () => ({ store, bases }) } as unknown as RepresentationOptions;
  const record = { lookUp: () => Promise.resolve() } as unknown as RequestRecord;
  return prepareChange(permitted, { changed: ['*'] }, '3', record, options);
}

describe('an update whose patient is looked up', () => {
  it('may go up when the new version stays with the patient', async () => {
    expect((await prepare({ ...about('Patient/mine'), status: 'final' })).outcome).toBe('ready');
  });

  it.each<[string, JsonObject]>([
    ['moves to another', about('Patient/other')],
    ['leaves every patient (R8)', { resourceType: 'Observation', id: '1' }],
    ['names another beside (C13)', { ...about('Patient/mine'), focus: [{ reference: 'Patient/other' }] }],
  ])('is denied when it %s', async (_what, proposed) => {
    expect(await prepare(proposed)).toEqual({ outcome: 'denied', reason: 'proposed_of_another_patient' });
  });

  it('is denied when what is stored is another’s, or is not there (C6, C16)', async () => {
    expect((await prepare(about('Patient/mine'), about('Patient/other'))).outcome).toBe('denied');
    expect((await prepare(about('Patient/mine'), 'nothing')).outcome).toBe('denied');
  });
});
