import { fdatasync, write } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { createBatches } from './batch.ts';
import type { Batch } from './batch.ts';
import { encodeEntry } from './encode.ts';
import type { AuditEntry } from './entry.ts';
import { FORMAT_VERSION, GENESIS, headerLine, INSTANCE, NO_TENANT, readSuffix, sealLine } from './format.ts';
import type { ChainHead } from './format.ts';
import { instanceId, lockInstance } from './lock.ts';
import { createOpenIntents } from './open-intents.ts';
import { recover } from './recover.ts';
import type { RecoveredState } from './recover.ts';
import { allocateSpare, beginSegment, finishSegment, removeSpare } from './segment-file.ts';
import type { SegmentFile } from './segment-file.ts';
import type { AuditSink } from './sink.ts';

export type { AuditSink } from './sink.ts';

/** The append-only, hash-chained record of every access, on local disk. The truth; whatever else shows entries is built from it. */
export interface Journal extends AuditSink {
  /** Name of this process instance: the second part, after the tenant, of a chain's name. */
  readonly instance: string;
  readonly directory: string;
  /** Not ok: nothing about a person may leave. Only a restart helps, unless the reason is that the disk is nearly full. */
  health(): JournalHealth;
  stats(): JournalStats;
  /** Up to where the journal is durable. */
  position(): JournalPosition;
  /** Where each chain stands as of the last write begun: what one gives to a witness outside. */
  heads(): ReadonlyMap<string, ChainHead>;
  /** Whether an intent of this instance waits for its outcome; undefined for another instance's. */
  isOpen(instance: string, tenant: string, sequence: number): boolean | undefined;
  /** Writes what is waiting, seals the segment and lets go of the directory. Entries after this are rejected. */
  close(): Promise<void>;
}

export interface JournalHealth {
  readonly ok: boolean;
  readonly reason?: string;
}

export interface JournalStats {
  readonly records: number;
  readonly batches: number;
  readonly bytes: number;
  /** Intents that have no outcome yet. */
  readonly openIntents: number;
  /** Characters that wait for the disk. */
  readonly waiting: number;
}

export interface JournalPosition {
  /** Number of the segment. */
  readonly segment: number;
  readonly offsetBytes: number;
}

export interface JournalOptions {
  readonly directory: string;
  /** `[a-z0-9-]`, up to 40; default: the one kept in the directory (`instance`), made at the first start. */
  readonly instance?: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Size of a segment, allocated beforehand; default 16 MB. */
  readonly segmentBytes?: number;
  /** Below this free space no new request is admitted; those under way still get their outcome. Default 512 MB. */
  readonly minFreeBytes?: number;
}

/**
 * Opens the journal of an instance: recovers the end of the last process's, goes on in a new segment, and closes each intent
 * that was left without outcome as `interrupted`: what was asked for counts as disclosed.
 *
 * @throws GatewayError `audit_unavailable` when the directory cannot be used
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { directory, logger } = options;
  let release: (() => void) | undefined;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const instance = options.instance ?? instanceId(directory);
    // It is part of file names, and stands in the links as it is.
    if (!INSTANCE.test(instance)) throw new GatewayError('internal', 'an instance is named with a-z, 0-9 and -, up to 40');
    release = lockInstance(directory, instance);
    const state = await recover(directory, instance);
    for (const finding of state.findings) logger.error({ module: 'audit', instance }, finding);
    const journal = await createWriter(options, instance, state, release);
    await closeInterrupted(journal, options.clock, state);
    return journal;
  } catch (cause) {
    release?.();
    if (cause instanceof GatewayError) throw cause;
    throw new GatewayError('audit_unavailable', `the audit journal in ${directory} cannot be opened`, { cause });
  }
}

const DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024;
const DEFAULT_MIN_FREE_BYTES = 512 * 1024 * 1024;
const SPACE_CHECK_INTERVAL_MS = 2_000;
/** A record longer than this says something that does not belong in an audit entry. */
const MAX_RECORD_CHARACTERS = 65_536;
const MAX_WAITING_CHARACTERS = 16 * 1024 * 1024;

async function closeInterrupted(journal: Journal, clock: Clock, state: RecoveredState): Promise<void> {
  const at = clock.now();
  const written = state.open.map(({ tenant, correlationId, part }) =>
    journal.record({
      phase: 'outcome',
      ...(tenant === NO_TENANT ? {} : { tenant }),
      correlationId,
      ...(part === undefined ? {} : { part }),
      at,
      outcome: 'interrupted',
      status: 0,
      reason: 'interrupted_disclosure_assumed',
      complete: false,
    }),
  );
  if (state.findings.length > 0) {
    const found = Object.fromEntries(state.findings.map((finding, index) => [`finding${String(index + 1)}`, finding]));
    const attributes = { ...found, interrupted: String(state.open.length) };
    written.push(
      journal.record({
        phase: 'event',
        event: 'journal-recovered',
        outcome: 'interrupted',
        correlationId: journal.instance,
        at,
        attributes,
      }),
    );
  }
  await Promise.all(written);
}

