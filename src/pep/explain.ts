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
  const ends = traces.map((trace) => endedOf(trace, ended));
  const firstWrite = within === 'batch' ? traces.findIndex((trace, at) => ends[at]?.how === 'sent' && isWriteIn(trace)) : -1;
  const entries = traces.map((trace, index): ExplainedEntry => {
    // The entries of a batch are carried out one after the other.
    const before = firstWrite !== -1 && index > firstWrite ? ['no entry before it changes what it is judged by'] : [];
    const own = describeOne(trace, ends[index] ?? ended, { ...context, prefer: {}, entries: {}, within }, before);
    return { index, part: trace.part ?? '', ...own };
  });
  const permitted = entries.filter(({ outcome }) => outcome === 'permitted').length;
  const counts = { kind: within, entries: entries.length, permitted };
  const stages = stagesOf(whole, ended, { ...context, entries: counts });
  if (ended.how === 'stopped') return { ...concluded(ended.outcome, ended.status, []), stages, entries };
  const more = within === 'batch' ? `, ${String(permitted)} of its ${String(entries.length)} entries` : '';
  const isFollowed = firstWrite !== -1 && firstWrite < traces.length - 1;
  const open = within === 'transaction' ? openInTransaction(traces, ended) : openInBatch(entries, isFollowed);
  return { ...concluded('permitted', 200, open, more), stages, entries };
}

function isWriteIn({ request }: Trace): boolean {
  return request !== undefined && isWrite(request);
}

function describeOne(trace: Trace, ended: Ended, options: StageOptions, before: readonly string[] = []): Explanation {
  const stages = stagesOf(trace, ended, options);
  switch (ended.how) {
    case 'stopped':
      return { ...concluded(ended.outcome, ended.status, []), stages };
    case 'answered':
      return { ...concluded('permitted', statusIn(trace, ended.status, options), []), stages };
    case 'sent': {
      const interaction = finalOf(trace)?.verdict.interaction ?? trace.request;
      return {
        ...concluded('permitted', interaction === undefined ? 200 : goodStatus(interaction), [...openIn(trace), ...before]),
        stages,
      };
    }
  }
}

/** An entry of a transaction that asks nothing of the server ends as the whole does, and is told by its own status. */
function statusIn({ request }: Trace, status: number, { within }: StageOptions): number {
  return within === 'transaction' && request?.kind === 'conditional-delete' ? 204 : status;
}

function openInTransaction(traces: readonly Trace[], { how }: Ended): readonly string[] {
  if (how !== 'sent') return [];
  const reads = traces.every(isWriteIn) ? [] : ['what it answers to its reads shows the proofs of their permits'];
  return ['the FHIR server carries it out as one', ...reads];
}

function openInBatch(entries: readonly Explanation[], isFollowed: boolean): readonly string[] {
  if (!entries.some(({ notJudged }) => notJudged !== undefined)) return [];
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
