import type { FuzzArguments } from '../run/arguments.ts';
import { issuerOf, startBench, type Bench } from '../run/bench.ts';
import { parseAnswers, type Address } from '../run/wire.ts';
import { connect } from 'node:net';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { seedRequests, TOKENS } from './corpus.ts';
import { createMutant, type Mutant } from './mutate.ts';
import { judgeSent, permittedKey } from './oracle.ts';
import { SECRET, startFuzzUpstream, type FuzzUpstream } from './upstream.ts';

const HOST = 'gate.example';
const AT_ONCE = 32;
const ROUND = 500;
/** Far longer than any answer takes, and shorter than what the gate allows a request: what hangs is not taken for answered. */
const PATIENCE_MS = 25_000;
/** Longer than an answer takes; where it is not, an answer is lost, and nothing found that is not there. */
const QUIET_MS = 400;
const MAX_FINDINGS = 20;

export interface Finding {
  readonly problem: string;
  /** Those that were under way: the one at fault is among them. */
  readonly mutants: readonly Mutant[];
}

/** What a run has found. */
export interface Fuzzed {
  readonly findings: readonly Finding[];
  readonly statuses: ReadonlyMap<number, number>;
  /** Requests that reached the FHIR server, look-ups left out. */
  readonly sent: number;
}

/**
 * Sends mutants to a gate and watches what reaches its FHIR servers: all of it must be canonical, something that `chart` permits, and on record as
 * permitted.
 */
export async function fuzzQuietly({ count, seed, index }: FuzzArguments): Promise<Fuzzed> {
  const seeds = seedRequests(HOST);
  const upstream = await startFuzzUpstream();
  const bench = await startBench({ fhirUrl: () => upstream.url, keepLog: false });
  tellTokens(bench);
  const findings: Finding[] = [];
  const statuses = new Map<number, number>();
  let sent = 0;
  const indices = index === undefined ? Array.from({ length: count }, (_each, number) => number) : [index];
  for (let at = 0; at < indices.length && findings.length < MAX_FINDINGS; at += ROUND) {
    const mutants = indices.slice(at, at + ROUND).map((number) => createMutant(seeds, seed, number));
    underWay = mutants;
    if (index !== undefined) mutants.forEach((mutant) => show(mutant));
    findings.push(...(await runRound(mutants, bench.address, statuses)));
    const watched = await watch(bench, upstream);
    sent += watched.sent;
    // What is wrong upstream is found again with the mutants one by one.
    if (watched.problems.length > 0) findings.push(...(await narrow(mutants, bench, upstream, watched.problems)));
  }
  await bench.close();
  await upstream.close();
  return { findings, statuses, sent };
}

/** For what is said when the process comes to an end that nobody asked for. */
let underWay: readonly Mutant[] = [];

