import { describe, expect, it } from '@jest/globals';
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
