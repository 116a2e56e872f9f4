import { isDeepStrictEqual } from 'node:util';
import type { AttackCase } from './case.ts';
import { createFill, makeProof, type AttackWorld, type Fill, type PresentedToken, type Recorded } from './world.ts';
import { exchange, headerOf, type Exchange, type WireAnswer } from './wire.ts';

/** Runs one case and says what is wrong: nothing when all is as it must be. Cases of one world run one after the other. */
export async function runCase(each: AttackCase, world: AttackWorld): Promise<readonly string[]> {
  const { script } = world;
  if (isScripted(each) && script === undefined) throw new Error('needs a bench');
  const own = await presented(each, world);
  const pieces = [await bytesOf(each, world, own)];
  await world.clear();
  script?.node(each.node);
  script?.upstream(each.upstreamAnswers);
  const wanted = 1 + each.then.length;
  const isHead = (index: number): boolean => index === 0 && each.request?.[0]?.startsWith('HEAD ') === true;
  try {
    const options = { answers: each.closes === true ? Infinity : wanted, isHead };
    const result = await exchange(world.address, pieces, options);
    return [
      ...judgeAnswers(each, result, own, world),
      ...judgeUpstream(each, await world.received(), own),
      ...(await judgeAudit(result, world)),
    ];
  } finally {
    script?.node(undefined);
    script?.upstream(undefined);
    if (isScripted(each)) await script?.heal();
  }
}

/** Whether a server must answer what it is told. */
export function isScripted(each: AttackCase): boolean {
  return each.node !== undefined || each.upstreamAnswers !== undefined;
}

async function presented(each: AttackCase, world: AttackWorld): Promise<PresentedToken | undefined> {
  if (each.as === 'none') return undefined;
  return each.node === undefined ? world.token(each.as) : world.freshToken(each.as);
}

/** The bytes of a case, with what is added to it: Host, Authorization (and DPoP), Content-Length. */
export async function bytesOf(each: AttackCase, world: AttackWorld, own: PresentedToken | undefined): Promise<Buffer> {
  const fill = createFill(world, own);
  if (each.raw !== undefined) return Buffer.from(await fill(each.raw), 'latin1');
  const [line = '', ...headers] = await Promise.all((each.request ?? []).map(fill));
  const body = await bodyOf(each, fill);
  const lines = [line.includes(' HTTP/') ? line : `${line} HTTP/1.1`];
  if (each.bare !== true) {
    if (!has(headers, 'host')) lines.push(`Host: ${world.address.host}:${world.address.port}`);
    if (own !== undefined) lines.push(...(await credentials(each, line, own, world)));
    const isFramed = has(headers, 'content-length') || has(headers, 'transfer-encoding');
    if (body.length > 0 && !isFramed) lines.push(`Content-Length: ${body.length}`);
  }
  lines.push(...headers);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
}

function has(headers: readonly string[], name: string): boolean {
  return headers.some((line) => line.toLowerCase().startsWith(`${name}:`));
}

async function bodyOf(each: AttackCase, fill: Fill): Promise<Buffer> {
  if (each.bodyBase64 !== undefined) return Buffer.from(each.bodyBase64, 'base64');
  if (each.json !== undefined) return Buffer.from(await fill(JSON.stringify(each.json)));
  return Buffer.from(await fill(each.body ?? ''));
}

async function credentials(each: AttackCase, line: string, own: PresentedToken, world: AttackWorld): Promise<readonly string[]> {
  const { proof } = each;
  if (own.jwk === undefined && proof === undefined) return [`Authorization: Bearer ${own.token}`];
  const scheme = proof?.scheme ?? 'DPoP';
  const authorization = `Authorization: ${scheme} ${own.token}`;
  if (proof?.missing === true) return [authorization];
  const [method = '', target = ''] = line.split(' ');
  const url = `${world.publicUrl}${target.split('?')[0] ?? ''}`;
  const bound = own.jwk === undefined ? { ...own, jwk: (await world.freshToken('chart-dpop')).jwk ?? {} } : own;
  const make = (): Promise<string> => makeProof(bound, { method, url, nowS: world.nowS() }, proof);
  const first = await make();
  switch (proof?.repeat) {
    case undefined:
      return [authorization, `DPoP: ${first}`];
    case 'header':
      return [authorization, `DPoP: ${first}`, `DPoP: ${await make()}`];
    case 'comma':
      return [authorization, `DPoP: ${first}, ${await make()}`];
    case 'used': {
      const lines = [authorization, `DPoP: ${first}`];
      const head = [`${line} HTTP/1.1`, 'Host: x', ...lines].join('\r\n');
      await exchange(world.address, [Buffer.from(`${head}\r\n\r\n`, 'latin1')]);
      return lines;
    }
  }
}

