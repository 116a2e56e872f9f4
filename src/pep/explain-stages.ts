import { interactionVerb, isWrite, type Interaction } from '../fhir/interaction.ts';
import { interactionPath, printInteraction } from '../fhir/print-interaction.ts';
import { parseQuery } from '../fhir/target.ts';
import type { DecisionPoint, PermitVerdict } from '../pdp/decide.ts';
import { explainRules } from '../pdp/explain.ts';
import type { SelectedRole } from '../pdp/question.ts';
import { parametersOf } from '../pdp/rules.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { AuthenticatedCaller } from '../token/authenticate.ts';
import { mapClaims } from '../token/claims.ts';
import { isAssembled } from './document.ts';
import type { Ended } from './explain-ending.ts';
import type { Trace } from './explain-trace.ts';
import { describeWrite, finalOf, stageOf } from './explain-write.ts';
import type { ExplainedStage } from './explanation.ts';
import type { Permitted } from './stages.ts';

type Facts = NonNullable<ExplainedStage['facts']>;

export interface StageOptions {
  readonly tenant: Tenant;
  readonly decisions: Pick<DecisionPoint, 'select'>;
  /** What `Prefer` would come to. */
  readonly prefer: Facts;
  /** How the batch or the transaction ends of which this is an entry; undefined of a whole. */
  readonly within?: 'batch' | 'transaction' | undefined;
  /** Of a batch or a transaction: what became of its entries. */
  readonly entries: Facts;
}

/** The stages of a request that has gone its way, up to the one that stopped it. */
export function stagesOf(trace: Trace, ended: Ended, options: StageOptions): readonly ExplainedStage[] {
  const stages: ExplainedStage[] = [];
  const { request, caller, asked } = trace;
  const { tenant, decisions, within } = options;
  const isEntry = within !== undefined;
  if (request === undefined) return [stageOf('address', {}, ended)];
  stages.push({ stage: 'address', outcome: 'passed', facts: describeInteraction(request) });
  if (caller === undefined) return [...stages, stageOf('authenticate', {}, ended)];
  // An entry is the caller's of the whole, and judged by the same role.
  if (!isEntry) stages.push({ stage: 'authenticate', outcome: 'passed', facts: describeCaller(caller) });
  if (asked === undefined) return [...stages, stageOf(unaskedStage(ended), {}, ended)];
  const selected = decisions.select(tenant, caller.purposes);
  if ('effect' in selected) return [...stages, stageOf('role', {}, ended)];
  if (!isEntry) stages.push({ stage: 'role', outcome: 'passed', facts: describeRole(selected, caller) });
  const rules = explainRules(selected.role, asked.interaction);
  stages.push({ stage: 'rules', outcome: rules.some(({ faults }) => faults.length === 0) ? 'passed' : 'stopped', rules });
  const [decided] = trace.judged;
  if (decided?.stage !== 'permitted') return [...stages, stageOf('decision', {}, ended)];
  const { code, text } = decided.verdict.permit.reason;
  const facts = describePermit(decided.verdict);
  stages.push({ stage: 'decision', outcome: 'passed', code, ...(text === undefined ? {} : { text }), facts });
  if (endsWithTheWhole(ended)) return [...stages, stageOf('entries', {}, ended)];
  return [...stages, ...carriedOut(trace, decided, ended, options)];
}

/** What is denied before there is a question to decide is a link to a page; all else is said in a way that cannot be answered. */
function unaskedStage(ended: Ended): ExplainedStage['stage'] {
  if (endsWithTheWhole(ended)) return 'entries';
  return ended.how === 'stopped' && ended.outcome === 'denied' ? 'decision' : 'format';
}

function endsWithTheWhole(ended: Ended): boolean {
  return ended.how === 'stopped' && ended.code.startsWith('transaction_');
}

function carriedOut(trace: Trace, permitted: Permitted, ended: Ended, options: StageOptions): readonly ExplainedStage[] {
  const { interaction } = permitted.verdict;
  const writing =
    interaction.kind === 'bundle'
      ? [stageOf('entries', options.entries, ended)]
      : describeWrite(trace, permitted, ended, options.prefer);
  if (ended.how === 'stopped') return writing.length > 0 ? writing : [stageOf('upstream', {}, ended)];
  const upstream = describeUpstream(trace, permitted, ended, options);
  return upstream === undefined ? writing : [...writing, { stage: 'upstream', outcome: 'passed', facts: upstream }];
}

