import type { Interaction } from '../fhir/interaction.ts';
import type { JsonObject } from '../fhir/json.ts';
import type { PatientContext } from './decision.ts';
import type { GrantedResource, Subject } from './subject.ts';

/** What is asked: AuthZEN's four parts, frozen. There is no token in it, no socket, and no clock but `context.now`. */
export interface AccessRequest {
  readonly subject: Subject;
  readonly action: Interaction;
  readonly resource: {
    /** Canonical path below the FHIR base, `/Task/123`; without an operation's name. */
    readonly path: string;
    readonly type?: string;
    readonly id?: string;
    /** What is to be written, where the rule takes the patient from it. */
    readonly body?: JsonObject;
  };
  readonly context: {
    readonly tenantId: string;
    /** The tenant's DID, or without one its authorization server URL: who is asked. */
    readonly custodian: string;
    /** The role that the token's purpose or scope selected. */
    readonly role: string;
    readonly purpose: string;
    /** The id of the rule that matched. */
    readonly rule: string;
    /** Whose data it is about, where the rule says how that is known. */
    readonly patient?: PatientContext;
    readonly now: Date;
    /** `ledger`: a grant must be live. `credential`: the tenant takes over from other software, credentials alone count. */
    readonly grants: 'ledger' | 'credential';
  };
}

/** A grant as a policy or a workflow sees it. */
export interface Grant {
  readonly id: string;
  readonly requester: string;
  readonly purpose: string;
  readonly state: 'pending' | 'live' | 'ended';
  /** The use case's own word for what the grant is for (`task`, `advance-notice`, `nursing-handoff`). */
  readonly kind: string;
  /** The use case's record that the grant belongs to. */
  readonly recordId: string;
  readonly resources: readonly GrantedResource[];
  readonly credentialId?: string;
  readonly patient?: string;
  readonly expiresAt?: Date;
}

/** Read-only look-ups for a policy, bound to the tenant and the requester, with a deadline. A look-up that fails is a deny, of a FHIR server that is away a 502, 503 or 504. */
export interface PolicyInformation {
  /** The grants of this tenant, requester and purpose that name the path, in any state. */
  grants(path: string): Promise<readonly Grant[]>;
  /** The grant that was mirrored by a credential, in any state. */
  grantOfCredential(credentialId: string): Promise<Grant | undefined>;
  /** A resource of the custodian, read with the tenant's own login and audited as a look-up. */
  read(type: string, id: string): Promise<JsonObject | undefined>;
  /** The state of a record of this use case. */
  record(kind: string, id: string): Promise<unknown>;
}
