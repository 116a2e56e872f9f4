import type { AuditSink } from '../audit/sink.ts';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { interactionVerb, isWrite, type Interaction } from '../fhir/interaction.ts';
import { FHIR_JSON, resolveAnswerFormat, resolveBodyFormat, type AnswerFormat } from '../fhir/media.ts';
import { parseInteraction } from '../fhir/parse-interaction.ts';
import { interactionPath, printInteraction } from '../fhir/print-interaction.ts';
import { parseQuery, parseTarget } from '../fhir/target.ts';
import { parseJsonPatch } from '../fhir/json-patch.ts';
import { parseJson, parseJsonObject } from '../fhir/json.ts';
import type { DecisionPoint, PermitVerdict, Verdict } from '../pdp/decide.ts';
import type { SelectedRole } from '../pdp/question.ts';
import { explainRules } from '../pdp/explain.ts';
import { parametersOf } from '../pdp/rules.ts';
import type { Sealer } from '../sealing.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { AuthenticatedCaller, Authenticator } from '../token/authenticate.ts';
import { mapClaims } from '../token/claims.ts';
import { settledFormat } from './answer-format.ts';
import { readResource } from './body.ts';
import { insistOnFittingConditions } from './conditions.ts';
import { explainWrite } from './explain-write.ts';
import type { ExplainedStage, Explanation } from './explanation.ts';
import { continuationOf, isBoundTo, LINK_OF_ANOTHER, type Continuation } from './page-links.ts';

/** A request that an operator wants explained: what stands below the FHIR base, and a token for it. */
export interface ExplainRequest {
  readonly token: string;
  readonly method: string;
  /** `/Observation?patient=1` */
  readonly target: string;
  /** By lower-case name. A PATCH without `content-type` is taken for a JSON Patch, any other body for FHIR JSON. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The form of a search by POST, the resource of a write, the steps of a patch, or the Parameters of an operation, as text. */
  readonly body?: string;
}

export interface ExplainOptions {
  readonly authenticator: Pick<Authenticator, 'identify'>;
  readonly decisions: DecisionPoint;
  /** Links to further pages. */
  readonly sealer: Sealer;
  readonly audit: AuditSink;
  readonly clock: Clock;
}

/**
 * Judges a request as the gate would, and tells every stage: for operators only, callers never learn this. Nothing is forwarded; what the
 * decision must look up is looked up and audited under the correlation id of the question. Not judged: the edge (raw bytes), a proof of
 * possession (there is none), limits, and of a write all that goes by what is stored: its guard, its version, what its criteria find and what it
 * then comes to. Its stages say so, under `notJudged`; of a Bundle no entry is judged.
 */
export async function explain(
  tenant: Tenant,
  request: ExplainRequest,
  correlationId: string,
  options: ExplainOptions,
): Promise<Explanation> {
  const stages: ExplainedStage[] = [];
  try {
    const named = readRequest(tenant, request);
    stages.push({ stage: 'address', outcome: 'passed', facts: describeInteraction(named) });
    const caller = await options.authenticator.identify(tenant, `Bearer ${request.token}`, isWrite(named));
    stages.push({ stage: 'authenticate', outcome: 'passed', facts: describeCaller(caller) });
    insistOnFittingConditions(headersOf(request), named);
    const continuation = continuationOf(named, tenant, options.sealer, options.clock.now().getTime());
    const interaction = continuation?.interaction ?? named;
    insistOnBody(tenant, request, interaction);
    const format = readFormat(tenant, request, interaction);
    const selected = options.decisions.select(tenant, caller.purposes);
    if ('effect' in selected) {
      const { code, text } = selected.reason;
      stages.push({ stage: 'role', outcome: 'stopped', code, ...(text === undefined ? {} : { text }) });
      return { outcome: 'denied', status: 403, stages };
    }
    stages.push({ stage: 'role', outcome: 'passed', facts: describeRole(selected, caller) });
    const rules = explainRules(selected.role, interaction);
    const isMatched = rules.some(({ faults }) => faults.length === 0);
    stages.push({ stage: 'rules', outcome: isMatched ? 'passed' : 'stopped', rules });
    const ask = (asked: Interaction): Promise<Verdict> =>
      options.decisions.decide({
        tenant,
        subject: caller.subject,
        purposes: caller.purposes,
        ...(caller.claims === undefined ? {} : { claims: caller.claims }),
        ...(caller.proof === undefined ? {} : { proof: caller.proof }),
        interaction: asked,
        body: () => Promise.resolve(parseBody(tenant, request, asked)),
        now: options.clock.now(),
        onLookUp: (type, id) => lookedUp(tenant, type, id, correlationId, options),
      });
    const verdict = await ask(interaction);
    const { code, text } = verdict.effect === 'permit' ? verdict.permit.reason : verdict.reason;
    const said = { code, ...(text === undefined ? {} : { text }) };
    if (verdict.effect === 'deny') {
      stages.push({ stage: 'decision', outcome: 'stopped', ...said });
      return { outcome: 'denied', status: 403, stages };
    }
    if (continuation !== undefined && !isBoundTo(continuation, verdict)) {
      stages.push({ stage: 'decision', outcome: 'stopped', ...LINK_OF_ANOTHER });
      return { outcome: 'denied', status: 403, stages };
    }
    stages.push({ stage: 'decision', outcome: 'passed', ...said, facts: describePermit(verdict) });
    settledFormat(format, verdict);
    stages.push(...(await explainWrite({ verdict, headers: headersOf(request), ask })));
    const stop = stages.at(-1);
    if (stop?.outcome === 'stopped') {
      const isRefused = stop.code === 'precondition_required';
      return { outcome: isRefused ? 'refused' : 'denied', status: isRefused ? 428 : 403, stages };
    }
    // What a conditional write comes to, and the entries of a Bundle, are not known before they are judged.
    if (!('criteria' in interaction) && interaction.kind !== 'bundle')
      stages.push({ stage: 'upstream', outcome: 'passed', facts: describeUpstream(verdict, continuation) });
    return { outcome: 'permitted', status: statusOf(interaction), stages };
  } catch (error) {
    return stopped(stages, error);
  }
}

