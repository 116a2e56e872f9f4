import type { JsonObject } from '../fhir/json.ts';
import { DeadlineError } from './deadline.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Grant, PolicyInformation } from '../usecase/access.ts';

/** Where information comes from. Everything is read-only, and each call names the tenant first. */
export interface InformationSources {
  /** The grants that name the path, in any state as of `now` (`grant/ledger.ts`). */
  matching(question: {
    readonly tenant: string;
    readonly requester: string;
    readonly purpose: string;
    readonly path: string;
    readonly now: Date;
  }): Promise<readonly Grant[]>;
  byCredential(tenant: string, credentialId: string, now: Date): Promise<Grant | undefined>;
  /** A resource of the custodian, read with its own login and marked as a look-up. */
  read(tenant: Tenant, type: string, id: string): Promise<JsonObject | undefined>;
  /** The state of a record of the use case. */
  record(tenant: string, useCase: string, kind: string, id: string): Promise<unknown>;
}

/** What the look-ups of one request are bound to. */
export interface InformationScope {
  readonly tenant: Tenant;
  readonly useCase: string;
  readonly requester: string;
  readonly purpose: string;
  readonly now: Date;
  /** Called before a resource is read, so that the look-up is in the audit trail. */
  readonly onLookUp: (type: string, id: string) => Promise<void>;
  readonly progress: Progress;
}

/** How far a decision and its look-ups are. */
export interface Progress {
  /** The time for the decision is over: then nothing more is looked up. */
  isOver: boolean;
  /** Reads at the custodian that are not answered yet. */
  reading: number;
}

/**
 * The look-ups of one request. A path is asked once: use case and gate judge the same answer. The deadline is that of the decision.
 * A failure is the caller's (a use case that does not catch it denies by it).
 */
export function createInformation(sources: InformationSources, scope: InformationScope): PolicyInformation {
  const { tenant, useCase, requester, purpose, now, progress } = scope;
  const asked = new Map<string, Promise<readonly Grant[]>>();
  return Object.freeze({
    grants: (path: string) => {
      let grants = asked.get(path);
      if (grants === undefined) {
        grants = sources.matching({ tenant: tenant.id, requester, purpose, path, now });
        asked.set(path, grants);
      }
      return grants;
    },
    grantOfCredential: (credentialId: string) => sources.byCredential(tenant.id, credentialId, now),
    read: async (type: string, id: string) => {
      insistOnTime(progress);
      await scope.onLookUp(type, id);
      // The disk may have been slow: after a denial nothing more goes up.
      insistOnTime(progress);
      progress.reading += 1;
      try {
        return await sources.read(tenant, type, id);
      } finally {
        progress.reading -= 1;
      }
    },
    record: (kind: string, id: string) => sources.record(tenant.id, useCase, kind, id),
  });
}

function insistOnTime({ isOver }: Progress): void {
  if (isOver) throw new DeadlineError('the time for the decision is over');
}
