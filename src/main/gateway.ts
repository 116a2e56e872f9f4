import { join } from 'node:path';
import { openJournal, type Journal } from '../audit/journal.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { createGrantLedger, type GrantLedger } from '../grant/ledger.ts';
import type { Logger } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { createNode, type Node } from '../nuts/node.ts';
import { createHostileClient } from '../outbound/hostile.ts';
import { createHousekeeping } from '../outbox/housekeeping.ts';
import { createWorker, type Worker } from '../outbox/worker.ts';
import { createDecisionPoint } from '../pdp/decide.ts';
import { createAdmission } from '../pep/admission.ts';
import { createExplain, type Explain } from '../pep/explain.ts';
import { createGate, type Gate, type GateOptions } from '../pep/enforce.ts';
import { createSealer } from '../sealing.ts';
import { openDatabase, type Database } from '../store/database.ts';
import { createProofIds } from '../store/proof-ids.ts';
import { getRecord } from '../store/records.ts';
import { createTenantDirectory, type Tenant, type TenantDirectory } from '../tenant/tenant.ts';
import { createAuthenticator } from '../token/authenticate.ts';
import { createIntrospection } from '../token/introspection.ts';
import { createUpstream, type Upstream } from '../upstream/forward.ts';
import { loadUseCases, useCaseFoldersIn } from '../usecase/load.ts';
import { createRegistry, type UseCaseRegistry } from '../usecase/registry.ts';
import { createWorkflow, parseSettings, type Workflow } from '../workflow/workflow.ts';

/** Everything of a gateway but its listeners. */
export interface Gateway {
  readonly tenants: TenantDirectory;
  readonly registry: UseCaseRegistry;
  readonly database: Database;
  readonly journal: Journal;
  readonly ledger: GrantLedger;
  readonly workflow: Workflow;
  readonly gate: Gate;
  /** How the gate would judge a request: for operators. */
  readonly explain: Explain;
  readonly metrics: Metrics;
  readonly worker: Worker;
  nodeOf(tenant: Tenant): Node;
  upstreamOf(tenant: Tenant): Upstream;
  /** Begins the jobs. */
  start(): Promise<void>;
  /** Lets jobs end, closes what is open; the journal last. */
  close(): Promise<void>;
}

const BUNDLED_USE_CASES = new URL('../../usecases/', import.meta.url).pathname;

/** Limits that nobody has asked to set differently. */
const MAX_MESSAGE_BYTES = 65_536;
const MIN_REVIEW_BYTES = 8 * 1024 * 1024;
/** A page of so many resources of the largest size can be shown. */
const REVIEWED_RESOURCES = 64;
const JUDGE_DEADLINE_MS = 5_000;
/** A FHIR server that does not answer must not keep the gateway from starting. */
const RECOVER_DEADLINE_MS = 2_000;

/**
 * Composes a gateway from its configuration: plain calls, no container. Nothing listens yet.
 * @throws Error when a use case cannot be loaded or refuses a tenant's settings; GatewayError when store or journal cannot be opened.
 */
