/**
 * The simulated Nuts node: `createSimulatedNetwork`, `startSimulatedNode`, `SimulatedNode`. It has both generations on one listener:
 * did:nuts and auth v1 as a v5 node, did:web and auth v2 as a v6 node, with real keys, tokens and grants between nodes, on loopback,
 * for development only.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JsonWebKey } from 'node:crypto';

import { z } from 'zod';

import type { Clock } from '../../clock.ts';
import type { FaultInjector } from '../faults.ts';
import { signAccessToken, TOKEN_LIFE_S } from './access-token.ts';
import { createApiAuthentication, type ApiAuthentication } from './api-authentication.ts';
import { authRoutes } from './auth-api.ts';
import { TOKEN_PATH, type NodeContext } from './context.ts';
import { credentialRoutes } from './credential-api.ts';
import { idOf, type VC } from './credential.ts';
import { documentOf } from './did-document.ts';
import { createHandler, readBody } from './http.ts';
import { foundingDate, type SimulatedNetwork } from './network.ts';
import { KEY_NOT_FOUND } from './problem.ts';
import { discoveryRoutes } from './iam/discovery-api.ts';
import type { DiscoveryDefinition } from './iam/definition.ts';
import { iamRoutes } from './iam/iam-api.ts';
import { oauthRoutes } from './iam/oauth-api.ts';
import { requestServiceToken } from './iam/service-token.ts';
import { createIamMemory, type AnyCredential, type Policy } from './iam/store.ts';
import { found, issuerUrl } from './iam/subject.ts';
import { changeLife } from './iam/token.ts';
import { subjectRoutes } from './iam/subject-api.ts';
import { walletRoutes } from './iam/wallet-api.ts';
import { loadCredential } from './iam/wallet.ts';
import type { Json } from './json.ts';
import { sha256 } from './key.ts';
import { createRateLimiter } from './rate-limit.ts';
import { registryRoutes } from './registry-api.ts';
import { addService, replaceService } from './service-api.ts';
import { signRoutes } from './sign-api.ts';
import type { SignSession, UserClaims } from './session-types.ts';
import { statusRoutes } from './status-api.ts';

export type { AnyCredential, Policy } from './iam/store.ts';
export type { VC } from './credential.ts';
export { createSimulatedNetwork, type SimulatedNetwork } from './network.ts';

export interface MintedUser {
  readonly identifier: string;
  readonly initials: string;
  readonly familyName: string;
  readonly roleName?: string;
  readonly prefix?: string;
  /** `low` by default. */
  readonly level?: 'low' | 'substantial' | 'high';
}

export interface MintRequest {
  /** DID of the organisation that asks. */
  readonly requester: string;
  /** The compound service. */
  readonly purpose: string;
  readonly credentials?: readonly VC[];
  readonly user?: MintedUser;
  /** 60 by default; negative for a token that has expired already. */
  readonly expiresInS?: number;
}

/** What a node asks for as client (generation v2). */
export interface ServiceToken {
  /** The other's `authorizationServerUrl`. */
  readonly server: string;
  readonly scope: string;
  readonly tokenType: 'Bearer' | 'DPoP';
  /** Stated by the organisation about itself. */
  readonly selfAttested?: readonly Json[];
  /** Signed ones, beside what is in its wallet. */
  readonly signed?: readonly AnyCredential[];
  /** Sent along with every call to the other. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ServiceTokenAnswer {
  readonly token: string;
  /** Of the key that the token is bound to, for `DPoP`: its id, and the key itself. */
  readonly kid?: string;
  readonly privateJwk?: JsonWebKey;
}

