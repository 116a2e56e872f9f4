import { deepFreeze } from '../fhir/freeze.ts';
import { interactionId, interactionType, type Interaction } from '../fhir/interaction.ts';
import type { JsonObject } from '../fhir/json.ts';
import { interactionPath, resourcePath } from '../fhir/print-interaction.ts';
import type { AccessRequest, Grant, PolicyInformation } from '../usecase/access.ts';
import type { PatientContext } from '../usecase/decision.ts';
import type { Rule } from '../usecase/rules.ts';
import type { Question, SelectedRole } from './question.ts';
import { grantOperation } from './operation.ts';
import { establishPatient, isFault } from './patient.ts';
import type { RuleFault } from './rules.ts';

/** One question, under the role that its token selected. */
export interface Case {
  readonly question: Question;
  readonly selected: SelectedRole;
  readonly information: PolicyInformation;
  readonly body: JsonObject | undefined;
}

/** A rule and what the request has shown for it. */
export interface Bound {
  readonly rule: Rule;
  readonly patient?: PatientContext;
  readonly grant?: Grant;
}

/** Holds user, grant and patient of a request against a rule that its request line has matched. */
export function bindRule(rule: Rule, on: Case): Bound | RuleFault | Promise<Bound | RuleFault> {
  const fault = userFault(rule, on.question.subject.user !== undefined);
  if (fault !== undefined) return fault;
  if (rule.instance !== 'granted' && rule.patient === undefined) return { rule };
  return bindToPatient(rule, on);
}

/** Holds a rule against whether a natural person is proven. */
export function userFault({ user }: Rule, isProven: boolean): RuleFault | undefined {
  if (user === 'required' && !isProven) return { code: 'user_missing', text: 'a natural person must be proven' };
  if (user === 'forbidden' && isProven) return { code: 'user_forbidden', text: 'no natural person may be named' };
  return undefined;
}

async function bindToPatient(rule: Rule, on: Case): Promise<Bound | RuleFault> {
  const { information, body } = on;
  const { interaction } = on.question;
  const granted = async (): Promise<Grant | undefined> => {
    const request = accessRequest(on, { rule });
    return (await information.grants(request.resource.path)).find((each) => permits(each, request));
  };
  const grant = rule.instance === 'granted' ? await granted() : undefined;
  if (rule.instance === 'granted' && grant === undefined)
    return { code: 'no_live_grant', text: 'no live grant names path and operation' };
  const withGrant = grant === undefined ? {} : { grant };
  if (rule.patient === undefined) return { rule, ...withGrant };
  const patient = await establishPatient(rule.patient, { interaction, body, information, grant: granted });
  return isFault(patient) ? patient : { rule, patient, ...withGrant };
}

/** What the use case is asked: frozen, and without a way back into the gate. */
export function accessRequest({ question, selected, body }: Case, { rule, patient }: Bound): AccessRequest {
  const { tenant, subject, interaction, now } = question;
  const type = interactionType(interaction);
  const id = interactionId(interaction);
  if (body !== undefined) deepFreeze(body);
  return Object.freeze({
    subject,
    action: freezeInteraction(interaction),
    resource: Object.freeze({
      path: resourcePath(interaction) ?? interactionPath(interaction),
      ...(type === undefined ? {} : { type }),
      ...(id === undefined ? {} : { id }),
      ...(body === undefined ? {} : { body }),
    }),
    context: Object.freeze({
      tenantId: tenant.id,
      custodian: tenant.identity.did === '' ? (tenant.identity.authorizationServerUrl ?? '') : tenant.identity.did,
      role: selected.role.id,
      purpose: selected.purpose,
      rule: rule.id,
      ...(patient === undefined ? {} : { patient: Object.freeze(patient) }),
      // A Date cannot be frozen: the use case gets its own.
      now: new Date(now),
      grants: tenant.grants,
    }),
  });
}

function freezeInteraction(interaction: Interaction): Interaction {
  if ('parameters' in interaction) deepFreeze(interaction.parameters);
  if ('criteria' in interaction) deepFreeze(interaction.criteria);
  if ('input' in interaction) deepFreeze(interaction.input);
  if ('compartment' in interaction) Object.freeze(interaction.compartment);
  return Object.freeze(interaction);
}

/** The ledger again, whatever the use case made of it: state, requester, purpose, time, path and operation. */
export function permits(grant: Grant, request: AccessRequest): boolean {
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
