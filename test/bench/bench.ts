import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { startGateway, startLoad, startOwn, type Child, type Load } from './children.ts';
import type { RoundResult } from './messages.ts';
import { processorTimeUs } from './processor-time.ts';
import { HEADERS, TASK, TASK_PATH, TENANT } from './world.ts';

// `npm run bench [-- --json]`: the processor time of one allowed read (eOverdracht, Task; token cached, ledger asked, audit durable) through the
// real gateway, against a bare node:http + undici pass-through before the same FHIR server in the same run. Rounds alternate; the ratio is the
// median over pairs of rounds. Then, at half the
// gateway's top rate, the latency that each adds and the processor time again: at its own top rate the pass-through is the cheaper for keeping the
// other two processes awake, at an equal rate it is not. It ends by itself within a minute.

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
const LATENCY_MS = 1_400;
const LATENCY_ROUNDS = 3;
// Long enough for the engine to have compiled what is hot, in the slower of the two.
const WARM_UP_MS = [1_500, 6_000] as const;

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
  await measure(load, bare, { durationMs: WARM_UP_MS[0] });
  await measure(load, sluis, { durationMs: WARM_UP_MS[1] });
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
  const paced = { bare: [] as Measured[], sluis: [] as Measured[], direct: [] as RoundResult[] };
  for (let round = 0; round < LATENCY_ROUNDS; round += 1) {
    const pace = { durationMs: LATENCY_MS, perSecond };
    paced.direct.push(insistOnSuccess(await load.run({ url: direct, headers: HEADERS, connections, ...pace })));
    paced.bare.push(await measure(load, bare, pace));
    paced.sluis.push(await measure(load, sluis, pace));
  }
  const usPaced = (through: readonly Measured[]): number =>
    through.reduce((sum, each) => sum + each.usedUs, 0) / through.reduce((sum, each) => sum + each.requests, 0);
  const added = (through: readonly Measured[], quantile: 'p50Us' | 'p99Us'): number =>
    median(through.map((each, index) => each[quantile] - (paced.direct[index]?.[quantile] ?? NaN)));
  const equalRateRatio = usPaced(paced.sluis) / usPaced(paced.bare);

  const result = {
    ratio: rounded(ratio, 3),
    ratios: pairs.map((pair) => rounded(pair.ratio, 3)),
    passThroughUs: rounded(passThroughUs, 1),
    sluisUs: rounded(sluisUs, 1),
    passThroughPerSecond: Math.round(median(pairs.map((pair) => pair.bare.perSecond))),
    sluisPerSecond: Math.round(topRate),
    equalRateRatio: rounded(equalRateRatio, 3),
    equalRatePassThroughUs: rounded(usPaced(paced.bare), 1),
    equalRateSluisUs: rounded(usPaced(paced.sluis), 1),
    equalRatePerSecond: perSecond,
    addedP50Us: added(paced.sluis, 'p50Us'),
    addedP99Us: added(paced.sluis, 'p99Us'),
    passThroughAddedP50Us: added(paced.bare, 'p50Us'),
    passThroughAddedP99Us: added(paced.bare, 'p99Us'),
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
    `at an equal rate of ${String(perSecond)}/s, half of sluis' best: pass-through ${us(usPaced(paced.bare))}, ` +
      `sluis ${us(usPaced(paced.sluis))}, ratio ${equalRateRatio.toFixed(2)}`,
  );
  say(
    `latency added at ${String(perSecond)}/s: sluis p50 ${ms(result.addedP50Us)}, p99 ${ms(result.addedP99Us)}; ` +
      `pass-through p50 ${ms(result.passThroughAddedP50Us)}, p99 ${ms(result.passThroughAddedP99Us)}`,
  );
  if (values.json) console.log(JSON.stringify(result));
}

interface Measured extends RoundResult {
  /** Processor time, of all of the round and per request. */
  readonly usedUs: number;
  readonly us: number;
  readonly perSecond: number;
}

interface Pace {
  readonly durationMs: number;
  readonly perSecond?: number;
}

async function measure(
  load: Load,
  target: { readonly child: Child; readonly url: string },
  pace: Pace = { durationMs },
): Promise<Measured> {
  const before = processorTimeUs(target.child.pid);
  const result = insistOnSuccess(await load.run({ url: target.url, headers: HEADERS, connections, ...pace }));
  const usedUs = processorTimeUs(target.child.pid) - before;
  return { ...result, usedUs, us: usedUs / result.requests, perSecond: (result.requests * 1000) / result.elapsedMs };
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
