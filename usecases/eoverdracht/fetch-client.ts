import {
  GatewayError,
  type IssuedCredential,
  type JsonObject,
  type JsonValue,
  type RemoteReply,
  type Services,
} from 'sluis/usecase';
import { PURPOSE } from './transfer.ts';

/** What the receiver does with a resource of the sender. */
export type Operation = 'read' | 'update' | 'document';

/** The sender's FHIR server as the receiver reaches it: with the credential that names the resource, and no other (facts §5.6). */
export interface SenderClient {
  readonly sender: string;
  /** The sender's FHIR base, no trailing slash. @throws GatewayError `upstream_failed` (`sender_has_no_endpoint`) */
  base(): Promise<string>;
  /** The credentials that name `Type/id`, those for the operation where there are such; empty when none is held. */
  held(reference: string, operation: Operation): Promise<readonly IssuedCredential[]>;
  /**
   * One request about `Type/id`; `$document` is the operation of a Composition. A 401 is answered with a new token, once.
   * @throws GatewayError `upstream_failed`, `upstream_timeout`, `node_unavailable`; `forbidden` (`no_credential`)
   */
  call(request: {
    readonly reference: string;
    readonly operation: Operation;
    readonly accept?: string;
    readonly json?: JsonObject;
    readonly headers?: Readonly<Record<string, string>>;
  }): Promise<RemoteReply>;
}

/** Tokens live a minute (RFC003 §5.3); half of it is kept for the way. */
const TOKEN_KEPT_MS = 30_000;
/** A token carries no more credentials than it needs; more than a few for one path are renewals of each other. */
const MAX_CREDENTIALS = 4;

interface KeptToken {
  readonly token: Promise<string>;
  readonly at: number;
}

/** Creates a client for one errand. `identity` is the presentation of the user who acts; without one the tokens have no user. */
export function createSenderClient(services: Services, sender: string, identity?: JsonValue): SenderClient {
  const found = new Map<string, Promise<readonly IssuedCredential[]>>();
  const tokens = new Map<string, KeptToken>();
  let base: Promise<string> | undefined;

  const tokenFor = (credentials: readonly IssuedCredential[], refused?: string): Promise<string> => {
    const key = credentials.map((each) => each.id).join('\n');
    const kept = tokens.get(key);
    const now = services.now().getTime();
    if (kept !== undefined && refused === undefined && now - kept.at < TOKEN_KEPT_MS) return kept.token;
    const token = services.node.requestToken({
      authorizer: sender,
      service: PURPOSE,
      credentials: credentials.map((each) => each.credential),
      ...(identity === undefined ? {} : { identity }),
      ...(refused === undefined ? {} : { refused }),
    });
    tokens.set(key, { token, at: now });
    return token;
  };

  const named = async (reference: string): Promise<readonly IssuedCredential[]> => {
    const path = `/${reference}`;
    // Most of a document is named by the credential that named its Composition.
    for (const known of found.values()) {
      const list = (await known).filter((each) => names(each, path));
      if (list.length > 0) return list;
    }
    let search = found.get(path);
    if (search === undefined) {
      search = services.node.findHeld({ issuer: sender, purpose: PURPOSE, path });
      found.set(path, search);
    }
    const now = services.now();
    return (await search).filter((each) => !each.revoked && (each.expiresAt === undefined || each.expiresAt > now));
  };

  const client: SenderClient = {
    sender,
    base: () => (base ??= resolveBase(services, sender)),
    held: async (reference, operation) => {
      const list = await named(reference);
      const able = list.filter((each) => names(each, `/${reference}`, operation));
      return newestFirst(able.length > 0 ? able : list).slice(0, MAX_CREDENTIALS);
    },
    call: async ({ reference, operation, accept, json, headers }) => {
      const url = `${await client.base()}/${reference}${operation === 'document' ? '/$document' : ''}`;
      const credentials = await client.held(reference, operation);
      if (credentials.length === 0) {
        throw new GatewayError('forbidden', 'no credential of the sender names this resource', { reason: 'no_credential' });
      }
      const send = (token: string): Promise<RemoteReply> =>
        services.remote.call({
          method: operation === 'update' ? 'PUT' : 'GET',
          url,
          token,
          accept: accept ?? 'application/fhir+json',
          ...(json === undefined ? {} : { json }),
          ...(headers === undefined ? {} : { headers }),
        });
      const token = await tokenFor(credentials);
      const reply = await send(token);
      return reply.status === 401 ? send(await tokenFor(credentials, token)) : reply;
    },
  };
  return client;
}

async function resolveBase(services: Services, sender: string): Promise<string> {
  const endpoint = await services.node.resolveEndpoint(sender, PURPOSE, 'fhir');
  if (endpoint === undefined) {
    throw new GatewayError('upstream_failed', 'the sender has no FHIR endpoint', { reason: 'sender_has_no_endpoint' });
  }
  // Whether the address may be called at all is judged by the client for other parties: https, public, no user name (facts §4.3).
  if (!URL.canParse(endpoint) || /[?#]/.test(endpoint)) {
    throw new GatewayError('upstream_failed', 'the sender has a FHIR endpoint that is no base', {
      reason: 'sender_endpoint_unusable',
    });
  }
  return endpoint.replace(/\/+$/, '');
}

function names(credential: IssuedCredential, path: string, operation?: Operation): boolean {
  return credential.resources.some(
    (each) =>
      spelled(each.path) === spelled(path) &&
      (operation === undefined || each.operations.some((name) => name.toLowerCase() === operation)),
  );
}

/** Credentials of others may lack the leading slash or have the type in lower case (facts §5.7); the id counts exactly. */
function spelled(path: string): string {
  const [type = '', ...rest] = path.replace(/^\//, '').split('/');
  return [type.toLowerCase(), ...rest].join('/');
}

function newestFirst(credentials: readonly IssuedCredential[]): readonly IssuedCredential[] {
  const until = (each: IssuedCredential): number => each.expiresAt?.getTime() ?? Number.MAX_SAFE_INTEGER;
  return [...credentials].sort((a, b) => until(b) - until(a));
}
