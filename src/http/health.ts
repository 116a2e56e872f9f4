import express, { type Router } from 'express';
import type { Clock } from '../clock.ts';
import type { TenantDirectory } from '../tenant/tenant.ts';
import type { ProbeResult, Probes } from './api/dependencies.ts';

export interface HealthOptions {
  readonly probes: Probes;
  readonly tenants: TenantDirectory;
  readonly draining: () => boolean;
  readonly clock: Clock;
  /** How long one look may take; default 2,000. */
  readonly deadlineMs?: number;
  /** How long a result counts; default 5,000. */
  readonly lifeMs?: number;
}

/** What `/health/ready` says of one thing. */
export interface CheckView {
  /** `unknown`: the first look has not ended yet. */
  readonly status: 'up' | 'down' | 'unknown';
  readonly reason?: string;
}

/** What `/health/ready` answers. 503 with `down` and `draining` only: one tenant's trouble is not the others'. */
export interface ReadyView {
  readonly status: 'up' | 'degraded' | 'down' | 'draining';
  readonly store: CheckView;
  readonly audit: CheckView;
  readonly tenants: Readonly<Record<string, { readonly node: CheckView; readonly fhir: CheckView }>>;
}

/** Tenants looked at at once: a host has hundreds, and their nodes may all be slow. */
const AT_ONCE = 16;

/** `/live`: the process answers. `/ready`: it can do its work, in JSON with a line per tenant. To be mounted at `/health`. */
export function createHealth(options: HealthOptions): Router {
  const { probes, tenants, draining, clock, deadlineMs = 2_000, lifeMs = 5_000 } = options;
  const limit = createLimit(AT_ONCE);
  const kept = <T>(look: () => Promise<T>): Kept<T> => createKept(look, clock, lifeMs);
  const store = kept(() => check(() => probes.store(), deadlineMs));
  const audit = kept(() => check(() => probes.audit(), deadlineMs));
  const perTenant = new Map(
    tenants.all.map(({ id }) => [
      id,
      kept(() =>
        limit(async () => {
          const both = within(probes.tenant(id), deadlineMs);
          const [node, fhir] = await Promise.all([
            check(async () => (await both).node, deadlineMs),
            check(async () => (await both).fhir, deadlineMs),
          ]);
          return { node, fhir };
        }),
      ),
    ]),
  );

  const router = express.Router({ caseSensitive: true, strict: true });
  router.get('/live', (_request, response) => void response.json({ status: 'up' }));
  router.get('/ready', async (_request, response) => {
    const looks = [store, audit, ...perTenant.values()].map((each) => each.fresh());
    // Who waits for a place behind many slow ones is reported as it last was.
    await within(Promise.all(looks), deadlineMs + 200).catch((error: unknown) => {
      if (!(error instanceof TooSlow)) throw error;
    });
    const view = toView();
    response.status(view.status === 'down' || view.status === 'draining' ? 503 : 200).json(view);
  });
  return router;

  function toView(): ReadyView {
    const unknown: CheckView = { status: 'unknown' };
    const checks = { store: store.last() ?? unknown, audit: audit.last() ?? unknown };
    const views = Object.fromEntries([...perTenant].map(([id, each]) => [id, each.last() ?? { node: unknown, fhir: unknown }]));
    const well = Object.values(views).every(({ node, fhir }) => node.status === 'up' && fhir.status === 'up');
    const able = checks.store.status === 'up' && checks.audit.status === 'up';
    return { status: draining() ? 'draining' : !able ? 'down' : well ? 'up' : 'degraded', ...checks, tenants: views };
  }
}

async function check(probe: () => Promise<ProbeResult>, deadlineMs: number): Promise<CheckView> {
  try {
    const { up, reason } = await within(probe(), deadlineMs);
    return { status: up ? 'up' : 'down', ...(up || reason === undefined ? {} : { reason }) };
  } catch (error) {
    return { status: 'down', reason: error instanceof TooSlow ? `no answer within ${deadlineMs} ms` : 'failed' };
  }
}

class TooSlow extends Error {}

/** Leaves no timer behind: after a stall, an old one of the same length would let a later one of its kind go first. */
async function within<T>(work: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new TooSlow('too slow')), deadlineMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

interface Kept<T> {
  last(): T | undefined;
  /** Looks again when the last result is too old; one look at a time. */
  fresh(): Promise<void>;
}

function createKept<T>(look: () => Promise<T>, clock: Clock, lifeMs: number): Kept<T> {
  let known: { readonly value: T; readonly atMs: number } | undefined;
  let looking: Promise<void> | undefined;
  return {
    last: () => known?.value,
    fresh: () => {
      const age = known === undefined ? Infinity : clock.now().getTime() - known.atMs;
      if (age >= 0 && age < lifeMs) return Promise.resolve();
      const atMs = clock.now().getTime();
      looking ??= look()
        .then((value) => void (known = { value, atMs }))
        .finally(() => (looking = undefined));
      return looking;
    },
  };
}

function createLimit(places: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = places;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((go) => waiting.push(go));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}
