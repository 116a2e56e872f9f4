import type { ApiRole } from '../../store/api-keys.ts';
import type { Transaction } from '../../store/database.ts';
import type { UseCase } from '../../usecase/definition.ts';
import type { ApiReply, ApiRoute } from '../../usecase/workflow.ts';
import type { Caller } from './authenticate.ts';
import type { DescribedRoute } from './description.ts';

/** What a route of the API gets: judged by the description already. */
export interface CoreCall {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly correlationId: string;
  /** One transaction with the row of the idempotency key; what it returns is the answer that a repeat gets. */
  command(work: (tx: Transaction) => Promise<ApiReply>): Promise<ApiReply>;
}

/** A route of the API itself, below `/api/v1/tenants/{tenant}/`. */
export interface CoreRoute<Context> extends DescribedRoute {
  readonly method: 'GET' | 'POST';
  readonly roles: readonly ApiRole[];
  handle(call: CoreCall, context: Context): Promise<ApiReply>;
}

/** A route as it is mounted: the API's own, or a use case's. */
export type MountedRoute<Context> =
  | { readonly kind: 'core'; readonly route: CoreRoute<Context> }
  | { readonly kind: 'use-case'; readonly useCase: UseCase; readonly route: ApiRoute<unknown> };

/** Which keys may call the route. */
export function rolesOf(mounted: MountedRoute<never>): readonly ApiRole[] {
  return mounted.kind === 'core' ? mounted.route.roles : [mounted.route.role];
}
