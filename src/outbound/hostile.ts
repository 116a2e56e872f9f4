import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { isIP } from 'node:net';
import axios from 'axios';
import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import { printJson } from '../fhir/json.ts';
import type { Logger } from '../log.ts';
import type { TenantTls } from '../tenant/tenant.ts';
import type { RemoteClient, RemoteReply } from '../usecase/workflow.ts';
import { AddressRefused, createGuardedLookup, isPublicAddress } from './address.ts';
import { errorCode, transportFault } from './fault.ts';
import { tlsOptions } from './tls.ts';

export interface HostileClientOptions {
  /** Only `development` allows http, loopback and private addresses. */
  readonly mode: 'production' | 'development';
  readonly tls: TenantTls;
  readonly logger: Logger;
  /** For the whole exchange; default 10,000. */
  readonly timeoutMs?: number;
  /** Largest answer; default 8 MB, a hand-off bundle. */
  readonly maxBytes?: number;
  /** Largest answer to a read of a Binary; default 64 MB. */
  readonly maxBinaryBytes?: number;
  /** The names' addresses, for tests. */
  readonly lookup?: ReturnType<typeof createGuardedLookup>;
}

// What a caller may not set: they belong to the connection, or would be a second login.
const OWN_HEADERS = new Set([
  'authorization',
  'connection',
  'content-length',
  'cookie',
  'expect',
  'host',
  'keep-alive',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * A client for URLs that other parties wrote (facts/reliability.md §2.4): https and public addresses only, checked when the connection is
 * made; no redirects, no proxy, one deadline over all, bounded answers. The token goes to the given URL and nowhere else.
 */
export function createHostileClient(options: HostileClientOptions): RemoteClient & { close(): void } {
  const { mode, logger, timeoutMs = 10_000, maxBytes = 8 * 1024 * 1024, maxBinaryBytes = 64 * 1024 * 1024 } = options;
  const guard = mode === 'production' ? { lookup: options.lookup ?? createGuardedLookup() } : {};
  const connection = { keepAlive: true, maxSockets: 16, timeout: timeoutMs };
  const httpAgent = new HttpAgent(connection);
  const httpsAgent = new HttpsAgent({ ...connection, ...guard, ...tlsOptions(options.tls) });

  return {
    async call({ method, url: text, token, accept, json, headers }) {
      const url = parseRemoteUrl(text, mode);
      const isBinary = /\/Binary\/[^/]+$/.test(url.pathname);
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(), timeoutMs);
      try {
        const answer = await axios.request<unknown>({
          method,
          url: url.href,
          headers: requestHeaders(token, accept, json !== undefined, headers),
          ...(json === undefined ? {} : { data: Buffer.from(printJson(json)) }),
          httpAgent,
          httpsAgent,
          proxy: false,
          maxRedirects: 0,
          decompress: false,
          responseType: 'arraybuffer',
          transformResponse: [(data: unknown) => data],
          maxContentLength: isBinary ? maxBinaryBytes : maxBytes,
          maxBodyLength: maxBytes,
          signal: deadline.signal,
          validateStatus: () => true,
        });
        return reply(answer.status, answer.headers, answer.data);
      } catch (error) {
        if (error instanceof GatewayError) throw error;
        const host = url.hostname;
        const fault = transportFault(error);
        logger.debug({ host, fault, code: errorCode(error) }, 'call to another party failed');
        if (deadline.signal.aborted || fault === 'timeout') {
          throw new GatewayError('upstream_timeout', `${host} did not answer within ${timeoutMs} ms`);
        }
        // The cause of axios holds the request, and that the token: it is not kept.
        const why = isAddressRefused(error)
          ? 'leads to an address that is not public'
          : `could not be reached (${errorCode(error) ?? fault})`;
        throw new GatewayError('upstream_failed', `${host} ${why}`);
      } finally {
        clearTimeout(timer);
      }
    },
    close() {
      httpAgent.destroy();
      httpsAgent.destroy();
    },
  };
}

/**
 * Reads a URL of another party.
 * @throws GatewayError `upstream_failed` when it is not one that may be called in this mode
 */
export function parseRemoteUrl(text: string, mode: 'production' | 'development'): URL {
  const refuse = (problem: string): GatewayError =>
    new GatewayError('upstream_failed', `the address of the other party ${problem}`);
  if (!URL.canParse(text)) throw refuse('is not a URL');
  const url = new URL(text);
  if (url.protocol !== 'https:' && !(mode === 'development' && url.protocol === 'http:'))
    throw refuse('does not begin with https://');
  // `http://@host` and `…#` have an empty part that the parser drops.
  if (url.username !== '' || url.password !== '' || /^[a-z]+:[/\\]*[^/\\?#]*@/i.test(text)) throw refuse('has a user name');
  if (text.includes('#')) throw refuse('has a fragment');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (mode === 'production' && isIP(host) !== 0 && !isPublicAddress(host)) throw refuse('is not public');
  return url;
}

function requestHeaders(
  token: string,
  accept: string | undefined,
  hasBody: boolean,
  extra: Readonly<Record<string, string>> | undefined,
): Record<string, string | false> {
  const headers: Record<string, string | false> = {};
  for (const [name, value] of Object.entries(extra ?? {})) {
    const lower = name.toLowerCase();
    if (!OWN_HEADERS.has(lower)) headers[lower] = value;
  }
  if (hasBody) headers['content-type'] ??= 'application/fhir+json';
  else headers['content-type'] = false;
  return {
    ...headers,
    accept: accept ?? 'application/fhir+json',
    'accept-encoding': 'identity',
    'user-agent': 'sluis',
    authorization: `Bearer ${token}`,
  };
}

const rawHeaders = z.record(z.string(), z.unknown());

function reply(status: number, raw: unknown, data: unknown): RemoteReply {
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(rawHeaders.parse({ ...(typeof raw === 'object' ? raw : {}) }))) {
    if (typeof value === 'string') headers.set(name.toLowerCase(), value);
  }
  const encoding = headers.get('content-encoding');
  if (encoding !== undefined && encoding !== 'identity') {
    throw new GatewayError('upstream_failed', 'another party answered with an encoding that was not asked for');
  }
  return { status, headers, body: Buffer.isBuffer(data) ? data : Buffer.alloc(0) };
}

function isAddressRefused(error: unknown): boolean {
  return error instanceof AddressRefused || (error instanceof Error && error.cause instanceof AddressRefused);
}
