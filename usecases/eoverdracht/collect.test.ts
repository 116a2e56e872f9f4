import { describe, expect, it } from '@jest/globals';
import { GatewayError, type JsonObject } from 'sluis/usecase';
import { collect } from './collect.ts';
import { parseConfig } from './config.ts';

const BASE = 'https://fhir.example.com/base';
const subject = { reference: 'Patient/p' };

const dossier = new Map<string, JsonObject>(
  [
    {
      resourceType: 'Patient',
      id: 'p',
      link: [{ other: { reference: 'Patient/other' } }],
      managingOrganization: { reference: 'Organization/o' },
    },
    { resourceType: 'Organization', id: 'o', partOf: { reference: 'Organization/group' } },
    { resourceType: 'Organization', id: 'group' },
    {
      resourceType: 'Condition',
      id: 'c',
      subject,
      asserter: { reference: `${BASE}/Practitioner/pr` },
      evidence: [{ detail: [{ reference: 'Observation/deep' }] }],
    },
    { resourceType: 'Observation', id: 'deep', subject, related: [{ target: { reference: 'Observation/deeper' } }] },
    { resourceType: 'Observation', id: 'deeper', subject, related: [{ target: { reference: 'Observation/deepest' } }] },
    { resourceType: 'Observation', id: 'deepest', subject },
    { resourceType: 'Practitioner', id: 'pr' },
    { resourceType: 'Procedure', id: 'x', subject: { reference: 'Patient/other' } },
    { resourceType: 'Procedure', id: 'nobody' },
    {
      resourceType: 'DocumentReference',
      id: 'd',
      subject,
      content: [{ attachment: { url: `${BASE}/Binary/b` } }],
      context: { related: [{ ref: { reference: 'Task/t' } }] },
    },
    { resourceType: 'Patient', id: 'other' },
    { resourceType: 'Task', id: 't' },
  ].map((resource) => [`${resource.resourceType}/${resource.id}`, resource]),
);

function composition(...entries: readonly string[]): JsonObject {
  return {
    resourceType: 'Composition',
    id: 'n',
    subject,
    author: [{ reference: 'Practitioner/pr' }],
    relatesTo: [{ targetReference: { reference: 'Composition/old' } }],
    section: [{ section: [{ section: [{ entry: entries.map((reference) => ({ reference })) }] }] }],
  };
}

async function collected(of: JsonObject, settings: Record<string, unknown> = {}): Promise<readonly string[]> {
  const found = await collect(of, (type, id) => Promise.resolve(dossier.get(`${type}/${id}`)), parseConfig(settings), BASE);
  return found.references;
}

async function reason(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof GatewayError ? (error.options.reason ?? error.code) : 'none';
}

describe('collecting what belongs to a document (facts §3.6)', () => {
  it('finds subject, author, nested sections and attachment urls, each once (check 87)', async () => {
    expect(
      [...(await collected(composition('Condition/c', '/Condition/c', 'Condition/c/_history/3', 'DocumentReference/d')))].sort(),
    ).toEqual([
      'Binary/b',
      'Composition/n',
      'Condition/c',
      'DocumentReference/d',
      'Observation/deep',
      'Observation/deeper',
      'Organization/o',
      'Patient/p',
      'Practitioner/pr',
    ]);
  });

  it('goes as deep as the settings say, and no further', async () => {
    expect(await collected(composition('Condition/c'), { collect: { depth: 1 } })).not.toContain('Observation/deep');
    expect(await collected(composition('Condition/c'), { collect: { depth: 4 } })).toContain('Observation/deepest');
  });

  it('never follows links to other patients, parents, other documents, Tasks, foreign servers, or what is not there', async () => {
    const found = await collected(
      composition('DocumentReference/d', 'https://evil.example/Condition/c', 'urn:uuid:1', '#c', 'Practitioner/none'),
    );
    for (const never of ['Patient/other', 'Organization/group', 'Composition/old', 'Task/t', 'Condition/c', 'Practitioner/none'])
      expect(found).not.toContain(never);
  });

  it('stops at a resource of another patient, or of nobody (check 88)', async () => {
    expect(await reason(collected(composition('Procedure/x')))).toBe('mixed_patients');
    expect(await reason(collected(composition('Procedure/nobody')))).toBe('mixed_patients');
    expect(await reason(collected(composition('Patient/other')))).toBe('mixed_patients');
    expect(await reason(collected({ ...composition('Condition/c'), subject: {} }))).toBe('mixed_patients');
  });

  it('stops at a document without end', async () => {
    expect(await reason(collected(composition('Condition/c', 'DocumentReference/d'), { collect: { maxResources: 3 } }))).toBe(
      'document_too_large',
    );
  });
});
