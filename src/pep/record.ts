import type { AuditFacts, AuditOutcome } from '../audit/entry.ts';
import type { AuditSink } from '../audit/sink.ts';
import type { Clock } from '../clock.ts';
import { interactionVerb, type Interaction } from '../fhir/interaction.ts';
import { interactionPath } from '../fhir/print-interaction.ts';
import type { Metrics } from '../metrics.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import type { SelectedRole } from '../pdp/question.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { AuthenticatedCaller } from '../token/authenticate.ts';
import { mapClaims } from '../token/claims.ts';
import type { Subject } from '../usecase/subject.ts';
import type { Seen } from './stages.ts';

/** How a request ended. */
export interface Ending {
  readonly outcome: AuditOutcome;
  /** 0 when no answer was sent. */
  readonly status: number;
  readonly reason: string;
  /** The reason in words, for the operator. */
  readonly why?: string;
  readonly bytes?: number;
  readonly complete?: boolean;
  readonly resourceVersion?: string;
}

/** The audit record of one request. It gathers what becomes known on the way, so that every way out can write all of it. */
export interface RequestRecord {
  readonly received: Seen;
  readonly tenant: Tenant | undefined;
  readonly requester: string | undefined;
  readonly interaction: string | undefined;
  /** Whether the caller has proved to hold the key of its token. */
  readonly proven: boolean;
  /** The request line names a tenant; whether there is anything to address is not known. Callers see nothing of it: an answer is in nobody's name yet. */
  named(tenant: Tenant): void;
  addressed(tenant: Tenant): void;
  asks(interaction: Interaction): void;
  asksInbound(route: string, path: string): void;
  authenticated(caller: AuthenticatedCaller): void;
  selected(role: SelectedRole): void;
  permitted(verdict: PermitVerdict): void;
  /** Durable before a byte about a person leaves and before a write goes up. */
  intent(): Promise<void>;
  /** A resource that the decision itself needs is read upstream. */
  lookUp(type: string, id: string): Promise<void>;
  /** Closes the record; once. */
  outcome(ending: Ending): Promise<void>;
}

/**
 * Opens the record of a request.
 * @param part of a request that is several, such as `entry-3` of a batch: a record of its own under the same correlation id
 */
export function openRecord(received: Seen, sink: AuditSink, clock: Clock, metrics: Metrics, part?: string): RequestRecord {
  return new OpenRecord(received, sink, clock, metrics, part);
}

class OpenRecord implements RequestRecord {
  readonly received: Seen;
  readonly #sink: AuditSink;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #part: string | undefined;
  tenant: Tenant | undefined;
  interaction: string | undefined;
  #named: Tenant | undefined;
  #path: string | undefined;
  #caller: AuthenticatedCaller | undefined;
  #subject: Subject | undefined;
  #selected: SelectedRole | undefined;
  #verdict: PermitVerdict | undefined;
  #intended = false;
  #lookUps = 0;

  constructor(received: Seen, sink: AuditSink, clock: Clock, metrics: Metrics, part: string | undefined) {
    this.#part = part;
    this.received = received;
    this.#sink = sink;
    this.#clock = clock;
    this.#metrics = metrics;
  }

  get requester(): string | undefined {
    return this.#subject?.organization.id;
  }

  get proven(): boolean {
    return this.#caller?.proof !== undefined;
  }

  named(tenant: Tenant): void {
    this.#named = tenant;
  }

  addressed(tenant: Tenant): void {
    this.tenant = tenant;
  }

  asks(interaction: Interaction): void {
    this.interaction = 'operation' in interaction ? `operation:${interaction.operation.slice(1)}` : interactionVerb(interaction);
    this.#path = pathOf(interaction);
  }

  asksInbound(route: string, path: string): void {
    this.interaction = route;
    this.#path = path;
  }

  authenticated(caller: AuthenticatedCaller): void {
    this.#caller = caller;
    this.#subject = caller.subject;
  }

