import { connect, type Socket } from 'node:net';

/** Where to connect: always by address, never by a URL that a library would repair. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** One answer as it came. */
export interface WireAnswer {
  readonly status: number;
  /** Lower-case names, in order, repeats kept. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** What came of one connection. */
export interface Exchange {
  readonly answers: readonly WireAnswer[];
  /** 1xx answers that came before. */
  readonly interim: readonly number[];
  /** The other side ended or reset the connection. */
  readonly closed: boolean;
  /** Bytes behind the last whole answer. */
  readonly rest: Buffer;
}

export interface ExchangeOptions {
  /** How many answers to wait for; Infinity waits until the other side closes. */
  readonly answers?: number;
  /** The answers to HEAD, by index: they have a length and no body. */
  readonly isHead?: (index: number) => boolean;
  /** Ends the wait, for what did not come: far longer than anything takes. Default 60,000. */
  readonly timeoutMs?: number;
  /** Between two pieces. Default 15. */
  readonly gapMs?: number;
  /** Half-closes after the last piece. */
  readonly end?: boolean;
}

export function headerOf(answer: WireAnswer, name: string): string | undefined {
  return answer.headers.find(([each]) => each === name)?.[1];
}

/** Sends pieces of bytes over a new connection and reads whole answers. Never throws for what the other side does. */
export function exchange(to: Address, pieces: readonly Buffer[], options: ExchangeOptions = {}): Promise<Exchange> {
  const { answers: wanted = 1, timeoutMs = 60_000, gapMs = 15, isHead = () => false, end = false } = options;
  return new Promise((resolve) => {
    const socket = connect({ ...to, noDelay: true });
    const chunks: Buffer[] = [];
    let isOver = false;
    let isClosed = false;
    const done = (): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      socket.destroy();
      resolve({ ...parseAnswers(Buffer.concat(chunks), isHead, isClosed), closed: isClosed });
    };
    const timer = setTimeout(done, timeoutMs);
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (wanted === Infinity) return;
      const { answers } = parseAnswers(Buffer.concat(chunks), isHead, false);
      // The close that was announced is waited for, so that it can be seen.
      const isLast = answers.some((each) => headerOf(each, 'connection') === 'close');
      if (answers.length >= wanted && !isLast) done();
    });
    socket.on('end', () => {
      isClosed = true;
      done();
    });
    socket.on('close', () => {
      isClosed = true;
      done();
    });
    socket.on('error', () => undefined);
    void send(socket, pieces, gapMs, end);
  });
}

async function send(socket: Socket, pieces: readonly Buffer[], gapMs: number, end: boolean): Promise<void> {
  for (const [index, piece] of pieces.entries()) {
    if (index > 0) await new Promise((next) => setTimeout(next, gapMs));
    if (!socket.writable) return;
    socket.write(piece);
  }
  if (end) socket.end();
}

interface Parsed {
  readonly answers: readonly WireAnswer[];
  readonly interim: readonly number[];
  readonly rest: Buffer;
}

/** Reads whole answers from the beginning of what came; a body without length ends with the connection. */
export function parseAnswers(bytes: Buffer, isHead: (index: number, next: string) => boolean, closed: boolean): Parsed {
  const answers: WireAnswer[] = [];
  const interim: number[] = [];
  let at = 0;
  for (;;) {
    const end = bytes.indexOf('\r\n\r\n', at);
    if (end === -1) break;
    const [first = '', ...lines] = bytes.toString('latin1', at, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/.exec(first)?.[1] ?? 0);
    const headers = lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    });
    if (status >= 100 && status < 200) {
      interim.push(status);
      at = end + 4;
      continue;
    }
    const body = readBody(
      bytes,
      end + 4,
      headers,
      isHead(answers.length, bytes.toString('latin1', end + 4, end + 13)) || status === 304 || status === 204,
      closed,
    );
    if (body === undefined) break;
    answers.push({ status, headers, body: body.content });
    at = body.end;
  }
  return { answers, interim, rest: bytes.subarray(at) };
}

function readBody(
  bytes: Buffer,
  start: number,
  headers: WireAnswer['headers'],
  isEmpty: boolean,
  closed: boolean,
): { readonly content: Buffer; readonly end: number } | undefined {
  if (isEmpty) return { content: Buffer.alloc(0), end: start };
  if (headers.some(([name, value]) => name === 'transfer-encoding' && value === 'chunked')) return readChunks(bytes, start);
  const length = headers.find(([name]) => name === 'content-length')?.[1];
  if (length === undefined) return closed ? { content: bytes.subarray(start), end: bytes.length } : undefined;
  const end = start + Number(length);
  return bytes.length < end ? undefined : { content: bytes.subarray(start, end), end };
}

function readChunks(bytes: Buffer, start: number): { readonly content: Buffer; readonly end: number } | undefined {
  const parts: Buffer[] = [];
  let at = start;
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line === -1) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    if (!Number.isInteger(size)) return undefined;
    const from = line + 2;
    if (bytes.length < from + size + 2) return undefined;
    if (size === 0) return { content: Buffer.concat(parts), end: from + 2 };
    parts.push(bytes.subarray(from, from + size));
    at = from + size + 2;
  }
}
