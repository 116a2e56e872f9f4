import { hash } from 'node:crypto';
import { quote } from './encode.ts';

/**
 * The text of a journal segment (`docs/stored-records.md`): one JSON object a line, then NUL bytes up to what was allocated.
 *
 *     {"segment":{…}}                       header: where the chains stood when this file began
 *     {"seq":41,"tenant":"a",…}             records of one tenant …
 *     {"link":{"tenant":"a",…,"hash":"…"}}  … and the link over them; one pair per tenant and written batch
 *     {"seal":{…}}                          nothing follows
 *
 * Every line but a record ends in a SHA-256. A link's covers the bytes of its records and its own line up to the hash,
 * in which stands the hash of the tenant's previous link; header and seal cover their own line. So each byte is covered.
 */
export const FORMAT_VERSION = 1;

/** The chain of requests that belong to no tenant. A tenant id begins with a letter or digit, so it is no tenant's. */
export const NO_TENANT = '-';

/** What the first link of a chain names as its previous hash. */
export const GENESIS = '0'.repeat(64);

/** Where a chain stands: the sequence and hash of its last link. */
export interface ChainHead {
  readonly sequence: number;
  readonly hash: string;
}

export interface SegmentHeader {
  readonly format: number;
  readonly instance: string;
  /** From 1, without gaps within an instance. */
  readonly number: number;
  /** When it was begun, ISO 8601. */
  readonly at: string;
  /** The last batch written before this segment, 0 in the first. */
  readonly batch: number;
  /** Used bytes of the previous segment, 0 in the first. */
  readonly previousLength: number;
  /** Hash of the header of the previous segment: headers are a chain too. */
  readonly previousHeader: string;
  /** The segment with the oldest intent that had no outcome when this one began; recovery starts there. */
  readonly openFrom: number;
  readonly heads: ReadonlyMap<string, ChainHead>;
}

export interface LinkFacts {
  readonly tenant: string;
  readonly instance: string;
  /** Ordinal of the written batch within the instance, without gaps. */
  readonly batch: number;
  /** Where the first of its records begins, in bytes from the start of the segment. */
  readonly offset: number;
  /** Sequence of its first record. */
  readonly first: number;
  readonly count: number;
  readonly previous: string;
}

/** The link line up to its hash. */
export function linkPrefix(link: LinkFacts): string {
  return (
    `{"link":{"tenant":${quote(link.tenant)},"instance":"${link.instance}","batch":${String(link.batch)},` +
    `"offset":${String(link.offset)},"first":${String(link.first)},"count":${String(link.count)},"previous":"${link.previous}"`
  );
}

/** How a link, header or seal line ends. */
export function hashSuffix(digest: string): string {
  return `,"hash":"${digest}"}}\n`;
}

/** Length of `hashSuffix` in bytes, the newline included. */
export const SUFFIX_BYTES = hashSuffix(GENESIS).length;

const SUFFIX = /^,"hash":"([0-9a-f]{64})"\}\}\n$/;

/** The hash at the end of a link, header or seal line; undefined when the line does not end so. */
export function readSuffix(line: Buffer): string | undefined {
  return SUFFIX.exec(line.toString('latin1', Math.max(0, line.length - SUFFIX_BYTES)))?.[1];
}

export function sha256(bytes: Buffer): string {
  return hash('sha256', bytes, 'hex');
}

export function headerLine(header: SegmentHeader): Buffer {
  let heads = '';
  for (const [tenant, head] of header.heads) {
    heads += `${heads === '' ? '' : ','}${quote(tenant)}:[${String(head.sequence)},"${head.hash}"]`;
  }
  return closed(
    `{"segment":{"format":${String(header.format)},"instance":"${header.instance}","number":${String(header.number)},` +
      `"at":"${header.at}","batch":${String(header.batch)},"previousLength":${String(header.previousLength)},` +
      `"previousHeader":"${header.previousHeader}","openFrom":${String(header.openFrom)},"heads":{${heads}}`,
  );
}

/** @param batch the last batch of the segment; @param offset where the seal begins */
export function sealLine(instance: string, number: number, batch: number, offset: number): Buffer {
  return closed(
    `{"seal":{"instance":"${instance}","segment":${String(number)},"batch":${String(batch)},"offset":${String(offset)}`,
  );
}

function closed(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([bytes, Buffer.from(hashSuffix(sha256(bytes)))]);
}

export const INSTANCE = /^[a-z0-9][a-z0-9-]{0,39}$/;
export const SEGMENT_NAME = /^([a-z0-9][a-z0-9-]{0,39})\.(\d{8})\.ndjson$/;

export function segmentName(instance: string, number: number): string {
  return `${instance}.${String(number).padStart(8, '0')}.ndjson`;
}
