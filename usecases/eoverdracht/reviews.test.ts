import { describe, expect, it } from '@jest/globals';
import type { JsonObject, ReviewVerdict } from 'sluis/usecase';
import { parseConfig } from './config.ts';
import { A1, credential, document, documentEntries, grantFor, ledger, read, requestFor, T1, user } from './policy-support.ts';
import { reviews } from './reviews.ts';
import { ANONYMOUS_FOR } from './task.ts';

const config = parseConfig({});
const entries = documentEntries(A1, '/Patient/P0', '/Condition/C0', '/DocumentReference/D0', '/Binary/B0');

function review(name: string, body: JsonObject, granted = entries): Promise<ReviewVerdict> {
  const found = reviews.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no review ${name}`);
  const request = requestFor(name === 'document' ? document(A1) : read(T1), { user, credentials: [credential('A', entries)] });
  return Promise.resolve(found.review({ request, body }, config, ledger([grantFor('A', granted)])));
}

const composition = { fullUrl: 'x', resource: { resourceType: 'Composition', id: 'A1' } };
const patient = { resource: { resourceType: 'Patient', id: 'P0' } };
const bundle = (...entry: JsonObject[]): JsonObject => ({ resourceType: 'Bundle', type: 'document', entry });

describe('the answer to $document', () => {
  it('passes when everything in it is granted (check 62)', async () => {
    expect(await review('document', bundle(composition, patient))).toEqual({ outcome: 'pass' });
  });

  it('loses every Binary and what is not granted for reading (checks 9, 62)', async () => {
    const stranger = { resource: { resourceType: 'Condition', id: 'C9' } };
    const binary = { resource: { resourceType: 'Binary', id: 'B0' } };
    const nameless = { fullUrl: 'urn:uuid:x' };
    expect(await review('document', bundle(composition, stranger, binary, patient, nameless))).toEqual({
      outcome: 'replace',
      body: bundle(composition, patient),
    });
  });

  it('loses what the credential names but the ledger does not', async () => {
    expect(await review('document', bundle(composition, patient), documentEntries(A1))).toEqual({
      outcome: 'replace',
      body: bundle(composition),
    });
  });

  it('does not leave when it is of another Composition, or no document', async () => {
    expect(await review('document', bundle({ resource: { resourceType: 'Composition', id: 'N1' } }))).toMatchObject({
      outcome: 'withhold',
    });
    expect(await review('document', bundle(patient, composition))).toMatchObject({ outcome: 'withhold' });
    expect(await review('document', { ...bundle(composition), type: 'searchset' })).toMatchObject({ outcome: 'withhold' });
    expect(await review('document', bundle())).toMatchObject({ outcome: 'withhold' });
    expect(await review('document', { resourceType: 'Patient', id: 'P1' })).toMatchObject({ outcome: 'withhold' });
  });
});

describe('a Task shown without a user', () => {
  it('passes when we wrote it, and loses the patient when somebody else did (check 31)', async () => {
    const task = { resourceType: 'Task', id: 'T1', status: 'requested', for: { display: ANONYMOUS_FOR } };
    expect(await review('task-privacy', task)).toEqual({ outcome: 'pass' });
    expect(await review('task-privacy', { ...task, for: { reference: 'Patient/P1', display: 'Jansen' } })).toEqual({
      outcome: 'replace',
      body: task,
    });
    expect(await review('task-privacy', { resourceType: 'Patient', id: 'P1' })).toMatchObject({ outcome: 'withhold' });
  });
});
