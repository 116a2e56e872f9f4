import { expect, it } from '@jest/globals';
import type { PermitVerdict } from '../../src/pdp/decide.ts';
import type { answerRead } from '../../src/pep/answer.ts';
import type { Addressed, Authenticated, Denied, Permitted, Received } from '../../src/pep/stages.ts';

// Judged by the compiler (`npm run types`): a line marked as an error that is none fails the check.
type Assignable<From, To> = From extends To ? true : false;

it('a stage is not taken for a later one', () => {
  type Forwarded = Parameters<typeof answerRead>[0];
  const permitted: Assignable<Permitted, Forwarded> = true;
  const denied: Assignable<Denied, Forwarded> = false;
  const authenticated: Assignable<Authenticated, Forwarded> = false;
  const received: Assignable<Received, Addressed> = false;
  const addressed: Assignable<Addressed, Authenticated> = false;
  const verdict: Assignable<Denied['verdict'], PermitVerdict> = false;
  expect([permitted, denied, authenticated, received, addressed, verdict]).toEqual([true, false, false, false, false, false]);
});
