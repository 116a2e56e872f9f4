import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import type { GrantedResource } from '../usecase/subject.ts';
import type { IssuedCredential, NodeServices } from '../usecase/workflow.ts';
import { didSegment, nodeFailure, nodeRefusal, type NodeApi } from './api.ts';
import { AUTHORIZATION_CREDENTIAL, readAuthorizationCredential, toArray, type ReadCredential } from './credential.ts';

type CredentialServices = Pick<NodeServices, 'issueCredential' | 'revokeCredential' | 'findIssued' | 'findHeld'>;

/** NutsAuthorizationCredentials of one organisation: issued by it, or held by it. */
export function createCredentialServices(api: NodeApi, did: string, clock: Clock): CredentialServices {
  const services: CredentialServices = {
    async issueCredential({ subject, purpose, resources, expiresAt }) {
      const answer = await api.call({
        method: 'POST',
        path: '/internal/vcr/v2/issuer/vc',
        json: issueBody(did, subject, purpose, resources, expiresAt),
        timeoutMs: 15_000,
      });
      if (answer.status === 412) {
        await revokeUndelivered(services, { subject, purpose, resources, expiresAt });
        throw new GatewayError(
          'upstream_failed',
          'the other organisation has no NutsComm service: a private credential cannot reach it',
          {
            reason: 'no_nuts_comm',
          },
        );
      }
      if (answer.status !== 200) throw nodeRefusal('to issue a credential', answer);
      const issued = isJsonObject(answer.json) ? toIssued(answer.json, false) : undefined;
      if (issued === undefined) throw nodeFailure('issued something that is no credential');
      return issued.view;
    },

    async revokeCredential(id) {
      const answer = await api.call({ method: 'DELETE', path: `/internal/vcr/v2/issuer/vc/${didSegment(id)}` });
      // 409: it was revoked before.
      if (answer.status !== 200 && answer.status !== 204 && answer.status !== 409)
        throw nodeRefusal('to revoke a credential', answer);
    },

    async findIssued(subject) {
      const query = new URLSearchParams({ credentialType: AUTHORIZATION_CREDENTIAL, issuer: did, subject });
      const answer = await api.call({ method: 'GET', path: `/internal/vcr/v2/issuer/vc/search?${query.toString()}` });
      if (answer.status !== 200) throw nodeRefusal('a search for issued credentials', answer);
      return readResults(answer.json)
        .filter(({ read }) => read.issuer === did && read.subject === subject)
        .map(({ view }) => view);
    },

    async findHeld({ issuer, purpose, path }) {
      const rest = path.replace(/^\/+/, '');
      // Credentials of others may have the type in lower case, or no leading slash (eoverdracht.md §5.6).
      const spellings = [`/${rest}`, `/${lowerType(rest)}`, rest, lowerType(rest)];
      for (const spelling of new Set(spellings)) {
        const answer = await api.call({
          method: 'POST',
          path: '/internal/vcr/v2/search',
          json: heldQuery(did, issuer, purpose, spelling),
        });
        if (answer.status !== 200) throw nodeRefusal('a search for held credentials', answer);
        const now = clock.now().getTime();
        const found = readResults(answer.json).filter(
          ({ read, view }) =>
            read.issuer === issuer &&
            read.subject === did &&
            read.purpose === purpose &&
            !view.revoked &&
            (read.expiresAt === undefined || read.expiresAt.getTime() > now) &&
            read.resources.some((resource) => spellings.includes(resource.path)),
        );
        if (found.length > 0) return found.map(({ view }) => view);
      }
      return [];
    },
  };
  return services;
}

/**
 * After 412 the node keeps the credential as issued all the same, though it reached nobody (eoverdracht.md §5.4). Left there, a later look
 * would take it for one that the other party holds. Nothing depends on it, so what matches the request is revoked.
 */
async function revokeUndelivered(
  services: CredentialServices,
  asked: {
    readonly subject: string;
    readonly purpose: string;
    readonly resources: readonly GrantedResource[];
    readonly expiresAt: Date;
  },
): Promise<void> {
  const issued = await services.findIssued(asked.subject);
  const wanted = resourceKey(asked.resources);
  for (const each of issued) {
    const read = readAuthorizationCredential(each.credential);
    const isIt =
      !each.revoked &&
      read?.purpose === asked.purpose &&
      resourceKey(each.resources) === wanted &&
      seconds(each.expiresAt) === seconds(asked.expiresAt);
    if (isIt) await services.revokeCredential(each.id);
  }
}

function seconds(moment: Date | undefined): number | undefined {
  return moment === undefined ? undefined : Math.floor(moment.getTime() / 1000);
}

function resourceKey(resources: readonly GrantedResource[]): string {
  const lines = resources.map(({ path, operations, userContext, assuranceLevel }) =>
    JSON.stringify([path, [...operations].sort(), userContext, assuranceLevel ?? null]),
  );
  return lines.sort().join('\n');
}

function issueBody(
  did: string,
  subject: string,
  purpose: string,
  resources: readonly GrantedResource[],
  expiresAt: Date,
): JsonObject {
  return {
    // No `@context`: v5 takes one text, the nodes' own choice (W3C and Nuts) is the right one, and both generations make it.
    type: AUTHORIZATION_CREDENTIAL,
    issuer: did,
    // Whole seconds: nodes print no others.
    expirationDate: `${expiresAt.toISOString().slice(0, 19)}Z`,
    credentialSubject: {
      id: subject,
      purposeOfUse: purpose,
      resources: resources.map(({ path, operations, userContext, assuranceLevel }) => ({
        path,
        operations,
        userContext,
        ...(assuranceLevel === undefined ? {} : { assuranceLevel }),
      })),
    },
    publishToNetwork: true,
    visibility: 'private',
  };
}

function heldQuery(did: string, issuer: string, purpose: string, path: string): JsonObject {
  return {
    query: {
      '@context': ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'],
      type: ['VerifiableCredential', AUTHORIZATION_CREDENTIAL],
      issuer,
      credentialSubject: { id: did, purposeOfUse: purpose, resources: { path } },
    },
    // The issuer is not trusted for this type on the holder's node, and need not be: it is the custodian.
    searchOptions: { allowUntrustedIssuer: true },
  };
}

/** `Composition/1` → `composition/1`. */
function lowerType(path: string): string {
  return path.replace(/^[^/]*/, (type) => type.toLowerCase());
}

interface Found {
  readonly read: ReadCredential;
  readonly view: IssuedCredential;
}

// The node filters by its index, and by type not at all: every result is judged again by the caller of this.
function readResults(json: JsonValue | undefined): readonly Found[] {
  if (!isJsonObject(json)) throw nodeFailure('answered a search with something else');
  return toArray(json['verifiableCredentials']).flatMap((result) => {
    const credential = isJsonObject(result) ? result['verifiableCredential'] : undefined;
    if (!isJsonObject(result) || !isJsonObject(credential)) return [];
    return toIssued(credential, isJsonObject(result['revocation'])) ?? [];
  });
}

function toIssued(credential: JsonObject, revoked: boolean): Found | undefined {
  const read = readAuthorizationCredential(credential);
  if (read === undefined) return undefined;
  const { id, resources, expiresAt } = read;
  return { read, view: { id, credential, revoked, resources, ...(expiresAt === undefined ? {} : { expiresAt }) } };
}
