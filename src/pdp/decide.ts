import { interactionId, interactionType, isWrite, type Interaction } from '../fhir/interaction.ts';
import { interactionPath, resourcePath } from '../fhir/print-interaction.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { AccessRequest, Grant, PolicyInformation } from '../usecase/access.ts';
import { deny, type Decision, type Deny, type Obligation, type Permit, type Reason } from '../usecase/decision.ts';
import type { Role, UseCase } from '../usecase/definition.ts';
import type { UseCaseRegistry } from '../usecase/registry.ts';
import type { Subject } from '../usecase/subject.ts';
import type { GuardedWrite, Review } from '../usecase/workflow.ts';
import { DeadlineError, within } from './deadline.ts';
import { createInformation, type InformationSources } from './information.ts';
import { grantOperation } from './operation.ts';
import { matchRule } from './rules.ts';
import type { UseCaseSettings } from './settings.ts';

/** A question of the gate: may this subject do this here and now? */
export interface Question {
  readonly tenant: Tenant;
  readonly subject: Subject;
  readonly purposes: readonly string[];
  readonly interaction: Interaction;
  readonly now: Date;
  /** Called before a resource is read for the decision. */
  readonly onLookUp: (type: string, id: string) => Promise<void>;
}

/** The one role that the token selected, with the tenant's settings for it. */
export interface SelectedRole {
  readonly useCase: UseCase;
  readonly role: Role;
  readonly purpose: string;
  readonly config: unknown;
}

/** Everything that carrying out a permit needs. */
export interface PermitVerdict {
  readonly effect: 'permit';
  readonly selected: SelectedRole;
  readonly request: AccessRequest;
  readonly information: PolicyInformation;
  readonly permit: Permit;
  /** The obligations, resolved: names that the use case does not have were denied. */
  readonly guard?: GuardedWrite<unknown>;
  readonly reviews: readonly Review<unknown>[];
  readonly attributes: Readonly<Record<string, string>>;
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

export type Verdict = PermitVerdict | DenyVerdict;

export interface DecisionPoint {
  /** Never throws for what a use case does: that is a denial. */
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

  async function decide(question: Question): Promise<Verdict> {
    const { tenant, subject, interaction } = question;
    const selected = select(tenant, question.purposes);
    if ('effect' in selected) return selected;
    const first = gateFault(tenant, subject, selected.role, interaction);
    if (first !== undefined) return { effect: 'deny', selected, reason: first.reason };
    const request = accessRequest(question, selected);
    const information = createInformation(options.sources, {
      tenant,
      useCase: selected.useCase.id,
      requester: subject.organization.id,
      purpose: selected.purpose,
      now: question.now,
      onLookUp: question.onLookUp,
    });
    try {
      return await within(deadlineMs, judge(selected, request, information));
    } catch (error) {
      // A use case that throws, a look-up that fails, a time that is over: all are denials (attack cases E1 to E3).
      const code = error instanceof DeadlineError ? 'decision_timed_out' : 'decision_failed';
      const text = error instanceof Error ? error.message : 'the use case threw';
      return { effect: 'deny', selected, reason: { code, text }, cause: error };
    }
  }

  return { decide, select };
}

/** What is denied before the use case is asked. */
function gateFault(tenant: Tenant, subject: Subject, role: Role, interaction: Interaction): Deny | undefined {
  const requester = subject.organization.id;
  if (requester === '') return deny('no_requester', 'the token names no organisation that asks');
  if (requester === tenant.identity.did && role.judgesSelf !== true) return deny('self_request', 'the organisation asks itself');
  if (role.fhirVersion !== tenant.fhir.version) return deny('other_fhir_version', `${role.id} speaks ${role.fhirVersion}`);
  const match = matchRule(role.rules, interaction);
  return match.matched ? undefined : deny(match.code, `${interaction.kind} matches no rule of ${role.id}`);
}

function accessRequest(question: Question, selected: SelectedRole): AccessRequest {
  const { tenant, subject, interaction, now } = question;
  const type = interactionType(interaction);
  const id = interactionId(interaction);
  return Object.freeze({
    subject,
    action: freezeInteraction(interaction),
    resource: Object.freeze({
      path: resourcePath(interaction) ?? interactionPath(interaction),
      ...(type === undefined ? {} : { type }),
      ...(id === undefined ? {} : { id }),
    }),
    context: Object.freeze({
      tenantId: tenant.id,
      custodian: tenant.identity.did,
      role: selected.role.id,
      purpose: selected.purpose,
      // A Date cannot be frozen: the use case gets its own.
      now: new Date(now),
      grants: tenant.grants,
    }),
  });
}

function freezeInteraction(interaction: Interaction): Interaction {
  if ('parameters' in interaction) deepFreeze(interaction.parameters);
  if ('criteria' in interaction) deepFreeze(interaction.criteria);
  if ('compartment' in interaction) Object.freeze(interaction.compartment);
  return Object.freeze(interaction);
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const member of Object.values(value)) deepFreeze(member);
}

