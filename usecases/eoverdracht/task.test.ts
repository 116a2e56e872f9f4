import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ANONYMOUS_FOR, alternativeDateOutput, buildTask, changeTask, compositionReference, readTask } from './task.ts';
import { canonical, object, objects } from './json.ts';
import { parseConfig } from './config.ts';
import { isPrivate, privateTask } from './task-privacy.ts';

const config = parseConfig({});
const now = new Date('2026-03-01T09:00:00Z');
const task = buildTask(
  {
    id: 't1',
    status: 'requested',
    requester: { did: 'did:nuts:s', name: 'Ziekenhuis Oost' },
    owner: { did: 'did:nuts:r', name: 'Thuiszorg West' },
    inputs: { advanceNotice: 'Composition/a1' },
    now,
  },
  config,
);

describe('the Task of an offer', () => {
  it('is what the profile asks and identifies nobody (check 31)', () => {
    expect(task).toMatchObject({
      status: 'requested',
      intent: 'order',
      meta: { profile: ['http://nictiz.nl/fhir/StructureDefinition/eOverdracht-Task'] },
      code: { coding: [{ system: 'http://snomed.info/sct', code: '308292007' }] },
      for: { display: ANONYMOUS_FOR },
      requester: { agent: { identifier: { system: 'http://nuts.nl', value: 'did:nuts:s' }, display: 'Ziekenhuis Oost' } },
      owner: { identifier: { system: 'http://nuts.nl', value: 'did:nuts:r' } },
    });
    expect(isPrivate(task)).toBe(true);
    expect(JSON.stringify(task)).not.toContain('Patient/');
  });

  it('has both generations of codes, in the order that the peers need', () => {
    const first = (of: typeof task): unknown => objects(object(objects(of, 'input')[0], 'type'), 'coding')[0]?.['code'];
    expect(first(task)).toBe('721915006');
    const old = changeTask(
      task,
      { status: 'requested', inputs: { advanceNotice: 'Composition/a1' }, now },
      { codingOrder: 'old-first' },
    );
    expect(first(old)).toBe('57830-2');
  });

  it('recognises 721915006, 57830-2, 11171000146100 and 371535009 at any coding index (check 98)', () => {
    const other = { system: 'http://example.org', code: 'x' };
    const codes = [
      ['http://snomed.info/sct', '721915006', 'advanceNotice'],
      ['http://loinc.org', '57830-2', 'advanceNotice'],
      ['http://snomed.info/sct', '11171000146100', 'nursingHandoff'],
      ['http://snomed.info/sct', '371535009', 'nursingHandoff'],
    ] as const;
    for (const [system, code, kind] of codes) {
      for (const coding of [[{ system, code }], [other, { system, code }], [other, other, { system, code }]]) {
        const view = readTask({ ...task, input: [{ type: { coding }, valueReference: { reference: 'Composition/x' } }] });
        expect(view.inputs).toEqual({ [kind]: 'Composition/x' });
      }
      // The code of another system is another code.
      const foreign = readTask({
        ...task,
        input: [{ type: { coding: [{ ...other, code }] }, valueReference: { reference: 'Composition/x' } }],
      });
      expect(foreign.inputs).toEqual({});
    }
  });

  it('accepts the reference forms of a Composition of the sender and no other (check 99)', () => {
    const base = 'https://fhir.example.com/base';
    for (const text of ['Composition/x', '/Composition/x', `${base}/Composition/x`, 'Composition/x/_history/2']) {
      expect(compositionReference(text, base)).toBe('Composition/x');
    }
    for (const text of [
      'https://evil/Composition/x',
      'https://fhir.example.com/basement/Composition/x',
      'Patient/x',
      '#x',
      'urn:uuid:x',
      'Composition/../x',
    ]) {
      expect(compositionReference(text, base)).toBeUndefined();
    }
  });

  it('keeps what we do not know, and loses the proposal when it is asked again (check 94)', () => {
    const onHold = {
      ...task,
      status: 'on-hold',
      priority: 'urgent',
      statusReason: { text: 'later' },
      output: [alternativeDateOutput('2026-03-08')],
    };
    const again = changeTask(onHold, { status: 'requested', inputs: { advanceNotice: 'Composition/a2' }, now }, config);
    expect(again).toMatchObject({ status: 'requested', priority: 'urgent' });
    expect(again).not.toHaveProperty('output');
    expect(again).not.toHaveProperty('statusReason');
    expect(readTask(again).inputs).toEqual({ advanceNotice: 'Composition/a2' });
    expect(readTask(onHold)).toMatchObject({ alternativeDate: '2026-03-08', statusReason: 'later' });
  });

  it('is shown without user with nothing of a person in it (check 31)', () => {
    const touched = {
      ...task,
      for: { reference: 'Patient/p1', display: 'W. van der Akker', identifier: { value: '999911120' } },
      context: { reference: 'Encounter/e' },
      note: [{ text: 'W. van der Akker' }],
      text: { div: '<div>van der Akker</div>' },
      description: 'van der Akker',
      contained: [{ resourceType: 'Patient' }],
      input: [{ type: { coding: [], text: 'x' }, valueReference: { reference: 'Composition/a1', display: 'van der Akker' } }],
    };
    const shown = JSON.stringify(privateTask(touched));
    for (const secret of ['Akker', '999911120', 'Patient/', 'Encounter/']) expect(shown).not.toContain(secret);
    expect(isPrivate(touched)).toBe(false);
    expect(readTask(privateTask(touched)).status).toBe('requested');
  });

  it('says the same when what is shown is shown again', () => {
    const anything = fc.dictionary(
      fc.constantFrom('for', 'input', 'note', 'status', 'text', 'code'),
      fc.jsonValue() as fc.Arbitrary<never>,
    );
    fc.assert(fc.property(anything, (resource) => expect(privateTask(privateTask(resource))).toEqual(privateTask(resource))));
  });

  it('is shown as it is exactly when nothing would be taken away', () => {
    const leaf = fc.constantFrom('', 'x', ANONYMOUS_FOR, null, [], {});
    const reference = fc.dictionary(fc.constantFrom('reference', 'display', 'identifier', 'extension'), leaf);
    const input = fc.oneof(
      leaf,
      fc.dictionary(fc.constantFrom('id', 'type', 'valueReference', 'valueString', 'extension'), fc.oneof(leaf, reference)),
    );
    const anything = fc.dictionary(
      fc.constantFrom('for', 'input', 'note', 'status', 'text', 'focus'),
      fc.oneof(leaf, reference, fc.array(input), input),
    );
    fc.assert(
      fc.property(anything as fc.Arbitrary<never>, (resource) =>
        expect(isPrivate(resource)).toBe(canonical(privateTask(resource)) === canonical(resource)),
      ),
      { numRuns: 1_000 },
    );
  });
});
