import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseJsonText, type JsonObject, type JsonValue } from '../../src/fhir/json.ts';
import { judgeChanges, placeBeyond } from '../../src/pep/changes.ts';

const read = (text: string): JsonObject => parseJsonText(text) as JsonObject;
const stored = read(
  '{"resourceType":"Observation","id":"1","status":"preliminary","valueQuantity":{"value":1.50},' +
    '"meta":{"versionId":"3","lastUpdated":"2026-01-01T00:00:00Z","profile":["http://x/p"],"security":[{"code":"R"}]}}',
);
const guard = {
  changed: ['status', 'note'],
  states: [{ element: 'status', steps: [{ from: 'preliminary', to: 'final' }] }],
};

describe('the changes that a guard allows', () => {
  it('are those of its elements, by its steps', () => {
    expect(judgeChanges(guard, stored, { ...stored, status: 'final', note: [{ text: 'x' }] })).toBeUndefined();
    expect(judgeChanges(guard, stored, { ...stored, status: 'amended' })).toEqual({
      reason: 'state_not_allowed',
      expression: ['Observation.status'],
    });
    expect(judgeChanges(guard, stored, { ...stored, subject: { reference: 'Patient/2' } })?.expression).toEqual([
      'Observation.subject',
    ]);
  });

  it('are compared by the text of numbers: 1.50 is not 1.5 (C20)', () => {
    expect(judgeChanges(guard, stored, read(JSON.stringify(stored)))).toBeUndefined();
    expect(judgeChanges(guard, stored, { ...stored, valueQuantity: { value: 1.5 } })?.expression).toEqual([
      'Observation.valueQuantity',
    ]);
  });

  it('are of meta only what it names: version and time are the server’s, labels never the caller’s (C9)', () => {
    const meta = (change: JsonObject): JsonObject => ({ ...stored, meta: { ...(stored['meta'] as JsonObject), ...change } });
    expect(judgeChanges(guard, stored, meta({ versionId: '9', lastUpdated: 'x' }))).toBeUndefined();
    expect(judgeChanges(guard, stored, meta({ profile: ['http://x/q'] }))?.expression).toEqual(['Observation.meta.profile']);
    expect(judgeChanges({ changed: ['*'] }, stored, meta({ profile: ['http://x/q'] }))).toBeUndefined();
    for (const changed of [['*'], ['meta']]) {
      expect(judgeChanges({ changed }, stored, meta({ security: [] }))?.reason).toBe('label_not_changeable');
      expect(judgeChanges({ changed }, stored, meta({ tag: [{ code: 'T' }] }))?.reason).toBe('label_not_changeable');
    }
    expect(judgeChanges({ changed: ['meta.security'] }, stored, meta({ security: [] }))).toBeUndefined();
  });

  it('of a code are its own, not what stands beside it', () => {
    const stepped = { changed: ['status'], states: [{ element: 'status', steps: [{ from: 'preliminary', to: 'final' }] }] };
    const before = { ...stored, status: 'preliminary' };
    expect(judgeChanges(stepped, before, { ...before, status: 'final' })).toBeUndefined();
    const beside = { _status: { extension: [{ url: 'http://x', valueCode: 'unknown' }] } };
    expect(judgeChanges(stepped, before, { ...before, ...beside })?.reason).toBe('state_not_allowed');
    expect(judgeChanges(stepped, before, { ...before, status: 'final', ...beside })?.reason).toBe('state_not_allowed');
  });

  it('of a choice by its name are those of every type it has, by its type of that alone', () => {
    const other = { ...stored, valueQuantity: { value: 2 } };
    const { valueQuantity: _value, ...without } = stored;
    expect(judgeChanges({ changed: ['value'] }, stored, other)).toBeUndefined();
    expect(judgeChanges({ changed: ['value'] }, stored, { ...without, valueString: 'x' })).toBeUndefined();
    expect(judgeChanges({ changed: ['valueQuantity'] }, stored, { ...without, valueString: 'x' })?.expression).toEqual([
      'Observation.valueString',
    ]);
    expect(judgeChanges({ changed: ['val'] }, stored, other)?.expression).toEqual(['Observation.valueQuantity']);
    expect(
      placeBeyond({ changed: ['value'] }, 'Observation', [{ op: 'add', path: ['valueString'], value: 'x' }]),
    ).toBeUndefined();
  });

  it('of a choice that has steps are by these steps only, whatever type it takes', () => {
    const stepped = { changed: ['value'], states: [{ element: 'value', steps: [{ from: 'a', to: 'b' }] }] };
    const before: JsonObject = { resourceType: 'Observation', id: '1', valueCode: 'a' };
    const { valueCode: _code, ...nothing } = before;
    expect(judgeChanges(stepped, before, { ...before, valueCode: 'b' })).toBeUndefined();
    for (const proposed of [{ ...before, valueCode: 'c' }, { ...nothing, valueString: 'b' }, nothing])
      expect(judgeChanges(stepped, before, proposed)?.reason).toBe('state_not_allowed');
  });

  it('of everything do not link two persons: that is a right of its own (C15)', () => {
    const patient: JsonObject = { resourceType: 'Patient', id: '1', active: true };
    const linked: JsonObject = { ...patient, active: false, link: [{ other: { reference: 'Patient/2' }, type: 'seealso' }] };
    expect(judgeChanges({ changed: ['*'] }, patient, linked)?.expression).toEqual(['Patient.link']);
    expect(judgeChanges({ changed: ['*', 'link'] }, patient, linked)).toBeUndefined();
  });

  it('pass exactly when no other element differs, whatever they are', () => {
    const names = ['a', 'b', 'c', 'd'];
    // The reader of bodies refuses these names wherever they stand: no stored resource and no new one has them.
    const readable = (value: unknown): boolean => !/__proto__|constructor|prototype/u.test(JSON.stringify(value));
    const resource = fc.dictionary(
      fc.constantFrom(...names),
      fc
        .jsonValue()
        .filter(readable)
        .map((value) => value as JsonValue),
    );
    fc.assert(
      fc.property(resource, resource, fc.subarray(names), (one, other, changed) => {
        const differ = names.filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
        // The order of members says nothing: only what is the same text is surely the same.
        const verdict = judgeChanges({ changed }, one, other);
        if (differ.every((name) => changed.includes(name))) expect(verdict).toBeUndefined();
        else for (const place of verdict?.expression ?? []) expect(changed).not.toContain(place.slice(1));
        expect(judgeChanges({ changed: [] }, one, read(JSON.stringify(one)))).toBeUndefined();
      }),
    );
  });
});
