/** Signing sessions: the state machines of the `dummy` and `employeeid` means (facts §3.2). */
import { randomBytes } from 'node:crypto';

import type { NodeContext } from './context.ts';
import { parseContract } from './contract.ts';
import type { Json } from './json.ts';
import { presentDummy, presentEmployee } from './presentation.ts';
import type { EmployeeSession, SignSession } from './session-types.ts';
import { NodeProblem, within } from './problem.ts';

const LIFE_MS = 10 * 60 * 1000;

export interface SessionRequest {
  readonly means: string;
  readonly payload: string;
  readonly employer?: string | undefined;
  readonly employee?: Readonly<Record<'identifier' | 'initials' | 'familyName' | 'roleName', string | undefined>> | undefined;
}

/** Starts a session. Errors: 400 with the step's name. */
export function startSession(context: NodeContext, request: SessionRequest): SignSession {
  const session = within('unable to create sign challenge', () => newSession(context, request));
  context.sessions.set(session.id, session);
  return session;
}

function newSession(context: NodeContext, request: SessionRequest): SignSession {
  const { means, payload: contract, employer = '', employee } = request;
  const id = randomBytes(16).toString('hex');
  const known = means === 'employeeid' || (means === 'dummy' && context.dummyMeans);
  if (!known) throw new NodeProblem(400, 'unknown signing means');
  parseContract(contract);
  if (means === 'dummy') return { means, id, contract, polls: 0 };
  const invalid = (what: string): NodeProblem =>
    new NodeProblem(400, `could not draw up contract: invalid session params: ${what}`);
  if (employer === '') throw invalid('missing employer');
  const required = (field: 'identifier' | 'initials' | 'familyName'): string => {
    const value = employee?.[field] ?? '';
    if (value === '') throw invalid(`missing/invalid employee ${field}`);
    return value;
  };
  const person = {
    identifier: required('identifier'),
    initials: required('initials'),
    familyName: required('familyName'),
    roleName: employee?.roleName === '' ? undefined : employee?.roleName,
  };
  const secret = randomBytes(16).toString('hex');
  const startedAt = context.clock.now().getTime();
  return { means, id, contract, employer, employee: person, secret, startedAt, state: 'created' };
}

/** One poll; a final state is told once. Errors: 404 unknown or told, 500 when the employer's key is elsewhere. */
export async function pollSession(context: NodeContext, id: string): Promise<Json> {
  const session = context.sessions.get(id);
  const step = `failed to get session status for ${id}, reason`;
  if (session === undefined) throw new NodeProblem(404, `${step}: session not found`);
  if (session.means === 'dummy') return pollDummy(context, session);
  expire(context, session);
  const { state } = session;
  switch (state) {
    case 'created':
    case 'in-progress':
      return { status: state };
    case 'completed': {
      session.state = 'vp-requested';
      try {
        const verifiablePresentation = await presentEmployee(context, session.employer, session.employee, session.contract);
        return { status: state, verifiablePresentation };
      } catch (error) {
        session.state = 'errored';
        if (error instanceof NodeProblem) throw new NodeProblem(error.status, `${step}: ${error.message}`);
        throw error;
      }
    }
    case 'vp-requested':
    case 'cancelled':
    case 'errored':
    case 'expired':
      context.sessions.delete(id);
      return { status: state };
  }
}

function pollDummy(context: NodeContext, session: Extract<SignSession, { means: 'dummy' }>): Json {
  session.polls += 1;
  if (session.polls === 1) return { status: 'created' };
  if (session.polls === 2) return { status: 'in-progress' };
  context.sessions.delete(session.id);
  return { status: 'completed', verifiablePresentation: presentDummy(session.contract) };
}

/** The session behind a page; 404 when there is none. */
export function employeeSession(context: NodeContext, id: string): EmployeeSession {
  const session = context.sessions.get(id);
  if (session?.means !== 'employeeid') throw new NodeProblem(404, 'session not found');
  expire(context, session);
  return session;
}

/** What the person answered on the page. A wrong secret ends the session as `errored`. */
export function confirmSession(session: EmployeeSession, secret: string | null, accept: string | null): void {
  if (session.state !== 'in-progress') throw new NodeProblem(404, 'no session with status in-progress found');
  if (secret !== session.secret) session.state = 'errored';
  else session.state = accept === 'true' ? 'completed' : 'cancelled';
}

function expire(context: NodeContext, session: EmployeeSession): void {
  const open = session.state === 'created' || session.state === 'in-progress';
  if (open && context.clock.now().getTime() - session.startedAt > LIFE_MS) session.state = 'expired';
}
