import { GatewayError } from '../errors.ts';
import { parseIfMatch, printETag } from '../fhir/etag.ts';
import { deepFreeze } from '../fhir/freeze.ts';
import { isJsonObject, type JsonObject } from '../fhir/json.ts';
import { within } from '../pdp/deadline.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { GuardedWrite, VersionedResource, WriteResult, WriteVerdict } from '../usecase/workflow.ts';
import type { IntendedWrite, WriteEffects } from '../workflow/write-effects.ts';
import { answerResource } from './answer.ts';
import type { AnswerOptions } from './answer-options.ts';
import type { RequestRecord } from './record.ts';
import { refuseRejected } from './refusal.ts';
import type { Reply } from './reply.ts';
import { redact } from './redact.ts';
import { reviewAnswer } from './review.ts';
import type { Permitted } from './stages.ts';
import { staleCode } from './stored.ts';

export interface WriteOptions extends AnswerOptions {
  /** What follows the write: recorded before it is sent. */
  readonly effects: Pick<WriteEffects, 'intend' | 'settled' | 'unknown'>;
  readonly maxResourceBytes: number;
  readonly judgeDeadlineMs: number;
}

const ATTEMPTS = 2;

/**
 * Carries out a permitted update under its guard (eoverdracht.md §2.6, reliability §3.4): the proposed resource is compared with the stored
 * one, and what goes up is built by the use case from the stored one, never the caller's bytes.
 * @throws GatewayError for refusals and failures
 */
export async function answerWrite(
  permitted: Permitted,
  guard: GuardedWrite<unknown>,
  record: RequestRecord,
  options: WriteOptions,
): Promise<Reply> {
  const { received, tenant } = permitted.authenticated.addressed;
  const { type = '', id = '' } = permitted.verdict.request.resource;
  const condition = received.headers.get('if-match');
  const ifVersion = condition === undefined ? undefined : parseIfMatch(condition);
  const proposed = await permitted.authenticated.body();
  deepFreeze(proposed);
  await record.intent();

  const write: IntendedWrite = { tenant, useCase: permitted.verdict.selected.useCase, guard: guard.name, type, id };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const stored = await lookUp(record, options, tenant, type, id);
    // 409 in STU3, 412 in R4 (design §12), whatever the FHIR server would say.
    if (ifVersion !== undefined && ifVersion !== stored.version)
      return refuseRejected(record, staleCode(tenant), 'stale_version');
    const verdict = await judge(permitted, guard, proposed, stored, options);
    switch (verdict.outcome) {
      case 'rejected':
        return refuseRejected(record, verdict.code, verdict.reason, verdict.expression);
      case 'unchanged':
        // A repeat may follow a write of which nothing was settled yet: what ended with it has ended when the caller hears of it.
        await settle(write, stored, options);
        return answerStored(permitted, record, stored, options);
      case 'write': {
        const written = await send(write, verdict.resource, stored.version, options);
        if (written !== 'changed-meanwhile') return answerStored(permitted, record, written, options);
      }
    }
  }
  return refuseRejected(record, ifVersion === undefined ? 'conflict' : staleCode(tenant), 'changed_meanwhile');
}

async function lookUp(
  record: RequestRecord,
  options: WriteOptions,
  tenant: Tenant,
  type: string,
  id: string,
): Promise<VersionedResource> {
  const [stored] = await Promise.all([options.upstream(tenant).store.read(type, id), record.lookUp(type, id)]);
  // The permit names this id, so that the caller may know that it is not there.
  if (stored === undefined) throw new GatewayError('not_found', 'the resource is not there', { reason: 'not_at_custodian' });
  return stored;
}

async function judge(
  permitted: Permitted,
  guard: GuardedWrite<unknown>,
  proposed: JsonObject,
  stored: VersionedResource,
  options: WriteOptions,
): Promise<WriteVerdict> {
  const { request, selected, information } = permitted.verdict;
  deepFreeze(stored.resource);
  const judging = guard.judge({ request, proposed, stored: stored.resource }, selected.config, information);
  const verdict = await within(options.judgeDeadlineMs, judging);
  if (verdict.outcome !== 'write') return verdict;
  const { resource } = verdict;
  // The use case builds it, the gate sends it to this path and to no other.
  if (resource['resourceType'] !== request.resource.type || resource['id'] !== request.resource.id) {
    throw new GatewayError('internal', 'the guard built another resource');
  }
  return verdict;
}

async function send(
  write: IntendedWrite,
  resource: JsonObject,
  version: string,
  options: WriteOptions,
): Promise<VersionedResource | 'changed-meanwhile'> {
  const { effects } = options;
  const { store } = options.upstream(write.tenant);
  await effects.intend(write);
  let result: WriteResult;
  try {
    result = await store.put(resource, version);
  } catch (error) {
    // Nobody knows whether it was written: the job looks, and the caller is told that it failed.
    await effects.unknown(write).catch((second: unknown) => {
      options.logger.error(
        { module: 'pep', tenant: write.tenant.id, err: second },
        'a write of unknown outcome waits for its job',
      );
    });
    throw error;
  }
  if (result.outcome === 'changed-meanwhile') return 'changed-meanwhile';
  const stored = { resource: result.resource ?? withVersion(resource, result.version), version: result.version };
  await settle(write, stored, options);
  return stored;
}

/** @throws GatewayError `unavailable` when the use case's records cannot follow now; the job does it then */
async function settle(write: IntendedWrite, stored: VersionedResource, options: WriteOptions): Promise<void> {
  const { effects } = options;
  try {
    // Before the answer: what ends with this write has ended when the caller hears of it (design §7).
    await effects.settled(write, stored);
  } catch (cause) {
    await effects.unknown(write).catch(() => undefined);
    throw new GatewayError('unavailable', 'the write succeeded, what follows it waits for its job', {
      cause,
      reason: 'not_settled',
    });
  }
}

async function answerStored(
  permitted: Permitted,
  record: RequestRecord,
  stored: VersionedResource,
  options: WriteOptions,
): Promise<Reply> {
  const { tenant } = permitted.authenticated.addressed;
  const shown = redact(stored.resource, permitted.verdict.redacted, tenant.fhir.version);
  const reviewed = await reviewAnswer(permitted, record, shown, options);
  const headers = new Map(reviewed === stored.resource ? [['etag', printETag(stored.version)]] : []);
  return answerResource(permitted, record, reviewed, headers, options.upstream(tenant));
}

function withVersion(resource: JsonObject, version: string): JsonObject {
  const meta = resource['meta'];
  return { ...resource, meta: { ...(isJsonObject(meta) ? meta : {}), versionId: version } };
}
