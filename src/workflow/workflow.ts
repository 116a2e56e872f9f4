import { randomUUID } from 'node:crypto';
import type { AuditSink } from '../audit/sink.ts';
import type { Clock } from '../clock.ts';
import type { GrantLedger } from '../grant/ledger.ts';
import type { Logger } from '../log.ts';
import { enqueuePeriodic } from '../outbox/enqueue.ts';
import type { JobHandler, JobHandlers } from '../outbox/job.ts';
import { findJobs } from '../outbox/jobs.ts';
import type { Worker } from '../outbox/worker.ts';
import type { Database, Transaction } from '../store/database.ts';
import { findRecords, getRecord } from '../store/records.ts';
import type { Tenant, TenantDirectory } from '../tenant/tenant.ts';
import type { UseCase } from '../usecase/definition.ts';
import type { UseCaseRegistry } from '../usecase/registry.ts';
import type { FhirStore, Job, NodeServices, RemoteClient, Services, Unit } from '../usecase/workflow.ts';
import { createUnit } from './unit.ts';
import { createWriteEffects, WRITE_JOB, type WriteEffects } from './write-effects.ts';

/** What a tenant's use cases reach outside: its FHIR server, its node, and other parties. */
export interface Connections {
  readonly fhir: FhirStore;
  readonly node: NodeServices;
  readonly remote: RemoteClient;
}

export interface WorkflowOptions {
  readonly database: Database;
  readonly ledger: GrantLedger;
  readonly registry: UseCaseRegistry;
  readonly tenants: TenantDirectory;
  /** What `parseSettings` gave, when it was called before anything was opened. */
  readonly settings?: ParsedSettings;
  readonly connect: (tenant: Tenant) => Connections;
  readonly audit: AuditSink;
  readonly clock: Clock;
  /** Name of this process, the same after a restart. */
  readonly instance: string;
  readonly logger: Logger;
}

/** Runs what use cases declare beyond policy. It knows no use case and no Express. */
export interface Workflow {
  /** The tenant's settings for the use case, as the use case parsed them; undefined where the tenant does not have it. */
  configOf(tenant: Tenant, useCase: UseCase): unknown;
  /** Whether the tenant has the use case. */
  serves(tenant: Tenant, useCase: UseCase): boolean;
  /** What the use case's code may reach, bound to the tenant. */
  services(tenant: Tenant, useCase: UseCase): Services;
  /** One transaction of the use case; `tx` is for rows that belong to the same commit (idempotency). */
  transaction<T>(tenant: Tenant, useCase: UseCase, work: (unit: Unit, tx: Transaction) => Promise<T>): Promise<T>;
  /** The handlers for the worker. */
  readonly handlers: JobHandlers;
  /** For the gate: writes of other parties, recorded before they are sent and settled after. */
  readonly effects: WriteEffects;
  /** Makes sure that the repeating jobs of all tenants exist, and hands in the worker for `runNow`. */
  start(worker: Worker): Promise<void>;
}

