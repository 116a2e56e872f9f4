import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseJsonObject } from '../../src/fhir/json.ts';
import { redact } from '../../src/pep/redact.ts';

const R4 = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };
const STU3 = { system: 'http://hl7.org/fhir/v3/ObservationValue', code: 'SUBSETTED' };
const of = (resource: object) => parseJsonObject(Buffer.from(JSON.stringify(resource)));

describe('redaction', () => {
  it('takes an element with its twin and the narrative, and marks what lost one, once', () => {
    const patient = of({ resourceType: 'Patient', id: '1', text: { div: 'Jan' }, birthDate: '1950', _birthDate: { id: 'x' } });
    expect(redact(patient, ['Patient.birthDate'], 'R4')).toEqual({ resourceType: 'Patient', id: '1', meta: { tag: [R4] } });
    const marked = of({ resourceType: 'Patient', id: '1', meta: { tag: [STU3] }, birthDate: '1950' });
    expect(redact(marked, ['Patient.birthDate'], 'STU3')).toEqual({ resourceType: 'Patient', id: '1', meta: { tag: [STU3] } });
  });

  it('leaves alone what has no such element, or is of another type', () => {
    const patient = of({ resourceType: 'Patient', id: '1', name: [{ text: 'Jan' }] });
    expect(redact(patient, ['Patient.address', 'Practitioner.name'], 'R4')).toBe(patient);
  });

  it('reaches through lists, and leaves no empty object or list', () => {
    const observation = of({
      resourceType: 'Observation',
      id: '1',
      component: [{ valueString: 'Jan' }, { code: { text: 'c' }, valueString: 'Jan' }],
    });
    expect(redact(observation, ['Observation.component.valueString'], 'R4')).toMatchObject({
      component: [{ code: { text: 'c' } }],
    });
    const only = of({ resourceType: 'Observation', id: '1', component: [{ valueString: 'Jan' }] });
    expect(redact(only, ['Observation.component.valueString'], 'R4')).not.toHaveProperty('component');
  });

  it('takes a choice whichever it is, and nothing that only begins alike', () => {
    const observation = (more: object) => of({ resourceType: 'Observation', id: '1', ...more });
    for (const value of [{ valueString: 'Jan' }, { valueQuantity: { value: 1 } }, { _valueDateTime: { extension: [] } }])
      expect(redact(observation(value), ['Observation.value'], 'R4')).toEqual(observation({ meta: { tag: [R4] } }));
    const inside = observation({ component: [{ valueCodeableConcept: { text: 'Jan', coding: [] } }] });
    expect(redact(inside, ['Observation.component.value.text'], 'R4')).toMatchObject({
      component: [{ valueCodeableConcept: { coding: [] } }],
    });
    const task = of({ resourceType: 'Task', id: '1', statusReason: { text: 'x' } });
    expect(redact(task, ['Task.status'], 'R4')).toBe(task);
  });

  it('of a contained resource takes the narrative of the one that contains it, in a Bundle too', () => {
    const observation = {
      resourceType: 'Observation',
      id: '1',
      text: { div: 'Jan' },
      contained: [{ resourceType: 'Patient', id: 'p', name: [{ text: 'Jan' }] }],
    };
    const bundle = of({ resourceType: 'Bundle', type: 'searchset', entry: [{ resource: observation }] });
    const redacted = redact(bundle, ['Patient.name'], 'R4');
    expect(JSON.stringify(redacted)).not.toContain('Jan');
    expect(redacted).toMatchObject({ entry: [{ resource: { meta: { tag: [R4] } } }] });
    expect(redacted).not.toHaveProperty('meta');
  });
});

