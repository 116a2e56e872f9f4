import type { Clock } from '../clock.ts';
import type { Question } from '../pdp/question.ts';
import type { RequestRecord } from './record.ts';
import type { Authenticated } from './stages.ts';

/** What the PDP is asked about a request; the look-ups of the decision go into its record. */
export function questionOf(authenticated: Authenticated, record: Pick<RequestRecord, 'lookUp'>, clock: Clock): Question {
  const { addressed, caller, interaction } = authenticated;
  return {
    tenant: addressed.tenant,
    subject: caller.subject,
    ...(caller.claims === undefined ? {} : { claims: caller.claims }),
    ...(caller.proof === undefined ? {} : { proof: caller.proof }),
    purposes: caller.purposes,
    interaction,
    body: () => authenticated.body(),
    now: clock.now(),
    onLookUp: (type, id) => record.lookUp(type, id),
  };
}
