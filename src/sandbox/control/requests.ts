import type { JsonWebKey } from 'node:crypto';
import { z } from 'zod';
import { FAULT_KINDS } from '../faults.ts';

// The bodies of the control API (design §11). Strict: a field that is not known is an error, not a default.

/** What `POST /faults` can work on. */
export const FAULT_TARGETS = ['node', 'fhir', 'receiver'] as const;

const level = z.enum(['low', 'substantial', 'high']);
const name = z.string().min(1);

/** As in `POST /user-sessions`, with the level of assurance that the token shall state. */
const user = z.strictObject({
  identifier: name,
  initials: name,
  familyName: name,
  roleName: name.exactOptional(),
  level: level.exactOptional(),
});

const grant = z.strictObject({
  path: z.string().regex(/^\/[A-Za-z]/, 'must be a path below the FHIR base, such as /Task/1'),
  operations: z.array(name).min(1),
  userContext: z.boolean().default(false),
  assuranceLevel: level.exactOptional(),
});

export const tokenRequest = z
  .strictObject({
    tenant: name,
    requester: name,
    purpose: name.exactOptional(),
    scope: name.exactOptional(),
    generation: z.enum(['v1', 'v2']).default('v1'),
    user: user.exactOptional(),
    credentials: z.array(z.record(z.string(), z.unknown())).exactOptional(),
    grants: z.array(grant).min(1).exactOptional(),
    dpop: z.boolean().default(false),
    expiresInS: z.int().min(-31_536_000).max(31_536_000).exactOptional(),
  })
  .refine(({ purpose, scope }) => (purpose === undefined) !== (scope === undefined), {
    path: ['purpose'],
    message: 'exactly one of purpose and scope must be given',
  });

export const faultRequest = z
  .strictObject({
    target: z.enum(FAULT_TARGETS),
    tenant: name,
    kind: z.enum(FAULT_KINDS),
    match: z
      .strictObject({
        method: z
          .string()
          .regex(/^[A-Za-z]+$/, 'must be an HTTP method')
          .exactOptional(),
        path: z.string().min(1).exactOptional(),
      })
      .exactOptional(),
    times: z.int().min(1).exactOptional(),
    status: z.int().min(200).max(599).exactOptional(),
    delayMs: z.int().min(0).max(600_000).exactOptional(),
  })
  .refine(({ kind, status }) => status === undefined || kind === 'status', {
    path: ['status'],
    message: 'belongs to kind status only',
  })
  .refine(({ kind, delayMs }) => delayMs === undefined || kind === 'slow', {
    path: ['delayMs'],
    message: 'belongs to kind slow only',
  });

const TEN_YEARS_S = 315_360_000;

export const clockRequest = z.strictObject({ advanceS: z.number().min(-TEN_YEARS_S).max(TEN_YEARS_S) });

export const GATEWAY_ACTIONS = ['kill', 'stop', 'start', 'freeze', 'resume'] as const;

export const gatewayRequest = z.strictObject({ action: z.enum(GATEWAY_ACTIONS) });

export type TokenRequest = z.infer<typeof tokenRequest>;

/** The answer of `POST /tokens`. */
export interface TokenAnswer {
  readonly access_token: string;
  readonly token_type: 'bearer' | 'Bearer' | 'DPoP';
  /** Seconds; negative for a token that has expired. */
  readonly expires_in: number;
  /** With `dpop`: the private key that the token is bound to, and its id at the requester's node. */
  readonly dpopJwk?: JsonWebKey;
  readonly dpop_kid?: string;
}

export type FaultRequest = z.infer<typeof faultRequest>;
export type GatewayAction = (typeof GATEWAY_ACTIONS)[number];
