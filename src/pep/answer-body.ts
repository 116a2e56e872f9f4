import type { Readable } from 'node:stream';
import { GatewayError } from '../errors.ts';
import { parseJsonObject, type JsonObject } from '../fhir/json.ts';
import { FHIR_JSON } from '../fhir/media.ts';
import type { UpstreamAnswer } from '../upstream/forward.ts';

/** @throws GatewayError `upstream_failed` for anything that is not called JSON */
export function insistOnJson(answer: Pick<UpstreamAnswer, 'headers'>): void {
  const { type, isUtf8 } = contentTypeOf(answer);
  if (isUtf8 && (type === FHIR_JSON || type === 'application/json' || type === 'application/json+fhir')) return;
  throw new GatewayError('upstream_failed', 'the FHIR server answered with another format', { reason: 'upstream_not_json' });
}

/** What a server calls its answer: the type in lower case, and whether the text is UTF-8, which it is where no charset is named. */
export function contentTypeOf({ headers }: Pick<UpstreamAnswer, 'headers'>): { readonly type: string; readonly isUtf8: boolean } {
  const text = headers.get('content-type') ?? '';
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(text)?.[1]?.toLowerCase();
  return {
    type: text.split(';')[0]?.trim().toLowerCase() ?? '',
    isUtf8: charset === undefined || charset === 'utf-8' || charset === 'utf8',
  };
}

/** A resource stands in a Bundle, in a Bundle's entry perhaps: what could be written must be able to come back. */
const MAX_ANSWER_DEPTH = 80;

export function parseAnswer(bytes: Uint8Array): JsonObject {
  try {
    return parseJsonObject(bytes, MAX_ANSWER_DEPTH);
  } catch (cause) {
    // Two readers could see two things in it (attack case X25).
    throw new GatewayError('upstream_failed', 'the FHIR server answered with JSON that cannot be read in one way', {
      cause,
      reason: 'upstream_bad_json',
    });
  }
}

/** @throws GatewayError `upstream_failed` when there is more than may be held in memory, or it breaks off */
export function readWhole(body: Readable, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // It broke off before anybody listened: no event will say so again.
    if (body.destroyed) {
      reject(brokeOff(body.errored ?? undefined));
      return;
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    body.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) reject(tooLarge());
      else chunks.push(chunk);
    });
    body.on('end', () => {
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
    });
    body.on('error', (cause) => {
      reject(brokeOff(cause));
    });
    body.on('close', () => {
      // An error has a stack: none is made for the close that follows a good end.
      if (!body.readableEnded) reject(brokeOff());
    });
  });
}

/**
 * The resource of an answer. An answer that is none is let go of at once: nobody would hear of its end.
 * @throws GatewayError `upstream_failed` as `insistOnJson`, `readWhole` and `parseAnswer`
 */
export async function readJson(answer: UpstreamAnswer, maxBytes: number): Promise<JsonObject> {
  try {
    insistOnJson(answer);
    return parseAnswer(await readWhole(answer.body, maxBytes));
  } catch (error) {
    discard(answer.body);
    throw error;
  }
}

/** The body as it comes, and no more, and where a length was announced no less (reliability §2.6). */
export async function* limit(body: Readable, maxBytes: number, lengthBytes: number | undefined): AsyncIterable<Buffer> {
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLarge();
    yield chunk;
  }
  if (lengthBytes !== undefined && bytes !== lengthBytes) throw brokeOff();
}

function tooLarge(): GatewayError {
  return new GatewayError('upstream_failed', 'the answer is too large', { reason: 'upstream_too_large' });
}

function brokeOff(cause?: unknown): GatewayError {
  const options = { reason: 'upstream_broke_off', ...(cause === undefined ? {} : { cause }) };
  return new GatewayError('upstream_failed', 'the answer of the FHIR server broke off', options);
}

/** Throws a body away, with its connection. */
export function discard(body: Readable): void {
  body.on('error', () => undefined);
  body.destroy();
}