const ORDER: readonly ExplainedStage['stage'][] = ['address', 'authenticate', 'format', 'role', 'rules', 'decision', 'upstream'];

function statusOf({ kind }: Interaction): number {
  if (kind === 'create') return 201;
  return kind === 'delete' ? 204 : 200;
}

function headersOf({ headers }: ExplainRequest): ReadonlyMap<string, string> {
  return new Map(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
}

function contentTypeOf(request: ExplainRequest): string | undefined {
  const { method, body } = request;
  const otherwise = method === 'PATCH' ? 'application/json-patch+json' : FHIR_JSON;
  return headersOf(request).get('content-type') ?? (method === 'PATCH' || body !== undefined ? otherwise : undefined);
}

/** What a body may be said to be, and of a patch that its steps can be read: both before anything is decided, as at the gate. */
function insistOnBody(tenant: Tenant, request: ExplainRequest, interaction: Interaction): void {
  const { body } = request;
  const isForm = 'via' in interaction && interaction.via === 'form';
  if (body === undefined || isForm) return;
  resolveBodyFormat(contentTypeOf(request), interaction, tenant.fhir.version);
  if (interaction.kind === 'patch' || interaction.kind === 'conditional-patch') parseJsonPatch(parseJson(Buffer.from(body)));
}

/** A refusal or failure, told at the stage after the last that passed. */
function stopped(stages: readonly ExplainedStage[], error: unknown): Explanation {
  const known = error instanceof GatewayError ? error : new GatewayError('internal', 'something went wrong', { cause: error });
  const last = stages.at(-1)?.stage;
  // The format is judged between who asks and what for; it has no stage of its own unless it stops a request.
  const next = last === undefined ? 'address' : (ORDER[ORDER.indexOf(last) + 1] ?? 'upstream');
  const field = known.options.fields?.[0];
  const text = field === undefined ? known.message : `${field.field} ${field.problem}`;
  // A link to a page that cannot be opened is denied, before there is a question to decide.
  if (known.status === 403) {
    const code = known.options.reason ?? known.code;
    return { outcome: 'denied', status: 403, stages: [...stages, { stage: 'decision', outcome: 'stopped', code, text }] };
  }
  return {
    outcome: known.status >= 500 ? 'failed' : 'refused',
    status: known.status,
    stages: [...stages, { stage: next, outcome: 'stopped', code: known.code, text }],
  };
}

function readRequest(tenant: Tenant, asked: ExplainRequest): Interaction {
  const { method, target, body } = asked;
  const { segments, query } = parseTarget(target, 0);
  const { version } = tenant.fhir;
  const ifNoneExist = headersOf(asked).get('if-none-exist');
  const contentType = contentTypeOf(asked);
  const request = {
    method,
    segments,
    query,
    version,
    ...(ifNoneExist === undefined ? {} : { ifNoneExist }),
    ...(contentType === undefined ? {} : { contentType }),
  };
  const interaction = parseInteraction(request);
  if (body === undefined) return interaction;
  if ('via' in interaction && interaction.via === 'form') return parseInteraction({ ...request, form: parseQuery(body) });
  if ('operation' in interaction && interaction.method === 'POST')
    return parseInteraction({ ...request, input: parseJsonObject(Buffer.from(body)) });
  return interaction;
}

function readFormat(tenant: Tenant, request: ExplainRequest, interaction: Interaction): AnswerFormat {
  const { target, body } = request;
  const isForm = 'via' in interaction && interaction.via === 'form' && body !== undefined;
  return resolveAnswerFormat({
    interaction,
    version: tenant.fhir.version,
    xml: tenant.fhir.xml,
    accept: headersOf(request).get('accept'),
    query: parseTarget(target, 0).query,
    ...(isForm ? { form: parseQuery(body) } : {}),
  });
}

function parseBody(tenant: Tenant, { body }: ExplainRequest, interaction: Interaction): ReturnType<typeof parseJsonObject> {
  return readResource(parseJsonObject(Buffer.from(body ?? '')), interaction, tenant);
}

/** An operator's question reads the custodian's data for its answer, and that is on record as any look-up is. */
function lookedUp(
  tenant: Tenant,
  type: string,
  id: string,
  correlationId: string,
  { audit, clock }: ExplainOptions,
): Promise<void> {
  return audit.record({
    phase: 'event',
    event: 'look-up',
    outcome: 'permitted',
    tenant: tenant.id,
    correlationId,
    at: clock.now(),
    attributes: { read: `${type}/${id}`, for: 'explain' },
  });
}

// Names of parameters, never their values: what is explained is kept for a repeat of the call.
function describeInteraction(interaction: Interaction): NonNullable<ExplainedStage['facts']> {
  const parameters = parametersOf(interaction).map(({ key }) => key);
  return { interaction: interaction.kind, verb: interactionVerb(interaction), path: interactionPath(interaction), parameters };
}

function describeCaller({ subject, purposes, dropped, proof }: AuthenticatedCaller): NonNullable<ExplainedStage['facts']> {
  return {
    purposes,
    // The key itself is not shown, and no proof was asked for.
    bound: proof !== undefined,
    credentials: subject.credentials.map(({ id }) => id),
    dropped: dropped.map(({ id, reason }) => `${id ?? 'no id'}: ${reason}`),
  };
}

/** A v2 token says in claims who asks, and which of them count is the role's to say. */
function describeRole(
  { useCase, role, purpose }: SelectedRole,
  caller: AuthenticatedCaller,
): NonNullable<ExplainedStage['facts']> {
  const { subject } = mapClaims(role, caller);
  return {
    useCase: useCase.id,
    role: role.id,
    purpose,
    requester: subject.organization.id,
    user: subject.user !== undefined,
    claims: [...subject.claims.keys()],
  };
}

function describePermit(verdict: PermitVerdict): NonNullable<ExplainedStage['facts']> {
  const { rule, patient, permit, reviews, filters, redacted, proofs } = verdict;
  return {
    rule: rule.id,
    ...(patient === undefined ? {} : { patient: patient.reference, proof: patient.proof }),
    ...(permit.grantId === undefined ? {} : { grant: permit.grantId }),
    ...(permit.credentialIds === undefined ? {} : { credentials: permit.credentialIds }),
    proofs: proofs.map(({ element, values }) => `${element} is ${values.join(' or ')}`),
    filters: filters.map(({ name }) => name),
    reviews: reviews.map(({ name }) => name),
    redacted,
  };
}

function describeUpstream({ interaction, local }: PermitVerdict, page?: Continuation): NonNullable<ExplainedStage['facts']> {
  if (local !== undefined) return { local: local.name };
  if (interaction.kind === 'capabilities' || interaction.kind === 'options')
    return { answeredBy: 'the gate, from the rules of the role' };
  // A further page is asked for by what the FHIR server said of it.
  if (page !== undefined)
    return { method: 'GET', path: page.cursor.path, parameters: parseQuery(page.cursor.query).map(({ name }) => name) };
  const { method, path } = printInteraction(interaction);
  // A patch goes up as the version that it makes.
  return {
    method: interaction.kind === 'patch' ? 'PUT' : method,
    path,
    parameters: parametersOf(interaction).map(({ key }) => key),
  };
}
