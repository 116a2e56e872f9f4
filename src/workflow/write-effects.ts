import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { enqueue } from '../outbox/enqueue.ts';
import type { JobHandler } from '../outbox/job.ts';
import type { Database } from '../store/database.ts';
import type { Tenant, TenantDirectory } from '../tenant/tenant.ts';
import type { UseCase } from '../usecase/definition.ts';
import type { GuardedWrite, Services, Unit, VersionedResource } from '../usecase/workflow.ts';

/** The job that settles a write of which it is not known whether it happened. No use case may give a job of its own this name. */
export const WRITE_JOB = 'settle-write';

/** How long the gate has for its write before the job looks itself. */
const GRACE_MS = 60_000;

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
  readonly clock: Clock;
}

const payloadSchema = z.object({ guard: z.string(), type: z.string(), id: z.string() });

export function createWriteEffects(options: WriteEffectsOptions): WriteEffects {
  const { workflow, database, tenants, clock } = options;

  /** One job per resource: writes of one resource come one after the other. */
  const jobOf = (write: IntendedWrite, inMs: number) => ({
    tenant: write.tenant.id,
    useCase: write.useCase.id,
    name: WRITE_JOB,
    key: `${write.type}/${write.id}`,
    payload: { guard: write.guard, type: write.type, id: write.id },
    runAt: new Date(clock.now().getTime() + inMs),
  });

  const settle = (write: IntendedWrite, guard: GuardedWrite<unknown>, stored: VersionedResource): Promise<void> =>
    workflow.transaction(write.tenant, write.useCase, (unit) =>
      guard.settle(stored, workflow.configOf(write.tenant, write.useCase), unit, workflow.services(write.tenant, write.useCase)),
    );

  return {
    intend: (write) => database.transaction((tx) => enqueue(tx, jobOf(write, GRACE_MS), clock.now())),
    // The job stays: it finds everything settled and ends, and it would find a second write that overlapped this one.
    settled: (write, stored) => settle(write, guardOf(write.useCase, write.guard), stored),
    unknown: (write) => database.transaction((tx) => enqueue(tx, jobOf(write, 0), clock.now())),
    handler: (useCase) => ({
      scheduleMs: [1_000, 5_000, 30_000, 60_000],
      run: async (job) => {
        const payload = payloadSchema.parse(job.payload);
        const tenant = tenants.get(job.tenant);
        if (tenant === undefined || !workflow.serves(tenant, useCase)) {
          return { outcome: 'retry', reason: 'the tenant does not have this use case now', inMs: 3_600_000 };
        }
        const stored = await workflow.services(tenant, useCase).fhir.read(payload.type, payload.id);
        if (stored === undefined) return { outcome: 'dead', reason: `${payload.type} is gone from the FHIR server` };
        await settle({ tenant, useCase, ...payload }, guardOf(useCase, payload.guard), stored);
        return { outcome: 'done' };
      },
    }),
  };
}

function guardOf(useCase: UseCase, name: string): GuardedWrite<unknown> {
  const guard = useCase.writes?.find((candidate) => candidate.name === name);
  if (guard === undefined) throw new GatewayError('internal', `use case ${useCase.id} has no guard ${name}`);
  return guard;
}
