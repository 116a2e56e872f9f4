import { isWrite } from '../fhir/interaction.ts';
import { prefersRepresentation } from '../fhir/prefer.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { createGate, type GateOptions } from './enforce.ts';
import { createDry } from './explain-dry.ts';
import { endedOf, withPlaces, type Ended } from './explain-ending.ts';
import { asReceived, readHeaders, type ExplainRequest } from './explain-request.ts';
import { goodStatus, openIn, stagesOf, type StageOptions } from './explain-stages.ts';
import { createTracing, type Trace, type Tracing } from './explain-trace.ts';
import { finalOf } from './explain-write.ts';
import { concluded, type ExplainedEntry, type ExplainedStage, type Explanation } from './explanation.ts';
import { questionOf } from './question.ts';

export type { ExplainRequest } from './explain-request.ts';

/**
 * Tells what the gate would do with a request: for operators only, callers never learn this.
 * @param correlationId of the question: what is looked up for it is on record under it
 * @throws GatewayError `invalid_body` (400) for headers that are no headers of a judgement
 */
export type Explain = (tenant: Tenant, request: ExplainRequest, correlationId: string) => Promise<Explanation>;

/**
 * Creates the explanation of a gate with these options. It is that gate, on which the request goes its whole way: what it would look up is looked up, and where
 * something would be sent it ends. So nothing is judged a second time, in a second way. Not judged: the edge (raw bytes), a proof of possession (there is none to
 * ask for), limits, and what only an answer tells, which is said under `notJudged`.
 */
export function createExplain(options: GateOptions): Explain {
  const dry = createDry(options);
  return async (tenant, request, correlationId) => {
    const received = asReceived(tenant, request, correlationId);
    const tracing = createTracing(tenant, correlationId, options);
    const reply = await createGate({ ...dry(tenant), watch: tracing.watch }).enforce(received);
    const { whole, entries } = tracing.traces();
    const ended = withPlaces(endedOf(whole), reply);
    const prefer = await preference(whole, ended, request, tracing, options);
    return describe(whole, ended, entries, { tenant, decisions: options.decisions, prefer });
  };
}

type Context = Pick<StageOptions, 'tenant' | 'decisions' | 'prefer'>;

function describe(whole: Trace, ended: Ended, traces: readonly Trace[], context: Context): Explanation {
  const { request } = whole;
  if (request?.kind !== 'bundle' || traces.length === 0) return describeOne(whole, ended, { ...context, entries: {} });
  const within = request.bundleType ?? 'batch';
  const entries = traces.map((trace, index): ExplainedEntry => {
    const own = describeOne(trace, endedOf(trace, ended), { ...context, prefer: {}, entries: {}, within });
    return { index, part: trace.part ?? '', ...own };
  });
  const permitted = entries.filter(({ outcome }) => outcome === 'permitted').length;
  const counts = { kind: within, entries: entries.length, permitted };
  const stages = stagesOf(whole, ended, { ...context, entries: counts });
  if (ended.how === 'stopped') return { ...concluded(ended.outcome, ended.status, []), stages, entries };
  const more = within === 'batch' ? `, ${String(permitted)} of its ${String(entries.length)} entries` : '';
  return { ...concluded('permitted', 200, openInBundle(within, traces, entries, ended), more), stages, entries };
}

function describeOne(trace: Trace, ended: Ended, options: StageOptions): Explanation {
  const stages = stagesOf(trace, ended, options);
  switch (ended.how) {
    case 'stopped':
      return { ...concluded(ended.outcome, ended.status, []), stages };
    case 'answered':
      return { ...concluded('permitted', statusIn(trace, ended.status, options), []), stages };
    case 'sent': {
      const interaction = finalOf(trace)?.verdict.interaction ?? trace.request;
      return { ...concluded('permitted', interaction === undefined ? 200 : goodStatus(interaction), openIn(trace)), stages };
    }
  }
}

/** An entry of a transaction that asks nothing of the server ends as the whole does, and is told by its own status. */
function statusIn({ request }: Trace, status: number, { within }: StageOptions): number {
  return within === 'transaction' && request?.kind === 'conditional-delete' ? 204 : status;
}

function openInBundle(
  within: 'batch' | 'transaction',
  traces: readonly Trace[],
  entries: readonly Explanation[],
  { how }: Ended,
): readonly string[] {
  if (within === 'transaction')
    return how === 'sent' ? ['the FHIR server carries it out as one', 'what it answers shows the proofs of the permits'] : [];
  if (!entries.some(({ notJudged }) => notJudged !== undefined)) return [];
  // Its entries are carried out one after the other.
  const first = traces.findIndex(
    ({ request }, at) => request !== undefined && isWrite(request) && entries[at]?.notJudged !== undefined,
  );
  const isFollowed = first !== -1 && first < traces.length - 1;
  return [
    'the FHIR server carries out what is permitted of them',
    ...(isFollowed ? ['no entry changes what a later one is judged by'] : []),
  ];
}

/** What `Prefer: return=representation` would come to. */
async function preference(
  trace: Trace,
  ended: Ended,
  { headers }: ExplainRequest,
  { lookUp }: Tracing,
  { decisions, clock }: GateOptions,
): Promise<NonNullable<ExplainedStage['facts']>> {
  const written = finalOf(trace);
  const isWanted = prefersRepresentation(readHeaders(Object.entries(headers ?? {})).get('prefer'));
  if (ended.how === 'stopped' || written === undefined || !isWanted) return {};
  const { interaction } = written.verdict;
  if (interaction.kind === 'create') return { prefer: 'what was written comes back where the caller may read it' };
  if (interaction.kind !== 'update' && interaction.kind !== 'patch') return {};
  const { type, id } = interaction;
  const read = { ...written.authenticated, interaction: { kind: 'read', type, id, parameters: [], head: false } as const };
  const reading = await decisions.decide(questionOf(read, { lookUp }, clock)).catch(() => undefined);
  if (reading?.effect === 'permit' && reading.local === undefined)
    return { prefer: `what was written comes back as ${reading.rule.id} has it` };
  return { prefer: 'the answer has no body: the caller may not read what was written' };
}
