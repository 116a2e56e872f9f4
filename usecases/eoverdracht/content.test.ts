import { describe, expect, it } from '@jest/globals';
import { handoffContent, noticeContent } from './content.ts';

describe('the references from which a document is built', () => {
  const handoff = {
    problems: ['Condition/1'],
    interventions: ['/Procedure/1'],
    payers: ['Coverage/1'],
    practitioners: ['Practitioner/1', 'PractitionerRole/1'],
  };

  it('are of the types that the profile has in their place', () => {
    expect(handoffContent.safeParse(handoff).success).toBe(true);
    expect(noticeContent.safeParse({ problems: ['Condition/1'], interventions: ['Procedure/1'] }).success).toBe(true);
  });

  it.each([
    ['problems', ['Procedure/1']],
    ['interventions', ['Condition/1']],
    ['payers', ['Organization/1']],
    ['practitioners', ['Coverage/1']],
    ['practitioners', []],
  ])('are refused when %s is %j', (name, wrong) => {
    expect(handoffContent.safeParse({ ...handoff, [name]: wrong }).success).toBe(false);
  });
});