function judgeAnswers(each: AttackCase, result: Exchange, own: PresentedToken | undefined, world: AttackWorld): string[] {
  const expected = [each.status, ...each.then];
  const problems: string[] = [];
  if (result.answers.length !== expected.length) {
    const came = result.answers.map(({ status }) => status).join(', ');
    problems.push(`${result.answers.length} answers (${came}) instead of ${expected.length}`);
  }
  for (const [index, answer] of result.answers.entries()) {
    const right = [expected[index] ?? []].flat();
    if (!right.includes(answer.status)) problems.push(`answered ${answer.status}, not ${right.join(' or ')}`);
    problems.push(...judgeOneAnswer(answer));
  }
  if (each.closes === true && !result.closed) problems.push('the connection stays open');
  if (result.rest.length > 0) problems.push(`${result.rest.length} bytes follow the answer`);
  const [first] = result.answers;
  if (first !== undefined) problems.push(...judgeContent(each, first));
  const all = result.answers.map(printAnswer).join('\n');
  for (const secret of [...world.secrets, ...each.lacks]) if (all.includes(secret)) problems.push(`"${secret}" is in the answer`);
  if (own !== undefined && own.token.length > 8 && all.includes(own.token)) problems.push('the token is in the answer');
  return problems;
}

/** What holds for every answer of the gate. */
function judgeOneAnswer(answer: WireAnswer): readonly string[] {
  const problems: string[] = [];
  const { status } = answer;
  const must = (name: string, pattern: RegExp): void => {
    const value = headerOf(answer, name);
    if (value === undefined || !pattern.test(value)) problems.push(`${status} with ${name}: ${value ?? 'none'}`);
  };
  must('x-request-id', /^[0-9a-f-]{36}$/);
  must('cache-control', /no-store/);
  must('x-content-type-options', /^nosniff$/);
  if (status === 401) must('www-authenticate', /^(?:Bearer|DPoP)\b/);
  if (status === 405) must('allow', /^[A-Z, ]+$/);
  if (status === 429 || status === 503) must('retry-after', /^\d+$/);
  for (const name of ['set-cookie', 'server', 'x-powered-by']) {
    if (headerOf(answer, name) !== undefined) problems.push(`the header ${name} left`);
  }
  const names = answer.headers.map(([name]) => name);
  if (new Set(names).size !== names.length) problems.push('a header of the answer is there twice');
  if (status >= 400 && answer.body.length > 0) problems.push(...judgeRefusal(answer));
  return problems;
}

/** A fresh OperationOutcome that repeats nothing: severity, code, one of our texts, the correlation id. */
function judgeRefusal(answer: WireAnswer): readonly string[] {
  let body: unknown;
  try {
    body = JSON.parse(answer.body.toString('utf8'));
  } catch {
    return ['the refusal is no JSON'];
  }
  const text = JSON.stringify(body);
  const id = headerOf(answer, 'x-request-id') ?? '';
  const problems: string[] = [];
  if (!text.includes('"OperationOutcome"')) problems.push('the refusal is no OperationOutcome');
  if (!text.includes(id)) problems.push('the refusal has no correlation id');
  if (/\bat .*\.ts|node_modules|Error:|stack/.test(text)) problems.push('the refusal shows the inside');
  if (answer.status === 403 && !/access_denied|user_context_required|assurance_level_too_low/.test(text))
    problems.push('a denial says something else than access_denied');
  return problems;
}

