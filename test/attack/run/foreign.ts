import { readFileSync } from 'node:fs';
import type { AttackArguments, ForeignBase } from './arguments.ts';
import { loadCases, rowOf, type AttackCase } from './case.ts';
import { createReport, type Report } from './report.ts';
import { bytesOf } from './run-case.ts';
import { exchange, type Exchange } from './wire.ts';
import type { AttackWorld, PresentedToken } from './world.ts';

/** Runs the part of the corpus that needs no inside view against a FHIR base. @returns whether all passed */
export async function runForeign(base: ForeignBase, args: AttackArguments): Promise<boolean> {
  const report = createReport(args.json);
  const world = foreignWorld(base);
  const cases = loadCases().filter(
    ({ id, class: group }) => args.only.length === 0 || args.only.some((each) => [id, rowOf(id), group].includes(each)),
  );
  for (const [name, each] of Map.groupBy(cases, (one) => one.class)) {
    report.begin(name);
    for (const one of each) {
      const reason = whyNot(one, world);
      if (reason !== undefined) report.skipped(one.id, reason);
      else await tell(one, world, base, report);
    }
    report.end();
  }
  return report.finish();
}

/** A legal request that the server behind the gate refuses has neither passed nor failed; it is said. */
async function tell(one: AttackCase, world: ForeignWorld, base: ForeignBase, report: Report): Promise<void> {
  const { serverMayRefuse, ...asked } = one;
  const problems = await run(asked, world, base);
  const isRefused =
    serverMayRefuse !== undefined &&
    problems.length > 0 &&
    (await run({ ...asked, status: serverMayRefuse.status }, world, base)).length === 0;
  if (isRefused) report.refused(one.id, serverMayRefuse.what);
  else report.result(one.id, one.title, problems);
}

interface ForeignWorld extends AttackWorld {
  readonly hasToken: boolean;
}

function foreignWorld({ url, tokenFile, leaks }: ForeignBase): ForeignWorld {
  const token = tokenFile === undefined ? undefined : readFileSync(tokenFile, 'utf8').trim();
  const give = (caller: string): Promise<PresentedToken> =>
    Promise.resolve({ token: caller === 'chart' && token !== undefined ? token : 'nobodys-token' });
  const none = (): Promise<readonly never[]> => Promise.resolve([]);
  return {
    name: 'foreign',
    hasToken: token !== undefined,
    address: { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port === '' ? 80 : url.port) },
    publicUrl: url.origin,
    secrets: leaks,
    token: give,
    freshToken: give,
    nowS: () => Date.now() / 1000,
    received: none,
    clear: () => Promise.resolve(),
    versionOf: () => Promise.resolve('1'),
    recordsOf: none,
    close: () => Promise.resolve(),
  };
}

function whyNot(each: AttackCase, world: ForeignWorld): string | undefined {
  if (each.node !== undefined || each.upstreamAnswers !== undefined || each.insideOnly === true)
    return 'needs servers of the suite';
  if (each.proof !== undefined || !['chart', 'none', 'unknown'].includes(each.as)) return 'needs a token of another kind';
  if (each.as === 'chart' && !world.hasToken) return 'needs --token-file';
  const text = JSON.stringify(each.request ?? each.raw);
  if (!text.includes('/a/fhir')) return 'is about another path than the FHIR base';
  return /\{version:|\{token:/.test(JSON.stringify(each)) ? 'needs what is stored' : undefined;
}

async function run(each: AttackCase, world: ForeignWorld, base: ForeignBase): Promise<readonly string[]> {
  const path = base.url.pathname.replace(/\/$/, '');
  const moved = JSON.parse(JSON.stringify(each).replaceAll('/a/fhir', path)) as AttackCase;
  const own = each.as === 'none' ? undefined : await world.token(each.as);
  const isHead = (index: number): boolean => index === 0 && each.request?.[0]?.startsWith('HEAD ') === true;
  const answers = each.closes === true ? Infinity : 1 + each.then.length;
  const result = await exchange(world.address, [await bytesOf(moved, world, own)], { answers, isHead });
  return judge(each, result, own, base.leaks);
}

/** Status, closing, and nothing of what the caller has no right to: that is all that can be seen from outside. */
function judge(each: AttackCase, result: Exchange, own: PresentedToken | undefined, leaks: readonly string[]): readonly string[] {
  const problems: string[] = [];
  const [first] = result.answers;
  const right = [each.status].flat();
  if (first === undefined) problems.push('no answer');
  else if (!right.includes(first.status)) problems.push(`answered ${first.status}, not ${right.join(' or ')}`);
  if (each.closes === true && !result.closed) problems.push('the connection stays open');
  const all = result.answers.map(({ headers, body }) => `${headers.join('\n')}\n${body.toString('utf8')}`).join('\n');
  for (const text of [...leaks, ...(own === undefined ? [] : [own.token])]) {
    if (text.length > 3 && all.includes(text)) problems.push(`"${text.slice(0, 30)}" is in the answer`);
  }
  if (/"(?:Patient\/other|other-\d+)"|\/(?:Patient\/other|Observation\/other-\d+)["/]/.test(all))
    problems.push('an id of Patient/other’s records is in the answer');
  return problems;
}
