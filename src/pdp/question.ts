import type { Interaction } from '../fhir/interaction.ts';
import type { JsonObject, JsonValue } from '../fhir/json.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Role, UseCase } from '../usecase/definition.ts';
import type { Subject } from '../usecase/subject.ts';

/** A question of the gate: may this subject do this here and now? */
export interface Question {
  readonly tenant: Tenant;
  /** Without organisation and claims where `claims` has them: which of those a policy sees depends on the role. */
  readonly subject: Subject;
  /** Of a v2 token, unjudged. */
  readonly claims?: ReadonlyMap<string, JsonValue>;
  /** The key that the caller has proved to hold. */
  readonly proof?: { readonly jkt: string };
  readonly purposes: readonly string[];
  readonly interaction: Interaction;
  /**
   * What is to be written, read and parsed when a rule needs it, and not before the request line was judged.
   * @throws GatewayError for a body that is refused: that is no denial
   */
  readonly body?: () => Promise<JsonObject>;
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