async function judge(selected: SelectedRole, request: AccessRequest, information: PolicyInformation): Promise<Verdict> {
  const returned: unknown = await selected.useCase.decide(request, selected.config, information);
  const decision = checkDecision(returned);
  if (decision === undefined) return denied(selected, 'decision_malformed', 'the use case returned no decision');
  if (decision.effect === 'deny') {
    const { reason } = decision;
    if (reason.public === undefined || !(await mayBeShown(request, information))) return { effect: 'deny', selected, reason };
    return { effect: 'deny', selected, reason, shown: reason.public };
  }
  const resolved = resolveObligations(selected.useCase, request.action, decision.obligations);
  if (typeof resolved === 'string') return denied(selected, resolved, 'the permit has a condition that the gate cannot keep');
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
  return { effect: 'permit', selected, request, information, permit: decision, ...resolved };
}

function denied(selected: SelectedRole, code: string, text: string): DenyVerdict {
  return { effect: 'deny', selected, reason: { code, text } };
}

/** The ledger again, whatever the use case made of it: state, requester, purpose, time, path and operation. */
function permits(grant: Grant, request: AccessRequest): boolean {
  const operation = grantOperation(request.action);
  const { now, purpose } = request.context;
  return (
    grant.state === 'live' &&
    grant.requester === request.subject.organization.id &&
    grant.purpose === purpose &&
    (grant.expiresAt === undefined || grant.expiresAt.getTime() > now.getTime()) &&
    operation !== undefined &&
    grant.resources.some((resource) => resource.path === request.resource.path && resource.operations.includes(operation))
  );
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

interface ResolvedObligations {
  readonly guard?: GuardedWrite<unknown>;
  readonly reviews: readonly Review<unknown>[];
  readonly attributes: Readonly<Record<string, string>>;
}

/** @returns a reason code when one cannot be kept */
function resolveObligations(
  useCase: UseCase,
  interaction: Interaction,
  obligations: readonly Obligation[],
): ResolvedObligations | string {
  let guard: GuardedWrite<unknown> | undefined;
  const reviews: Review<unknown>[] = [];
  let attributes: Readonly<Record<string, string>> = {};
  for (const obligation of obligations) {
    // What a use case returns is checked again: types hold at compile time only.
    if (!OBLIGATIONS.has(obligation.kind)) return 'obligation_unknown';
    switch (obligation.kind) {
      case 'guard-write': {
        const found = useCase.writes?.find((write) => write.name === obligation.guard);
        // Two guards would be two verdicts on one write.
        if (found === undefined || guard !== undefined) return 'obligation_unknown';
        guard = found;
        break;
      }
      case 'review': {
        const found = useCase.reviews?.find((review) => review.name === obligation.review);
        if (found === undefined) return 'obligation_unknown';
        reviews.push(found);
        break;
      }
      case 'audit':
        attributes = { ...attributes, ...obligation.attributes };
        break;
    }
  }
  // A write goes up only as a guarded update: nothing of the caller's bytes is passed on unjudged.
  if (isWrite(interaction) && (interaction.kind !== 'update' || guard === undefined)) return 'write_without_guard';
  if (guard !== undefined && interaction.kind !== 'update') return 'guard_without_write';
  return { reviews, attributes, ...(guard === undefined ? {} : { guard }) };
}

const OBLIGATIONS: ReadonlySet<string> = new Set<Obligation['kind']>(['guard-write', 'review', 'audit']);