function judgeContent(each: AttackCase, answer: WireAnswer): readonly string[] {
  const problems: string[] = [];
  const text = answer.body.toString('utf8');
  for (const part of each.has) if (!text.includes(part)) problems.push(`"${part}" is not in the answer`);
  for (const [name, pattern] of Object.entries(each.headers)) {
    const value = headerOf(answer, name);
    if (pattern === null ? value !== undefined : value === undefined || !new RegExp(pattern).test(value))
      problems.push(`the header ${name} is ${value ?? 'not there'}`);
  }
  if (each.entries !== undefined) {
    const statuses = [...text.matchAll(/"status":"(\d{3})[^"]*"/g)].map((match) => Number(match[1]));
    if (!isDeepStrictEqual(statuses, each.entries))
      problems.push(`entries answer ${statuses.join(', ')}, not ${each.entries.join(', ')}`);
  }
  return problems;
}

function printAnswer(answer: WireAnswer): string {
  return `${answer.headers.map((pair) => pair.join(': ')).join('\n')}\n${answer.body.toString('utf8')}`;
}

const LOOK_UP = 'x-sluis-lookup';
/** What may go to a FHIR server (reliability §2.5), besides the tenant's own login. */
const SENT_HEADERS: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'accept',
  'accept-encoding',
  'cache-control',
  'content-length',
  'content-type',
  'if-match',
  'if-none-match',
  'prefer',
  'traceparent',
  'x-request-id',
  LOOK_UP,
]);

export function headersOf(recorded: Recorded): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (let index = 0; index < recorded.rawHeaders.length; index += 2)
    headers.set((recorded.rawHeaders[index] ?? '').toLowerCase(), recorded.rawHeaders[index + 1] ?? '');
  return headers;
}

function judgeUpstream(each: AttackCase, received: readonly Recorded[], own: PresentedToken | undefined): readonly string[] {
  const problems: string[] = [];
  const sent: Recorded[] = [];
  for (const recorded of received) {
    const headers = headersOf(recorded);
    const isLookUp = headers.get(LOOK_UP) === '1' && recorded.method === 'GET';
    if (!isLookUp) sent.push(recorded);
    if (headers.size * 2 !== recorded.rawHeaders.length) problems.push('a header is there twice upstream');
    for (const name of headers.keys()) if (!SENT_HEADERS.has(name)) problems.push(`the header ${name} went upstream`);
    const all = `${recorded.target}\n${recorded.rawHeaders.join('\n')}\n${recorded.body.toString('latin1')}`;
    if (own !== undefined && own.token.length > 8 && all.includes(own.token)) problems.push('the token went upstream');
  }
  const wanted = each.upstream === 'nothing' ? [] : each.upstream;
  const lines = sent.map(({ method, target }) => `${method} ${target}`);
  const expected = wanted.map((one) => (typeof one === 'string' ? one : one.request));
  if (!isDeepStrictEqual(lines, expected))
    problems.push(
      `upstream saw ${lines.length === 0 ? 'nothing' : lines.join('; ')} instead of ${expected.join('; ') || 'nothing'}`,
    );
  for (const [index, one] of wanted.entries()) {
    const body = sent[index]?.body.toString('utf8');
    if (typeof one === 'string' || body === undefined) continue;
    if (one.body !== undefined && body !== one.body) problems.push(`upstream got the body ${body.slice(0, 300)}`);
    if (one.json !== undefined && !isDeepStrictEqual(JSON.parse(body), one.json))
      problems.push(`upstream got ${body.slice(0, 300)}`);
  }
  return problems;
}

/** One outcome for each answer, with its status; and nothing of a token, a number of a person or a body in it. */
async function judgeAudit(result: Exchange, world: AttackWorld): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const answer of result.answers) {
    const id = headerOf(answer, 'x-request-id') ?? '';
    const records = await world.recordsOf(id);
    const outcomes = records.filter(({ phase, part }) => phase === 'outcome' && part === undefined);
    const statuses = outcomes.map(({ status }) => status);
    if (!isDeepStrictEqual(statuses, [answer.status]))
      problems.push(`the audit has outcomes ${statuses.join(', ') || 'none'} for the answer ${answer.status}`);
    const text = JSON.stringify(records);
    for (const secret of world.secrets) if (text.includes(secret)) problems.push(`"${secret}" is in the audit`);
  }
  return problems;
}
