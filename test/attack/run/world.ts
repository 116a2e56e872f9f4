import { createHash, randomUUID } from 'node:crypto';
import { importJWK, SignJWT, exportJWK, generateKeyPair, type JWK } from 'jose';
import type { StoredOutcome } from './journal.ts';
import type { Caller, NodeAnswer, ProofFault } from './case.ts';
import type { ToldUpstream } from './scripted.ts';
import type { Address } from './wire.ts';

/** One request as a recording FHIR server got it. */
export interface Recorded {
  readonly method: string;
  /** Below the FHIR base, as it came: `/Patient/mine`, `?x=y` for the base itself. */
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

export interface PresentedToken {
  readonly token: string;
  /** The key that it is bound to. */
  readonly jwk?: JWK;
}

/** A gateway with two tenants, `a` and `b`, their nodes and recording FHIR servers: what a case runs in. */
export interface AttackWorld {
  readonly name: string;
  /** Of the public listener. */
  readonly address: Address;
  /** What a DPoP proof's `htu` begins with. */
  readonly publicUrl: string;
  /** What stands only in records that the caller has no right to: nothing of it may ever be in an answer. */
  readonly secrets: readonly string[];
  token(caller: Exclude<Caller, 'none'>): Promise<PresentedToken>;
  /** A token that was never shown: nothing is remembered about it. */
  freshToken(caller: Exclude<Caller, 'none'>): Promise<PresentedToken>;
  /** The world's clock, in seconds since 1970. */
  nowS(): number;
  /** What tenant `a`'s and `b`'s FHIR server received since `clear`. */
  received(): Promise<readonly Recorded[]>;
  clear(): Promise<void>;
  /** The version that is stored now, `undefined` when there is none. */
  versionOf(reference: string): Promise<string | undefined>;
  /** Everything recorded under a correlation id, in whatever chain. */
  recordsOf(correlationId: string): Promise<readonly StoredOutcome[]>;
  /** Worlds whose servers answer what they are told; others run the cases that need none of it. */
  readonly script?: {
    upstream(answer: ToldUpstream | undefined): void;
    node(answer: NodeAnswer | undefined): void;
    /** After a failure: breakers close again. @throws Error when they do not */
    heal(): Promise<void>;
  };
  close(): Promise<void>;
}

/** A proof of possession (RFC 9449 §4.2) for a request, good but for its faults. */
export async function makeProof(
  presented: PresentedToken,
  request: { readonly method: string; readonly url: string; readonly nowS: number },
  fault: ProofFault = {},
): Promise<string> {
  const { jwk } = presented;
  if (jwk === undefined) throw new Error('the token is bound to no key');
  const stranger = await generateKeyPair('ES256', { extractable: true });
  const key = fault.otherKey === true ? stranger.privateKey : await importJWK(jwk, 'ES256');
  const shown: JWK = fault.otherKey === true ? await exportJWK(stranger.publicKey) : jwk;
  const { kty, crv, x, y } = shown;
  const token = fault.otherToken === true ? `${presented.token}x` : presented.token;
  const claims: Record<string, unknown> = {
    jti: randomUUID(),
    htm: request.method,
    htu: request.url,
    iat: Math.floor(request.nowS + (fault.age ?? 0)),
    ath: createHash('sha256').update(token).digest('base64url'),
    ...fault.claims,
  };
  for (const name of fault.without ?? []) Reflect.deleteProperty(claims, name);
  const header = { alg: 'ES256', typ: 'dpop+jwt', jwk: { kty, crv, x, y }, ...fault.header };
  return new SignJWT(claims).setProtectedHeader(header as { alg: string }).sign(key);
}

/** Reads placeholders in the parts of a case. */
export type Fill = (text: string) => Promise<string>;

/** `{host}`, `{token}`, `{token:caller}`, `{version:Type/id}`, `{repeat:text:count}`, `{uuid}`. */
export function createFill(world: AttackWorld, own: PresentedToken | undefined): Fill {
  const values = async (name: string, rest: string): Promise<string> => {
    switch (name) {
      case 'host':
        return `${world.address.host}:${world.address.port}`;
      case 'token':
        if (rest === '') return own?.token ?? 'none';
        return (await world.token(rest as Exclude<Caller, 'none'>)).token;
      case 'version':
        return (await world.versionOf(rest)) ?? '1';
      case 'repeat': {
        const colon = rest.lastIndexOf(':');
        return rest.slice(0, colon).repeat(Number(rest.slice(colon + 1)));
      }
      case 'uuid':
        return randomUUID();
      default:
        throw new Error(`no placeholder {${name}}`);
    }
  };
  return async (text) => {
    let filled = '';
    let at = 0;
    for (const match of text.matchAll(/\{(host|token|version|repeat|uuid)(?::([^{}]*))?\}/g)) {
      filled += text.slice(at, match.index) + (await values(match[1] ?? '', match[2] ?? ''));
      at = match.index + match[0].length;
    }
    return filled + text.slice(at);
  };
}
