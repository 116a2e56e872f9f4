import { GatewayError } from '../errors.ts';
import { FHIR_JSON, type AnswerFormat } from '../fhir/media.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import type { Obliged } from '../pdp/obligations.ts';
import type { Permitted } from './stages.ts';

/** Whether keeping an obligation takes a look into the answer: then it must be JSON. Each says so here, or this does not compile. */
const LOOKS_INSIDE: Readonly<Record<keyof Obliged, boolean>> = {
  guard: true,
  reviews: true,
  filters: true,
  // A read has no answer to narrow: what a rule narrows is proved on the answer.
  narrowings: true,
  redacted: true,
  maxCount: true,
  requestHeaders: false,
  responseHeaders: false,
  // The answer is made here, from JSON.
  local: true,
  attributes: false,
};
const OBLIGATIONS = Object.keys(LOOKS_INSIDE).filter((name): name is keyof Obliged => name in LOOKS_INSIDE);

/** What a permit demands of its answer. */
type Demands = Obliged & Pick<PermitVerdict, 'proofs'>;

/**
 * Settles what a permitted answer will be, now that its obligations are known: XML only where nothing has to look inside, else JSON for those
 * who take that as well.
 * @throws GatewayError `not_acceptable` (406): who is denied got 403 before, whatever exists, and nothing has gone upstream
 */
export function settledFormat(asked: AnswerFormat, verdict: Demands): Exclude<AnswerFormat, 'xml-first'> {
  if (asked === 'json' || asked === 'raw') return asked;
  if (!mustLookInside(verdict)) return 'xml';
  if (asked === 'xml-first') return 'json';
  throw new GatewayError('not_acceptable', 'what the permit demands of the answer can be seen in JSON only', {
    reason: 'xml_not_possible',
    fields: [{ field: 'Accept', problem: `must allow ${FHIR_JSON}: the answer has to be looked into` }],
  });
}

/** The same for a request on its way. @throws GatewayError `not_acceptable` (406) */
export function settleFormat(permitted: Permitted): Permitted {
  const { authenticated, verdict } = permitted;
  const answer = settledFormat(authenticated.answer, verdict);
  return answer === authenticated.answer ? permitted : { ...permitted, authenticated: { ...authenticated, answer } };
}

function mustLookInside(verdict: Demands): boolean {
  return verdict.proofs.length > 0 || OBLIGATIONS.some((name) => LOOKS_INSIDE[name] && isThere(verdict[name]));
}

function isThere(obliged: unknown): boolean {
  return Array.isArray(obliged) ? obliged.length > 0 : obliged !== undefined;
}
