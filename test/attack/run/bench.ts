import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { stringify } from 'yaml';
import { createClock } from '../../../src/clock.ts';
import { parseConfig } from '../../../src/config.ts';
import { openPublicListener } from '../../../src/http/public.ts';
import { createLogger } from '../../../src/log.ts';
import { composeGateway, type Gateway } from '../../../src/main/gateway.ts';
import { startSimulatedFhirServer, type RecordedRequest, type SimulatedFhirServer } from '../../../src/sandbox/fhir/server.ts';
import { attackResources, marker } from '../../../src/sandbox/world/attack.ts';
import type { Caller, NodeAnswer } from './case.ts';
import { createJournalReader, type JournalReader } from './journal.ts';
import { answerAsTold, introspectionText, listen, portOf, readText, shut, type ToldUpstream } from './scripted.ts';
import { exchange } from './wire.ts';
import type { AttackWorld, PresentedToken, Recorded } from './world.ts';

/** A whole gateway in this process, before FHIR servers that record and a node; both answer what they are told. */
export interface Bench extends AttackWorld {
  readonly gateway: Gateway;
  readonly clock: ReturnType<typeof createClock>;
  readonly fhir: ReadonlyMap<string, SimulatedFhirServer>;
  readonly journal: JournalReader;
  readonly script: NonNullable<AttackWorld['script']>;
  /** A token that was never shown. */
  freshToken(caller: Exclude<Caller, 'none'>): Promise<PresentedToken>;
  /** What the node says of a token from now on. */
  tell(token: string, said: Readonly<Record<string, unknown>>): void;
  /** How often the nodes were asked about a token. */
  introspections(): number;
  /** The audit cannot be written any more. */
  breakAudit(): Promise<void>;
  /** Everything that was logged. */
  logged(): string;
}

export interface BenchOptions {
  /** Parts of every tenant in `sluis.yaml`. */
  readonly tenant?: Readonly<Record<string, unknown>>;
  /** Parts of every tenant's `fhir`. */
  readonly fhir?: Readonly<Record<string, unknown>>;
  /** Parts of every tenant's `node`. */
  readonly node?: Readonly<Record<string, unknown>>;
  /** Both by default. */
  readonly tenants?: readonly string[];
  /** Other parts of `sluis.yaml`. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** FHIR servers that run elsewhere, instead of the bench's own. */
  readonly fhirUrl?: (tenant: string) => string;
  /** Without it `logged` has nothing, and the journal remembers no records. */
  readonly keepLog?: boolean;
}

/** `lab` is what `chart` is not: it does what a scenario says. */
const FOLDERS = ['../chart', '../lab'].map((name) => join(import.meta.dirname, name));
const PUBLIC_URL = 'https://gate.example';
const TENANTS = ['a', 'b'] as const;
/** Longer than all cases together move the clock. */
const LIFE_S = 3_000;
/** What breakers wait before they try again. */
const BREAK_S = 3;
const TRIES = 20;
/** Of the gate with its node and FHIR servers. Nothing waits for its end: what shows a timeout has a bench with a short one. */
const PATIENCE_MS = 20_000;

const SCOPES: Readonly<Record<Exclude<Caller, 'none'>, string>> = {
  chart: 'chart',
  'chart-v1': 'chart',
  'chart-dpop': 'chart',
  'other-scope': 'something-else',
  'two-scopes': 'chart something-else',
  'other-tenant': 'chart',
  expired: 'chart',
  unknown: '',
};

/** The `iss` of a tenant's v2 tokens. */
export function issuerOf(tenant: string): string {
  return `https://node.example/oauth2/${tenant}`;
}

