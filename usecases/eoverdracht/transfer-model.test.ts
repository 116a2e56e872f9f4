import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import type { JsonObject } from 'sluis/usecase';
import { text } from './json.ts';
import { sweepTransfer } from './sweep-job.ts';
import { taskWrite } from './task-write.ts';
import { isTaskStatus, mayMove, nextStatuses } from './task-state.ts';
import { Crash, createWorld, drain, R1, R2, runJob, subjectOf, type Fault, type World } from './test-support.ts';
import { apply, type Command } from './transfer-commands.ts';
import { nextSteps } from './transfer-plan.ts';
import { saveTransfer, toStored } from './transfer-store.ts';
import { parseTransfer, resourcesKey, TRANSFER, type Transfer, type TransferDocument } from './transfer.ts';

// Proof by simulation (reliability §3.6): the real jobs against fake adapters, random commands and answers, a process that dies anywhere.

const HISTORIES = Number(process.env['SLUIS_MODEL_HISTORIES'] ?? '2000');
const SEED = Number(process.env['SLUIS_MODEL_SEED'] ?? '20260301');
const ID = 'transfer-1';
const PATIENT = 'Patient/real';

type Action =
  | {
      readonly do: 'command';
      readonly command: 'offer' | 'assign' | 'replace' | 'agree' | 'refuse' | 'cancel' | 'cancel-all' | 'hand-off';
      readonly pick: number;
    }
  | { readonly do: 'receiver'; readonly pick: number; readonly choice: number }
  | { readonly do: 'edit'; readonly pick: number }
  | { readonly do: 'job'; readonly pick: number }
  | { readonly do: 'jobs' }
  | { readonly do: 'sweep' }
  | { readonly do: 'land' };

const faultArbitrary = fc.oneof(
  { weight: 14, arbitrary: fc.constant<Fault>('none') },
  { weight: 2, arbitrary: fc.constantFrom<Fault>('fail', 'lose-answer', 'crash-before', 'crash-after', 'late') },
);

const actionArbitrary: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('command' as const),
      command: fc.constantFrom(
        'offer',
        'offer',
        'assign',
        'assign',
        'replace',
        'agree',
        'refuse',
        'cancel',
        'cancel-all',
        'hand-off',
      ),
      pick: fc.nat(3),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('receiver' as const),
      pick: fc.nat(3),
      choice: fc.constantFrom(0, 0, 1, 1, 1, 2, 3, 4),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('edit' as const), pick: fc.nat(3) }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('job' as const), pick: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.constant({ do: 'jobs' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'sweep' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'land' as const }) },
);

/** Where most histories become interesting: two offers are out. */
const OFFERED_TWICE: readonly Action[] = [
  { do: 'command', command: 'offer', pick: 0 },
  { do: 'command', command: 'offer', pick: 1 },
  { do: 'jobs' },
  { do: 'jobs' },
];

describe('a transfer, killed and answered at any moment', () => {
  it(`ends right in ${HISTORIES} random histories (checks 90, 91, 92, 93, 96)`, async () => {
    const counts = { crashes: 0, late: 0, completed: 0, cancelled: 0, assigned: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(actionArbitrary, { minLength: 8, maxLength: 30, size: 'max' }),
        fc.infiniteStream(faultArbitrary),
        fc.boolean(),
        async (actions, faults, offered) => {
          const world = await startWorld();
          if (offered) for (const action of OFFERED_TWICE) await perform(world, action);
          let faulty = true;
          world.fault = (effect) => {
            if (!faulty) return 'none';
            const { value } = faults.next() as { value: Fault };
            if (value.startsWith('crash')) counts.crashes += 1;
            // An issue that times out and lands later is the worst of all (reliability §3.6).
            if (!effect.startsWith('issue')) return value === 'late' ? 'lose-answer' : value;
            if (value !== 'late' && value !== 'fail') return value;
            counts.late += 1;
            return 'late';
          };
          for (const action of actions) {
            await perform(world, action);
            checkAtEveryInstant(world);
          }
          faulty = false;
          world.restart();
          await comeToRest(world);
          checkAtRest(world);
          const { status } = current(world);
          if (status === 'completed' || status === 'cancelled' || status === 'assigned') counts[status] += 1;
        },
      ),
      { numRuns: HISTORIES, seed: SEED },
    );
    // The model must have been where it hurts.
    expect(counts.crashes).toBeGreaterThan(HISTORIES / 2);
    expect(counts.late).toBeGreaterThan(HISTORIES / 40);
    expect(counts.completed).toBeGreaterThan(HISTORIES / 100);
    expect(counts.cancelled).toBeGreaterThan(HISTORIES / 20);
    expect(counts.assigned).toBeGreaterThan(HISTORIES / 100);
  }, 120_000);
});

async function startWorld(): Promise<World> {
  const world = createWorld();
  const notice: TransferDocument = given('advanceNotice', 'notice-0');
  const transfer: Transfer = {
    id: ID,
    patient: PATIENT,
    transferDate: '2026-03-05',
    status: 'created',
    createdAt: world.now().toISOString(),
    notice: notice.composition,
    documents: [notice],
    negotiations: [],
    timeline: [],
  };
  await world.transaction((unit) => saveTransfer(unit, undefined, transfer, world.config));
  return world;
}

