import type { Answer, Notes, Step } from './step.ts';

const TIMEOUT_MS = 60_000;

/** Sends a step's request as it stands, without following redirects. */
export async function send(step: Step, notes: Notes): Promise<Answer> {
  const body = step.body?.(notes);
  const isForm = body instanceof URLSearchParams;
  const response = await fetch(step.url(notes), {
    method: step.method,
    redirect: 'manual',
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: {
      ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
      ...step.headers?.(notes),
    },
    ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, bytes, json: parse(response.headers, bytes) };
}

function parse(headers: Headers, bytes: Uint8Array): unknown {
  if (bytes.length === 0 || !(headers.get('content-type') ?? '').includes('json')) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return value;
  } catch {
    return undefined;
  }
}
