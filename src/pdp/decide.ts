import { GatewayError } from '../errors.ts';
import type { Interaction } from '../fhir/interaction.ts';
import { isOwnOrganization, type Tenant } from '../tenant/tenant.ts';
import type { AccessRequest, PolicyInformation } from '../usecase/access.ts';
import {
  deny,
  type Decision,
  type Deny,
  type Obligation,
  type PatientContext,
  type Permit,
  type Reason,
} from '../usecase/decision.ts';
import type { Role } from '../usecase/definition.ts';
import { mapClaims } from '../token/claims.ts';
import type { UseCaseRegistry } from '../usecase/registry.ts';
import type { Rule } from '../usecase/rules.ts';
import type { Subject } from '../usecase/subject.ts';
import { accessRequest, bindRule, permits, type Bound, type Case } from './bind-rule.ts';
import { DeadlineError, within } from './deadline.ts';
import { createInformation, type InformationSources, type Progress } from './information.ts';
import { narrow, type Proof } from './narrow.ts';
import type { Question, SelectedRole } from './question.ts';
import { resolveObligations, type Obliged } from './obligations.ts';
import { matchRules, type RuleFault } from './rules.ts';
import type { UseCaseSettings } from './settings.ts';

/** Everything that carrying out a permit needs. */
export interface PermitVerdict extends Obliged {
  readonly effect: 'permit';
  readonly selected: SelectedRole;
  readonly rule: Rule;
  /** What goes upstream: the request as it was judged, narrowed and bounded. */
  readonly interaction: Interaction;
  readonly request: AccessRequest;
  readonly information: PolicyInformation;
  readonly permit: Permit;
  readonly patient?: PatientContext;
  /** What the answer must show, entry by entry. */
  readonly proofs: readonly Proof[];
}

/** 403. `shown` is what the caller may learn beyond `access_denied`. */
export interface DenyVerdict {
  readonly effect: 'deny';
  readonly selected?: SelectedRole;
  readonly reason: Reason;
  readonly shown?: Reason['public'];
  /** What went wrong, when that is why: for the operator's log. */
  readonly cause?: unknown;
}

/** What the PDP says: a permit with all that carrying it out needs, or a denial. */
export type Verdict = PermitVerdict | DenyVerdict;

/** The PDP. */
export interface DecisionPoint {
  /**
   * Never throws for what a use case does: that is a denial.
   * @throws GatewayError for a body that is refused, and when the FHIR server that a look-up needs is away: nobody has judged then, and the caller may come again
   */
  decide(question: Question): Promise<Verdict>;
  /** The role that a token's purposes select, where the tenant serves it; else why not. */
  select(tenant: Tenant, purposes: readonly string[]): SelectedRole | Deny;
}

export interface DecisionPointOptions {
  readonly registry: UseCaseRegistry;
  readonly settings: UseCaseSettings;
  readonly sources: InformationSources;
  /** For a decision with all its look-ups. Default 2,000. */
  readonly deadlineMs?: number;
}

const DEFAULT_DEADLINE_MS = 2_000;