/** The same as a command: prints what it does and finds. @returns whether nothing was found */
export async function runFuzzer(args: FuzzArguments): Promise<boolean> {
  const { count, seed, index } = args;
  console.log(`fuzzer: ${index === undefined ? `${count} mutants` : `mutant ${index}`} of the seed ${seed}`);
  const startedMs = performance.now();
  const crash = (error: unknown): void => {
    console.error('fuzzer: the gateway threw what nobody caught:', error);
    print({ problem: 'a crash, of one of these', mutants: underWay }, seed);
    process.exit(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  const { findings, statuses, sent } = await fuzzQuietly(args);
  for (const finding of findings) print(finding, seed);
  const seconds = (performance.now() - startedMs) / 1000;
  const counts = [...statuses].sort(([one], [other]) => one - other).map(([status, times]) => `${status}: ${times}`);
  console.log(`fuzzer: answers ${counts.join(', ')}; ${sent} requests upstream; ${seconds.toFixed(1)} s`);
  console.log(`${(index === undefined ? count : 1) - findings.length} passed, ${findings.length} failed`);
  return findings.length === 0;
}

function tellTokens(bench: Bench): void {
  const iat = Math.floor(bench.clock.now().getTime() / 1000);
  const times = { iat, exp: iat + 3_600 };
  const v2 = { active: true, iss: issuerOf('a'), scope: 'chart', organization_did: 'did:web:c.example', ...times };
  bench.tell(TOKENS.good, v2);
  bench.tell(TOKENS.ofB, { ...v2, iss: issuerOf('b') });
  bench.tell(TOKENS.otherScope, { ...v2, scope: 'something-else' });
  bench.tell(TOKENS.bound, { ...v2, cnf: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' } });
  bench.tell(TOKENS.v1, { active: true, iss: 'did:nuts:a', sub: 'did:nuts:c', aud: '', service: 'chart', ...times });
}

async function runRound(mutants: readonly Mutant[], to: Address, statuses: Map<number, number>): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const queue = mutants.values();
  const worker = async (): Promise<void> => {
    for (const mutant of queue) {
      const problem = judgeBytes(await send(mutant, to), statuses);
      if (problem !== undefined) findings.push({ problem, mutants: [mutant] });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return findings;
}

interface CameBack {
  readonly bytes: Buffer;
  readonly closed: boolean;
}

/** Behind each mutant, on the same connection: where its framing is intact, this is answered with 404, and the connection closed. */
const PROBE = `GET /no-more HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`;

/** Sends it and the probe, and reads until the other side ends. Where the rest of a request is waited for, nothing more comes: then we end it. */
function send(mutant: Mutant, to: Address): Promise<CameBack> {
  return new Promise((resolve) => {
    const socket = connect({ ...to, noDelay: true });
    const chunks: Buffer[] = [];
    const done = (closed: boolean): void => {
      clearTimeout(timer);
      clearTimeout(quiet);
      socket.destroy();
      resolve({ bytes: Buffer.concat(chunks), closed });
    };
    const timer = setTimeout(() => done(false), PATIENCE_MS);
    const quiet = setTimeout(() => socket.end(), QUIET_MS);
    socket.on('data', (chunk) => {
      quiet.refresh();
      chunks.push(chunk);
    });
    socket.on('end', () => done(true));
    socket.on('close', () => done(true));
    socket.on('error', () => undefined);
    void (async () => {
      for (const piece of mutant.pieces) {
        socket.write(piece, 'latin1');
        if (mutant.pieces.length > 1) await turn();
      }
      socket.write(PROBE, 'latin1');
    })();
  });
}

function judgeBytes({ bytes, closed }: CameBack, statuses: Map<number, number>): string | undefined {
  // Which of the requests the other side has read as HEAD is not known here; no body of ours begins so.
  const { answers } = parseAnswers(bytes, (_index, next) => next === '' || next === 'HTTP/1.1 ', true);
  for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  if (answers.length === 0) statuses.set(0, (statuses.get(0) ?? 0) + 1);
  if (!closed) return `neither answered to the end nor closed within ${PATIENCE_MS / 1000} s`;
  if (bytes.includes(SECRET)) return 'the answer shows what is another’s';
  for (const { status } of answers) {
    if (status === 0) return 'an answer that is no HTTP';
    if (status === 500) return 'an internal error';
  }
  return undefined;
}

/** What reached the FHIR server, against what is on record. */
async function watch(
  bench: Bench,
  upstream: FuzzUpstream,
): Promise<{ readonly sent: number; readonly problems: readonly string[] }> {
  await idle(bench, upstream);
  const permitted = new Map<string, number>();
  for (const record of await bench.journal.fresh()) {
    const key = permittedKey(record);
    if (key !== undefined) permitted.set(key, (permitted.get(key) ?? 0) + 1);
  }
  const problems: string[] = [];
  let sent = 0;
  for (const recorded of upstream.take()) {
    const judged = judgeSent(recorded);
    if (judged.kind === 'wrong') problems.push(`${recorded.method} ${recorded.target} went upstream: ${judged.problem}`);
    if (judged.kind !== 'sent') continue;
    sent += 1;
    const left = (permitted.get(judged.key) ?? 0) - 1;
    permitted.set(judged.key, left);
    if (left < 0) problems.push(`${recorded.method} ${recorded.target} went upstream and is not on record as permitted`);
  }
  return { sent, problems };
}

/** Turns of the event loop: gate and server are in this process, so that in each whatever was written is read. */
const TURNS = 20;

/** Until no request is under way, here or upstream: what was sent is on record then, and what a caller that has gone left behind has arrived. */
async function idle(bench: Bench, upstream: FuzzUpstream): Promise<void> {
  for (let quiet = 0; quiet < TURNS; quiet += 1) {
    const { values } = await bench.gateway.metrics.inFlight.get();
    if (upstream.underWay() > 0 || values.some(({ value }) => value !== 0)) {
      quiet = 0;
      await delay(5);
    }
    await turn();
  }
}

/** The same mutants, one after the other, to find which it was. */
async function narrow(
  mutants: readonly Mutant[],
  bench: Bench,
  upstream: FuzzUpstream,
  problems: readonly string[],
): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const mutant of mutants) {
    await send(mutant, bench.address);
    const again = await watch(bench, upstream);
    if (again.problems.length > 0) found.push({ problem: again.problems.join('; '), mutants: [mutant] });
  }
  return found.length > 0 ? found : [{ problem: `${problems.join('; ')} (not again, one by one)`, mutants: mutants.slice(0, 1) }];
}

function print({ problem, mutants }: Finding, seed: number): void {
  console.log(`  FAILED ${problem}`);
  for (const { index, pieces } of mutants.slice(0, 3)) {
    const bytes = pieces.map((piece) => Buffer.from(piece, 'latin1').toString('base64')).join(' ');
    console.log(`    --fuzz --seed ${seed} --index ${index}, in base64: ${bytes.slice(0, 8_000)}`);
  }
}

function show(mutant: Mutant): void {
  for (const piece of mutant.pieces) console.log(JSON.stringify(piece));
}
