import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { selfLinkSays } from '../../src/pep/self-link.ts';

// What a server says to have searched for, compared by what it means.

const verdict = {
  proofs: [
    { element: 'subject', values: ['Patient/mine'], parameter: 'patient' },
    { element: 'status', values: ['final', 'amended'], parameter: 'status' },
  ],
  rule: { patient: { from: 'parameter', parameters: ['patient', 'subject'], element: 'subject' } },
} as const;
const says = (url: unknown) =>
  selfLinkSays(
    [
      { relation: 'next', url: '?x=1' },
      { relation: 'self', url: url as string },
    ],
    verdict,
  );

const HOSTS = [
  'http://10.0.0.1:8080/fhir/Observation',
  'https://fhir.internal.example/other/Observation',
  '/fhir/Observation',
  'Observation',
  '',
];
const PATIENT = [
  'patient=mine',
  'subject=mine',
  'patient=Patient/mine',
  'patient=Patient%2Fmine',
  'patient:Patient=mine',
  'subject:Patient=mine',
  'subject%3APatient=mine',
  'subject:Patient=Patient%2Fmine',
  'subject=http%3A%2F%2F10.0.0.1%3A8080%2Ffhir%2FPatient%2Fmine',
  'subject=https%3A%2F%2Felsewhere.example%2FPatient%2Fmine',
  'subject=/fhir/Patient/mine',
];
const OTHER = [
  '',
  'patient=',
  'patient=other',
  'patient=Patient/other',
  'patient=mine,other',
  'patient=Group/mine',
  'patient:Group=mine',
  'patient:not=mine',
  'patient:missing=false',
  'patient:identifier=mine',
  'patient:Patient=Group/mine',
  'patient.id=mine',
  'patients=mine',
  'Patient=mine',
  'subject=http%3A%2F%2F10.0.0.1%2Ffhir%2FPatient%2Fother',
  'x=patient%3Dmine',
];

describe('a self link', () => {
  it('says what was searched for in whatever words, on whatever host', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...HOSTS),
        fc.constantFrom(...PATIENT),
        fc.shuffledSubarray(['status=amended,final', '_count=50', '_sort=date'], { minLength: 3 }),
        fc.constantFrom('', '#top'),
        (host, patient, others, end) => {
          expect(says(`${host}?${[patient, ...others].join('&')}${end}`)).toBe('proved');
          expect(says(`${host}?${[...others, patient].join('&')}${end}`)).toBe('proved');
          expect(says(`${host}?${others.join('&')}${end}`)).toBe('lacking');
        },
      ),
    );
  });

  it.each(PATIENT)('with %s says that it was about the patient', (parameter) => {
    for (const host of HOSTS) expect(says(`${host}?status=final&${parameter}`)).toBe('proved');
  });

  it.each(OTHER)('with %p does not', (parameter) => {
    for (const host of HOSTS) expect(says(`${host}?status=final&${parameter}`)).toBe('lacking');
  });

  it('that is not there, or has no text, says nothing', () => {
    expect([selfLinkSays(undefined, verdict), selfLinkSays([], verdict), says(7), says(undefined)]).toEqual([
      'absent',
      'absent',
      'absent',
      'absent',
    ]);
  });

  it('without parameters lacks them', () => {
    for (const host of HOSTS) expect(says(host)).toBe('lacking');
  });

  it('has a code in one way only', () => {
    expect(says('?patient=mine&status=http%3A%2F%2Fx%7Cfinal')).toBe('lacking');
    expect(says('?patient=mine&status:not=final')).toBe('lacking');
    expect(says('?patient=mine&status=draft')).toBe('lacking');
  });
});
