import { GatewayError } from '../errors.ts';
import { parseJsonObject, type JsonObject } from '../fhir/json.ts';
import type { DecisionPoint } from '../pdp/decide.ts';
import type { UseCaseSettings } from '../pdp/settings.ts';
import { isOwnOrganization, type Tenant } from '../tenant/tenant.ts';
import type { Authenticator, PresentedRequest } from '../token/authenticate.ts';
import { mapClaims } from '../token/claims.ts';
import { deny } from '../usecase/decision.ts';
import type { UseCase } from '../usecase/definition.ts';
import type { Services } from '../usecase/workflow.ts';
import { aboutPermitted } from './answer.ts';
import type { RequestRecord } from './record.ts';
import { refuseDenied } from './refusal.ts';
import { FIXED_HEADERS, type Reply } from './reply.ts';
import type { AddressedInbound, Received } from './stages.ts';

export interface InboundOptions {
  readonly authenticator: Authenticator;
  readonly decisions: DecisionPoint;
  readonly settings: UseCaseSettings;
  services(tenant: Tenant, useCase: UseCase): Services;
  readonly maxMessageBytes: number;
}

/**
 * Takes a message of another party (eoverdracht.md §4.2): the token must select the route's role. Answered 202 once what the use case makes
 * of it is durable, in the same way whatever it is about.
 * @throws GatewayError for refusals and failures
 */
export async function receiveInbound(
  addressed: AddressedInbound,
  record: RequestRecord,
  options: InboundOptions,
): Promise<Reply> {
  const { received, tenant, useCase, route } = addressed;
  const caller = await options.authenticator.authenticate(tenant, presentedBy(received), true);
  record.authenticated(caller);
  const selected = options.decisions.select(tenant, caller.purposes);
  if ('effect' in selected) return refuseDenied(record, selected.reason);
  record.selected(selected);
  const { subject, fault } = mapClaims(selected.role, caller);
  const sender = subject.organization.id;
  if (selected.useCase !== useCase || selected.role.id !== route.role) {
    return refuseDenied(record, deny('role_not_for_route', 'the token is for another role').reason);
  }
  if (fault !== undefined) return refuseDenied(record, fault);
  if (sender === '') return refuseDenied(record, deny('no_requester').reason);
  if (isOwnOrganization(tenant.identity, subject.organization) && selected.role.judgesSelf !== true)
    return refuseDenied(record, deny('self_request').reason);

  const body = await readMessage(addressed, options.maxMessageBytes);
  await record.intent();
  await route.receive(
    { sender, params: addressed.params, correlationId: received.correlationId, ...(body === undefined ? {} : { body }) },
    options.settings.configOf(tenant, useCase),
    options.services(tenant, useCase),
  );
  await record.outcome({ outcome: 'permitted', status: 202, reason: 'received', bytes: 0, complete: true });
  return {
    status: 202,
    headers: { ...FIXED_HEADERS, 'x-request-id': received.correlationId },
    body: { kind: 'none' },
    close: false,
    about: { ...aboutPermitted(record), reason: 'received' },
  };
}

/** What a request shows of who asks. */
export function presentedBy({ headers, method, target }: Received): PresentedRequest {
  return { authorization: headers.get('authorization'), dpop: headers.get('dpop'), method, target };
}

async function readMessage(addressed: AddressedInbound, maxBytes: number): Promise<JsonObject | undefined> {
  const { received, route } = addressed;
  switch (route.body) {
    case 'empty': {
      const length = received.hasBody ? (await received.readBody(maxBytes)).byteLength : 0;
      if (length > 0) throw new GatewayError('bad_request', 'this message has no body');
      return undefined;
    }
    case 'json': {
      const type = received.headers.get('content-type')?.toLowerCase();
      if (type !== 'application/json' && type !== 'application/fhir+json') {
        throw new GatewayError('unsupported_media_type', 'this message is JSON');
      }
      return parseJsonObject(await received.readBody(maxBytes));
    }
  }
}
