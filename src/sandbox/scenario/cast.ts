import type { World, RunningOrganization } from '../world/world.ts';
import type { WorldDescription } from '../world/description.ts';
import { at, insist, listAt, textAt, type Notes, type Step } from './step.ts';

/** What a step adds to who calls whom. */
type Request = Omit<Step, 'who' | 'whom' | 'url'>;

/** A place in a URL that an earlier step found: `{name}` is the note `name`. */
export function filled(template: string, notes: Notes): string {
  return template.replaceAll(/\{([^}]+)\}/g, (_whole, name: string) => notes.text(name));
}

/** An organisation that plays: as an EHR over the API, and as a remote party with software of its own. */
export interface Player {
  readonly id: string;
  readonly name: string;
  readonly did: string;
  /** A call of its EHR to the API, with its key. `path` is below the tenant. */
  ehr(path: string, request: Request): Step;
  /** The same with the operator's key. */
  operator(path: string, request: Request): Step;
  /** A call to its own node. */
  node(path: string, request: Request): Step;
  /** A FHIR request at the gate of the custodian, with the token that is noted as `token`. */
  gate(path: string, token: string | undefined, request: Request): Step;
  /** The page of its node on which a person confirms who they are; `url` is a note. */
  person(url: string, request: Request): Step;
}

/** The players of a world. `custodian` is whose gate the remote parties call. */
export function castOf(world: World, description: WorldDescription, custodian: string): (id: string) => Player {
  return (id) => {
    const organization = world.organizations.find((each) => each.id === id);
    const tenant = description.tenants[id];
    if (organization === undefined || tenant === undefined) throw new Error(`${id} is no tenant of this world`);
    return player(organization, { ...description, ...tenant }, custodian);
  };
}

interface Addresses {
  readonly public: string;
  readonly internal: string;
  readonly node: string;
  readonly apiKey: string;
  readonly operatorKey: string;
}

function player({ id, name, did }: RunningOrganization, where: Addresses, custodian: string): Player {
  const api = (who: string, key: string, path: string, request: Request): Step => ({
    ...request,
    who,
    whom: 'Sluis API',
    url: (notes) => `${where.internal}/api/v1/tenants/${id}${filled(path, notes)}`,
    headers: (notes) => ({ authorization: `Bearer ${key}`, ...request.headers?.(notes) }),
  });
  return {
    id,
    name,
    did,
    ehr: (path, request) => api(name, where.apiKey, path, request),
    operator: (path, request) => api(`operator`, where.operatorKey, path, request),
    node: (path, request) => ({
      ...request,
      who: name,
      whom: 'its own node',
      url: (notes) => `${where.node}${filled(path, notes)}`,
    }),
    gate: (path, token, request) => ({
      ...request,
      who: name,
      whom: `gate of ${custodian.split('-')[0] ?? custodian}`,
      url: (notes) => `${where.public}/${custodian}/fhir${filled(path, notes)}`,
      headers: (notes) => ({
        accept: 'application/fhir+json',
        ...(token === undefined ? {} : { authorization: `Bearer ${notes.text(token)}` }),
        ...request.headers?.(notes),
      }),
    }),
    person: (url, request) => ({ ...request, who: 'care worker', whom: `node's page`, url: (notes) => notes.text(url) }),
  };
}

/** A care worker confirms on the node's page: two requests of a browser. */
export function confirmation(party: Player, url: string): readonly Step[] {
  const secret = `${url} secret`;
  return [
    party.person(url, {
      method: 'GET',
      expect: 200,
      words: 'the page asks: is this you?',
      check: ({ bytes }, notes) => {
        const [, value] = /name="secret" value="([^"]+)"/.exec(new TextDecoder().decode(bytes)) ?? [];
        insist(value !== undefined, 'the page has no form');
        notes.set(secret, value);
      },
    }),
    party.person(url, {
      method: 'POST',
      body: (notes) => new URLSearchParams({ secret: notes.text(secret), accept: 'true' }),
      expect: 302,
      words: 'yes, I confirm',
    }),
  ];
}

/** A remote party's own software lets a care worker sign at its own node; the presentation is noted as `identity`. */
export function identitySteps(party: Player, user: object, identity: string): readonly Step[] {
  const session = `${identity} session`;
  return [
    party.node('/internal/auth/v1/contract/drawup', {
      method: 'PUT',
      body: () => ({ type: 'BehandelaarLogin', language: 'NL', version: 'v3', legalEntity: party.did, validDuration: '8h' }),
      expect: 200,
      words: 'draws up the contract',
      check: ({ json }, notes) => {
        notes.set(`${identity} contract`, textAt(json, 'message'));
      },
    }),
    party.node('/internal/auth/v1/signature/session', {
      method: 'POST',
      body: (notes) => ({
        means: 'employeeid',
        payload: notes.text(`${identity} contract`),
        params: { employer: party.did, employee: user },
      }),
      expect: 201,
      words: 'and has it signed',
      check: ({ json }, notes) => {
        notes.set(session, textAt(json, 'sessionID'));
        notes.set(`${identity} url`, textAt(json, 'sessionPtr', 'url'));
      },
    }),
    ...confirmation(party, `${identity} url`),
    party.node(`/internal/auth/v1/signature/session/{${session}}`, {
      method: 'GET',
      expect: 200,
      words: 'the signed presentation is there',
      check: ({ json }, notes) => {
        insist(textAt(json, 'status') === 'completed', 'the session is not completed');
        notes.set(identity, at(json, 'verifiablePresentation'));
      },
    }),
  ];
}

/** What a remote party wants a token for. */
export interface Wanted {
  readonly custodian: string;
  /** Path of a resource that the credential must name, with notes in braces. */
  readonly path: string;
  /** The note of a presentation. */
  readonly identity?: string;
}

/** A remote party finds the credential in its own wallet and asks its own node for a token, noted as `token`. */
export function tokenSteps(party: Player, token: string, { custodian, path, identity }: Wanted): readonly Step[] {
  const credentials = `${token} credentials`;
  return [
    party.node('/internal/vcr/v2/search', {
      method: 'POST',
      body: (notes) => ({
        query: {
          '@context': ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'],
          type: ['VerifiableCredential', 'NutsAuthorizationCredential'],
          issuer: custodian,
          credentialSubject: {
            id: party.did,
            purposeOfUse: 'eOverdracht-sender',
            resources: { path: filled(path, notes) },
          },
        },
        searchOptions: { allowUntrustedIssuer: true },
      }),
      expect: 200,
      words: 'its credential for that resource',
      check: ({ json }, notes) => {
        const found = listAt(json, 'verifiableCredentials').map((each) => at(each, 'verifiableCredential'));
        insist(found.length > 0, 'there is no credential in the wallet');
        notes.set(credentials, found);
      },
    }),
    party.node('/internal/auth/v1/request-access-token', {
      method: 'POST',
      body: (notes) => ({
        authorizer: custodian,
        requester: party.did,
        service: 'eOverdracht-sender',
        credentials: notes.get(credentials),
        ...(identity === undefined ? {} : { identity: notes.get(identity) }),
      }),
      expect: 200,
      words: identity === undefined ? 'a token without a user' : 'a token with the care worker in it',
      check: ({ json }, notes) => {
        notes.set(token, textAt(json, 'access_token'));
      },
    }),
  ];
}
