import type { AuditSink } from '../audit/sink.ts';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { isWrite, type Interaction } from '../fhir/interaction.ts';
import { parseJsonPatch } from '../fhir/json-patch.ts';
import { parseJson, parseJsonObject, type JsonObject } from '../fhir/json.ts';
import { resolveAnswerFormat, resolveBodyFormat } from '../fhir/media.ts';
import { parseInteraction } from '../fhir/parse-interaction.ts';
import { parseQuery, type QueryPair } from '../fhir/target.ts';
import type { Verdict } from '../pdp/decide.ts';
import { address, name, type AddressOptions } from './address.ts';
import type { Admission } from './admission.ts';
import { raise } from './alarm.ts';
import { settleFormat } from './answer-format.ts';
import { answerRead } from './answer.ts';
import { readResource } from './body.ts';
import { answerBundle } from './bundle.ts';
import { answerChange } from './change.ts';
import { answerConditional } from './conditional.ts';
import { insistOnFittingConditions } from './conditions.ts';
import { answerCreate } from './create.ts';
import { answerDelete } from './delete.ts';
import { answerDocument, isAssembled } from './document.ts';
import { presentedBy, receiveInbound, type InboundOptions } from './inbound.ts';
import { answerCapabilities, answerLocally, answerOptions } from './local.ts';
import { continuationOf, isBoundTo, LINK_OF_ANOTHER } from './page-links.ts';
import { questionOf } from './question.ts';
import { answerOperation } from './operation.ts';
import { openRecord, type RequestRecord } from './record.ts';
import { refuse, refuseDenied } from './refusal.ts';
import type { Reply } from './reply.ts';
import type { Addressed, Authenticated, Decided, Denied, Permitted, Received, Seen } from './stages.ts';
import type { Watch } from './watch.ts';
import { answerWrite, type WriteOptions } from './write.ts';

/** The gate of the public listener. */
export interface Gate {
  /** The whole way of a request. Always an answer, never a throw; its audit record is closed, or is closed by `finish` of a stream. */
  enforce(received: Received): Promise<Reply>;
  /** The answer to a request that the edge or the parser has refused. */
  refuse(seen: Seen, error: unknown): Promise<Reply>;
}

export interface GateOptions extends AddressOptions, InboundOptions, WriteOptions {
  readonly maxBundleBytes: number;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly admission: Admission;
  /** Of `explain`; no gate of a listener has one. */
  readonly watch?: Watch;
}

