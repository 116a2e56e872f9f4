import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import type { MovableClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { findPendingJobs } from '../../src/outbox/jobs.ts';
import { createTenantDirectory } from '../../src/tenant/tenant.ts';
import {
  defineUseCase,
  deny,
  type JobResult,
  type Services,
  type Unit,
  type VersionedResource,
} from '../../src/usecase/index.ts';
import { createRegistry } from '../../src/usecase/registry.ts';
import { createWriteEffects, WRITE_JOB, type WriteEffects } from '../../src/workflow/write-effects.ts';
import { createStandingClock } from '../support/clock.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

// What follows a write of another party, and what is known of it when the process or its answer was lost.

const file = 'config.example.yaml';
const tenants = createTenantDirectory(parseConfig(readFileSync(file, 'utf8'), { file, environment: {} }).tenants);
const [tenant] = tenants.all;

let store: TestDatabase;
let clock: MovableClock;
let stored: VersionedResource | undefined;
let settled: string[];

const useCase = defineUseCase({
  id: 'notes',
  title: 'Notes',
  roles: [],
  parseConfig: () => undefined,
  decide: () => deny('no'),
  writes: [
    {
      name: 'task',
      judge: () => Promise.resolve({ outcome: 'unchanged' }),
      settle: (seen) => {
        settled.push(seen.version);
        return Promise.resolve();
      },
    },
  ],
});
const write = { tenant: tenant!, useCase, guard: 'task', type: 'Task', id: '1' };

beforeEach(async () => {
  store = await openTestDatabase();
  clock = createStandingClock();
  stored = { resource: { resourceType: 'Task', id: '1' }, version: '7' };
  settled = [];
});

afterEach(() => store.close());

function effectsOf(instance: string): WriteEffects {
  const services = { fhir: { read: () => Promise.resolve(stored) } } as unknown as Services;
  return createWriteEffects({
    workflow: {
      serves: () => true,
      configOf: () => undefined,
      services: () => services,
      transaction: (_tenant, _useCase, work) => work({ now: clock.now() } as Unit),
    },
    database: store.database,
    tenants,
    registry: createRegistry([useCase]),
    clock,
    instance,
  });
}

/** Runs the job as the worker would, with what stands in the outbox. */
async function runJob(effects: WriteEffects): Promise<JobResult> {
  const [job] = await findPendingJobs(store.database, WRITE_JOB);
  return effects.handler(useCase).run({ ...job!, attempt: 1, signal: new AbortController().signal });
}

describe('a write that succeeded', () => {
  it('is settled at once, and looked at once more when it can no longer land', async () => {
    const effects = effectsOf('one');
    await effects.intend(write);
    await effects.settled(write, stored!);
    expect(settled).toEqual(['7']);
    const early = await runJob(effects);
    expect(early.outcome === 'retry' && early.inMs !== undefined && early.inMs > 50_000).toBe(true);
    clock.advance(60);
    expect(await runJob(effects)).toEqual({ outcome: 'done' });
  });
});

describe('a write whose answer was lost', () => {
  it('is looked for again and again until it can no longer land', async () => {
    const effects = effectsOf('one');
    await effects.intend(write);
    await effects.unknown(write);
    expect(await runJob(effects)).toMatchObject({ outcome: 'retry', inMs: 500 });
    clock.advance(61);
    expect(await runJob(effects)).toEqual({ outcome: 'done' });
    expect(settled).toEqual(['7', '7']);
  });

  it('is a person’s to look at when its resource is gone', async () => {
    const effects = effectsOf('one');
    await effects.unknown(write);
    stored = undefined;
    expect(await runJob(effects)).toMatchObject({ outcome: 'dead' });
  });
});

describe('a process that starts again', () => {
  it('settles what it had under way before it serves, and goes on looking', async () => {
    await effectsOf('one').intend(write);
    const again = effectsOf('one');
    await again.recover(60_000);
    expect(settled).toEqual(['7']);
    expect(await runJob(again)).toMatchObject({ outcome: 'retry', inMs: 500 });
  });

  it('leaves what another process has under way to that', async () => {
    await effectsOf('one').intend(write);
    await effectsOf('two').recover(60_000);
    expect(settled).toEqual([]);
  });
});
