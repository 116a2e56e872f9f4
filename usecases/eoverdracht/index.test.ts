import { describe, expect, it } from '@jest/globals';
import useCase from './index.ts';
import { parseConfig } from './config.ts';
import { createBody, answerBody, handoffContent } from './content.ts';

describe('the use case', () => {
  it('declares a sender with FHIR rules and a receiver without', () => {
    const [sender, receiver] = useCase.roles;
    expect(sender).toMatchObject({ id: 'sender', purpose: 'eOverdracht-sender', fhirVersion: 'STU3' });
    expect(receiver).toMatchObject({ id: 'receiver', purpose: 'eOverdracht-receiver', rules: [] });
    expect(new Set(sender?.rules.map((rule) => rule.interaction))).toEqual(new Set(['read', 'update', 'operation-instance']));
    expect(sender?.rules.find((rule) => rule.interaction === 'update')?.types).toEqual(['Task']);
  });

  it('names every route and job once', () => {
    const operations = (useCase.api ?? []).map((route) => route.operationId);
    expect(new Set(operations).size).toBe(operations.length);
    expect(new Set((useCase.jobs ?? []).map((job) => job.name)).size).toBe((useCase.jobs ?? []).length);
  });

  it('has a default for every setting and no place for an unknown one', () => {
    expect(parseConfig(undefined)).toMatchObject({
      receiverMayCancel: true,
      taskCredentialDays: 365,
      medicalCredentialDays: 30,
      lenientTypeCase: false,
    });
    expect(parseConfig({}).notification.scheduleSeconds).toEqual([1, 5, 30, 120, 600, 3600]);
    expect(() => parseConfig({ recieverMayCancel: false })).toThrow('recieverMayCancel');
    expect(() => parseConfig({ notification: { schedule: [] } })).toThrow('schedule');
    // Bolt §4.2.7: at least five days.
    expect(() => parseConfig({ medicalCredentialDays: 4 })).toThrow();
  });
});

describe('what an EHR may send', () => {
  const references = { problems: ['Condition/1'], interventions: ['Procedure/1'] };

  it('is a Composition or references, never both', () => {
    const body = { patient: 'Patient/1', transferDate: '2026-03-05' };
    expect(createBody.safeParse({ ...body, advanceNotice: { composition: 'Composition/1' } }).success).toBe(true);
    expect(createBody.safeParse({ ...body, advanceNotice: references }).success).toBe(true);
    expect(createBody.safeParse({ ...body, advanceNotice: { composition: 'Composition/1', ...references } }).success).toBe(false);
    expect(createBody.safeParse({ ...body, patient: 'https://evil/Patient/1' }).success).toBe(false);
    expect(createBody.safeParse({ ...body, transferDate: 'morgen' }).success).toBe(false);
  });

  it('has in a hand-off what the profile demands', () => {
    const whole = { ...references, payers: ['Coverage/1'], practitioners: ['Practitioner/1', 'PractitionerRole/1'] };
    expect(handoffContent.safeParse({ ...whole, allergies: ['AllergyIntolerance/1'] }).success).toBe(true);
    expect(handoffContent.safeParse({ ...whole, nothing: [] }).success).toBe(false);
    expect(handoffContent.safeParse(references).success).toBe(false);
  });

  it('answers a date with yes or no', () => {
    expect(answerBody.safeParse({ answer: 'agree' }).success).toBe(true);
    expect(answerBody.safeParse({ answer: 'perhaps' }).success).toBe(false);
  });
});
