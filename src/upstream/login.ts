import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { parseJson } from '../fhir/json.ts';
import { createPinnedClient, type PinnedClient } from '../outbound/pinned.ts';
import { tlsOptions } from '../outbound/tls.ts';
import type { FhirLogin, TenantFhir } from '../tenant/tenant.ts';

/** The tenant's own login at its FHIR server. */
export interface Login {
  /** The `Authorization` header: at once, or when a token must be asked for; undefined where there is no login. */
  header(): string | Promise<string> | undefined;
  /** The server refused it: ask for a new token next time. False when nothing would change. */
  refresh(): boolean;
  close(): Promise<void>;
}

type ClientCredentials = Extract<FhirLogin, { kind: 'client-credentials' }>;

/** Creates the login; with OAuth2 client credentials (RFC 6749 §4.4) one token is used until shortly before its end. */
export function createLogin(fhir: TenantFhir, clock: Clock): Login {
  const { login } = fhir;
  switch (login.kind) {
    case 'none':
      return fixed(undefined);
    case 'basic':
      return fixed(`Basic ${Buffer.from(`${login.username}:${login.password.reveal()}`).toString('base64')}`);
    case 'bearer':
      return fixed(`Bearer ${login.token.reveal()}`);
    case 'client-credentials':
      return createClientCredentials(login, fhir, clock);
  }
}

function fixed(header: string | undefined): Login {
  return { header: () => header, refresh: () => false, close: () => Promise.resolve() };
}

const tokenAnswer = z.object({
  access_token: z.string().min(1),
  token_type: z.string().toLowerCase().pipe(z.literal('bearer')),
  expires_in: z.number().positive().optional(),
});

interface KnownToken {
  readonly header: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

function createClientCredentials(login: ClientCredentials, fhir: TenantFhir, clock: Clock): Login {
  const url = new URL(login.tokenUrl);
  const client: PinnedClient = createPinnedClient({
    url: url.origin,
    tls: tlsOptions(fhir.tls),
    connections: 2,
    name: "the FHIR server's token endpoint",
    failed: 'upstream_failed',
    timedOut: 'upstream_timeout',
  });
  let known: KnownToken | undefined;
  let asking: Promise<string> | undefined;

  const ask = async (): Promise<string> => {
    const nowMs = clock.now().getTime();
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      ...(login.scope === undefined ? {} : { scope: login.scope }),
    });
    const answer = await client.call({
      method: 'POST',
      path: url.pathname + url.search,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        // RFC 6749 §2.3.1: both parts form-encoded first.
        authorization: `Basic ${Buffer.from(`${encodeURIComponent(login.clientId)}:${encodeURIComponent(login.clientSecret.reveal())}`).toString('base64')}`,
      },
      body: form.toString(),
      timeoutMs: 5_000,
    });
    const parsed = answer.status === 200 ? readToken(answer.body) : undefined;
    if (parsed === undefined) {
      throw new GatewayError('upstream_failed', `the FHIR server's token endpoint gave no token (${answer.status})`);
    }
    const header = `Bearer ${parsed.access_token}`;
    const lifeMs = (parsed.expires_in ?? 60) * 1000;
    known = { header, fromMs: nowMs, untilMs: nowMs + lifeMs - Math.min(30_000, lifeMs / 2) };
    return header;
  };

  return {
    header() {
      const nowMs = clock.now().getTime();
      if (known !== undefined && nowMs >= known.fromMs && nowMs < known.untilMs) return known.header;
      asking ??= ask().finally(() => (asking = undefined));
      return asking;
    },
    refresh() {
      known = undefined;
      return true;
    },
    close: () => client.close(),
  };
}

function readToken(body: Buffer): z.infer<typeof tokenAnswer> | undefined {
  try {
    return tokenAnswer.safeParse(parseJson(body)).data;
  } catch {
    return undefined;
  }
}
