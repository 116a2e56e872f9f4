import { GatewayError, type ErrorCode } from '../errors.ts';
import { printETag } from '../fhir/etag.ts';
import type {
  ConditionalCreate,
  ConditionalDelete,
  ConditionalPatch,
  ConditionalUpdate,
  Interaction,
  SearchType,
} from '../fhir/interaction.ts';
import { isJsonArray, isJsonObject, type JsonObject } from '../fhir/json.ts';
import { FHIR_JSON, FORM } from '../fhir/media.ts';
import type { Parameter } from '../fhir/parameter.ts';
import { printInteraction } from '../fhir/print-interaction.ts';
import { isId } from '../fhir/version.ts';
import type { Reason } from '../usecase/decision.ts';
import { discard, readJson } from './answer-body.ts';
import { judgeRead } from './answer-judgement.ts';
import { answerWritten } from './answer.ts';
import type { RequestRecord } from './record.ts';
import { refuseDenied, refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import { answerRepresentation, type RepresentationOptions } from './representation.ts';
import type { Authenticated, Decided, Permitted } from './stages.ts';
import { staleCode, versionIdOf, wantedVersion } from './stored.ts';

export type Conditional = ConditionalCreate | ConditionalUpdate | ConditionalPatch | ConditionalDelete;

export interface CriteriaOptions extends RepresentationOptions {
  /** Judges another request of the same caller; nothing of it goes into the record but what the judgement looks up. */
  judgeBeside(authenticated: Authenticated, record: RequestRecord): Promise<Decided>;
}

export interface ConditionalOptions extends CriteriaOptions {
  /** Judges a request and carries it out, under the record of the whole; always an answer. */
  alone(authenticated: Authenticated, record: RequestRecord): Promise<Reply>;
}

/** What a conditional write comes to once its search is made. */
export type ComesTo =
  /** This request of the same caller, which is judged as any; `found`: what matches, though it is to be created only if nothing does. */
  | { readonly outcome: 'request'; readonly authenticated: Authenticated; readonly found?: Match }
  /** There is nothing that could be deleted. */
  | { readonly outcome: 'nothing' }
  | { readonly outcome: 'denied'; readonly reason: Reason }
  | { readonly outcome: 'rejected'; readonly code: ErrorCode; readonly reason: string; readonly expression?: readonly string[] };

/**
 * Carries out a conditional write (http.html#cond-update and after): the gate makes the search, proved as any, and then the write that it comes to, each judged
 * as if the caller had sent it (attack case H39). What a server would find by the same criteria, nobody has judged.
 * @throws GatewayError for refusals and failures
 */
export async function answerConditional(
  permitted: Permitted,
  conditional: Conditional,
  record: RequestRecord,
  options: ConditionalOptions,
): Promise<Reply> {
  const comes = await resolveConditional(permitted, conditional, record, options);
  switch (comes.outcome) {
    case 'request':
      return comes.found === undefined
        ? options.alone(comes.authenticated, record)
        : answerExisting(permitted, comes.found, record, options);
    case 'nothing':
      await record.intent();
      return answerWritten(record, 204, {});
    case 'denied':
      return refuseDenied(record, comes.reason);
    case 'rejected':
      return refuseRejected(record, comes.code, comes.reason, comes.expression);
  }
}

/**
 * Makes the search of a conditional write, and says what the write comes to.
 * @throws GatewayError `not_found` for a patch of nothing, `invalid_body` for another id than that of the match, and for failures
 */
export async function resolveConditional(
  permitted: Permitted,
  conditional: Conditional,
  record: RequestRecord,
  options: CriteriaOptions,
): Promise<ComesTo> {
  const { authenticated } = permitted;
  const { type } = conditional;
  const on = (interaction: Interaction, more: Partial<Authenticated> = {}, match?: Match): ComesTo => ({
    outcome: 'request',
    authenticated: { ...authenticated, interaction, ...more },
    ...(match === undefined ? {} : { found: match }),
  });
  if (conditional.kind === 'conditional-create') {
    // Who may not create learns nothing about what is there.
    const creating = await options.judgeBeside({ ...authenticated, interaction: { kind: 'create', type } }, record);
    if (creating.stage === 'denied') return { outcome: 'denied', reason: creating.verdict.reason };
    record.permitted(creating.verdict);
  }
  const search = await searchBy(authenticated, conditional, record, options);
  if (search === undefined)
    return {
      outcome: 'denied',
      reason: { code: 'criteria_denied', text: `${permitted.verdict.rule.id}: the search by its criteria is denied` },
    };
  const { matches, isWhole, criteria } = search;
  if (matches.length > 1 || !isWhole) return { outcome: 'rejected', code: 'precondition_failed', reason: 'several_match' };
  const [found] = matches;
  // A version of nothing is stale, whatever else the write would do (RFC 9110 §13.1.1).
  if (found === undefined && conditional.kind !== 'conditional-patch' && wantedVersion(permitted) !== undefined)
    return { outcome: 'rejected', code: staleCode(authenticated.addressed.tenant), reason: 'stale_version' };
  const onlyIfNone = { kind: 'conditional-create', type, criteria } as const;
  const same: Partial<Authenticated> = found?.version === undefined ? {} : { onlyIfVersion: found.version };
  switch (conditional.kind) {
    case 'conditional-create':
      return on({ kind: 'create', type }, { onlyIfNone }, found);
    case 'conditional-update': {
      const body = await authenticated.body();
      const id = body['id'];
      if (found === undefined) {
        // An update that creates would let a caller choose an id: nobody may.
        if (id !== undefined)
          return { outcome: 'rejected', code: 'unprocessable', reason: 'id_of_no_match', expression: [`${type}.id`] };
        return on({ kind: 'create', type }, { onlyIfNone });
      }
      if (id !== undefined && id !== found.id) throw otherThanMatch();
      return on({ kind: 'update', type, id: found.id }, { ...same, body: () => Promise.resolve({ ...body, id: found.id }) });
    }
    case 'conditional-patch': {
      if (found === undefined) throw new GatewayError('not_found', 'nothing matches the criteria', { reason: 'none_matches' });
      const { format } = conditional;
      return on({ kind: 'patch', type, id: found.id, ...(format === undefined ? {} : { format }) }, same);
    }
    case 'conditional-delete':
      return found === undefined ? { outcome: 'nothing' } : on({ kind: 'delete', type, id: found.id }, same);
  }
}

/** The one resource that the criteria have found. */
export interface Match {
  readonly type: string;
  readonly id: string;
  readonly version: string | undefined;
}

interface Search {
  readonly matches: readonly Match[];
  /** Whether there is no further page, and no more than these are counted. */
  readonly isWhole: boolean;
  /** As they were narrowed: what the server may be asked. */
  readonly criteria: readonly Parameter[];
}

/** The search by the criteria, by whichever method the role has it; undefined when the role has it by none. */
async function searchBy(
  authenticated: Authenticated,
  { type, criteria }: Conditional,
  record: RequestRecord,
  options: CriteriaOptions,
): Promise<Search | undefined> {
  for (const via of ['query', 'form'] as const) {
    const interaction: SearchType = { kind: 'search-type', type, parameters: criteria, head: false, via };
    const decided = await options.judgeBeside({ ...authenticated, interaction, answer: 'json' }, record);
    if (decided.stage === 'permitted' && decided.verdict.local === undefined) return find(decided, type, record, options);
  }
  return undefined;
}

async function find(permitted: Permitted, type: string, record: RequestRecord, options: CriteriaOptions): Promise<Search> {
  const { interaction } = permitted.verdict;
  const upstream = options.upstream(permitted.authenticated.addressed.tenant);
  const { method, path, query, form } = printInteraction(interaction);
  const headers = { accept: FHIR_JSON, 'cache-control': 'no-cache', 'x-sluis-lookup': '1' };
  // First the record: of a search that cannot be recorded there would be an answer that nobody takes.
  await record.lookUp(type, '_search');
  const answer = await upstream.forward(
    form === undefined
      ? { method, path, query, headers }
      : { method, path, query, headers: { ...headers, 'content-type': FORM }, body: form },
  );
  if (answer.status !== 200) {
    discard(answer.body);
    throw new GatewayError('upstream_failed', `the FHIR server answered a search with ${String(answer.status)}`, {
      reason: `upstream_status_${String(answer.status)}`,
    });
  }
  const bundle = await judgeRead(permitted, record, await readJson(answer, options.maxReviewBytes), upstream, options);
  const criteria = 'parameters' in interaction ? interaction.parameters.filter(({ name }) => !RESULTS.has(name)) : [];
  if (bundle === 'not-shown') throw new GatewayError('internal', 'a search that is no listing');
  const matches = matchesIn(bundle, type);
  const { total } = bundle;
  const isAll = typeof total !== 'number' || total <= matches.length;
  return { matches, isWhole: isAll && !hasMore(bundle), criteria };
}

/** How a result comes is no criterion. */
const RESULTS: ReadonlySet<string> = new Set(['_count', '_include', '_revinclude', '_sort', '_total', '_summary', '_elements']);

function matchesIn({ entry }: JsonObject, type: string): readonly Match[] {
  const matches: Match[] = [];
  for (const each of isJsonArray(entry) ? entry : []) {
    const resource = isJsonObject(each) ? each['resource'] : undefined;
    const search = isJsonObject(each) ? each['search'] : undefined;
    // Where a server does not say how an entry came, it matched.
    const cameAlong = isJsonObject(search) && search['mode'] === 'include';
    if (cameAlong || !isJsonObject(resource) || resource['resourceType'] !== type) continue;
    const { id } = resource;
    if (typeof id !== 'string') throw new GatewayError('internal', 'a match that has lost its id on its way through the permit');
    if (!isId(id)) throw new GatewayError('upstream_failed', 'a match has an id that is none', { reason: 'answer_unproved' });
    matches.push({ type, id, version: versionIdOf(resource) });
  }
  return matches;
}

/** What is on a further page may match too. */
function hasMore({ link }: JsonObject): boolean {
  return isJsonArray(link) && link.some((each) => isJsonObject(each) && each['relation'] === 'next');
}

/** "One match: the server ignores the post and returns 200" (http.html#ccreate). */
async function answerExisting(
  permitted: Permitted,
  { type, id, version }: Match,
  record: RequestRecord,
  options: ConditionalOptions,
): Promise<Reply> {
  await record.intent();
  const place = `${permitted.authenticated.addressed.tenant.publicUrl}/fhir/${type}/${id}`;
  const headers =
    version === undefined ? { location: place } : { location: `${place}/_history/${version}`, etag: printETag(version) };
  return answerRepresentation(permitted, record, { status: 200, headers, written: { type, id } }, options);
}

function otherThanMatch(): GatewayError {
  const field = 'id';
  const problem = 'must be that of the resource that matches, or absent';
  return new GatewayError('invalid_body', `${field} ${problem}`, { fields: [{ field, problem }] });
}