/** Binds the use cases to what they may reach. @throws what `parseSettings` throws */
export function createWorkflow(options: WorkflowOptions): Workflow {
  const { database, ledger, registry, tenants, clock } = options;
  const logger = options.logger.child({ module: 'workflow' });
  const configs = options.settings ?? parseSettings(tenants, registry);
  const bound = new Map<string, Services>();
  let worker: Worker | undefined;

  const workflow: Workflow = {
    configOf: (tenant, useCase) => configs.get(tenant.id)?.get(useCase.id),
    serves: (tenant, useCase) => configs.get(tenant.id)?.has(useCase.id) === true,
    services: (tenant, useCase) => {
      const key = `${tenant.id}\0${useCase.id}`;
      const known = bound.get(key);
      if (known !== undefined) return known;
      const made = bind(tenant, useCase);
      bound.set(key, made);
      return made;
    },
    transaction: (tenant, useCase, work) =>
      database.transaction((tx) => work(createUnit(tx, { tenant: tenant.id, useCase: useCase.id }, ledger, clock.now()), tx)),
    handlers: (useCaseId, name) => {
      const useCase = registry.get(useCaseId);
      if (useCase === undefined) return undefined;
      if (name === WRITE_JOB) return effects.handler(useCase);
      const job = useCase.jobs?.find((candidate) => candidate.name === name);
      return job === undefined ? undefined : toHandler(job, useCase);
    },
    get effects() {
      return effects;
    },
    start: async (started) => {
      worker = started;
      for (const tenant of tenants.all) {
        for (const useCase of registry.all.filter((candidate) => workflow.serves(tenant, candidate))) {
          for (const job of useCase.jobs ?? []) {
            if (job.everyMs === undefined) continue;
            const periodic = { tenant: tenant.id, useCase: useCase.id, name: job.name };
            await database.transaction((tx) => enqueuePeriodic(tx, periodic, clock.now()));
          }
        }
      }
    },
  };
  const effects = createWriteEffects({ workflow, database, tenants, registry, clock, instance: options.instance });
  return workflow;

  function bind(tenant: Tenant, useCase: UseCase): Services {
    const scope = { tenant: tenant.id, useCase: useCase.id };
    const connections = options.connect(tenant);
    const log = logger.child({ tenant: tenant.id, useCase: useCase.id });
    return {
      tenant: {
        id: tenant.id,
        name: tenant.name,
        did: tenant.identity.did,
        fhirVersion: tenant.fhir.version,
        fhirUrl: tenant.fhir.url,
      },
      now: () => clock.now(),
      records: (kind) => ({
        get: (id) => getRecord(database, { ...scope, kind }, id),
        find: (query) => findRecords(database, { ...scope, kind }, query),
      }),
      grants: (recordId) => ledger.list(database, { ...scope, recordId }, clock.now()),
      jobs: (key) => findJobs(database, { ...scope, key }),
      transaction: (work) => workflow.transaction(tenant, useCase, (unit) => work(unit)),
      runNow: async (name, key, timeoutMs) => {
        if (worker === undefined) return 'pending';
        return (await worker.runNow({ ...scope, name, key }, timeoutMs)) === 'done' ? 'done' : 'pending';
      },
      ...connections,
      audit: (event) =>
        options.audit.record({
          phase: 'event',
          correlationId: randomUUID(),
          at: clock.now(),
          tenant: tenant.id,
          useCase: useCase.id,
          event: event.event,
          outcome: event.outcome,
          ...(event.requester === undefined ? {} : { requester: { id: event.requester } }),
          ...(event.patient === undefined ? {} : { patient: event.patient }),
          ...(event.reason === undefined ? {} : { reason: event.reason }),
          ...(event.attributes === undefined ? {} : { attributes: event.attributes }),
        }),
      log: (level, message, facts = {}) => log[level](facts, message),
    };
  }

  function toHandler(job: Job<unknown>, useCase: UseCase): JobHandler {
    return {
      scheduleMs: job.scheduleMs,
      ...(job.giveUpAfterMs === undefined ? {} : { giveUpAfterMs: job.giveUpAfterMs }),
      ...(job.everyMs === undefined ? {} : { everyMs: job.everyMs }),
      run: async (running) => {
        const tenant = tenants.get(running.tenant);
        // A tenant that was taken out of the configuration: its jobs wait for it to come back, they are not lost.
        if (tenant === undefined || !workflow.serves(tenant, useCase)) {
          return { outcome: 'retry', reason: 'the tenant does not have this use case now', inMs: 3_600_000 };
        }
        return job.run(running.payload, workflow.configOf(tenant, useCase), workflow.services(tenant, useCase), {
          key: running.key,
          attempt: running.attempt,
        });
      },
    };
  }
}

/** By tenant and use case: the settings as the use case parsed them. */
export type ParsedSettings = ReadonlyMap<string, ReadonlyMap<string, unknown>>;

/**
 * Parses every tenant's settings for its use cases.
 * @throws Error with every fault: a tenant that names an unknown use case, or settings that the use case refuses
 */
export function parseSettings(tenants: TenantDirectory, registry: UseCaseRegistry): ParsedSettings {
  const faults: string[] = [];
  const configs = new Map<string, Map<string, unknown>>();
  for (const tenant of tenants.all) {
    const ofTenant = new Map<string, unknown>();
    for (const [id, settings] of tenant.useCases) {
      const useCase = registry.get(id);
      const key = `tenants.${tenant.id}.useCases.${id}`;
      if (useCase === undefined) {
        faults.push(`${key}: is not loaded; there are ${registry.all.map((loaded) => loaded.id).join(', ') || 'none'}`);
        continue;
      }
      try {
        ofTenant.set(id, useCase.parseConfig(settings ?? {}));
      } catch (error) {
        faults.push(`${key}: ${describeFault(error)}`);
      }
    }
    configs.set(tenant.id, ofTenant);
  }
  if (faults.length > 0)
    throw new Error(['The settings of use cases do not hold:', ...faults.map((fault) => `  ${fault}`)].join('\n'));
  return configs;
}

/** zod says where in the settings; anything else says what it has to say. */
function describeFault(error: unknown): string {
  if (error instanceof Error && 'issues' in error && Array.isArray(error.issues)) {
    const issues = error.issues as readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
    return issues.map((issue) => `${issue.path.map(String).join('.') || 'settings'}: ${issue.message}`).join('; ');
  }
  return error instanceof Error ? error.message : String(error);
}
