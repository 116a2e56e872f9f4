import { isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import { nodeFailure, nodeRefusal, type NodeApi } from './api.ts';

/** How a care worker proves who they are (nuts-node-api.md §3.2). `dummy` proves nothing and is for development. */
export type SigningMeans = 'employeeid' | 'irma' | 'dummy';

/** Who is to sign, as the EHR knows them; for `employeeid` only. */
export interface SigningUser {
  readonly identifier: string;
  readonly initials: string;
  readonly familyName: string;
  readonly roleName?: string;
}

export interface StartedSigning {
  readonly id: string;
  readonly means: SigningMeans;
  /** Where the person confirms (`employeeid`). */
  readonly url?: string;
  /** What the means needs to go on, as the node gives it (`irma`: the content of the QR code). */
  readonly pointer: JsonObject;
}

export type SigningStatus =
  | { readonly status: 'pending' }
  /** Said once: the node forgets it. The presentation is the `identity` of token requests. */
  | { readonly status: 'completed'; readonly presentation: JsonValue }
  | { readonly status: 'cancelled' }
  | { readonly status: 'failed' }
  /** Expired, fetched before, or forgotten by a node that started again. */
  | { readonly status: 'gone' };

export interface SigningServices {
  /** The text that the person signs, in the name of the tenant's organisation. */
  drawUpContract(options?: { readonly language?: 'NL' | 'EN'; readonly validHours?: number }): Promise<string>;
  /** Draws up a contract and begins a session for it. */
  startSigning(request: { readonly means: SigningMeans; readonly user?: SigningUser }): Promise<StartedSigning>;
  pollSigning(id: string): Promise<SigningStatus>;
}

/** Signature sessions of one organisation. */
export function createSigningServices(api: NodeApi, did: string): SigningServices {
  const services: SigningServices = {
    async drawUpContract({ language = 'NL', validHours = 8 } = {}) {
      const answer = await api.call({
        method: 'PUT',
        path: '/internal/auth/v1/contract/drawup',
        json: {
          type: language === 'NL' ? 'BehandelaarLogin' : 'PractitionerLogin',
          language,
          version: 'v3',
          legalEntity: did,
          validDuration: `${validHours}h`,
        },
      });
      if (answer.status !== 200) throw nodeRefusal('to draw up a contract', answer);
      const message = isJsonObject(answer.json) ? answer.json['message'] : undefined;
      if (typeof message !== 'string' || message === '') throw nodeFailure('drew up a contract without text');
      return message;
    },

    async startSigning({ means, user }) {
      const payload = await services.drawUpContract();
      const answer = await api.call({
        method: 'POST',
        path: '/internal/auth/v1/signature/session',
        json: { means, payload, params: user === undefined ? {} : { employer: did, employee: { ...user } } },
      });
      if (answer.status !== 201) throw nodeRefusal('to start a signing session', answer);
      const { sessionID: id, sessionPtr: pointer } = isJsonObject(answer.json) ? answer.json : {};
      if (typeof id !== 'string' || id === '' || !isJsonObject(pointer))
        throw nodeFailure('started a signing session without an id');
      const { url } = pointer;
      return { id, means, pointer, ...(typeof url === 'string' ? { url } : {}) };
    },

    async pollSigning(id) {
      const answer = await api.call({ method: 'GET', path: `/internal/auth/v1/signature/session/${encodeURIComponent(id)}` });
      if (answer.status === 404) return { status: 'gone' };
      if (answer.status !== 200 || !isJsonObject(answer.json)) throw nodeRefusal('to say how a signing session stands', answer);
      const { status, verifiablePresentation: presentation } = answer.json;
      if (typeof status !== 'string') throw nodeFailure('gave a signing session no status');
      return signingStatus(status, presentation);
    },
  };
  return services;
}

// Each means has words of its own.
const STATUSES: ReadonlyMap<string, SigningStatus> = new Map<string, SigningStatus>([
  ['created', { status: 'pending' }],
  ['in-progress', { status: 'pending' }],
  ['INITIALIZED', { status: 'pending' }],
  ['PAIRING', { status: 'pending' }],
  ['CONNECTED', { status: 'pending' }],
  ['cancelled', { status: 'cancelled' }],
  ['CANCELLED', { status: 'cancelled' }],
  ['errored', { status: 'failed' }],
  ['expired', { status: 'gone' }],
  ['TIMEOUT', { status: 'gone' }],
  ['vp-requested', { status: 'gone' }],
]);

function signingStatus(status: string, presentation: JsonValue | undefined): SigningStatus {
  if (status === 'completed' || status === 'DONE') {
    return isJsonObject(presentation) || typeof presentation === 'string'
      ? { status: 'completed', presentation }
      : { status: 'failed' };
  }
  return STATUSES.get(status) ?? { status: 'failed' };
}
