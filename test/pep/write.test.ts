import { describe, expect, it } from '@jest/globals';
import type { AuditEntry } from '../../src/audit/entry.ts';
import { createClock } from '../../src/clock.ts';
import { GatewayError } from '../../src/errors.ts';
import type { JsonObject } from '../../src/fhir/json.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { openRecord } from '../../src/pep/record.ts';
import type { Permitted } from '../../src/pep/stages.ts';
import { answerWrite, type WriteOptions } from '../../src/pep/write.ts';
import type { GuardedWrite, WriteResult } from '../../src/usecase/workflow.ts';

// The order of things around a write of another party (reliability §3.4): what is durable when, and who settles what.

interface World {
  readonly put?: () => Promise<WriteResult>;
  readonly intend?: () => Promise<void>;
  readonly settled?: () => Promise<void>;
  readonly audit?: (entry: AuditEntry) => Promise<void>;
  readonly version?: 'STU3' | 'R4';
  readonly ifMatch?: string;
  readonly judged?: JsonObject;
  readonly redacted?: readonly string[];
}

const task = { resourceType: 'Task', id: '1', status: 'requested', meta: { versionId: '3' } };
const metrics = createMetrics(false);

async function write(
  world: World = {},
): Promise<{ readonly steps: readonly string[]; readonly end: string; readonly body?: string }> {
  const steps: string[] = [];
  const step = <T>(name: string, work: (() => Promise<T>) | undefined, otherwise: T): Promise<T> => {
    steps.push(name);
    return work === undefined ? Promise.resolve(otherwise) : work();
  };
  const tenant = { id: 'a', fhir: { version: world.version ?? 'STU3', url: 'http://fhir/fhir' }, publicUrl: 'https://gate/a' };
  const headers = new Map(world.ifMatch === undefined ? [] : [['if-match', world.ifMatch]]);
  const received = {
    correlationId: 'c',
    startedMs: 0,
    remoteAddress: '',
    method: 'PUT',
    headers,
  };
  // Only what the write looks at; everything before it has tests of its own.
  const permitted = {
    authenticated: { addressed: { received, tenant }, body: () => Promise.resolve({ ...task, status: 'accepted' }) },
    verdict: {
      request: { resource: { type: 'Task', id: '1' } },
      selected: { useCase: { id: 'notes' } },
      reviews: [],
      redacted: world.redacted ?? [],
      responseHeaders: {},
    },
  } as unknown as Permitted;
  const guard: GuardedWrite<unknown> = {
    name: 'status',
    judge: ({ stored }) => Promise.resolve({ outcome: 'write', resource: world.judged ?? { ...stored, status: 'accepted' } }),
    settle: () => Promise.resolve(),
  };
  const sink = {
    record: (entry: AuditEntry) => step(`audit ${entry.phase}`, world.audit && (() => world.audit!(entry)), undefined),
  };
  const options = {
    logger: createLogger('silent'),
    metrics,
    maxReviewBytes: 1_000,
    reviewDeadlineMs: 60_000,
    judgeDeadlineMs: 60_000,
    maxResourceBytes: 1_000,
    upstream: () => ({
      bases: { upstream: 'http://fhir/fhir', public: 'https://gate/a/fhir' },
      store: {
        read: () => step('read', undefined, { resource: { ...task }, version: '3' }),
        put: () => step('put', world.put, { outcome: 'written', version: '4' }),
      },
    }),
    effects: {
      intend: () => step('intend', world.intend, undefined),
      settled: () => step('settled', world.settled, undefined),
      unknown: () => step('unknown', undefined, undefined),
    },
  } as unknown as WriteOptions;
  const record = openRecord(received, sink, createClock(), metrics);
  try {
    const { status, body } = await answerWrite(permitted, guard, record, options);
    return { steps, end: String(status), ...(body.kind === 'bytes' ? { body: Buffer.from(body.bytes).toString() } : {}) };
  } catch (error) {
    return { steps, end: error instanceof GatewayError ? (error.options.reason ?? error.code) : String(error) };
  }
}

describe('a write of another party', () => {
  it('is recorded before it is sent, and what follows it has followed before the answer', async () => {
    const { steps, end } = await write();
    expect(end).toBe('200');
    expect(steps).toEqual(['audit intent', 'read', 'audit event', 'intend', 'put', 'settled', 'audit outcome']);
  });

  it('is answered without what is redacted', async () => {
    const judged = { ...task, status: 'accepted', note: [{ text: 'secret' }] };
    expect((await write({ judged })).body).toContain('secret');
    const { body } = await write({ judged, redacted: ['Task.note'] });
    expect(JSON.parse(body ?? '')).toMatchObject({ status: 'accepted', meta: { tag: [{ code: 'SUBSETTED' }] } });
    expect(body).not.toContain('secret');
  });

  it('is not even judged without the record of it (A3)', async () => {
    const audit = () => Promise.reject(new GatewayError('audit_unavailable', 'disk'));
    expect(await write({ audit })).toEqual({ steps: ['audit intent'], end: 'audit_unavailable' });
  });

  it('is not sent when what follows it could not be written down', async () => {
    const { steps, end } = await write({ intend: () => Promise.reject(new GatewayError('unavailable', 'database')) });
    expect(end).toBe('unavailable');
    expect(steps).not.toContain('put');
  });

  it('of which nobody knows whether it happened is left to the job, and is not sent again (C24)', async () => {
    const { steps, end } = await write({ put: () => Promise.reject(new GatewayError('upstream_timeout', 'silence')) });
    expect(end).toBe('upstream_timeout');
    expect(steps.slice(-3)).toEqual(['intend', 'put', 'unknown']);
    expect(steps.filter((each) => each === 'put')).toHaveLength(1);
  });

  it('that succeeded and could not be settled is left to the job, and the caller is told to come again', async () => {
    const { steps, end } = await write({ settled: () => Promise.reject(new Error('database')) });
    expect(end).toBe('not_settled');
    expect(steps.slice(-3)).toEqual(['put', 'settled', 'unknown']);
  });

  it('is judged again once when the version moved, then given up (check 43)', async () => {
    const moved = (): Promise<WriteResult> => Promise.resolve({ outcome: 'changed-meanwhile' });
    let puts = 0;
    const once = (): Promise<WriteResult> =>
      (puts += 1) === 1 ? moved() : Promise.resolve({ outcome: 'written', version: '5' });
    expect((await write({ put: once })).end).toBe('200');
    const { steps, end } = await write({ put: moved });
    expect(end).toBe('409');
    expect(steps.filter((each) => each === 'put')).toHaveLength(2);
    expect(steps).not.toContain('settled');
  });

  it('with a stale If-Match is 409 on STU3 and 412 on R4, with the right one 200 (check 43)', async () => {
    for (const [version, status] of [
      ['STU3', '409'],
      ['R4', '412'],
    ] as const) {
      const { steps, end } = await write({ version, ifMatch: 'W/"2"' });
      expect(end).toBe(status);
      expect(steps).not.toContain('put');
      expect((await write({ version, ifMatch: 'W/"3"' })).end).toBe('200');
    }
  });

  it.each([
    ['another id', { ...task, id: '2' }],
    ['another type', { ...task, resourceType: 'Patient' }],
  ])('never goes to another place than the judged one: the guard built %s', async (_what, judged) => {
    const { steps, end } = await write({ judged });
    expect(end).toBe('internal');
    expect(steps).not.toContain('put');
  });
});