/** What goes up, or who answers; undefined of what nothing goes up for by itself. */
function describeUpstream(trace: Trace, permitted: Permitted, { how }: Ended, options: StageOptions): Facts | undefined {
  const { interaction, local } = permitted.verdict;
  if (interaction.kind === 'capabilities' || interaction.kind === 'options')
    return { answeredBy: 'the gate, from the rules of the role' };
  // An entry of a transaction goes up with the others.
  if (how !== 'sent' || options.within === 'transaction') return undefined;
  if (local !== undefined) return { local: local.name };
  if (isAssembled(permitted)) return { answeredBy: 'the gate, from what the Composition refers to' };
  if (interaction.kind === 'bundle') return { method: 'POST', path: '/' };
  const page = permitted.authenticated.continuation;
  // A further page is asked for by what the FHIR server said of it.
  if (page !== undefined)
    return { method: 'GET', path: page.cursor.path, parameters: parseQuery(page.cursor.query).map(({ name }) => name) };
  const going = finalOf(trace)?.verdict.interaction ?? interaction;
  const { method, path } = printInteraction(going);
  return {
    // A patch goes up as the version that it makes.
    method: going.kind === 'patch' ? 'PUT' : method,
    path: going !== interaction && 'id' in going ? `/${going.type}/[the one that matches]` : path,
    parameters: parametersOf(going).map(({ key }) => key),
  };
}

/** Of what would be sent, the status when all goes well. */
export function goodStatus({ kind }: Interaction): number {
  if (kind === 'create') return 201;
  return kind === 'delete' ? 204 : 200;
}

/** What only the answer tells of something that would be sent, as clauses after an "if". */
export function openIn(trace: Trace): readonly string[] {
  const [asked] = trace.judged;
  const permitted = finalOf(trace);
  if (permitted === undefined || asked?.stage !== 'permitted') return ['the FHIR server carries it out'];
  const { interaction, local, proofs, reviews } = permitted.verdict;
  const shown = [
    ...(proofs.length === 0 ? [] : ['what it answers shows the proofs of the permit']),
    ...reviews.map(({ name }) => `the review ${name} lets that leave`),
  ];
  if (local !== undefined) return [`the use case’s own answer ${local.name} has something`, ...shown];
  if (isAssembled(permitted)) return ['the FHIR server has the Composition and what is read with it', ...shown];
  if ('operation' in interaction) return ['the FHIR server answers it', ...shown];
  if (isWrite(interaction))
    return [
      ...(interaction.kind === 'create' ? [] : ['what is stored stays as it is until then']),
      'the FHIR server carries it out',
      ...reviews.map(({ name }) => `the review ${name} lets its answer leave`),
    ];
  if (interaction.kind !== 'read' && interaction.kind !== 'vread') return ['the FHIR server answers it', ...shown];
  const { headers } = permitted.authenticated.addressed.received;
  const isConditional = headers.has('if-none-match') || headers.has('if-modified-since');
  return ['the FHIR server has it', ...shown, ...(isConditional ? ['that is not what the caller has already (304)'] : [])];
}

// Names of parameters, never their values: an explanation is read by more people than the request was.
function describeInteraction(interaction: Interaction): Facts {
  const parameters = parametersOf(interaction).map(({ key }) => key);
  return { interaction: interaction.kind, verb: interactionVerb(interaction), path: interactionPath(interaction), parameters };
}

function describeCaller({ subject, purposes, dropped, proof }: AuthenticatedCaller): Facts {
  return {
    purposes,
    // The key itself is not shown, and no proof was asked for.
    bound: proof !== undefined,
    credentials: subject.credentials.map(({ id }) => id),
    dropped: dropped.map(({ id, reason }) => `${id ?? 'no id'}: ${reason}`),
  };
}

/** A v2 token says in claims who asks, and which of them count is the role's to say. */
function describeRole({ useCase, role, purpose }: SelectedRole, caller: AuthenticatedCaller): Facts {
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

function describePermit(verdict: PermitVerdict): Facts {
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