export interface SimulatedNode {
  readonly name: string;
  /** The organisation's DID. */
  readonly did: string;
  /** The DID of the vendor that runs the node: NutsComm and the endpoints that services refer to. */
  readonly vendorDid: string;
  /** Base of the internal API and of what other nodes and browsers call, on one listener as a v5 node; no trailing slash. */
  readonly url: string;
  /** Puts a compound service in the organisation's document, in place of an earlier one; `oauth` is added. Values are absolute URLs. */
  register(service: string, endpoints: Readonly<Record<string, string>>): void;
  /** The access token that its token endpoint would give for such a grant, without one. */
  mintToken(request: MintRequest): Promise<string>;
  /** The organisation's subject of generation v2: its id, its DID, and the issuer of its tokens. */
  readonly subject: { readonly id: string; readonly did: string; readonly authorizationServerUrl: string };
  /** The DID that vouches for the names of organisations of generation v2. */
  readonly anchorDid: string;
  /** Presentation definitions by scope; what is put in counts at once. */
  readonly policies: Map<string, Policy>;
  /** Has the organisation ask another node for a token of generation v2, by a real exchange between the two. */
  requestToken(request: ServiceToken): Promise<ServiceTokenAnswer>;
  /** Gives a token that this node issued another life, counted from now; negative for one that has ended. */
  setTokenLife(token: string, expiresInS: number): void;
  /** Down: `/health` says 503, and introspection knows no token, as at a node that lost its store. */
  setHealth(up: boolean): void;
  /** Forgets what a real node has in memory only: signing sessions, tokens of generation v2, nonces, ids of proofs. */
  restart(): void;
  close(): Promise<void>;
}

export interface SimulatedNodeOptions {
  readonly network: SimulatedNetwork;
  /** Fixes the DIDs and keys of organisation and vendor. */
  readonly name: string;
  readonly organization: { readonly name: string; readonly city: string };
  readonly clock: Clock;
  /** 0 (default) takes a free one. */
  readonly port?: number;
  readonly host?: '127.0.0.1';
  /** Whether the unsigned `dummy` means can be used; true by default. */
  readonly dummyMeans?: boolean;
  /** Presentation definitions by scope, as in policy files. */
  readonly policies?: Readonly<Record<string, Policy>>;
  /** Discovery services, as in definition files; all nodes of a network share one list per service. */
  readonly discovery?: readonly DiscoveryDefinition[];
  /** How long a registration needs to reach other nodes; 1000 by default. */
  readonly discoveryDelayMs?: number;
  /** Whether changing calls are limited as in strict mode; false by default. */
  readonly rateLimiter?: boolean;
  /** Who may call `/internal` (`token_v2`); anybody by default. */
  readonly apiAuthentication?: ApiAuthentication;
  readonly mode?: 'development' | 'production';
  readonly faults?: FaultInjector;
}

