import { afterAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { encodeEntry } from '../../src/audit/encode.ts';
import type { AuditEntry } from '../../src/audit/entry.ts';
import { storedRecord } from '../../src/audit/query.ts';
import { facts, intent, makeDirectory, open, outcome, removeDirectories, segments } from './support.ts';

afterAll(removeDirectories);

const read = (entry: AuditEntry, closes?: number): unknown => JSON.parse('{"seq":1,"tenant":"a",' + encodeEntry(entry, closes));

describe('the text of a record', () => {
  it('keeps out a token as often as it comes, where values are remembered too', () => {
    const token = `eyJ${'a'.repeat(20)}.${'b'.repeat(20)}.c`;
    for (let i = 0; i < 3; i += 1) {
      const entry = {
        phase: 'intent',
        correlationId: 'c',
        at: new Date(0),
        purpose: token,
        requester: { id: token },
        credentials: [token],
        attributes: { [token]: token },
      } as const;
      expect(encodeEntry(entry)).not.toContain('eyJ');
    }
  });

  it('holds what the entry says', () => {
    const entry = { ...intent('a', 'r1'), clientCertificate: { subject: 'CN=x', serial: '01' }, part: 'lookup' };
    const { at, ...rest } = entry;
    expect(read(entry)).toEqual({ seq: 1, ...rest, at: at.toISOString() });
  });

  it('of an outcome names the intent and what is new', () => {
    const entry = { ...outcome('a', 'r1'), durationMs: 1.23456, complete: true, resourceVersion: '3' };
    const { at, ...rest } = entry;
    expect(read(entry, 41)).toEqual({ seq: 1, ...rest, intent: 41, durationMs: 1.235, at: at.toISOString() });
  });

  it('is one line of JSON whatever the strings hold (any text)', () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 });
    fc.assert(
      fc.property(text, text, text, text, (name, path, value, key) => {
        const entry = { ...intent('a', 'r1'), requester: { id: 'did:nuts:x', name }, path, attributes: { [`k${key}`]: value } };
        const line = '{"seq":1,"tenant":"a",' + encodeEntry(entry);
        expect(line).not.toContain('\n');
        expect(line).not.toContain('\0');
        const record = storedRecord.parse(JSON.parse(line));
        expect(record.requester?.name).toBe(name);
        expect(Buffer.from(line).toString('utf8')).toBe(line);
      }),
    );
  });

  it.each([
    ['a JWT', 'Task/eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJkaWQ6bnV0czp4In0.c2lnbmF0dXJl', 'eyJ'],
    ['a token with its scheme', 'authorization Bearer Zm9vYmFyYmF6cXV4cXV1eA', 'Zm9v'],
    ['a BSN by OID', 'Patient?identifier=urn:oid:2.16.840.1.113883.2.4.6.3|999911120', '999911120'],
    ['a BSN by OID, escaped', 'Patient?identifier=urn:oid:2.16.840.1.113883.2.4.6.3%7C999911120', '999911120'],
    ['a BSN by naming system', 'Patient?identifier=http://fhir.nl/fhir/NamingSystem/bsn|999911120', '999911120'],
  ])('never holds %s, even if a caller of the journal makes that mistake', async (_what, value, secret) => {
    const directory = makeDirectory();
    const journal = await open(directory);
    await journal.record({
      ...intent('a', 'r1'),
      path: value,
      patient: value,
      attributes: { task: value },
      credentials: [value],
    });
    await journal.record({ ...outcome('a', 'r1'), reason: value, resourceVersion: value });
    await journal.close();
    const text = readFileSync(join(directory, segments(directory)[0]!), 'utf8');
    expect(text).toContain('[redacted]');
    expect(text).not.toContain(secret);
  });

  it('leaves lawful ids alone', () => {
    const entry = {
      ...intent('a', 'r1'),
      path: 'Patient/999911120',
      credentials: ['did:nuts:abc#eyJ-not-a-token'],
      tokenHash: facts.tokenHash,
    };
    expect(read(entry)).toMatchObject({
      path: 'Patient/999911120',
      credentials: ['did:nuts:abc#eyJ-not-a-token'],
      tokenHash: facts.tokenHash,
    });
  });
});