describe('redaction of a primitive and its twin', () => {
  it.each<[string, object, object]>([
    ['birthDate', { birthDate: '1950', _birthDate: { extension: [{ url: 'x' }] } }, {}],
    ['birthDate', { _birthDate: { extension: [{ url: 'x' }] } }, {}],
    ['birthDate.extension', { birthDate: '1950', _birthDate: { extension: [{ url: 'x' }] } }, { birthDate: '1950' }],
    ['birthDate.extension', { _birthDate: { id: 'i', extension: [{ url: 'x' }] } }, { _birthDate: { id: 'i' } }],
    [
      'name.given.extension',
      { name: [{ given: ['A', 'B', 'C'], _given: [null, { extension: [{ url: 'x' }] }, { id: 'c' }] }] },
      { name: [{ given: ['A', 'B', 'C'], _given: [null, null, { id: 'c' }] }] },
    ],
    [
      'name.given.extension',
      { name: [{ given: ['A', null, 'C'], _given: [null, { extension: [{ url: 'x' }] }, { id: 'c' }] }] },
      { name: [{ given: ['A', 'C'], _given: [null, { id: 'c' }] }] },
    ],
    ['name.given.extension', { name: [{ given: [null], _given: [{ extension: [{ url: 'x' }] }] }] }, {}],
  ])('%s of %j', (element, members, left) => {
    const { meta, ...rest } = redact(of({ resourceType: 'Patient', id: '1', ...members }), [`Patient.${element}`], 'R4');
    expect(JSON.parse(JSON.stringify(rest))).toEqual({ resourceType: 'Patient', id: '1', ...left });
    expect(meta).toMatchObject({ tag: [R4] });
  });

  // Every text says where it stands, so that it can be told which must be gone.
  const twinOf = (path: string) =>
    fc.record({ id: fc.constant(`${path}.id`), extension: fc.constant([{ url: `${path}.extension` }]) }, { requiredKeys: [] });
  const primitive = (path: string) =>
    fc.record({ value: fc.option(fc.constant(`${path}.value`)), twin: fc.option(twinOf(path)) }).map(({ value, twin }) => {
      const kept = twin === null || Object.keys(twin).length === 0 ? null : twin;
      return value === null && kept === null ? { value: `${path}.value`, twin: null } : { value, twin: kept };
    });
  const single = (name: string, path: string) =>
    primitive(path).map(({ value, twin }) => ({
      ...(value === null ? {} : { [name]: value }),
      ...(twin === null ? {} : { [`_${name}`]: twin }),
    }));
  const several = (name: string, path: string) =>
    fc.tuple(...[0, 1, 2].map((index) => primitive(`${path}#${String(index)}`))).map((items) => ({
      [name]: items.map(({ value }) => value),
      ...(items.every(({ twin }) => twin === null) ? {} : { [`_${name}`]: items.map(({ twin }) => twin) }),
    }));
  const patients = fc
    .tuple(single('birthDate', 'birthDate'), fc.tuple(single('family', 'name.family'), several('given', 'name.given')))
    .map(([birthDate, [family, given]]) => ({
      resourceType: 'Patient',
      id: '1',
      ...birthDate,
      name: [{ ...family, ...given }],
    }));
  const PATHS = ['birthDate', 'name.family', 'name.given'].flatMap((path) => [path, `${path}.id`, `${path}.extension`]);

  const texts = (value: unknown): readonly string[] =>
    typeof value === 'string' ? [value] : typeof value === 'object' && value !== null ? Object.values(value).flatMap(texts) : [];
  /** Whether it has an empty list or object, or a list of nothing but null without its twin. */
  const hollow = (value: unknown): boolean => {
    if (typeof value !== 'object' || value === null) return false;
    const isBare = Object.entries(value).some(
      ([name, each]) => Array.isArray(each) && each.every((item) => item === null) && !Object.hasOwn(value, `_${name}`),
    );
    return Object.keys(value).length === 0 || isBare || Object.values(value).some(hollow);
  };

  it('takes all that stands at the path and nothing else, and leaves each twin beside its primitive', () => {
    fc.assert(
      fc.property(patients, fc.subarray(PATHS, { minLength: 1 }), (patient, paths) => {
        const left = JSON.parse(
          JSON.stringify(
            redact(
              of(patient),
              paths.map((path) => `Patient.${path}`),
              'R4',
            ),
          ),
        ) as { meta?: object; name?: { given?: unknown[]; _given?: unknown[] }[] };
        const { meta: _meta, ...rest } = left;
        const isGone = (text: string): boolean => {
          const plain = text.replace(/#\d/, '');
          return paths.some((path) => plain === path || plain.startsWith(`${path}.`));
        };
        const before = texts(patient);
        expect([...texts(rest)].sort()).toEqual(before.filter((text) => !isGone(text)).sort());
        expect(hollow(rest)).toBe(false);
        for (const { given = [], _given = [] } of left.name ?? []) {
          given.forEach((value, index) => {
            const places = texts([value, _given[index]]).map((text) => text.split('.')[1]);
            expect(new Set(places).size).toBe(1);
          });
        }
      }),
      { numRuns: 500 },
    );
  });
});
