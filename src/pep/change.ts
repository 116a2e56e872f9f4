import { GatewayError } from '../errors.ts';
import { printETag } from '../fhir/etag.ts';
import { applyJsonPatch, type JsonPatch } from '../fhir/json-patch.ts';
import { isJsonObject, printJson, type JsonObject } from '../fhir/json.ts';
import type { ChangeGuard } from '../usecase/decision.ts';
import type { WriteResult } from '../usecase/workflow.ts';
import { dateOf } from './answer-headers.ts';
import type { AnswerOptions } from './answer-options.ts';
import { judgeChanges, placeBeyond, withServersMeta } from './changes.ts';
import { refuseUnready, type Named, type Prepared, type Unready } from './prepared.ts';
import type { RequestRecord } from './record.ts';
import { referredFault } from './referred.ts';
import { refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import { answerRepresentation, type RepresentationOptions } from './representation.ts';
import type { Permitted } from './stages.ts';
import { proposedFault, readStored, staleCode, storedFault, versionFault, wantedVersion } from './stored.ts';

const ATTEMPTS = 2;

/**
 * Carries out an update or a patch. A patch goes up as the version that it makes of what is stored: what a server would make of its steps, nobody has judged.
 * @throws GatewayError for refusals and failures
 */
export async function answerChange(
  permitted: Permitted,
  changes: ChangeGuard,
  record: RequestRecord,
  options: RepresentationOptions,
): Promise<Reply> {
  const { tenant } = permitted.authenticated.addressed;
  const wanted = wantedVersion(permitted);
  // What cannot be read is refused before anything is recorded as intended.
  await (permitted.verdict.interaction.kind === 'patch' ? patchOf(permitted) : permitted.authenticated.body());
  await record.intent();
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const prepared = await prepareChange(permitted, changes, wanted, record, options);
    if (prepared.outcome !== 'ready') return refuseUnready(permitted, prepared, record);
    const { resource, ifMatch } = prepared.sent;
    if (resource === undefined || ifMatch === undefined) throw new GatewayError('internal', 'a change without a version');
    const put = await putResource(permitted, resource, ifMatch, options);
    if (put === 'rejected') return refuseRejected(record, 'unprocessable', 'upstream_rejected');
    if (put.outcome === 'written') {
      const { type = '', id = '' } = permitted.verdict.request.resource;
      const headers = {
        ...modifiedOf(put.resource),
        etag: printETag(put.version),
        'content-location': locationOf(permitted, put.version),
      };
      const written = { type, id, ...(put.resource === undefined ? {} : { resource: put.resource }) };
      return answerRepresentation(permitted, record, { status: 200, headers, written }, options);
    }
  }
  return refuseRejected(record, wanted === undefined ? 'conflict' : staleCode(tenant), 'changed_meanwhile');
}

/**
 * Holds an update or a patch against what is stored, under the changes that its rule allows. What is not there, or another's, is a denial before a version
 * is compared or a step is taken (attack cases C6, C16, H38, R10).
 * @param wanted the version of the caller's `If-Match`
 * @param resolve of an entry of a transaction: what a patch makes, with its references to other entries as the references that they are
 */
export async function prepareChange(
  permitted: Permitted,
  changes: ChangeGuard,
  wanted: string | undefined,
  record: RequestRecord,
  options: RepresentationOptions,
  named: Named = {},
  resolve: (resource: JsonObject) => JsonObject = (resource) => resource,
): Promise<Prepared> {
  const { type = '', id = '' } = permitted.verdict.request.resource;
  const stored = await readStored(permitted, record, options);
  if (stored === undefined) return { outcome: 'denied', reason: 'stored_not_there' };
  const unready = storedFault(permitted, stored.resource) ?? versionFault(permitted, wanted, stored);
  if (unready !== undefined) return unready;
  const made = await propose(permitted, changes, stored.resource, record, options);
  if (made.outcome !== 'proposed') return made;
  const proposed = permitted.verdict.interaction.kind === 'patch' ? resolve(made.resource) : made.resource;
  const fault =
    proposedFault(permitted, proposed) ??
    (await referredFault(
      permitted,
      proposed,
      { stored: stored.resource, mayKnow: () => mayReadAll(permitted, record, options, type, id) },
      record,
      options,
    ));
  if (fault !== undefined) return fault;
  const change = judgeChanges(changes, stored.resource, proposed);
  if (change !== undefined) {
    // Which of the caller's elements differ tells what is stored: that is for who may read all of it (attack case R2).
    const places = (await mayReadAll(permitted, record, options, type, id)) ? { expression: change.expression } : {};
    return { outcome: 'rejected', code: 'unprocessable', reason: change.reason, ...places };
  }
  const resource = withServersMeta(proposed);
  return { outcome: 'ready', sent: { ...named, interaction: { kind: 'update', type, id }, resource, ifMatch: stored.version } };
}

