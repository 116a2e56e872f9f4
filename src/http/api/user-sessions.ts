import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import type { JsonObject } from '../../fhir/json.ts';
import { findUserSession, insertUserSession, settleUserSession, type UserSessionRow } from '../../store/user-sessions.ts';
import type { Tenant } from '../../tenant/tenant.ts';
import type { ApiReply, UserSession } from '../../usecase/workflow.ts';
import type { ApiDependencies } from './dependencies.ts';
import type { CoreCall } from './route.ts';

/** The identity of care workers, for calls to other parties (design §12): started here, confirmed on the node's own page. */
export interface UserSessions {
  /** `POST user-sessions` */
  create(call: CoreCall): Promise<ApiReply>;
  /** `GET user-sessions/:session` */
  show(call: CoreCall): Promise<ApiReply>;
  /**
   * The session that a header `X-User-Session` names.
   * @throws GatewayError `unprocessable` when there is none, `conflict` when it is not confirmed
   */
  resolve(tenant: Tenant, id: string): Promise<UserSession>;
}

/**
 * The contract that the person signs holds eight hours from its drawing up (`nuts/signing.ts`), which is after the session is stored as begun: a
 * session ends a minute before its contract can.
 */
const SESSION_MS = 8 * 3_600_000 - 60_000;

const user = z.strictObject({
  identifier: z.string().min(1),
  initials: z.string().min(1),
  familyName: z.string().min(1),
  roleName: z.string().min(1).exactOptional(),
});
const createBody = z.strictObject({ means: z.enum(['employeeid', 'dummy']), user: user.exactOptional() });

export function createUserSessions(
  deps: Pick<ApiDependencies, 'mode' | 'database' | 'node' | 'clock' | 'audit' | 'logger'>,
): UserSessions {
  const { mode, database, clock } = deps;
  /** A node says "completed" once: two who ask at the same time must not take it from each other. */
  const polling = new Map<string, Promise<UserSessionRow>>();

  const find = (tenant: Tenant, id: string): Promise<UserSessionRow | undefined> =>
    findUserSession(database, tenant.id, id, clock.now());

  const poll = async (tenant: Tenant, row: UserSessionRow): Promise<UserSessionRow> => {
    const nodeSession = row.nodeSessionId;
    if (nodeSession === undefined) return row;
    const found = await deps.node(tenant).signing.pollSigning(nodeSession);
    switch (found.status) {
      case 'pending':
        return row;
      case 'completed':
        await database.transaction((tx) =>
          settleUserSession(tx, tenant.id, row.id, { status: 'complete', presentation: found.presentation }),
        );
        await deps.audit.record({
          phase: 'event',
          event: 'user-session-confirmed',
          outcome: 'permitted',
          tenant: tenant.id,
          correlationId: randomUUID(),
          at: clock.now(),
          attributes: { session: row.id, means: row.means },
        });
        break;
      case 'gone':
        // Another process may have fetched the presentation and be storing it.
        await new Promise((done) => setTimeout(done, 500));
        await database.transaction((tx) => settleUserSession(tx, tenant.id, row.id, { status: 'failed' }));
        break;
      case 'cancelled':
      case 'failed':
        await database.transaction((tx) => settleUserSession(tx, tenant.id, row.id, { status: 'failed' }));
        break;
    }
    return (await find(tenant, row.id)) ?? { ...row, status: 'failed' };
  };

  /** The session as it is now: a pending one is asked after at the node. */
  const current = async (tenant: Tenant, id: string): Promise<UserSessionRow | undefined> => {
    const row = await find(tenant, id);
    if (row?.status !== 'pending') return row;
    const name = `${tenant.id}\0${id}`;
    let asking = polling.get(name);
    if (asking === undefined) {
      asking = poll(tenant, row).finally(() => polling.delete(name));
      polling.set(name, asking);
    }
    return asking;
  };

  return {
    create: async (call) => {
      const { tenant } = call.caller;
      const body = createBody.parse(call.body);
      if (body.means === 'dummy' && mode !== 'development') {
        throw new GatewayError('unprocessable', 'the dummy means in production', {
          reason: 'means_not_allowed',
          fields: [{ field: 'means', problem: 'dummy proves nothing and is for development only; allowed is: employeeid' }],
        });
      }
      if (body.means === 'employeeid' && body.user === undefined) {
        throw new GatewayError('unprocessable', 'employeeid without a user', {
          reason: 'user_needed',
          fields: [{ field: 'user', problem: 'is required for the means employeeid' }],
        });
      }
      const now = clock.now();
      const started = await deps.node(tenant).signing.startSigning({
        means: body.means,
        ...(body.user === undefined || body.means === 'dummy' ? {} : { user: body.user }),
      });
      const session = {
        tenant: tenant.id,
        id: randomUUID(),
        means: body.means,
        status: 'pending' as const,
        user: body.user ?? null,
        nodeSessionId: started.id,
        ...(started.url === undefined ? {} : { url: started.url }),
        createdAt: now,
        expiresAt: new Date(now.getTime() + SESSION_MS),
      };
      return call.command(async (tx) => {
        await insertUserSession(tx, session);
        return { status: 201, body: view(session) };
      });
    },
    show: async (call) => {
      const row = await current(call.caller.tenant, call.params['session'] ?? '');
      if (row === undefined) throw new GatewayError('not_found', 'no such user session', { reason: 'user_session_unknown' });
      return { status: 200, body: view(row) };
    },
    resolve: async (tenant, id) => {
      const row = await current(tenant, id);
      const fields = (problem: string) => [{ field: 'X-User-Session', problem }];
      if (row === undefined) {
        throw new GatewayError('unprocessable', 'no such user session', {
          reason: 'user_session_unknown',
          fields: fields('names no session of this tenant, or one that has expired'),
        });
      }
      if (row.status === 'pending') {
        throw new GatewayError('conflict', 'the user session is not confirmed', {
          reason: 'user_session_incomplete',
          fields: fields('names a session that the person has not confirmed yet'),
        });
      }
      if (row.status === 'failed' || row.presentation === undefined) {
        throw new GatewayError('conflict', 'the user session failed', {
          reason: 'user_session_failed',
          fields: fields('names a session that was cancelled or failed: begin a new one'),
        });
      }
      const person = row.means === 'employeeid' ? user.safeParse(row.user) : undefined;
      return {
        id: row.id,
        presentation: row.presentation,
        ...(person?.success === true
          ? {
              user: {
                id: person.data.identifier,
                initials: person.data.initials,
                familyName: person.data.familyName,
                ...(person.data.roleName === undefined ? {} : { role: person.data.roleName }),
                level: 'low' as const,
              },
            }
          : {}),
      };
    },
  };
}

/** A session as the API shows it; never its presentation, which is a credential. */
function view(session: Pick<UserSessionRow, 'id' | 'means' | 'status' | 'url' | 'createdAt' | 'expiresAt'>): JsonObject {
  return {
    id: session.id,
    means: session.means,
    status: session.status === 'complete' ? 'completed' : session.status,
    ...(session.url === undefined || session.status !== 'pending' ? {} : { url: session.url }),
    createdAt: session.createdAt.toISOString(),
    expiresAt: session.expiresAt.toISOString(),
  };
}
