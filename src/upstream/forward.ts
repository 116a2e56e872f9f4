import type { Readable } from 'node:stream';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { FhirStore } from '../usecase/workflow.ts';
import { createConnection, type UpstreamRequest } from './connection.ts';
import { answerHeaders } from './headers.ts';
import type { Bases } from './rewrite.ts';
import { createFhirStore } from './store.ts';
import type { BreakOff } from './whole.ts';

export type { UpstreamRequest } from './connection.ts';

/** The custodian's FHIR server, for one tenant. */
export interface Upstream {
  /**
   * Sends a judged request and gives the answer as it begins; the body streams, and must be read to its end or destroyed.
   * @throws GatewayError `upstream_failed` (502), `upstream_timeout` (504), `overloaded` (503) when too many are in flight
   */
  forward(request: UpstreamRequest): Promise<UpstreamAnswer>;
  /**
   * The same for an answer that is held whole: there is no stream in between, which halves what a read costs here.
   * @param maxBytes of the body
   * @param breakOff ends the call
   * @throws GatewayError as `forward`, `upstream_failed` also when the body is larger or not whole
   */
  read(request: UpstreamRequest, maxBytes: number, breakOff: BreakOff): Promise<WholeAnswer>;
  /** Reads and writes of our own, for look-ups and workflows. */
  readonly store: FhirStore;
  /** What to rewrite in bodies: `createRewriter(bases)`. */
  readonly bases: Bases;
  close(): Promise<void>;
}

export interface UpstreamAnswer {
  /** 200 to 299, 304 where it was asked for, 400 to 599 without 401 and 407. */
  readonly status: number;
  /** Allow-listed, lower-case; locations in our words. The gate makes of them what a requester gets. */
  readonly headers: ReadonlyMap<string, string>;
  /** An error on it (`upstream_failed`'s cause) means that the answer is not whole: destroy what was sent so far. */
  readonly body: Readable;
}

/** An answer that is there. */
export interface WholeAnswer extends Omit<UpstreamAnswer, 'body'> {
  /** Of status 200; of any other nothing is kept. */
  readonly bytes: Buffer;
}

/** Creates the upstream of one tenant; it keeps connections, so make one and close it in the end. */
export function createUpstream(tenant: Tenant, options: { readonly clock: Clock }): Upstream {
  const connection = createConnection(tenant, options.clock);
  const bases: Bases = { upstream: tenant.fhir.url, public: `${tenant.publicUrl}/fhir` };
  const { concurrentRequests } = tenant.limits;
  let inFlight = 0;
  const enter = (): void => {
    if (inFlight >= concurrentRequests) {
      throw new GatewayError('overloaded', 'too many requests at the FHIR server of the tenant', {
        retryAfterSeconds: 1,
        outage: true,
      });
    }
    inFlight += 1;
  };
  const leave = (): void => {
    inFlight -= 1;
  };

  return {
    bases,
    store: createFhirStore(connection, tenant),
    async forward(request) {
      enter();
      try {
        const answer = await connection.send(request);
        const { statusCode: status, body } = answer;
        let headers: ReadonlyMap<string, string>;
        try {
          headers = answerHeaders(answer.headers, bases);
        } catch (error) {
          body.on('error', ignore).destroy();
          throw error;
        }
        body.once('close', leave);
        return { status, headers, body };
      } catch (error) {
        leave();
        throw error;
      }
    },
    async read(request, maxBytes, breakOff) {
      enter();
      try {
        const { statusCode: status, headers, content } = await connection.sendWhole(request, maxBytes, breakOff);
        if (content instanceof GatewayError) throw content;
        return { status, headers: answerHeaders(headers, bases), bytes: content };
      } finally {
        leave();
      }
    },
    close: () => connection.close(),
  };
}

function ignore(): void {
  // Nobody reads this body.
}