/** Starts a bench; everything on free ports of the loopback. */
export async function startBench(options: BenchOptions = {}): Promise<Bench> {
  const clock = createClock();
  const folder = await mkdtemp(join(tmpdir(), 'sluis-bench-'));
  const told = { upstream: undefined as ToldUpstream | undefined, node: undefined as NodeAnswer | undefined };
  const tokens = new Map<string, Readonly<Record<string, unknown>>>();
  let asked = 0;
  let isAuditBroken = false;
  let log = '';

  const node = await listen(async (request, response) => {
    const body = await readText(request);
    if (request.url === '/health') {
      response.writeHead(200).end('{}');
      return;
    }
    asked += 1;
    const truth = tokens.get(new URLSearchParams(body).get('token') ?? '') ?? { active: false };
    await answerIntrospection(told.node, truth, request, response);
  });
  const answerIntrospection = async (
    scripted: NodeAnswer | undefined,
    truth: Readonly<Record<string, unknown>>,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> => {
    if (scripted?.drop === true) {
      request.socket.destroy();
      return;
    }
    if (scripted?.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, scripted.delayMs));
    response.writeHead(scripted?.status ?? 200, { 'content-type': 'application/json', ...scripted?.headers });
    response.end(introspectionText(scripted ?? { status: 200, headers: {} }, truth, clock));
  };

  const fhir = new Map<string, SimulatedFhirServer>();
  for (const id of TENANTS) {
    const faults = {
      set: () => undefined,
      clear: () => undefined,
      handle: async (request: IncomingMessage, response: ServerResponse, next: () => void | Promise<void>) => {
        const scripted = told.upstream;
        const line = `${request.method ?? ''} ${below(request.url ?? '')}`;
        const isMeant = (scripted?.for ?? line) === line && (scripted?.tenant ?? id) === id;
        if (scripted === undefined || !isMeant) await next();
        else await answerAsTold(scripted, request, response);
      },
    };
    fhir.set(id, await startSimulatedFhirServer({ name: id, version: 'R4', clock, resources: attackResources(id), faults }));
  }

  const settings = {
    mode: 'development',
    public: { host: '127.0.0.1', port: 0, url: PUBLIC_URL },
    dataDirectory: './data',
    audit: { segmentBytes: 16_777_216, minimumFreeBytes: 0 },
    useCaseFolders: FOLDERS,
    ...options.config,
    tenants: Object.fromEntries(
      (options.tenants ?? TENANTS).map((id) => [
        id,
        {
          name: id,
          did: `did:nuts:${id}`,
          subject: id,
          authorizationServerUrl: issuerOf(id),
          node: {
            url: `http://127.0.0.1:${portOf(node)}`,
            generations: ['v1', 'v2'],
            introspectionTimeoutMs: PATIENCE_MS,
            ...options.node,
          },
          fhir: { url: options.fhirUrl?.(id) ?? fhir.get(id)?.url, version: 'R4', timeoutMs: PATIENCE_MS, ...options.fhir },
          useCases: { chart: {}, lab: {} },
          ...options.tenant,
        },
      ]),
    ),
  };
  const config = parseConfig(stringify(settings), { file: join(folder, 'sluis.yaml'), environment: {} });
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      log += String(chunk);
      done();
    },
  });
  const logger = createLogger(options.keepLog === false ? 'silent' : 'info', sink);
  const gateway = await composeGateway(config, clock, logger);
  await gateway.start();
  const listener = await openPublicListener({
    host: '127.0.0.1',
    port: 0,
    gate: gateway.gate,
    trustedProxies: config.trustedProxies,
    logger,
    metrics: gateway.metrics,
  });
  const address = { host: '127.0.0.1', port: Number(new URL(listener.url).port) };
  const journal = createJournalReader(gateway.journal.directory, options.keepLog !== false);

  let count = 0;
  const freshToken = async (caller: Exclude<Caller, 'none'>): Promise<PresentedToken> => {
    count += 1;
    const unique = `${count}${Math.random().toString(36).slice(2)}`;
    if (caller === 'unknown') return { token: `nobodys-${unique}` };
    const tenant = caller === 'other-tenant' ? 'b' : 'a';
    const nowS = Math.floor(clock.now().getTime() / 1000);
    const exp = nowS + (caller === 'expired' ? -60 : LIFE_S);
    const times = { iat: caller === 'expired' ? nowS - 900 : nowS, exp };
    if (caller === 'chart-v1') {
      const token = `eyJ.${unique}.c2ln`;
      tokens.set(token, { active: true, iss: `did:nuts:${tenant}`, sub: 'did:nuts:c', aud: '', service: 'chart', ...times });
      return { token };
    }
    const jwk = caller === 'chart-dpop' ? await newKey() : undefined;
    const token = `opaque-${unique}`;
    tokens.set(token, {
      active: true,
      iss: issuerOf(tenant),
      client_id: 'https://node.example/oauth2/c',
      scope: SCOPES[caller],
      ...times,
      ...(jwk === undefined ? {} : { cnf: { jkt: await calculateJwkThumbprint(jwk) } }),
      organization_did: 'did:web:c.example',
      organization_name: 'c',
      organization_city: 'c-city',
    });
    return { token, ...(jwk === undefined ? {} : { jwk }) };
  };
  const kept = new Map<string, Promise<PresentedToken>>();

  return {
    name: 'bench',
    address,
    publicUrl: PUBLIC_URL,
    secrets: TENANTS.map((id) => marker(id, 'other')),
    gateway,
    clock,
    fhir,
    journal,
    freshToken,
    token: (caller) => {
      const known = kept.get(caller) ?? freshToken(caller);
      kept.set(caller, known);
      return known;
    },
    nowS: () => clock.now().getTime() / 1000,
    received: () => Promise.resolve([...fhir.values()].flatMap((server) => server.requests().map(toRecorded))),
    clear: () => {
      for (const server of fhir.values()) server.clearRequests();
      return Promise.resolve();
    },
    versionOf: (reference) => {
      const [type = '', id = ''] = reference.split('/');
      const versionId = fhir.get('a')?.read(type, id)?.meta?.['versionId'];
      return Promise.resolve(typeof versionId === 'string' ? versionId : undefined);
    },
    recordsOf: (correlationId) => journal.of(correlationId),
    script: {
      upstream: (answer) => {
        told.upstream = answer;
      },
      node: (answer) => {
        told.node = answer;
      },
      heal: async () => {
        for (let tries = 0; tries < TRIES; tries += 1) {
          clock.advance(BREAK_S);
          const { token } = await freshToken('chart');
          const head = `GET /a/fhir/Patient/mine HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`;
          const { answers } = await exchange(address, [Buffer.from(head)]);
          if (answers[0]?.status === 200) return;
        }
        throw new Error('the bench does not recover from the last case');
      },
    },
    tell: (token, said) => void tokens.set(token, said),
    introspections: () => asked,
    breakAudit: async () => {
      isAuditBroken = true;
      await gateway.journal.close();
    },
    logged: () => log,
    close: async () => {
      await listener.drain(100);
      // Its last record cannot be written then.
      await gateway.close().catch((error: unknown) => {
        if (!isAuditBroken) throw error;
      });
      for (const server of fhir.values()) await server.close();
      await shut(node);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function newKey() {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return exportJWK(privateKey);
}

/** A target below the base `/fhir`. */
export function below(target: string): string {
  return target.startsWith('/fhir') ? target.slice('/fhir'.length) : target;
}

export function toRecorded(request: RecordedRequest): Recorded {
  const { method, target, rawHeaders, bodyBase64 } = request;
  return { method, target: below(target), rawHeaders, body: Buffer.from(bodyBase64, 'base64') };
}
