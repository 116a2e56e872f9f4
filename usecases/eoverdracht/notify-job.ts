import { GatewayError, z, type Job, type JobResult, type RemoteReply, type Services } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { reasonOf } from './settle-job.ts';
import { changeNegotiation } from './task-writing.ts';
import { readTransfer } from './transfer-store.ts';
import { negotiationOf, TRANSFER, withNegotiation, type Negotiation } from './transfer.ts';

/** The service whose `notification` endpoint is called, and the purpose of the token for it (facts §4.1). */
export const RECEIVER_SERVICE = 'eOverdracht-receiver';

const payloadSchema = z.object({ transfer: z.string(), negotiation: z.string() });

/** Worth another attempt by the schedule (facts §4.4). 401 too: the token was refused twice then. */
const PASSING: ReadonlySet<number> = new Set([401, 408, 425, 429]);

const HOUR_MS = 3_600_000;

/** Tells one receiver that its Task changed: an empty POST that says nothing more. One pending per Task; a fresh token for each attempt. */
export const notifyJob: Job<EOverdrachtConfig> = {
  name: 'notify',
  scheduleMs: [1_000, 5_000, 30_000, 120_000, 600_000, 3_600_000],
  run: async (payload, config, services, job): Promise<JobResult> => {
    const { transfer, negotiation } = payloadSchema.parse(payload);
    const stored = await readTransfer(services.records(TRANSFER), transfer);
    const current = stored === undefined ? undefined : negotiationOf(stored.transfer, negotiation);
    if (current === undefined) return { outcome: 'dead', reason: 'negotiation_unknown' };
    if (current.notification.delivered >= current.notification.queued) return { outcome: 'done' };
    const record = (change: (now: Negotiation['notification']) => Negotiation['notification']): Promise<unknown> =>
      changeNegotiation(services, config, transfer, negotiation, (now, each) =>
        withNegotiation(now, { ...each, notification: change(each.notification) }),
      );
    const retry = async (reason: string, inMs?: number): Promise<JobResult> => {
      const since = Date.parse(current.notification.queuedAt ?? services.now().toISOString());
      if (services.now().getTime() - since <= config.notification.giveUpAfterHours * HOUR_MS) {
        return { outcome: 'retry', reason, inMs: inMs ?? waitMs(config, job.attempt) };
      }
      await record((now) => ({ ...now, problem: reason }));
      return { outcome: 'dead', reason };
    };

    let reply: RemoteReply;
    try {
      reply = await send(services, current);
    } catch (error) {
      if (error instanceof GatewayError) return retry(reasonOf(error));
      throw error;
    }
    if (reply.status >= 200 && reply.status < 300) {
      const number = current.notification.queued;
      const at = services.now().toISOString();
      await record(({ problem: _problem, ...now }) => ({
        ...now,
        delivered: Math.max(now.delivered, number),
        deliveredAt: at,
        refused: 0,
      }));
      return { outcome: 'done' };
    }
    const reason = `receiver_answered_${String(reply.status)}`;
    if (reply.status >= 500 || PASSING.has(reply.status)) return retry(reason, retryAfterMs(reply, services.now()));
    const refused = current.notification.refused + 1;
    if (refused < config.notification.refusedAttempts) {
      await record((now) => ({ ...now, refused }));
      return retry(reason);
    }
    await record((now) => ({ ...now, refused, problem: reason }));
    return { outcome: 'dead', reason };
  },
};

/** One attempt. A 401 is answered with a new token, once. The token lives a minute and is never kept (facts §8.2 no. 26). */
async function send(services: Services, negotiation: Negotiation): Promise<RemoteReply> {
  const base = await services.node.resolveEndpoint(negotiation.organization, RECEIVER_SERVICE, 'notification');
  if (base === undefined)
    throw new GatewayError('upstream_failed', 'the receiver has no notification endpoint', { reason: 'no_endpoint' });
  const tokenFor = (refused?: string): Promise<string> =>
    services.node.requestToken({
      authorizer: negotiation.organization,
      service: RECEIVER_SERVICE,
      credentials: [],
      ...(refused === undefined ? {} : { refused }),
    });
  const post = (token: string): Promise<RemoteReply> =>
    services.remote.call({
      method: 'POST',
      // A base should not end in a slash (Bolt §4.1.2); some do.
      url: `${base.replace(/\/+$/, '')}/${negotiation.task.id}`,
      token,
      accept: 'application/fhir+json',
    });
  const token = await tokenFor();
  const reply = await post(token);
  return reply.status === 401 ? post(await tokenFor(token)) : reply;
}

function waitMs(config: EOverdrachtConfig, attempt: number): number {
  const schedule = config.notification.scheduleSeconds;
  const index = Math.min(Math.max(attempt, 1), schedule.length) - 1;
  return (schedule[index] ?? 3600) * 1000;
}

/** `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), at most an hour. */
function retryAfterMs(reply: RemoteReply, now: Date): number | undefined {
  const value = reply.headers.get('retry-after');
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now.getTime();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), HOUR_MS) : undefined;
}