/** Creates the PDP: role, declared rules, the use case's code, then the ledger once more. Deny is the last line. */
export function createDecisionPoint(options: DecisionPointOptions): DecisionPoint {
  const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;

  function select(tenant: Tenant, purposes: readonly string[]): SelectedRole | Deny {
    const loaded = options.registry.select(purposes);
    if (loaded === undefined) return deny('purpose_unknown', 'the token is for no use case, or for several');
    const { useCase, role } = loaded;
    const purpose = purposes.find((each) => each === role.purpose || role.scopes.includes(each));
    if (purpose === undefined || !options.settings.serves(tenant, useCase)) {
      return deny('use_case_not_enabled', `${useCase.id} is not served here`);
    }
    return { useCase, role, purpose, config: options.settings.configOf(tenant, useCase) };
  }

  async function decide(asked: Question): Promise<Verdict> {
    const { tenant, interaction } = asked;
    const selected = select(tenant, asked.purposes);
    if ('effect' in selected) return selected;
    const { subject, fault } = mapClaims(selected.role, asked);
    if (fault !== undefined) return { effect: 'deny', selected, reason: fault };
    const question = subject === asked.subject ? asked : { ...asked, subject };
    const matched = gateMatch(tenant, subject, selected.role, interaction);
    if ('effect' in matched) return { effect: 'deny', selected, reason: matched.reason };
    // A body that is refused is an answer of its own, and nobody's deadline runs while the caller sends it.
    const body = needsBody(matched, interaction) ? await question.body?.() : undefined;
    const progress: Progress = { isOver: false, reading: 0 };
    const information = createInformation(options.sources, {
      tenant,
      useCase: selected.useCase.id,
      requester: subject.organization.id,
      purpose: selected.purpose,
      now: question.now,
      onLookUp: question.onLookUp,
      progress,
    });
    try {
      return await within(deadlineMs, judgeByRules(matched, { question, selected, information, body }));
    } catch (error) {
      progress.isOver = true;
      const outage = outageIn(error, progress);
      if (outage !== undefined) throw outage;
      // A use case that throws, a look-up that fails, a time that is over: all are denials (attack cases E1 to E3).
      const code = error instanceof DeadlineError ? 'decision_timed_out' : 'decision_failed';
      const text = error instanceof Error ? error.message : 'the use case threw';
      return { effect: 'deny', selected, reason: { code, text }, cause: error };
    }
  }

  return { decide, select };
}

/**
 * The FHIR server is away, so that nobody could judge: a failure (502, 503, 504) and no denial, which a caller would take for an answer
 * (reliability G12). It is the same whatever was asked for.
 */
function outageIn(error: unknown, { reading }: Progress): GatewayError | undefined {
  if (error instanceof GatewayError) return error.options.outage === true ? error : undefined;
  if (!(error instanceof DeadlineError) || reading === 0) return undefined;
  return new GatewayError('upstream_timeout', 'a look-up at the FHIR server took too long', { cause: error, outage: true });
}

/** What is denied before the use case is asked; else the rules that the request line matches. */
function gateMatch(tenant: Tenant, subject: Subject, role: Role, interaction: Interaction): readonly Rule[] | Deny {
  const requester = subject.organization.id;
  if (requester === '') return deny('no_requester', 'the token names no organisation that asks');
  if (isOwnOrganization(tenant.identity, subject.organization) && role.judgesSelf !== true)
    return deny('self_request', 'the organisation asks itself');
  if (role.fhirVersion !== tenant.fhir.version) return deny('other_fhir_version', `${role.id} speaks ${role.fhirVersion}`);
  const match = matchRules(role.rules, interaction);
  return match.matched ? match.rules : deny(match.fault.code, `${role.id}: ${match.fault.text}`);
}

/** A body is not looked at for somebody who may not write there anyway; what is created can be judged by nothing else. */
function needsBody(rules: readonly Rule[], { kind }: Interaction): boolean {
  return kind === 'create' || kind === 'conditional-create' || rules.some(({ patient }) => patient?.from === 'body');
}

/** The first rule whose patient, user and grant are right is the one; where none is, the last one's fault tells why. */
async function judgeByRules(rules: readonly Rule[], on: Case): Promise<Verdict> {
  let fault: RuleFault | undefined;
  for (const rule of rules) {
    const found = bindRule(rule, on);
    const bound = found instanceof Promise ? await found : found;
    if ('code' in bound) fault = { code: bound.code, text: `${rule.id}: ${bound.text}` };
    else return judge(bound, on);
  }
  return { effect: 'deny', selected: on.selected, reason: fault ?? { code: 'no_rule' } };
}