export async function composeGateway(config: Config, clock: Clock, logger: Logger): Promise<Gateway> {
  const metrics = createMetrics();
  const tenants = createTenantDirectory(config.tenants);
  const registry = createRegistry(await loadUseCases([...useCaseFoldersIn(BUNDLED_USE_CASES), ...config.useCaseFolders]));
  // Before anything is opened: a configuration that does not hold leaves no trace.
  const settings = parseSettings(tenants, registry);

  const journal = await openJournal({
    directory: join(config.dataDirectory, 'audit'),
    clock,
    logger,
    segmentBytes: config.audit.segmentBytes,
    minFreeBytes: config.audit.minimumFreeBytes,
  });
  const database = await openDatabase({
    directory: config.dataDirectory,
    ...(config.databaseUrl === undefined ? {} : { url: config.databaseUrl.reveal() }),
    logger,
  }).catch(async (error: unknown) => {
    await journal.close();
    throw error;
  });

  const ledger = createGrantLedger({ database });
  const nodes = new Map(tenants.all.map((tenant) => [tenant.id, createNode({ tenant, clock, logger })]));
  const upstreams = new Map(tenants.all.map((tenant) => [tenant.id, createUpstream(tenant, { clock })]));
  const remotes = new Map(
    tenants.all.map((tenant) => [tenant.id, createHostileClient({ mode: config.mode, tls: tenant.outbound, logger })]),
  );
  const nodeOf = (tenant: Tenant): Node => known(nodes, tenant);
  const upstreamOf = (tenant: Tenant): Upstream => known(upstreams, tenant);

  const workflow = createWorkflow({
    database,
    ledger,
    registry,
    tenants,
    settings,
    connect: (tenant) => ({
      fhir: upstreamOf(tenant).store,
      node: nodeOf(tenant).services(),
      remote: known(remotes, tenant),
    }),
    audit: journal,
    clock,
    instance: journal.instance,
    logger,
  });

  const decisions = createDecisionPoint({
    registry,
    settings: workflow,
    sources: {
      matching: (question) => ledger.matching(question),
      byCredential: (tenant, credentialId, now) => ledger.byCredential(tenant, credentialId, now),
      read: async (tenant, type, id) => (await upstreamOf(tenant).store.read(type, id))?.resource,
      record: async (tenant, useCase, kind, id) => (await getRecord(database, { tenant, useCase, kind }, id))?.state,
    },
  });
  const authenticator = createAuthenticator({
    introspection: createIntrospection({
      node: {
        introspectV1: (tenant, token) => nodeOf(tenant).introspectV1(token),
        introspectV2: (tenant, token) => nodeOf(tenant).introspectV2(token),
        isHealthy: (tenant) => nodeOf(tenant).isHealthy(),
      },
      clock,
      metrics,
    }),
    proofIds: createProofIds(database),
    clock,
  });
  const sealer = createSealer(config.sealingKeys.map((key) => key.reveal()));
  const options: GateOptions = {
    tenants,
    registry,
    settings: workflow,
    authenticator,
    decisions,
    services: (tenant, useCase) => workflow.services(tenant, useCase),
    effects: workflow.effects,
    upstream: upstreamOf,
    sealer,
    audit: journal,
    admission: createAdmission(),
    clock,
    logger,
    metrics,
    maxMessageBytes: MAX_MESSAGE_BYTES,
    maxResourceBytes: config.limits.resourceBytes,
    maxBundleBytes: config.limits.bundleBytes,
    maxReviewBytes: Math.max(MIN_REVIEW_BYTES, REVIEWED_RESOURCES * config.limits.resourceBytes),
    reviewDeadlineMs: JUDGE_DEADLINE_MS,
    judgeDeadlineMs: JUDGE_DEADLINE_MS,
  };

  const worker = createWorker({
    database,
    clock,
    handlers: workflow.handlers,
    logger,
    instance: journal.instance,
    concurrency: config.jobs.concurrency,
    onAttempt: (job, result) => {
      metrics.jobs.inc({ use_case: job.useCase, job: job.name, result });
      if (result === 'dead') metrics.alarms.inc({ tenant: job.tenant, kind: 'dead_job' });
    },
  });
  const housekeeping = createHousekeeping(database, clock, logger);

  return {
    tenants,
    registry,
    database,
    journal,
    ledger,
    workflow,
    gate: createGate(options),
    explain: createExplain(options),
    metrics,
    worker,
    nodeOf,
    upstreamOf,
    start: async () => {
      await journal.record({
        phase: 'event',
        correlationId: journal.instance,
        at: clock.now(),
        event: 'process-start',
        outcome: 'permitted',
      });
      await workflow.start(worker);
      await workflow.effects.recover(RECOVER_DEADLINE_MS);
      await worker.start();
      housekeeping.start();
    },
    close: async () => {
      housekeeping.stop();
      await worker.drain();
      for (const remote of remotes.values()) remote.close();
      await Promise.all([...nodes.values()].map((node) => node.close()));
      await Promise.all([...upstreams.values()].map((each) => each.close()));
      await database.close();
      await journal.record({
        phase: 'event',
        correlationId: journal.instance,
        at: clock.now(),
        event: 'process-stop',
        outcome: 'permitted',
      });
      await journal.close();
    },
  };
}

function known<T>(byTenant: ReadonlyMap<string, T>, tenant: Tenant): T {
  const found = byTenant.get(tenant.id);
  if (found === undefined) throw new Error(`tenant ${tenant.id} is not one of this gateway`);
  return found;
}
