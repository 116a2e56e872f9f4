import { GatewayError } from '../errors.ts';
import { isJsonArray, isJsonObject, parseJsonObject } from '../fhir/json.ts';
import type { Trace } from './explain-trace.ts';
import { NOT_SENT } from './explain-dry.ts';
import type { Explanation } from './explanation.ts';
import type { Reply } from './reply.ts';

/** How a request ended that was let go its way without being sent. */
export type Ended =
  /** It would be sent. */
  | { readonly how: 'sent' }
  /** The gate has answered it already, with nothing left open. */
  | { readonly how: 'answered'; readonly status: number }
  | {
      readonly how: 'stopped';
      readonly outcome: Exclude<Explanation['outcome'], 'permitted'>;
      readonly status: number;
      readonly code: string;
      readonly text?: string;
      /** FHIRPath of the elements at fault, as far as the caller is told them. */
      readonly places?: readonly string[];
    };

/** @param whole how the transaction ended of which this is an entry */
export function endedOf({ ending, error }: Trace, whole?: Ended): Ended {
  if (ending === undefined) return { how: 'stopped', outcome: 'failed', status: 500, code: 'internal' };
  const { outcome, status, reason, why } = ending;
  if (reason === NOT_SENT || (whole?.how === 'sent' && outcome === 'failed')) return { how: 'sent' };
  if (outcome === 'permitted') return { how: 'answered', status };
  const text = textOf(error) ?? why ?? TEXTS.get(reason);
  return {
    how: 'stopped',
    outcome: outcome === 'interrupted' ? 'failed' : outcome,
    status,
    code: reason,
    ...(text === undefined ? {} : { text }),
  };
}

/** With the places that the answer names. */
export function withPlaces(ended: Ended, { body }: Reply): Ended {
  if (ended.how !== 'stopped' || body.kind !== 'bytes' || body.bytes.byteLength === 0) return ended;
  const { issue } = parseJsonObject(body.bytes);
  const [first] = isJsonArray(issue) ? issue : [];
  const expression = isJsonObject(first) ? first['expression'] : undefined;
  const places = isJsonArray(expression) ? expression.filter((place) => typeof place === 'string') : [];
  return places.length === 0 ? ended : { ...ended, places };
}

/** In the operator's words: which field, what is wrong. */
function textOf(error: unknown): string | undefined {
  if (!(error instanceof GatewayError)) return error === undefined ? undefined : 'something went wrong';
  const field = error.options.fields?.[0];
  return field === undefined ? error.message : `${field.field} ${field.problem}`;
}

/** What is told by a code alone on its way to the caller. */
const TEXTS: ReadonlyMap<string, string> = new Map([
  ['if_match_missing', 'the rule wants the version that is meant: If-Match is missing'],
  ['stale_version', 'If-Match names another version than the one that is stored'],
  ['changed_meanwhile', 'what is stored was changed meanwhile'],
  ['several_match', 'several match the criteria'],
  ['id_of_no_match', 'nothing matches the criteria, and the resource brings an id'],
  ['element_not_changeable', 'the guard of the rule does not let this element change'],
  ['state_not_allowed', 'no step of the guard leads from what is stored to this'],
  ['label_not_changeable', 'labels (meta.security, meta.tag) are the custodian’s'],
  ['meta_unreadable', 'meta is no object'],
  ['patch_step_unfit', 'a step of the patch does not fit what is stored'],
  ['result_too_large', 'what the patch makes is too large'],
  ['too_many_references', 'it refers to more than is looked up for one request'],
  ['one_resource_twice', 'two entries change one resource'],
  ['transaction_denied', 'another entry is denied'],
  ['transaction_refused', 'another entry is refused'],
  ['transaction_rejected', 'another entry is rejected'],
  ['transaction_failed', 'the transaction fails'],
]);