/** Starts a node; its organisation is known to the whole network. Throws in production mode and for any host but loopback. */
export async function startSimulatedNode(options: SimulatedNodeOptions): Promise<SimulatedNode> {
  const { network, name, organization, clock, port = 0, host = '127.0.0.1', faults } = options;
  if (options.mode === 'production')
    throw new Error('the simulated Nuts node is for development: it does not start in production mode');
  // Callers in plain JavaScript are not held by the type.
  if (!['127.0.0.1'].includes(host)) throw new Error('the simulated Nuts node listens on 127.0.0.1 only');

  const store = network.store(name);
  const created = foundingDate(network);
  const vendor = network.createDid(store, `vendor of ${name}`, { created });
  const document = network.createDid(store, name, { created, controllers: [vendor.id], selfControl: false, keyAgreement: false });
  await network.vouch(document.id, organization);

  let isUp = true;
  let url = '';
  let startedAt = clock.now().getTime();
  const sessions = new Map<string, SignSession>();
  const iam = createIamMemory();
  const policies = new Map(Object.entries(options.policies ?? {}));
  const limiter = createRateLimiter(clock);
  const context: NodeContext = {
    network,
    store,
    clock,
    url: () => url,
    vendorDid: vendor.id,
    dummyMeans: options.dummyMeans !== false,
    sessions,
    iam,
    policies,
    discovery: options.discovery ?? [],
    discoveryDelayMs: options.discoveryDelayMs ?? 1_000,
    startedAt: () => startedAt,
    isHealthy: () => isUp,
  };
  const routes = [
    ...statusRoutes(context),
    ...authRoutes(context),
    ...credentialRoutes(context),
    ...registryRoutes(context),
    ...signRoutes(context),
    ...iamRoutes(context),
    ...oauthRoutes(context),
    ...subjectRoutes(context),
    ...walletRoutes(context),
    ...discoveryRoutes(context),
  ];
  const isAllowedIn =
    options.apiAuthentication === undefined ? undefined : createApiAuthentication(options.apiAuthentication, clock);
  const serve = createHandler(routes, () => options.rateLimiter !== true || limiter.take(), isAllowedIn);

  const server = createServer({ maxHeaderSize: 64 * 1024 }, (req, res) => {
    const received = readBody(req);
    // Nobody may ask for it: a fault that does no work.
    received.catch(() => undefined);
    const work = faults === undefined ? serve(req, res, received) : faults.handle(req, res, () => serve(req, res, received));
    work.catch(() => req.socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  url = `http://${host}:${(server.address() as AddressInfo).port}`;

  const subjectDid = found(context, name).id;
  const ura = String(10_000_000 + (sha256(name).readUInt32BE() % 89_999_999));
  await loadCredential(context, name, await network.vouchWeb(subjectDid, { ...organization, ura }));

  /** Adds or replaces: a node that is started again finds its services, perhaps with another port. */
  const put = (did: string, type: string, serviceEndpoint: string | Readonly<Record<string, string>>): void => {
    const target = documentOf(network.resolve, did);
    const isKnown = target.service?.some((service) => service.type === type) === true;
    (isKnown ? replaceService : addService)(context, target, { type, serviceEndpoint });
  };
  const reference = (type: string): string => `${vendor.id}/serviceEndpoint?type=${encodeURIComponent(type)}`;
  put(vendor.id, 'NutsComm', `grpc://${name}.sluis-sandbox:5555`);
  put(document.id, 'NutsComm', reference('NutsComm'));
  put(vendor.id, 'production-oauth', `${url}${TOKEN_PATH}`);

  return {
    name,
    did: document.id,
    vendorDid: vendor.id,
    url,
    register(service, endpoints) {
      const parts: Record<string, string> = { oauth: reference('production-oauth') };
      for (const [type, endpoint] of Object.entries(endpoints)) {
        put(vendor.id, `${service}-${type}`, endpoint);
        parts[type] = reference(`${service}-${type}`);
      }
      put(document.id, service, parts);
    },
    async mintToken({ requester, purpose, credentials = [], user, expiresInS = TOKEN_LIFE_S }) {
      const key = network.signingKey(store, document.id);
      if (key === undefined) throw new Error(KEY_NOT_FOUND);
      const now = Math.floor(clock.now().getTime() / 1000);
      return signAccessToken(key, {
        authorizer: document.id,
        requester,
        service: purpose,
        credentialIds: credentials.map(idOf),
        ...(user === undefined ? {} : { user: userClaims(user) }),
        // A token that has expired was made a usual life earlier.
        issuedAt: now + Math.min(0, expiresInS - TOKEN_LIFE_S),
        expires: now + expiresInS,
      });
    },
    subject: { id: name, did: subjectDid, authorizationServerUrl: issuerUrl(context, name) },
    anchorDid: network.webAnchorDid,
    policies,
    async requestToken({ server, scope, tokenType, selfAttested = [], signed = [], headers = {} }) {
      const request = { subject: name, authorizationServer: server, scope, tokenType, selfAttested, signed };
      const answer = z
        .object({ access_token: z.string().min(1), dpop_kid: z.string().optional() })
        .parse(await requestServiceToken(context, request, headers));
      const kid = answer.dpop_kid;
      const key = kid === undefined ? undefined : store.keys.get(kid);
      return {
        token: answer.access_token,
        ...(kid === undefined || key === undefined ? {} : { kid, privateJwk: key.privateKey.export({ format: 'jwk' }) }),
      };
    },
    setTokenLife(token, expiresInS) {
      changeLife(context, token, expiresInS);
    },
    setHealth(up) {
      isUp = up;
    },
    restart() {
      sessions.clear();
      for (const memory of Object.values(iam)) (memory as Map<string, unknown>).clear();
      limiter.reset();
      startedAt = clock.now().getTime();
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function userClaims(user: MintedUser): UserClaims {
  return {
    initials: user.initials,
    prefix: user.prefix ?? '',
    family_name: user.familyName,
    email: '',
    username: user.identifier,
    user_role: user.roleName ?? '',
    assurance_level: user.level ?? 'low',
  };
}