/** Creates the gate. */
export function createGate(options: GateOptions): Gate {
  const open = (seen: Seen): RequestRecord =>
    options.watch?.open(seen) ?? openRecord(seen, options.audit, options.clock, options.metrics);

  async function enforce(received: Received): Promise<Reply> {
    const record = open(received);
    let leave: (() => void) | undefined;
    try {
      const addressed = address(received, record, options);
      leave = options.admission.enter(addressed.tenant);
      const reply =
        addressed.stage === 'addressed-inbound'
          ? await receiveInbound(addressed, record, options)
          : await carryOut(await judge(await authenticate(addressed, record, options), record), record);
      return leaving(reply, leave);
    } catch (error) {
      leave?.();
      return failed(error, record);
    }
  }

  function carryOut(decided: Decided, record: RequestRecord): Promise<Reply> {
    switch (decided.stage) {
      case 'denied':
        noteDenial(decided, record);
        return refuseDenied(record, decided.verdict.reason, decided.verdict.shown);
      case 'permitted':
        return forward(decided, record);
    }
  }

  async function judge(authenticated: Authenticated, record: RequestRecord): Promise<Decided> {
    const { caller, addressed } = authenticated;
    // Who asks with a v2 token is known once the role is: what the decision looks up is on record with it.
    const selected = caller.claims === undefined ? undefined : options.decisions.select(addressed.tenant, caller.purposes);
    if (selected !== undefined && !('effect' in selected)) record.selected(selected);
    return noted(await decide(authenticated, record, options), record);
  }

  /** The caller is denied all the same; that a store or a use case failed is the operator's to know. */
  function noted(decided: Decided, record: RequestRecord): Decided {
    if (decided.stage === 'denied' && decided.verdict.cause !== undefined) logged(decided.verdict.cause, record);
    return decided;
  }

  async function alone(authenticated: Authenticated, record: RequestRecord): Promise<Reply> {
    try {
      return await carryOut(await judge(authenticated, record), record);
    } catch (error) {
      return failed(error, record);
    }
  }

  function forward(asked: Permitted, record: RequestRecord): Promise<Reply> {
    const permitted = settleFormat(asked);
    const { guard, interaction, local } = permitted.verdict;
    if (local !== undefined) return answerLocally(permitted, local, record, options);
    if (interaction.kind === 'options') return answerOptions(interaction, record);
    if (interaction.kind === 'capabilities') return answerCapabilities(permitted, record, options);
    if (isAssembled(permitted)) return answerDocument(permitted, record, options);
    if (guard?.kind === 'code') return answerWrite(permitted, guard.write, record, options);
    if (isWrite(interaction)) return carryOutWrite(permitted, interaction, record);
    return answerRead(permitted, record, options);
  }

  function carryOutWrite(permitted: Permitted, interaction: Interaction, record: RequestRecord): Promise<Reply> {
    const { guard } = permitted.verdict;
    const writing = { ...options, judge, judgeBeside, alone, mayRead };
    switch (interaction.kind) {
      case 'bundle':
        return answerBundle(permitted, record, writing);
      case 'create':
        return answerCreate(permitted, record, writing);
      case 'update':
      case 'patch':
        if (guard?.kind === 'changes') return answerChange(permitted, guard.changes, record, writing);
        break;
      case 'delete':
        return answerDelete(permitted, record, writing);
      case 'conditional-create':
      case 'conditional-update':
      case 'conditional-patch':
      case 'conditional-delete':
        return answerConditional(permitted, interaction, record, writing);
      case 'operation-instance':
      case 'operation-type':
      case 'operation-system':
        return answerOperation(permitted, record, writing);
      case 'read':
      case 'vread':
      case 'history-instance':
      case 'history-type':
      case 'history-system':
      case 'search-type':
      case 'search-system':
      case 'search-compartment':
      case 'capabilities':
      case 'options':
        break;
    }
    throw new GatewayError('internal', `nothing carries out ${interaction.kind}`);
  }

  async function judgeBeside(authenticated: Authenticated, record: RequestRecord): Promise<Decided> {
    return noted(await ask(authenticated, record, options), record);
  }

  async function mayRead(
    { authenticated }: Permitted,
    record: RequestRecord,
    type: string,
    id: string,
  ): Promise<Permitted | undefined> {
    const interaction: Interaction = { kind: 'read', type, id, parameters: [], head: false };
    const decided = await judgeBeside({ ...authenticated, interaction, answer: 'json' }, record);
    // What a use case answers in the custodian's place is no right to what the custodian has.
    return decided.stage === 'permitted' && decided.verdict.local === undefined ? decided : undefined;
  }

  /** Callers learn a code, operators learn why: what was missing, and which credentials of the token did not count. */
  function noteDenial({ authenticated, verdict }: Denied, record: RequestRecord): void {
    const { code, text } = verdict.reason;
    options.logger.info(
      {
        module: 'pep',
        tenant: authenticated.addressed.tenant.id,
        correlationId: record.received.correlationId,
        reason: code,
        ...(text === undefined ? {} : { why: text }),
        dropped: authenticated.caller.dropped,
      },
      'denied',
    );
  }

  function failed(error: unknown, record: RequestRecord): Promise<Reply> {
    options.watch?.failed(error, record);
    return refuse(record, logged(error, record));
  }

  function logged(error: unknown, record: RequestRecord): unknown {
    if (error instanceof GatewayError && error.status < 500) return error;
    const { correlationId } = record.received;
    raise(error, record, options.metrics);
    options.logger.error({ module: 'pep', tenant: record.tenant?.id, correlationId, err: error }, 'a request failed');
    return error;
  }

  function refuseUnread(seen: Seen, error: unknown): Promise<Reply> {
    const record = open(seen);
    if (seen.target !== undefined) name(seen.target, record, options.tenants);
    return refuse(record, error);
  }

  return { enforce, refuse: refuseUnread };
}