  selected(role: SelectedRole): void {
    this.#selected = role;
    // Who asks with a v2 token is known once the role is, denied or not.
    if (this.#caller?.claims !== undefined) this.#subject = mapClaims(role.role, this.#caller).subject;
  }

  permitted(verdict: PermitVerdict): void {
    this.#selected = verdict.selected;
    this.#verdict = verdict;
  }

  intent(): Promise<void> {
    this.#intended = true;
    this.#metrics.auditRecords.inc({ phase: 'intent' });
    return this.#sink.record({ phase: 'intent', ...this.#facts(this.#clock.now()) });
  }

  lookUp(type: string, id: string): Promise<void> {
    this.#lookUps += 1;
    this.#metrics.auditRecords.inc({ phase: 'event' });
    return this.#sink.record({
      phase: 'event',
      ...this.#aboutNobody(this.#clock.now()),
      event: 'look-up',
      outcome: 'permitted',
      part: `${this.#part === undefined ? '' : `${this.#part}-`}look-up-${String(this.#lookUps)}`,
      attributes: { read: `${type}/${id}` },
    });
  }

  outcome(ending: Ending): Promise<void> {
    const at = this.#clock.now();
    const durationMs = Math.round((performance.now() - this.received.startedMs) * 1000) / 1000;
    this.#metrics.auditRecords.inc({ phase: 'outcome' });
    // One that closes an intent repeats nothing of it.
    const facts = this.#intended ? this.#names(at) : ending.outcome === 'denied' ? this.#aboutNobody(at) : this.#facts(at);
    return this.#sink.record({ phase: 'outcome', ...facts, ...ending, durationMs });
  }

  #names(at: Date): AuditFacts {
    const { received } = this;
    const tenant = this.tenant ?? this.#named;
    const part = this.#part;
    return {
      correlationId: received.correlationId,
      ...(part === undefined ? {} : { part }),
      at,
      ...(tenant === undefined ? {} : { tenant: tenant.id }),
    };
  }

  /** What is looked up, and what a denial kept somebody from, may be another patient's than the one that the request is about. */
  #aboutNobody(at: Date): AuditFacts {
    const { patient: _claimed, patientProof: _proof, ...facts } = this.#facts(at);
    return facts;
  }

  #facts(at: Date): AuditFacts {
    const verdict = this.#verdict;
    const selected = this.#selected;
    const caller = this.#caller;
    const subject = this.#subject;
    const user = subject?.user;
    const facts: Writable<AuditFacts> = {
      correlationId: this.received.correlationId,
      at,
      remoteAddress: this.received.remoteAddress,
    };
    if (this.#part !== undefined) facts.part = this.#part;
    const tenant = this.tenant ?? this.#named;
    if (tenant !== undefined) facts.tenant = tenant.id;
    if (this.interaction !== undefined) facts.interaction = this.interaction;
    if (this.#path !== undefined) facts.path = this.#path;
    if (caller !== undefined) facts.tokenHash = caller.tokenHash;
    if (caller?.proof !== undefined) facts.keyThumbprint = caller.proof.jkt;
    if (subject !== undefined) facts.requester = subject.organization;
    if (user !== undefined) {
      const name = [user.initials, user.prefix, user.familyName].filter((part) => part !== undefined && part !== '').join(' ');
      facts.user = { id: user.id, name, level: user.level, ...(user.role === undefined ? {} : { role: user.role }) };
    }
    if (selected !== undefined) {
      facts.purpose = selected.purpose;
      facts.useCase = selected.useCase.id;
      facts.role = selected.role.id;
    } else if (caller?.purposes[0] !== undefined) facts.purpose = caller.purposes[0];
    if (verdict !== undefined) {
      const { credentialIds, grantId } = verdict.permit;
      const { patient } = verdict;
      facts.rule = verdict.rule.id;
      if (credentialIds !== undefined) facts.credentials = credentialIds;
      if (grantId !== undefined) facts.grant = grantId;
      if (patient !== undefined) {
        facts.patient = patient.reference;
        facts.patientProof = patient.proof;
      }
      facts.attributes = verdict.attributes;
    }
    return facts;
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** The canonical path, with the names of parameters and never their values. */
function pathOf(interaction: Interaction): string {
  const path = interactionPath(interaction);
  const parameters = 'parameters' in interaction ? interaction.parameters : 'criteria' in interaction ? interaction.criteria : [];
  return parameters.length === 0 ? path : `${path}?${parameters.map((parameter) => parameter.key).join('&')}`;
}
