import { linkPrefix, hashSuffix, sha256, GENESIS } from './format.ts';
import { quote } from './encode.ts';
import type { ChainHead } from './format.ts';

/** What is written at once: the records that gathered while the previous write was under way, by tenant, each share with its link. */
export interface Batch {
  readonly records: number;
  /** The oldest segment with an intent that this batch closes. */
  readonly closesFrom: number;
  /** An upper bound of `assemble().length`. */
  maxBytes(): number;
  /** The bytes to write at `offset`; valid until the next call for any batch. Moves the chains on. */
  assemble(offset: number): Buffer;
  resolve(): void;
  reject(reason: Error): void;
}

/** Gathers records into batches, gives sequences, keeps the chains. One promise serves all the records of a batch. */
export interface Batches {
  /** Adds a record to the gathering batch; `closesFrom` is the segment of the intent that it closes. @returns its sequence */
  add(tenant: string, text: string, closesFrom: number | undefined): number;
  /** Of the record added last: settles when its batch is durable or lost. */
  promise(): Promise<void>;
  take(): Batch | undefined;
  empty(): boolean;
  /** The oldest segment with an intent that a waiting batch closes, `Infinity` when there is none. */
  closesFrom(): number;
  waiting(): number;
  /** Ordinal of the last batch assembled. */
  written(): number;
  /** The chains as of the last batch assembled. */
  heads(): ReadonlyMap<string, ChainHead>;
  rejectAll(reason: Error): void;
}

interface Chain {
  readonly tenant: string;
  /** `,"tenant":"…",`: between the sequence and the rest of a record. */
  readonly infix: string;
  sequence: number;
  head: ChainHead;
  /** This chain's share of the gathering batch. */
  share: Share | undefined;
}

interface Share {
  readonly chain: Chain;
  readonly first: number;
  count: number;
  text: string;
}

interface Gathering {
  readonly shares: Share[];
  characters: number;
  records: number;
  closesFrom: number;
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/** A link line without its names: numbers, hashes, punctuation. */
const LINK_BYTES = 384;

/** @param heads where the chains stood before; @param lastBatch ordinal of the last batch before; @param maxCharacters of one batch */
export function createBatches(
  instance: string,
  heads: ReadonlyMap<string, ChainHead>,
  lastBatch: number,
  maxCharacters: number,
): Batches {
  const chains = new Map<string, Chain>();
  for (const [tenant, head] of heads) chains.set(tenant, createChain(tenant, head));
  const full: Gathering[] = [];
  let gathering: Gathering | undefined;
  let added: Gathering | undefined;
  let waiting = 0;
  let ordinal = lastBatch;
  let buffer = Buffer.allocUnsafeSlow(65_536);

  function setAside(batch: Gathering): void {
    for (const share of batch.shares) share.chain.share = undefined;
    full.push(batch);
    gathering = undefined;
  }

  function add(tenant: string, text: string, closesFrom: number | undefined): number {
    let chain = chains.get(tenant);
    if (chain === undefined) {
      chain = createChain(tenant, { sequence: 0, hash: GENESIS });
      chains.set(tenant, chain);
    }
    const batch = (gathering ??= createGathering());
    added = batch;
    const sequence = (chain.sequence += 1);
    const line = '{"seq":' + String(sequence) + chain.infix + text + '\n';
    const share = chain.share;
    if (share === undefined) {
      chain.share = { chain, first: sequence, count: 1, text: line };
      batch.shares.push(chain.share);
    } else {
      share.count += 1;
      share.text += line;
    }
    batch.records += 1;
    if (closesFrom !== undefined && closesFrom < batch.closesFrom) batch.closesFrom = closesFrom;
    batch.characters += line.length;
    waiting += line.length;
    if (batch.characters > maxCharacters) setAside(batch);
    return sequence;
  }

  function assemble(batch: Gathering, offset: number): Buffer {
    const bound = maxBytes(batch);
    if (buffer.length < bound) buffer = Buffer.allocUnsafeSlow(bound);
    ordinal += 1;
    let position = 0;
    for (const { chain, first, count, text } of batch.shares) {
      const start = position;
      position += buffer.write(text, position, 'utf8');
      const link = {
        tenant: chain.tenant,
        instance,
        batch: ordinal,
        offset: offset + start,
        first,
        count,
        previous: chain.head.hash,
      };
      position += buffer.write(linkPrefix(link), position, 'utf8');
      const hash = sha256(buffer.subarray(start, position));
      position += buffer.write(hashSuffix(hash), position, 'latin1');
      chain.head = { sequence: first + count - 1, hash };
    }
    return buffer.subarray(0, position);
  }

  function take(): Batch | undefined {
    if (full.length === 0 && gathering !== undefined) setAside(gathering);
    const batch = full.shift();
    if (batch === undefined) return undefined;
    waiting -= batch.characters;
    return {
      records: batch.records,
      closesFrom: batch.closesFrom,
      maxBytes: () => maxBytes(batch),
      assemble: (offset) => assemble(batch, offset),
      resolve: batch.resolve,
      reject: batch.reject,
    };
  }

  return {
    add,
    promise: () => added?.promise ?? Promise.resolve(),
    take,
    empty: () => full.length === 0 && gathering === undefined,
    closesFrom: () =>
      full.reduce((oldest, batch) => Math.min(oldest, batch.closesFrom), gathering?.closesFrom ?? Number.POSITIVE_INFINITY),
    waiting: () => waiting,
    written: () => ordinal,
    heads: () => {
      const standing = new Map<string, ChainHead>();
      for (const { tenant, head } of chains.values()) if (head.sequence > 0) standing.set(tenant, head);
      return standing;
    },
    rejectAll: (reason) => {
      for (let batch = take(); batch !== undefined; batch = take()) batch.reject(reason);
    },
  };
}

function createChain(tenant: string, head: ChainHead): Chain {
  return { tenant, infix: `,"tenant":${quote(tenant)},`, sequence: head.sequence, head, share: undefined };
}

function createGathering(): Gathering {
  let resolve = (): void => undefined;
  let reject = (_reason: Error): void => undefined;
  const promise = new Promise<void>((fulfil, fail) => {
    resolve = fulfil;
    reject = fail;
  });
  // Who asked for a record hears of it; the journal itself does not.
  promise.catch(() => undefined);
  return { shares: [], characters: 0, records: 0, closesFrom: Number.POSITIVE_INFINITY, promise, resolve, reject };
}

// A character is three bytes of UTF-8 at most (four are two characters).
function maxBytes(batch: Gathering): number {
  let bytes = batch.characters * 3;
  for (const { chain } of batch.shares) bytes += LINK_BYTES + 3 * chain.tenant.length;
  return bytes;
}