function given(kind: TransferDocument['kind'], id: string): TransferDocument {
  return { composition: `Composition/${id}`, kind, resources: [`Composition/${id}`, `Condition/${id}`], written: true };
}

function current(world: World): Transfer {
  const [record] = world.records(TRANSFER);
  return parseTransfer(record?.state);
}

async function perform(world: World, action: Action): Promise<void> {
  if (world.isDead()) world.restart();
  try {
    switch (action.do) {
      case 'command': {
        await command(world, action);
        return;
      }
      case 'receiver': {
        await receiver(world, action);
        return;
      }
      case 'edit': {
        edit(world, action.pick);
        return;
      }
      case 'job':
        await runJob(world, action.pick);
        return;
      case 'jobs':
        for (let count = 0; count < 6; count += 1) await runJob(world, 0);
        return;
      case 'sweep': {
        await sweepTransfer(world.services, world.config, ID);
        return;
      }
      case 'land': {
        world.landLate();
        return;
      }
    }
  } catch (error) {
    if (!(error instanceof Crash) && !(error instanceof Error && error.name === 'GatewayError')) throw error;
  }
}

async function command(world: World, { command: kind, pick }: Extract<Action, { do: 'command' }>): Promise<void> {
  const transfer = current(world);
  const negotiation = transfer.negotiations[pick % Math.max(transfer.negotiations.length, 1)]?.id ?? 'none';
  const receiver = { organization: pick % 2 === 0 ? R1 : R2, name: 'receiver' };
  const fresh = randomBytes(6).toString('hex');
  const commands: Readonly<Record<typeof kind, Command>> = {
    offer: { kind: 'offer', ...receiver },
    'hand-off': { kind: 'hand-off', ...receiver, handoff: given('nursingHandoff', `handoff-${fresh}`) },
    // The same hand-off may be given again.
    assign: { kind: 'assign', negotiation, handoff: given('nursingHandoff', pick === 0 ? 'handoff-0' : `handoff-${fresh}`) },
    replace: { kind: 'replace-handoff', handoff: given('nursingHandoff', pick === 0 ? 'handoff-0' : `handoff-${fresh}`) },
    agree: { kind: 'agree', negotiation, notice: given('advanceNotice', `notice-${fresh}`), transferDate: '2026-03-09' },
    refuse: { kind: 'refuse', negotiation },
    cancel: { kind: 'cancel', negotiation },
    'cancel-all': { kind: 'cancel-all' },
  };
  await world.transaction(async (unit) => {
    const record = await unit.records(TRANSFER).get(ID);
    if (record === undefined) throw new Error('no transfer');
    const stored = toStored(record);
    const applied = apply(stored.transfer, commands[kind], {
      now: unit.now,
      newId: () => randomBytes(8).toString('hex'),
      config: world.config,
    });
    if (applied.ok) await saveTransfer(unit, stored, applied.transfer, world.config);
  });
}

/** A receiver's PUT through the gate: only with a live grant, written with If-Match, settled after; a crash in between is settled later. */
async function receiver(world: World, { pick, choice }: Extract<Action, { do: 'receiver' }>): Promise<void> {
  const { negotiations } = current(world);
  const negotiation = negotiations[pick % Math.max(negotiations.length, 1)];
  const stored = negotiation === undefined ? undefined : world.fhir.get(`Task/${negotiation.task.id}`);
  const granted = world
    .grants()
    .some(
      (grant) => grant.state === 'live' && grant.resources.some((each) => each.path === `/Task/${negotiation?.task.id ?? ''}`),
    );
  const status = stored?.resource['status'];
  if (negotiation === undefined || stored === undefined || !granted || typeof status !== 'string' || !isTaskStatus(status))
    return;
  const options = nextStatuses(status, 'receiver');
  const to = options[choice % Math.max(options.length, 1)];
  if (to === undefined) return;
  // The second lock, as the gate asks it (`judge`).
  const pending = negotiation.task.revision > negotiation.task.written;
  if (pending && negotiation.status !== status) return;
  const proposal =
    to === 'on-hold'
      ? {
          output: [
            { type: { coding: [{ system: 'http://snomed.info/sct', code: '146851000146105' }] }, valueDateTime: '2026-03-08' },
          ],
        }
      : {};
  world.put({ ...stored.resource, status: to, ...proposal });
  await settleTask(world, negotiation.task.id);
}

async function settleTask(world: World, taskId: string): Promise<void> {
  const found = world.fhir.get(`Task/${taskId}`);
  if (found === undefined) return;
  await world.transaction((unit) =>
    taskWrite.settle({ resource: found.resource, version: String(found.version) }, world.config, unit, world.services),
  );
}

/** The EHR writes past us. */
function edit(world: World, pick: number): void {
  const { negotiations } = current(world);
  const stored = world.fhir.get(`Task/${negotiations[pick % Math.max(negotiations.length, 1)]?.task.id ?? ''}`);
  if (stored !== undefined)
    world.put({
      ...stored.resource,
      note: [{ text: 'touched' }],
      status: pick === 3 ? 'draft' : (text(stored.resource, 'status') ?? ''),
    });
}

