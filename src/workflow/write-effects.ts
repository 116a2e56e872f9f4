import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { enqueue } from '../outbox/enqueue.ts';
import type { JobHandler } from '../outbox/job.ts';
import { findPendingJobs } from '../outbox/jobs.ts';
import type { Database } from '../store/database.ts';
import type { Tenant, TenantDirectory } from '../tenant/tenant.ts';
import type { UseCase } from '../usecase/definition.ts';
import type { UseCaseRegistry } from '../usecase/registry.ts';
import type { GuardedWrite, Services, Unit, VersionedResource } from '../usecase/workflow.ts';

/** The job that settles a write of which it is not known whether it happened. No use case may give a job of its own this name. */
export const WRITE_JOB = 'settle-write';

/** How long a write may take to land, the FHIR server's own deadline included. */
const GRACE_MS = 60_000;
const LOOK_AGAIN_MS = 500;

/** A write of another party, under way. */
export interface IntendedWrite {
  readonly tenant: Tenant;
  readonly useCase: UseCase;
  /** The use case's guard. */
  readonly guard: string;
  readonly type: string;
  readonly id: string;
}

/**
 * What follows a permitted write of another party (facts/reliability §3.4): recorded before it is sent, settled once after it succeeded, and settled by a job
 * when a crash or a lost answer left it open whether it did.
 */
export interface WriteEffects {
  /** Durable before the write is sent. */
  intend(write: IntendedWrite): Promise<void>;
  /** The write succeeded and this is the resource now. The use case's records have followed when this resolves. */
  settled(write: IntendedWrite, stored: VersionedResource): Promise<void>;
  /** Nobody knows whether the write happened: look at once. */
  unknown(write: IntendedWrite): Promise<void>;
  /** The job's handler, for the use case. */
  handler(useCase: UseCase): JobHandler;
  /**
   * After a crash, before anybody is served: looks at every write that this instance had under way, and goes on looking until it can no longer
   * land. What ended with such a write has ended before the first request (design §7). Takes at most `deadlineMs`.
   */
  recover(deadlineMs: number): Promise<void>;
}

/** What binds a use case to a tenant. */
export interface Bindings {
  configOf(tenant: Tenant, useCase: UseCase): unknown;
  serves(tenant: Tenant, useCase: UseCase): boolean;
  services(tenant: Tenant, useCase: UseCase): Services;
  transaction<T>(tenant: Tenant, useCase: UseCase, work: (unit: Unit) => Promise<T>): Promise<T>;
}

export interface WriteEffectsOptions {
  readonly workflow: Bindings;
  readonly database: Database;
  readonly tenants: TenantDirectory;
  readonly registry: Pick<UseCaseRegistry, 'get'>;
  readonly clock: Clock;
  /** Name of this process, the same after a restart. */
  readonly instance: string;
}

const payloadSchema = z.object({
  guard: z.string(),
  type: z.string(),
  id: z.string(),
  /** Whose write it is: the process instance, by the name that it keeps over restarts. */
  instance: z.string(),
  /** Until when the write may still land. */
  until: z.iso.datetime(),
  /** Whether it is open what became of the write: then it is looked for until then, else once at the end. */
  open: z.boolean(),
});

export function createWriteEffects(options: WriteEffectsOptions): WriteEffects {
  const { workflow, database, tenants, clock, instance } = options;

  /** One job per resource: writes of one resource come one after the other. */
  const jobOf = (write: IntendedWrite, inMs: number) => {
    const nowMs = clock.now().getTime();
    return {
      tenant: write.tenant.id,
      useCase: write.useCase.id,
      name: WRITE_JOB,
      key: `${write.type}/${write.id}`,
      payload: {
        guard: write.guard,
        type: write.type,
        id: write.id,
        instance,
        until: new Date(nowMs + GRACE_MS).toISOString(),
        open: inMs < GRACE_MS,
      },
      runAt: new Date(nowMs + inMs),
    };
  };

  const settle = (write: IntendedWrite, stored: VersionedResource): Promise<void> =>
    workflow.transaction(write.tenant, write.useCase, (unit) =>
      guardOf(write.useCase, write.guard).settle(
        stored,
        workflow.configOf(write.tenant, write.useCase),
        unit,
        workflow.services(write.tenant, write.useCase),
      ),
    );

  /** Brings the records in line with the resource as it is; undefined when it is gone. */
  const look = async (write: IntendedWrite): Promise<'settled' | undefined> => {
    const stored = await workflow.services(write.tenant, write.useCase).fhir.read(write.type, write.id);
    if (stored === undefined) return undefined;
    await settle(write, stored);
    return 'settled';
  };

  return {
    intend: (write) => database.transaction((tx) => enqueue(tx, jobOf(write, GRACE_MS), clock.now())),
    // The job stays: it finds everything settled and ends, and it would find a second write that overlapped this one.
    settled: settle,
    unknown: (write) => database.transaction((tx) => enqueue(tx, jobOf(write, 0), clock.now())),
    handler: (useCase) => ({
      scheduleMs: [1_000, 5_000, 30_000, 60_000],
      run: async (job) => {
        const payload = payloadSchema.parse(job.payload);
        const tenant = tenants.get(job.tenant);
        if (tenant === undefined || !workflow.serves(tenant, useCase)) {
          return { outcome: 'retry', reason: 'the tenant does not have this use case now', inMs: 3_600_000 };
        }
        if ((await look({ tenant, useCase, ...payload })) === undefined) {
          return { outcome: 'dead', reason: `${payload.type} is gone from the FHIR server` };
        }
        // A write whose answer was lost may land after we have looked: look until it no longer can.
        const leftMs = new Date(payload.until).getTime() - clock.now().getTime();
        if (leftMs <= 0) return { outcome: 'done' };
        const inMs = payload.open ? Math.min(LOOK_AGAIN_MS, leftMs) : leftMs;
        return { outcome: 'retry', reason: 'the write may still land', inMs };
      },
    }),
    recover: async (deadlineMs) => {
      const open = (await findPendingJobs(database, WRITE_JOB)).flatMap(({ tenant: tenantId, useCase: useCaseId, payload }) => {
        const tenant = tenants.get(tenantId);
        const useCase = options.registry.get(useCaseId);
        const parsed = payloadSchema.safeParse(payload);
        // Another process's write is in that process's hands.
        if (tenant === undefined || useCase === undefined || !parsed.success || parsed.data.instance !== instance) return [];
        return [{ tenant, useCase, ...parsed.data }];
      });
      const late = AbortSignal.timeout(deadlineMs);
      const over = new Promise<void>((resolve) => late.addEventListener('abort', () => resolve()));
      const looks = open.map(async (write) => {
        await database.transaction((tx) => enqueue(tx, jobOf(write, LOOK_AGAIN_MS), clock.now()));
        // One that cannot be read now is the job's.
        await look(write).catch(() => undefined);
      });
      await Promise.race([Promise.all(looks), over]);
    },
  };
}

function guardOf(useCase: UseCase, name: string): GuardedWrite<unknown> {
  const guard = useCase.writes?.find((candidate) => candidate.name === name);
  if (guard === undefined) throw new GatewayError('internal', `use case ${useCase.id} has no guard ${name}`);
  return guard;
}
