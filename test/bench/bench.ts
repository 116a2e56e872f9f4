import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { startGateway, startLoad, startOwn, type Child, type Load } from './children.ts';
import type { RoundResult } from './messages.ts';
import { processorTimeUs } from './processor-time.ts';
import { HEADERS, TASK, TASK_PATH, TENANT } from './world.ts';

// `npm run bench [-- --json]`: the processor time of one allowed read (eOverdracht, Task; token cached, ledger asked, audit durable) through the
// real gateway, against a bare node:http + undici pass-through before the same FHIR server in the same run. Rounds alternate; the ratio is the
// median over pairs of rounds. Then the latency that each adds at half the gateway's own top rate. It ends by itself within a minute.

const HELP = `npm run bench [-- OPTIONS]
  --json            the last line is one JSON object
  --rounds N        measured pairs of rounds (7)
  --round-ms N      length of a round (1500)
  --connections N   (32)
  --log-level L     of the gateway, whose output goes nowhere (info, its default)
  --tenants N       further tenants in the configuration (0)
  --data DIR        where the journal and the database go (the system's temporary folder)
  --profile DIR     writes a processor profile of the gateway there; numbers are then not comparable
`;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    'round-ms': { type: 'string', default: '1500' },
    connections: { type: 'string', default: '32' },
    'log-level': { type: 'string', default: 'info' },
    tenants: { type: 'string', default: '0' },
    data: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}

const rounds = whole('rounds', 1, 20);
const durationMs = whole('round-ms', 200, 3_000);
const connections = whole('connections', 1, 64);
const otherTenants = whole('tenants', 0, 5_000);
const LATENCY_MS = 800;
const LATENCY_ROUNDS = 3;
const WARM_UP_ROUNDS = 2;

const say = (line: string): void => {
  if (!values.json) console.log(line);
};
const children: Child[] = [];
try {
  await bench();
} finally {
  await Promise.all(children.reverse().map((child) => child.end()));
}