async function createWriter(
  options: JournalOptions,
  instance: string,
  state: RecoveredState,
  release: () => void,
): Promise<Journal> {
  const { directory, clock, logger } = options;
  const segmentBytes = options.segmentBytes ?? DEFAULT_SEGMENT_BYTES;
  const minFreeBytes = options.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES;
  const batches = createBatches(instance, state.heads, state.batch, Math.floor(segmentBytes / 8));
  const open = createOpenIntents(state.open);

  let { number, headerHash } = state;
  let segment: SegmentFile;
  let offset = 0;
  let spare: Promise<void> | undefined;
  let spareFailed = false;
  let durable: JournalPosition;
  let busy = false;
  let scheduled = false;
  /** Final: after a failed write nobody knows what is on the disk, and a second try may lie (reliability §1.4). */
  let failure: string | undefined;
  /** Passing: room for outcomes, none for new requests. */
  let scarce: string | undefined;
  let closing: (() => void) | undefined;
  let closed: Promise<void> | undefined;
  let spaceCheckedMs = Number.NEGATIVE_INFINITY;
  let checkingSpace = false;
  const stats = { records: 0, batches: 0, bytes: 0 };

  async function nextSegment(previousLength: number, closesFrom = Number.POSITIVE_INFINITY): Promise<void> {
    const header = headerLine({
      format: FORMAT_VERSION,
      instance,
      number: number + 1,
      at: clock.now().toISOString(),
      batch: batches.written(),
      previousLength,
      previousHeader: headerHash,
      // An intent whose outcome is still on its way to the disk counts as open.
      openFrom: Math.min(open.oldestSegment(number + 1), closesFrom, batches.closesFrom()),
      heads: batches.heads(),
    });
    // Always room for a batch or two behind the header, however many chains it names.
    const sizeBytes = segmentBytes + header.length;
    const prepared = spare;
    spare = undefined;
    // One that failed to be made is no written file: making another is no second try on the same one.
    await (prepared ?? Promise.reject(new Error('none'))).catch(() => allocateSpare(directory, instance, sizeBytes));
    segment = await beginSegment(directory, instance, number + 1, header, sizeBytes);
    number += 1;
    headerHash = readSuffix(header) ?? GENESIS;
    offset = header.length;
    durable = { segment: number, offsetBytes: offset };
  }

  async function rotate(closesFrom: number): Promise<void> {
    const old = segment;
    const seal = sealLine(instance, number, batches.written(), offset);
    const used = offset + seal.length;
    await writeFully(old, seal, offset);
    await nextSegment(used, closesFrom);
    // Only gives back room; the next header already says how long the old one is.
    finishSegment(old, used).catch((error: unknown) => {
      logger.warn({ module: 'audit', err: error }, 'a full segment could not be cut to its length');
    });
  }

  function fail(reason: string, cause: unknown): void {
    if (failure !== undefined) return;
    failure = reason;
    logger.fatal({ module: 'audit', instance, err: cause }, `${reason}: nothing is served until the gateway is started again`);
    batches.rejectAll(unavailable(reason, cause));
    closing?.();
  }

  function schedule(): void {
    if (scheduled || busy) return;
    scheduled = true;
    // The rest of what this turn of the event loop and the next bring goes into the same batch: a write has its price whatever is in it, and while
    // one turn is worked through the sockets have more. Waiting for longer did not help (design §9).
    setImmediate(setImmediate, flush);
  }

  function flush(): void {
    scheduled = false;
    if (busy || failure !== undefined) return;
    const batch = batches.take();
    if (batch === undefined) {
      closing?.();
      return;
    }
    busy = true;
    if (offset + batch.maxBytes() + SEAL_RESERVE_BYTES > segment.sizeBytes) {
      rotate(batch.closesFrom).then(
        () => {
          writeBatch(batch);
        },
        (error: unknown) => {
          batch.reject(unavailable('the audit journal could not begin a new segment', error));
          fail('the audit journal could not begin a new segment', error);
        },
      );
    } else writeBatch(batch);
  }

  function writeBatch(batch: Batch): void {
    const bytes = batch.assemble(offset);
    const settle = (error: Error | null, written: number): void => {
      // Half a write is a failed write: what follows it on the disk is unknown.
      const problem =
        error ?? (written === bytes.length ? undefined : new Error(`${String(written)} of ${String(bytes.length)} bytes`));
      if (problem !== undefined) {
        const reason = 'the audit journal could not be written';
        batch.reject(unavailable(reason, problem));
        fail(reason, problem);
        return;
      }
      offset += bytes.length;
      durable = { segment: number, offsetBytes: offset };
      stats.batches += 1;
      stats.records += batch.records;
      stats.bytes += bytes.length;
      busy = false;
      batch.resolve();
      if (offset > segment.sizeBytes / 2) prepareSpare();
      checkSpace();
      if (!batches.empty() || closing !== undefined) schedule();
    };
    const descriptor = segment.handle.fd;
    if (segment.synchronous) {
      write(descriptor, bytes, 0, bytes.length, offset, settle);
    } else {
      write(descriptor, bytes, 0, bytes.length, offset, (error, written) => {
        if (error !== null) settle(error, written);
        else {
          fdatasync(descriptor, (problem) => {
            settle(problem, written);
          });
        }
      });
    }
  }

  function prepareSpare(): void {
    if (spare !== undefined || closing !== undefined) return;
    // A little larger than needed, as the header of the next segment is not known yet.
    spare = allocateSpare(directory, instance, segmentBytes + HEADER_RESERVE_BYTES);
    spare.catch((error: unknown) => {
      spareFailed = true;
      scarce = 'there is no room for the next segment of the audit journal';
      logger.error({ module: 'audit', err: error }, scarce);
    });
  }

  function checkSpace(): void {
    const nowMs = clock.now().getTime();
    if (checkingSpace || Math.abs(nowMs - spaceCheckedMs) < SPACE_CHECK_INTERVAL_MS) return;
    checkingSpace = true;
    spaceCheckedMs = nowMs;
    statfs(directory).then(
      ({ bavail, bsize }) => {
        checkingSpace = false;
        const short = bavail * bsize < minFreeBytes;
        if (short && scarce === undefined) {
          scarce = 'the disk of the audit journal is nearly full';
          logger.error({ module: 'audit', freeBytes: bavail * bsize, minFreeBytes }, scarce);
        } else if (!short && scarce !== undefined) {
          scarce = undefined;
          if (spareFailed) spare = undefined;
          spareFailed = false;
          logger.info({ module: 'audit' }, 'the disk of the audit journal has room again');
        }
      },
      (error: unknown) => {
        checkingSpace = false;
        logger.warn({ module: 'audit', err: error }, 'the free space for the audit journal cannot be read');
      },
    );
  }

  function record(entry: AuditEntry): Promise<void> {
    if (failure !== undefined || closed !== undefined)
      return Promise.reject(unavailable(failure ?? 'the audit journal is closed'));
    if (batches.waiting() > MAX_WAITING_CHARACTERS) return Promise.reject(unavailable('too much waits for the audit journal'));
    const tenant = entry.tenant ?? NO_TENANT;
    const closes = entry.phase === 'outcome' ? open.find(tenant, entry) : undefined;
    if (scarce !== undefined && closes === undefined) {
      checkSpace();
      return Promise.reject(unavailable(scarce));
    }
    let text: string;
    try {
      text = encodeEntry(entry, closes?.sequence);
    } catch (cause) {
      return Promise.reject(new GatewayError('internal', 'an audit entry could not be written as text', { cause }));
    }
    if (text.length > MAX_RECORD_CHARACTERS) return Promise.reject(new GatewayError('internal', 'an audit entry is too long'));
    const sequence = batches.add(tenant, text, closes?.segment);
    if (entry.phase === 'intent') open.add(tenant, entry, sequence, number);
    else if (closes !== undefined) open.remove(closes);
    schedule();
    return batches.promise();
  }

  async function shutDown(): Promise<void> {
    const drained = new Promise<void>((resolve) => {
      closing = resolve;
    });
    if (failure !== undefined) closing?.();
    else schedule();
    await drained;
    try {
      await spare?.catch(() => undefined);
      if (failure === undefined) {
        const seal = sealLine(instance, number, batches.written(), offset);
        await writeFully(segment, seal, offset);
        await finishSegment(segment, offset + seal.length);
        await removeSpare(directory, instance);
      } else await segment.handle.close();
    } finally {
      release();
    }
  }

  try {
    await nextSegment(state.lengthBytes);
  } catch (error) {
    await removeSpare(directory, instance).catch(() => undefined);
    throw error;
  }
  checkSpace();

  return {
    instance,
    directory,
    record,
    health: () => {
      const reason = failure ?? (closed === undefined ? scarce : 'the audit journal is closed');
      return reason === undefined ? { ok: true } : { ok: false, reason };
    },
    stats: () => ({ ...stats, openIntents: open.size(), waiting: batches.waiting() }),
    position: () => durable,
    heads: () => batches.heads(),
    isOpen: (ofInstance, tenant, sequence) => (ofInstance === instance ? open.has(tenant, sequence) : undefined),
    close: () => (closed ??= shutDown()),
  };
}

/** Room for the seal line at the end of every segment. */
const SEAL_RESERVE_BYTES = 256;
const HEADER_RESERVE_BYTES = 65_536;

function unavailable(message: string, cause?: unknown): GatewayError {
  return new GatewayError('audit_unavailable', message, { retryAfterSeconds: 5, ...(cause === undefined ? {} : { cause }) });
}

async function writeFully(file: SegmentFile, bytes: Buffer, position: number): Promise<void> {
  const { bytesWritten } = await file.handle.write(bytes, 0, bytes.length, position);
  if (bytesWritten !== bytes.length) throw new Error('the disk took half a line');
  if (!file.synchronous) await file.handle.datasync();
}
