import type { Bench } from '../run/bench.ts';
import { exchange, headerOf, type WireAnswer } from '../run/wire.ts';

export interface Asked {
  readonly method?: string;
  /** Below the FHIR base of the tenant. */
  readonly path: string;
  readonly tenant?: string;
  readonly token?: string;
  readonly headers?: readonly string[];
  readonly json?: object;
  readonly timeoutMs?: number;
}

/** One request to a gate, over its own connection. @throws Error when there is no answer */
export async function ask(bench: Pick<Bench, 'address'>, asked: Asked): Promise<WireAnswer> {
  const { method = 'GET', path, tenant = 'a', token, headers = [], json, timeoutMs = 60_000 } = asked;
  const body = json === undefined ? '' : JSON.stringify(json);
  const lines = [
    `${method} /${tenant}/fhir${path} HTTP/1.1`,
    'Host: gate.example',
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    ...(json === undefined ? [] : ['Content-Type: application/fhir+json', `Content-Length: ${Buffer.byteLength(body)}`]),
    ...headers,
  ];
  const { answers } = await exchange(bench.address, [Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`)], { timeoutMs });
  const [answer] = answers;
  if (answer === undefined) throw new Error(`no answer to ${method} ${path}`);
  return answer;
}

export async function statusOf(bench: Pick<Bench, 'address'>, asked: Asked): Promise<number> {
  return (await ask(bench, asked)).status;
}

/** The outcome on record for an answer. */
export async function outcomeOf(bench: Bench, answer: WireAnswer) {
  const records = await bench.recordsOf(headerOf(answer, 'x-request-id') ?? '');
  return records.find(({ phase, part }) => phase === 'outcome' && part === undefined);
}

/** What a v2 node says of a good token of `c` for tenant `a`, with changes. */
export function facts(bench: Bench, change: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const iat = Math.floor(bench.nowS());
  return {
    active: true,
    iss: 'https://node.example/oauth2/a',
    scope: 'chart',
    iat,
    exp: iat + 900,
    organization_did: 'did:web:c.example',
    organization_name: 'c',
    organization_city: 'c-city',
    ...change,
  };
}

let count = 0;

/** A token that is for a scope of the lab, or as its facts say. */
export function give(bench: Bench, change: Readonly<Record<string, unknown>> = {}): string {
  count += 1;
  const token = `scenario-${count}`;
  bench.tell(token, facts(bench, change));
  return token;
}