async function judge(bound: Bound, on: Case): Promise<Verdict> {
  const { selected, information } = on;
  const { rule } = bound;
  const request = accessRequest(on, bound);
  const deciding: unknown = selected.useCase.decide(request, selected.config, information);
  const decision = checkDecision(deciding instanceof Promise ? await deciding : deciding);
  if (decision === undefined) return denied(selected, 'decision_malformed', 'the use case returned no decision');
  if (decision.effect === 'deny') {
    const { reason } = decision;
    if (reason.public === undefined || !(await mayBeShown(request, information))) return { effect: 'deny', selected, reason };
    return { effect: 'deny', selected, reason, shown: reason.public };
  }
  // What rule and code say about the patient must be one thing.
  if (bound.patient !== undefined && decision.patient !== undefined && bound.patient.reference !== decision.patient.reference)
    return denied(selected, 'patient_ambiguous', 'the rule and the use case name two patients');
  const patient = bound.patient ?? decision.patient;
  const asked = [...(rule.obligations ?? []), ...ruleNarrowings(rule, patient), ...decision.obligations];
  const obliged = resolveObligations(selected.useCase, request.action, asked);
  if ('code' in obliged) return denied(selected, obliged.code, obliged.text);
  const narrowed = narrow(request.action, {
    version: on.question.tenant.fhir.version,
    rule,
    patient: patient?.reference,
    narrowings: obliged.narrowings,
    maxCount: smaller(rule.maxCount, obliged.maxCount),
  });
  if ('code' in narrowed) return denied(selected, narrowed.code, narrowed.text);
  const grantId = decision.grantId ?? bound.grant?.id;
  if (decision.grantId !== undefined && request.context.grants === 'ledger') {
    const grants = await information.grants(request.resource.path);
    if (!grants.some((grant) => grant.id === decision.grantId && permits(grant, request))) {
      return denied(
        selected,
        'grant_not_live',
        'the permit names a grant that is not live for this requester, path and operation',
      );
    }
  }
  return {
    effect: 'permit',
    selected,
    rule,
    request,
    information,
    permit: grantId === undefined ? decision : { ...decision, grantId },
    ...(patient === undefined ? {} : { patient }),
    ...obliged,
    interaction: narrowed.interaction,
    proofs: narrowed.proofs,
  };
}

function ruleNarrowings(rule: Rule, patient: PatientContext | undefined): readonly Obligation[] {
  if (rule.narrow === undefined) return NO_OBLIGATIONS;
  return rule.narrow.map(({ parameter, element, with: wanted }) => ({
    kind: 'narrow',
    parameter,
    element,
    // Without a patient there is nothing to narrow to, which is a conflict, which is a deny.
    values: wanted === 'patient' ? patientValues(parameter, patient) : wanted,
  }));
}

/** An id is not a reference: of the Patient itself `_id` takes the id alone. */
function patientValues(parameter: string, patient: PatientContext | undefined): readonly string[] {
  if (patient === undefined) return [];
  return [parameter === '_id' ? patient.reference.slice('Patient/'.length) : patient.reference];
}

const NO_OBLIGATIONS: readonly Obligation[] = Object.freeze([]);

function smaller(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined ? other : other === undefined ? one : Math.min(one, other);
}

function denied(selected: SelectedRole, code: string, text: string): DenyVerdict {
  return { effect: 'deny', selected, reason: { code, text } };
}

/** Design §12, "what a 403 says": only where the caller's own live grant names the path. */
async function mayBeShown(request: AccessRequest, information: PolicyInformation): Promise<boolean> {
  const { path } = request.resource;
  if (request.context.grants === 'credential') {
    return request.subject.credentials.some((credential) => credential.resources.some((resource) => resource.path === path));
  }
  const grants = await information.grants(path);
  return grants.some((grant) => grant.state === 'live' && grant.requester === request.subject.organization.id);
}

/** Undefined for what is no decision: use cases are JavaScript at run time, whatever their types say. */
function checkDecision(returned: unknown): Decision | undefined {
  if (typeof returned !== 'object' || returned === null || !('effect' in returned) || !('reason' in returned)) return undefined;
  const { effect, reason } = returned;
  if (typeof reason !== 'object' || reason === null || !('code' in reason) || typeof reason.code !== 'string') return undefined;
  if (effect === 'deny') return returned as Deny;
  if (effect !== 'permit' || !('obligations' in returned) || !Array.isArray(returned.obligations)) return undefined;
  return returned as Permit;
}