/** The new version: what an update brings, or what a patch makes of the stored one. */
async function propose(
  permitted: Permitted,
  changes: ChangeGuard,
  stored: JsonObject,
  record: RequestRecord,
  options: RepresentationOptions,
): Promise<{ readonly outcome: 'proposed'; readonly resource: JsonObject } | Unready> {
  const { interaction } = permitted.verdict;
  if (interaction.kind !== 'patch') return { outcome: 'proposed', resource: await permitted.authenticated.body() };
  const { type, id } = interaction;
  const patch = await patchOf(permitted);
  // Whether a step can be taken tells what is stored (attack case R2), unless it puts a whole element in whatever was there: all others are for who may read
  // all of the resource. So is whether a value that no guard would let change is what is there already.
  const reads = patch.some(({ op, path }) => op !== 'add' || path.length > 1);
  const beyond = placeBeyond(changes, type, patch);
  if ((reads || beyond !== undefined) && !(await mayReadAll(permitted, record, options, type, id))) {
    if (reads || beyond === undefined) return { outcome: 'denied', reason: 'patch_reads_without_right' };
    return { outcome: 'rejected', code: 'unprocessable', reason: 'element_not_changeable', expression: [beyond] };
  }
  const patched = applyJsonPatch(stored, patch);
  if (patched.outcome === 'unfit')
    return { outcome: 'rejected', code: 'unprocessable', reason: 'patch_step_unfit', expression: [`[${String(patched.step)}]`] };
  const { resource } = patched;
  // Patch by patch it would grow until no page that holds it could be shown to anybody.
  const bytes = sizeOf(resource);
  if (bytes > options.maxResourceBytes && bytes > sizeOf(stored))
    return { outcome: 'rejected', code: 'body_too_large', reason: 'result_too_large' };
  for (const [name, wanted] of [['resourceType', type] as const, ['id', id] as const])
    if (resource[name] !== wanted)
      return { outcome: 'rejected', code: 'unprocessable', reason: 'element_not_changeable', expression: [`${type}.${name}`] };
  return { outcome: 'proposed', resource };
}

function sizeOf(resource: JsonObject): number {
  return Buffer.byteLength(printJson(resource));
}

function patchOf({ authenticated }: Permitted): Promise<JsonPatch> {
  if (authenticated.patch === undefined) throw new GatewayError('internal', 'a patch without steps');
  return authenticated.patch();
}

/** Whether the caller may see every element of a resource: only then what is stored may show in what becomes of a write. */
export async function mayReadAll(
  permitted: Permitted,
  record: RequestRecord,
  options: RepresentationOptions,
  type: string,
  id: string,
): Promise<boolean> {
  const reading = await options.mayRead(permitted, record, type, id);
  if (reading === undefined) return false;
  const { redacted, reviews, local } = reading.verdict;
  return redacted.length === 0 && reviews.length === 0 && local === undefined;
}

async function putResource(
  { authenticated }: Permitted,
  resource: JsonObject,
  version: string,
  options: AnswerOptions,
): Promise<WriteResult | 'rejected'> {
  try {
    return await options.upstream(authenticated.addressed.tenant).store.put(resource, version);
  } catch (error) {
    if (error instanceof GatewayError && error.options.reason === 'upstream_rejected') return 'rejected';
    throw error;
  }
}

/** When it was written, as the server has it: `Last-Modified` is `meta.lastUpdated` (http.html#versioning). */
function modifiedOf(stored: JsonObject | undefined): Readonly<Record<string, string>> {
  const meta = stored?.['meta'];
  const updated = isJsonObject(meta) ? meta['lastUpdated'] : undefined;
  const ms = typeof updated === 'string' ? Date.parse(updated) : NaN;
  return Number.isNaN(ms) ? {} : dateOf(new Date(ms).toUTCString());
}

function locationOf({ authenticated, verdict }: Permitted, version: string): string {
  const { type = '', id = '' } = verdict.request.resource;
  return `${authenticated.addressed.tenant.publicUrl}/fhir/${type}/${id}/_history/${version}`;
}
