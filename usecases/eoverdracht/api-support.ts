import type { z } from 'sluis/usecase';
import { GatewayError, type ApiCall, type ApiReply, type JsonObject, type Services, type Unit } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { text } from './json.ts';
import { notificationKey } from './settle-job.ts';
import { isJsonObject } from 'sluis/usecase';
import type { Applied } from './transfer-commands.ts';
import { readTransfer, saveTransfer, type StoredTransfer } from './transfer-store.ts';
import { TRANSFER, type Transfer } from './transfer.ts';
import { transferView } from './view.ts';

/** How long a command waits for what follows from it (design §12). */
const TRY_AT_ONCE_MS = 5_000;

const MAX_CONFLICTS = 3;

/** Parses a body. @throws GatewayError `unprocessable` with the places */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => ({
    field: issue.path.map(String).join('.') || 'body',
    problem: issue.message,
  }));
  throw new GatewayError('unprocessable', 'the body is not as described', { reason: 'invalid_body', fields });
}

/** The transfer that a path names. @throws GatewayError `not_found` */
export async function mustFind(services: Services, id: string | undefined): Promise<StoredTransfer> {
  const stored = id === undefined ? undefined : await readTransfer(services.records(TRANSFER), id);
  if (stored === undefined) throw new GatewayError('not_found', 'no such transfer', { reason: 'transfer_unknown' });
  return stored;
}

/** The transfer with the deliveries of its notifications, and its ETag. */
export async function showTransfer(services: Services, stored: StoredTransfer, status = 200): Promise<ApiReply> {
  const jobs = new Map(
    await Promise.all(
      stored.transfer.negotiations.map(
        async (each) => [each.id, await services.jobs(notificationKey(stored.transfer.id, each.id))] as const,
      ),
    ),
  );
  return { status, body: transferView(stored, jobs), headers: { etag: `"${String(stored.version)}"` } };
}

/** One command on an existing transfer: applied and stored in one transaction, then tried at once. */
export async function runCommand(
  call: ApiCall,
  config: EOverdrachtConfig,
  services: Services,
  id: string,
  command: (transfer: Transfer, unit: Unit) => Applied,
): Promise<ApiReply> {
  const work = async (unit: Unit): Promise<ApiReply> => {
    const stored = await readTransfer(unit.records(TRANSFER), id);
    if (stored === undefined) throw new GatewayError('not_found', 'no such transfer', { reason: 'transfer_unknown' });
    const transfer = accepted(command(stored.transfer, unit));
    const record = await saveTransfer(unit, stored, transfer, config);
    return { status: 202, body: transferView({ transfer, version: record.version, record }) };
  };
  return tryAtOnce(services, await retried(() => call.command(work)), 200);
}

/** The transfer of a command that was possible. @throws GatewayError with the stable reason of one that was not */
export function accepted(applied: Applied): Transfer {
  if (applied.ok) return applied.transfer;
  throw new GatewayError(applied.code, applied.text, { reason: applied.reason });
}

/** Commit, then try at once for a while: `status` with the new state, else 202 and the jobs go on (design §12). */
export async function tryAtOnce(services: Services, committed: ApiReply, status: number): Promise<ApiReply> {
  const body: JsonObject | undefined = isJsonObject(committed.body) ? committed.body : undefined;
  const id = text(body, 'id');
  if (id === undefined) return committed;
  await services.runNow('settle', id, TRY_AT_ONCE_MS);
  const stored = await mustFind(services, id);
  const reply = await showTransfer(services, stored, status);
  const settled = isJsonObject(reply.body) && reply.body['settled'] === true;
  return settled ? reply : { ...reply, status: 202 };
}

/** A moment of the query. @throws GatewayError `invalid_parameter` */
export function parseMoment(name: string, value: string | undefined): Date | undefined {
  if (value === undefined) return undefined;
  const moment = new Date(value);
  if (!Number.isNaN(moment.getTime())) return moment;
  throw new GatewayError('invalid_parameter', `${name} is no moment`, {
    fields: [{ field: name, problem: 'is no date or moment (ISO 8601)' }],
  });
}

/** `limit` of the query, 1 to 100, default 20. @throws GatewayError `invalid_parameter` */
export function parseLimit(value: string | undefined): number {
  if (value === undefined) return 20;
  const limit = /^\d{1,3}$/.test(value) ? Number(value) : 0;
  if (limit >= 1 && limit <= 100) return limit;
  throw new GatewayError('invalid_parameter', 'limit is not 1 to 100', {
    fields: [{ field: 'limit', problem: 'is not 1 to 100' }],
  });
}

/** Somebody else was first: judged again on what is there now. A refusal by the state has a reason and is no such conflict. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const again = error instanceof GatewayError && error.code === 'conflict' && error.options.reason === undefined;
      if (!again || attempt >= MAX_CONFLICTS) throw error;
    }
  }
}