async function bench(): Promise<void> {
  const keep = <T extends Child>(child: T): T => {
    children.push(child);
    return child;
  };
  const peers = keep(await startOwn('peers.ts'));
  const { fhir = '', node = '' } = peers.urls;
  const passThrough = keep(await startOwn('pass-through.ts', [fhir]));
  const load = keep(await startLoad());
  const gateway = keep(
    await startGateway({
      fhir,
      node,
      otherTenants,
      logLevel: values['log-level'],
      dataParent: values.data,
      profileDirectory: values.profile,
    }),
  );
  const direct = `${fhir}/fhir${TASK_PATH}`;
  const bare = { child: passThrough, url: `${passThrough.urls['proxy'] ?? ''}/fhir${TASK_PATH}` };
  const sluis = { child: gateway, url: `${gateway.urls['public'] ?? ''}/${TENANT}/fhir${TASK_PATH}` };
  await insistOnSameAnswer(direct, sluis.url);

  say(
    `Task read of eOverdracht, ${String(TASK.length)} bytes, ${String(connections)} connections, log level ${values['log-level']}`,
  );
  for (let round = 0; round < WARM_UP_ROUNDS; round += 1) {
    await measure(load, bare);
    await measure(load, sluis);
  }
  const pairs: { readonly bare: Measured; readonly sluis: Measured; readonly ratio: number }[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const one = await measure(load, bare);
    const other = await measure(load, sluis);
    const ratio = other.us / one.us;
    pairs.push({ bare: one, sluis: other, ratio });
    say(`  round ${String(round)}: pass-through ${us(one.us)}, sluis ${us(other.us)}, ratio ${ratio.toFixed(2)}`);
  }

  const ratio = median(pairs.map((pair) => pair.ratio));
  const passThroughUs = median(pairs.map((pair) => pair.bare.us));
  const sluisUs = median(pairs.map((pair) => pair.sluis.us));
  const topRate = median(pairs.map((pair) => pair.sluis.perSecond));
  const perSecond = Math.max(1, Math.round(topRate / 2));
  const paced = async (url: string): Promise<RoundResult> =>
    insistOnSuccess(await load.run({ url, headers: HEADERS, connections, durationMs: LATENCY_MS, perSecond }));
  const added: { readonly [target in 'bare' | 'sluis']: { p50Us: number[]; p99Us: number[] } } = {
    bare: { p50Us: [], p99Us: [] },
    sluis: { p50Us: [], p99Us: [] },
  };
  for (let round = 0; round < LATENCY_ROUNDS; round += 1) {
    const atUpstream = await paced(direct);
    for (const [target, url] of [
      ['bare', bare.url],
      ['sluis', sluis.url],
    ] as const) {
      const through = await paced(url);
      added[target].p50Us.push(through.p50Us - atUpstream.p50Us);
      added[target].p99Us.push(through.p99Us - atUpstream.p99Us);
    }
  }

  const result = {
    ratio: rounded(ratio, 3),
    ratios: pairs.map((pair) => rounded(pair.ratio, 3)),
    passThroughUs: rounded(passThroughUs, 1),
    sluisUs: rounded(sluisUs, 1),
    passThroughPerSecond: Math.round(median(pairs.map((pair) => pair.bare.perSecond))),
    sluisPerSecond: Math.round(topRate),
    latencyAtPerSecond: perSecond,
    addedP50Us: median(added.sluis.p50Us),
    addedP99Us: median(added.sluis.p99Us),
    passThroughAddedP50Us: median(added.bare.p50Us),
    passThroughAddedP99Us: median(added.bare.p99Us),
    logLevel: values['log-level'],
    tenants: otherTenants + 1,
    connections,
    bodyBytes: TASK.length,
    node: process.version,
    processors: availableParallelism(),
    ...(values.profile === undefined ? {} : { profiled: true }),
  };
  say('');
  say(
    `processor time per read: pass-through ${us(passThroughUs)}, sluis ${us(sluisUs)}, ratio ${ratio.toFixed(2)} (median of ${String(rounds)} pairs)`,
  );
  say(`requests per second: pass-through ${String(result.passThroughPerSecond)}, sluis ${String(result.sluisPerSecond)}`);
  say(
    `latency added at ${String(perSecond)}/s: sluis p50 ${ms(result.addedP50Us)}, p99 ${ms(result.addedP99Us)}; ` +
      `pass-through p50 ${ms(result.passThroughAddedP50Us)}, p99 ${ms(result.passThroughAddedP99Us)}`,
  );
  if (values.json) console.log(JSON.stringify(result));
}

interface Measured {
  /** Processor time per request. */
  readonly us: number;
  readonly perSecond: number;
}

async function measure(load: Load, target: { readonly child: Child; readonly url: string }): Promise<Measured> {
  const before = processorTimeUs(target.child.pid);
  const result = insistOnSuccess(await load.run({ url: target.url, headers: HEADERS, connections, durationMs }));
  const used = processorTimeUs(target.child.pid) - before;
  return { us: used / result.requests, perSecond: (result.requests * 1000) / result.elapsedMs };
}

/** A number about answers that were no answers would be worse than none. */
function insistOnSuccess(result: RoundResult): RoundResult {
  if (result.failures === 0 && result.requests > 0) return result;
  throw new Error(`${String(result.failures)} of ${String(result.requests)} requests of a round failed`);
}

async function insistOnSameAnswer(direct: string, throughGateway: string): Promise<void> {
  const [one, other] = [await fetch(direct, { headers: HEADERS }), await fetch(throughGateway, { headers: HEADERS })];
  const [stored, given] = [await one.text(), await other.text()];
  if (other.status !== 200 || stored !== given)
    throw new Error(`the gateway did not give the Task (${String(other.status)}): ${given}`);
}

function whole(name: 'rounds' | 'round-ms' | 'connections' | 'tenants', least: number, most: number): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  console.error(`--${name} is a whole number from ${String(least)} to ${String(most)}\n\n${HELP}`);
  process.exit(2);
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function us(value: number): string {
  return `${value.toFixed(0)} µs`;
}

function ms(valueUs: number): string {
  return `${(valueUs / 1000).toFixed(2)} ms`;
}
