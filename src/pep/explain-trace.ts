import type { AuditSink } from '../audit/sink.ts';
import type { Clock } from '../clock.ts';
import { isWrite, type Interaction } from '../fhir/interaction.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { AuthenticatedCaller } from '../token/authenticate.ts';
import { notSent } from './explain-dry.ts';
import type { Ending, RequestRecord } from './record.ts';
import type { Authenticated, Decided, Seen } from './stages.ts';
import type { Watch } from './watch.ts';

/** How far a request came on its way, and what was said of it there: of the whole, or of one entry of a Bundle. */
export interface Trace {
  /** `entry-1`; undefined of the whole. */
  readonly part: string | undefined;
  /** As it was read, with its form or its input, or of a page its search. */
  readonly request: Interaction | undefined;
  readonly caller: AuthenticatedCaller | undefined;
  /** What the PDP was asked of the request itself. */
  readonly asked: Authenticated | undefined;
  /** What it said, of the request itself first. */
  readonly judged: readonly Decided[];
  readonly error: unknown;
  readonly ending: Ending | undefined;
}

/** The same while it is written. */
type Open = { -readonly [K in keyof Trace]: Trace[K] } & { readonly judged: Decided[] };

export interface Tracing {
  readonly watch: Watch;
  /** For what is looked up besides. */
  readonly lookUp: RequestRecord['lookUp'];
  /** Of the request, and of every entry that it was found to have, in their order. */
  traces(): { readonly whole: Trace; readonly entries: readonly Trace[] };
}

/** Watches one request. What it looks up is on record as any look-up is; nothing else is recorded. */
export function createTracing(
  tenant: Tenant,
  correlationId: string,
  { audit, clock }: { readonly audit: AuditSink; readonly clock: Clock },
): Tracing {
  const opened = new Map<RequestRecord, Open>();
  let lookUps = 0;
  /** An operator's question reads the custodian's data for its answer, and that is on record as any look-up is. */
  const lookUp = (type: string, id: string): Promise<void> => {
    lookUps += 1;
    return audit.record({
      phase: 'event',
      event: 'look-up',
      outcome: 'permitted',
      tenant: tenant.id,
      correlationId,
      part: `look-up-${String(lookUps)}`,
      at: clock.now(),
      attributes: { read: `${type}/${id}`, for: 'explain' },
    });
  };
  return {
    lookUp,
    watch: {
      open: (received, part) => {
        const trace = newTrace(part);
        const record = recordOf(trace, received, tenant, lookUp);
        opened.set(record, trace);
        return record;
      },
      judging: (authenticated, record) => {
        const trace = opened.get(record);
        if (trace !== undefined) trace.asked ??= authenticated;
      },
      judged: (decided, record) => {
        opened.get(record)?.judged.push(decided);
      },
      failed: (error, record) => {
        const trace = opened.get(record);
        if (trace !== undefined) trace.error = error;
      },
    },
    traces: () => {
      const [whole = newTrace(undefined), ...entries] = opened.values();
      return { whole, entries };
    },
  };
}

function newTrace(part: string | undefined): Open {
  return { part, request: undefined, caller: undefined, asked: undefined, judged: [], error: undefined, ending: undefined };
}

/** The record of a request of which nothing will be recorded but what is looked up. */
function recordOf(trace: Open, received: Seen, tenant: Tenant, lookUp: RequestRecord['lookUp']): RequestRecord {
  let permitted: PermitVerdict | undefined;
  return {
    received,
    tenant,
    requester: undefined,
    interaction: undefined,
    proven: false,
    named: () => undefined,
    addressed: () => undefined,
    asks: (interaction) => {
      trace.request = interaction;
    },
    asksInbound: () => undefined,
    authenticated: (caller) => {
      trace.caller = caller;
    },
    selected: () => undefined,
    permitted: (verdict) => {
      permitted = verdict;
    },
    // The answer to a read is not fetched, and nothing is answered in its place: only a write is held against more than this.
    intent: () => (permitted === undefined || goesOn(permitted) ? Promise.resolve() : Promise.reject(notSent())),
    lookUp,
    outcome: (ending) => {
      trace.ending = ending;
      return Promise.resolve();
    },
  };
}

function goesOn({ interaction }: PermitVerdict): boolean {
  return isWrite(interaction) || interaction.kind === 'capabilities' || interaction.kind === 'options';
}