/** Everything lands, every job runs, the gate settles what a crash left open, and the sweeps come. */
async function comeToRest(world: World): Promise<void> {
  for (let round = 0; round < 4; round += 1) {
    world.landLate();
    for (const { task } of current(world).negotiations) await settleTask(world, task.id);
    await drain(world);
    world.advance(100_000);
    await sweepTransfer(world.services, world.config, ID);
    await drain(world);
  }
}

function checkAtEveryInstant(world: World): void {
  const holders = new Set(
    world
      .grants()
      .filter((each) => each.kind === 'nursing-handoff' && each.state === 'live')
      .map((each) => each.requester),
  );
  expect(holders.size).toBeLessThanOrEqual(1);
  const transfer = current(world);
  if (transfer.status === 'completed' || transfer.status === 'cancelled') {
    expect(world.grants().filter((each) => each.kind !== 'task' && each.state !== 'ended')).toEqual([]);
  }
  // The ledger and the record never differ.
  for (const grant of transfer.negotiations.flatMap((each) => each.grants)) {
    expect(world.grants().find((each) => each.id === grant.id)?.state).toBe(grant.state);
  }
}

function checkAtRest(world: World): void {
  checkAtEveryInstant(world);
  const transfer = current(world);
  expect(nextSteps(transfer)).toEqual([]);
  if (transfer.status === 'assigned') {
    const others = transfer.negotiations.filter((each) => each.status !== 'in-progress');
    expect(others.filter((each) => each.status !== 'cancelled' && each.status !== 'rejected')).toEqual([]);
  }
  for (const [reference, versions] of world.history) if (reference.startsWith('Task/')) checkMoves(versions);
  const tasks = [...world.fhir.values()].map((each) => each.resource).filter((each) => each['resourceType'] === 'Task');
  expect(tasks.map((task) => task['id']).sort()).toEqual(transfer.negotiations.map((each) => each.task.id).sort());
  const alive = world.credentials.filter((each) => !each.revoked);
  const keys = alive.map((each) => `${subjectOf(each)}\n${resourcesKey(each.resources)}`);
  expect(new Set(keys).size).toBe(keys.length);
  for (const negotiation of transfer.negotiations) {
    const task = world.fhir.get(`Task/${negotiation.task.id}`);
    expect(task?.resource['status']).toBe(negotiation.status);
    const live = negotiation.grants.filter((each) => each.state === 'live');
    for (const grant of live) expect(alive.some((each) => each.id === grant.credentialId)).toBe(true);
    expect(live.filter((each) => each.kind === 'task')).toHaveLength(1);
    const medical = live
      .filter((each) => each.kind !== 'task')
      .map((each) => each.kind)
      .sort();
    expect(medical).toEqual(expectedMedical(negotiation.status, negotiation.task.inputs));
    // At least one notification after the last change of the Task that the receiver must know.
    const told = world.sent.filter((each) => each.url.endsWith(negotiation.task.id)).map((each) => Number(each.taskVersion));
    expect(negotiation.notification.delivered).toBe(negotiation.notification.wanted);
    expect(Math.max(...told)).toBeGreaterThanOrEqual(lastStatusVersion(world, negotiation.task.id));
  }
  const livePaths = new Set(
    transfer.negotiations.flatMap((each) =>
      each.grants.filter((grant) => grant.state === 'live').map((grant) => grant.credentialId),
    ),
  );
  // Nothing alive at the node that the record does not know.
  expect(alive.filter((each) => !livePaths.has(each.id))).toEqual([]);
}

/** Nobody's answer is ever overwritten: each change of a Task is a move that its receiver or its sender may make. */
function checkMoves(versions: readonly JsonObject[]): void {
  let from = text(versions[0], 'status') ?? '';
  for (const version of versions) {
    const to = text(version, 'status') ?? '';
    if (to === from) continue;
    if (isTaskStatus(from) && isTaskStatus(to))
      expect(mayMove(from, to, 'receiver') || mayMove(from, to, 'sender') ? 'legal' : `${from} -> ${to}`).toBe('legal');
    from = to;
  }
}

function expectedMedical(status: string, inputs: Transfer['negotiations'][number]['task']['inputs']): readonly string[] {
  if (status === 'rejected' || status === 'cancelled' || status === 'completed') return [];
  const notice = inputs.advanceNotice === undefined ? [] : ['advance-notice'];
  return status === 'in-progress' ? [...notice, 'nursing-handoff'] : notice;
}

function lastStatusVersion(world: World, taskId: string): number {
  const history = world.history.get(`Task/${taskId}`) ?? [];
  const status = (resource: JsonObject): string => `${text(resource, 'status') ?? ''} ${JSON.stringify(resource['input'])}`;
  let last = 1;
  for (let index = 1; index < history.length; index += 1) {
    if (status(history[index]!) !== status(history[index - 1]!)) last = index + 1;
  }
  return last;
}
