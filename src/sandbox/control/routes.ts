import type { z } from 'zod';
import type { Fault } from '../faults.ts';
import type { World } from '../world/world.ts';
import { tenantOf } from './parties.ts';
import { bodyProblem, ControlProblem } from './problem.ts';
import { clockRequest, faultRequest, gatewayRequest, tokenRequest, type GatewayAction } from './requests.ts';
import { makeToken } from './tokens.ts';

export interface ControlCall {
  readonly params: Readonly<Record<string, string>>;
  /** Parsed JSON; undefined without a body. */
  readonly body: unknown;
}

export interface ControlRoute {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  /** For the overview at `/`. */
  readonly does: string;
  /** Resolves when the effect holds: the body of a 200, or undefined for a 204. */
  handle(call: ControlCall): Promise<object | undefined>;
}

/** The calls of the control API, to the letter of design §11. */
export function controlRoutes(world: World): readonly ControlRoute[] {
  const requests = '/upstream/{tenant}/requests';
  return [
    {
      method: 'POST',
      path: '/tokens',
      does: "an access token for a tenant's gate",
      handle: async ({ body }) => makeToken(world, parse(tokenRequest, body, TOKEN_FIELDS)),
    },
    {
      method: 'GET',
      path: requests,
      does: "what the tenant's FHIR server received since the last delete",
      handle: async ({ params }) => Promise.resolve(upstream(world, params).requests()),
    },
    {
      method: 'DELETE',
      path: requests,
      does: 'forgets them',
      handle: async ({ params }) => {
        upstream(world, params).clearRequests();
        return Promise.resolve(undefined);
      },
    },
    {
      method: 'POST',
      path: '/faults',
      does: 'misbehaviour of a node, a FHIR server, or the way to a receiver',
      handle: async ({ body }) => {
        const { target, tenant, ...fault } = parse(faultRequest, body, FAULT_FIELDS);
        tenantOf(world, tenant).tenant.faults[target].set(fault satisfies Fault);
        return Promise.resolve({ target, tenant, ...fault });
      },
    },
    {
      method: 'DELETE',
      path: '/faults',
      does: 'ends all misbehaviour',
      handle: async () => {
        for (const { tenant } of world.organizations) {
          for (const faults of Object.values(tenant?.faults ?? {})) faults.clear();
        }
        return Promise.resolve(undefined);
      },
    },
    {
      method: 'POST',
      path: '/clock',
      does: "moves every part's clock",
      handle: async ({ body }) => {
        const { advanceS } = parse(clockRequest, body, ['advanceS']);
        await moveClock(world, advanceS);
        return { now: world.clock.now().toISOString() };
      },
    },
    {
      method: 'POST',
      path: '/gateway',
      does: 'kill, stop, start, freeze or resume the gateway',
      handle: async ({ body }) => {
        await act(world, parse(gatewayRequest, body, ['action']).action);
        return { gateway: world.gateway.state() };
      },
    },
  ];
}

const TOKEN_FIELDS = [
  'tenant',
  'requester',
  'purpose',
  'scope',
  'generation',
  'user',
  'credentials',
  'grants',
  'dpop',
  'expiresInS',
] as const;
const FAULT_FIELDS = ['target', 'tenant', 'kind', 'match', 'times', 'status', 'delayMs'] as const;

function parse<T>(schema: z.ZodType<T>, body: unknown, known: readonly string[]): T {
  const parsed = schema.safeParse(body ?? {});
  if (parsed.success) return parsed.data;
  throw bodyProblem(parsed.error, known);
}

function upstream(world: World, params: Readonly<Record<string, string>>) {
  try {
    return tenantOf(world, params['tenant'] ?? '').tenant.fhir;
  } catch (error) {
    if (error instanceof ControlProblem) throw new ControlProblem(404, error.message, { fields: error.fields });
    throw error;
  }
}

/** A gateway that does not run gets the sandbox's time when it starts. */
async function moveClock(world: World, seconds: number): Promise<void> {
  if (world.gateway.state() === 'frozen') throw new ControlProblem(409, 'the gateway is frozen: resume it, then move the clock');
  if (world.gateway.state() === 'running') await world.gateway.ask({ type: 'advance-clock', seconds });
  world.clock.advance(seconds);
}

function act(world: World, action: GatewayAction): Promise<void> {
  switch (action) {
    case 'kill':
      return world.gateway.kill();
    case 'stop':
      return world.gateway.stop();
    case 'start':
      return world.gateway.start();
    case 'freeze':
      return world.gateway.freeze();
    case 'resume':
      return world.gateway.resume();
  }
}