async function authenticate(addressed: Addressed, record: RequestRecord, options: GateOptions): Promise<Authenticated> {
  const { received, tenant } = addressed;
  const { headers } = received;
  const caller = await options.authenticator.authenticate(tenant, presentedBy(received), isWrite(addressed.interaction));
  record.authenticated(caller);
  insistOnPlainBody(headers.get('content-encoding'));
  insistOnFittingConditions(headers, addressed.interaction);
  // Without a body there is nothing to wait for.
  const form = received.hasBody ? await readForm(addressed, options.maxMessageBytes) : undefined;
  const input = received.hasBody ? await readInput(addressed, options.maxResourceBytes) : undefined;
  const asked = form === undefined && input === undefined ? addressed.interaction : parseWithBody(addressed, form, input);
  const continuation = continuationOf(asked, tenant, options.sealer, options.clock.now().getTime());
  const interaction = continuation?.interaction ?? asked;
  record.asks(interaction);
  const isPatch = interaction.kind === 'patch' || interaction.kind === 'conditional-patch';
  if (received.hasBody && form === undefined) resolveBodyFormat(headers.get('content-type'), interaction, tenant.fhir.version);
  const answer = resolveAnswerFormat({
    interaction,
    version: tenant.fhir.version,
    xml: tenant.fhir.xml,
    accept: headers.get('accept'),
    query: addressed.query,
    ...(form === undefined ? {} : { form }),
  });
  const read = once(async () => received.readBody(options.maxResourceBytes));
  const body = once(async () => readResource(parseJsonObject(await read()), interaction, tenant));
  return {
    stage: 'authenticated',
    addressed,
    interaction,
    caller,
    answer,
    ...(continuation === undefined ? {} : { continuation }),
    body,
    ...(isPatch ? { patch: once(async () => parseJsonPatch(parseJson(await read()))) } : {}),
  };
}

/** A compressed body may be a bomb, and nobody needs one (attack case S10). @throws GatewayError `unsupported_media_type` (415) */
function insistOnPlainBody(coding: string | undefined): void {
  if (coding === undefined || coding.toLowerCase() === 'identity') return;
  throw new GatewayError('unsupported_media_type', 'the body is encoded', {
    fields: [{ field: 'Content-Encoding', problem: 'must be identity, or absent' }],
  });
}

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let reading: Promise<T> | undefined;
  return () => (reading ??= read());
}

/** The form of a search is part of what is asked, so it is read before it is judged, and after it is known who asks. */
async function readForm(addressed: Addressed, maxBytes: number): Promise<readonly QueryPair[] | undefined> {
  const { received, interaction, tenant } = addressed;
  if (!('via' in interaction) || interaction.via !== 'form' || !received.hasBody) return undefined;
  resolveBodyFormat(received.headers.get('content-type'), interaction, tenant.fhir.version);
  const bytes = await received.readBody(maxBytes);
  return parseQuery(Buffer.from(bytes).toString('latin1'));
}

/** So is the input of an operation by POST. */
async function readInput({ received, interaction, tenant }: Addressed, maxBytes: number): Promise<JsonObject | undefined> {
  if (!('operation' in interaction) || interaction.method !== 'POST' || !received.hasBody) return undefined;
  resolveBodyFormat(received.headers.get('content-type'), interaction, tenant.fhir.version);
  return parseJsonObject(await received.readBody(maxBytes));
}

function parseWithBody(
  { received, segments, query, tenant }: Addressed,
  form: readonly QueryPair[] | undefined,
  input: JsonObject | undefined,
): Interaction {
  return parseInteraction({
    method: received.method,
    segments,
    query,
    version: tenant.fhir.version,
    ...(form === undefined ? {} : { form }),
    ...(input === undefined ? {} : { input }),
  });
}

async function decide(authenticated: Authenticated, record: RequestRecord, options: GateOptions): Promise<Decided> {
  const decided = await ask(authenticated, record, options);
  const { verdict } = decided;
  if (verdict.selected !== undefined) record.selected(verdict.selected);
  if (decided.stage === 'permitted') record.permitted(decided.verdict);
  return decided;
}

/** What the PDP says; the record learns only what it looks up. */
async function ask(authenticated: Authenticated, record: RequestRecord, options: GateOptions): Promise<Decided> {
  const { decisions, clock, watch } = options;
  watch?.judging(authenticated, record);
  const decided = asDecided(authenticated, await decisions.decide(questionOf(authenticated, record, clock)));
  watch?.judged(decided, record);
  return decided;
}

function asDecided(authenticated: Authenticated, verdict: Verdict): Decided {
  const { continuation } = authenticated;
  if (verdict.effect === 'permit' && continuation !== undefined && !isBoundTo(continuation, verdict)) {
    return { stage: 'denied', authenticated, verdict: { effect: 'deny', selected: verdict.selected, reason: LINK_OF_ANOTHER } };
  }
  return verdict.effect === 'deny' ? { stage: 'denied', authenticated, verdict } : { stage: 'permitted', authenticated, verdict };
}

/** A request is under way until its answer has left; a small answer has left as good as at once. */
function leaving(reply: Reply, leave: () => void): Reply {
  const { body } = reply;
  if (body.kind !== 'stream') {
    leave();
    return reply;
  }
  return { ...reply, body: { ...body, finish: (sent) => body.finish(sent).finally(leave) } };
}
