/** What the demo's scenario cannot show with simulated nodes, or need not: `preludeActs`, `refusalActs`, `aftermathActs`. */
import { DOSSIER } from '../../../src/sandbox/dossier/index.ts';
import { tokenSteps, type Player } from '../../../src/sandbox/scenario/cast.ts';
import { NOTE, type Cast } from '../../../src/sandbox/scenario/offer.ts';
import { at, insist, listAt, textAt, type Act, type Answer, type Notes, type Step } from '../../../src/sandbox/scenario/step.ts';
import type { Region } from './region.ts';

const SENDER = 'eOverdracht-sender';
const KEY = 'key of the hospital';
const DAY_S = 86_400;

/** Is everything there; and two tokens that only the node's own key can make: one that has expired, one that lives for a day. */
export function preludeActs({ internal }: Region, { hospital, homeCare }: Cast): readonly Act[] {
  return [
    {
      title: 'Is everything there?',
      steps: [
        {
          who: 'operator',
          whom: 'gateway',
          method: 'GET',
          url: () => `${internal}/health/ready`,
          expect: 200,
          words: 'gateway, real nodes, FHIR servers, store and audit disk',
        },
        hospital.node(`/internal/vdr/v1/did/${hospital.did}`, {
          method: 'GET',
          expect: 200,
          words: 'its key',
          check: ({ json }, notes) => notes.set(KEY, textAt(json, 'document', 'assertionMethod', 0)),
        }),
        signedToken(hospital, homeCare, 'expired token', -600, -540),
        signedToken(hospital, homeCare, 'day token', 0, DAY_S),
        introspected(hospital, 'expired token', 'the node finds it expired', (json) => at(json, 'active') === false),
        introspected(
          hospital,
          'day token',
          'the node does not mind the day (facts §1.1)',
          (json) => at(json, 'active') === true && Number(at(json, 'exp')) - Number(at(json, 'iat')) === DAY_S,
        ),
      ],
    },
  ];
}

/** Tokens of real nodes that the gate must refuse, between the offer and the hand-off. */
export function refusalActs({ public: gates }: Region, { hospital, homeCare, nursingHome }: Cast): readonly Act[] {
  const taskPath = `/Task/{${NOTE.task.homeCare}}`;
  const own = `${NOTE.taskToken} credentials`;
  const notify = (words: string, token: string | undefined): Step => ({
    who: 'nursing home',
    whom: 'gate of home care',
    method: 'POST',
    url: (notes) => `${gates}/${homeCare.id}/eoverdracht/notification/${notes.text(NOTE.task.homeCare)}`,
    headers: (notes): Readonly<Record<string, string>> =>
      token === undefined ? {} : { authorization: `Bearer ${notes.text(token)}` },
    expect: 401,
    words,
  });
  return [
    {
      title: 'Tokens of real nodes that are not enough',
      steps: [
        requested(homeCare, hospital, 'token without credential', () => ({ credentials: [] })),
        homeCare.gate(taskPath, 'token without credential', { method: 'GET', expect: 403, words: 'no credential in it' }),
        requested(homeCare, hospital, 'token for another service', (notes) => ({
          service: 'eOverdracht-receiver',
          credentials: notes.get(own),
        })),
        homeCare.gate(taskPath, 'token for another service', {
          method: 'GET',
          expect: 403,
          words: 'the right credential, for another service: purposes are not compared by nodes',
        }),
        requested(hospital, homeCare, 'token of another gate', () => ({ credentials: [] })),
        hospital.gate(taskPath, 'token of another gate', {
          method: 'GET',
          expect: 401,
          words: 'a good token, of the node of another tenant here',
        }),
        homeCare.gate(taskPath, 'day token', { method: 'GET', expect: 401, words: 'a token with a day to live' }),
        requested(nursingHome, hospital, undefined, (notes) => ({ credentials: notes.get(own) }), 503),
        requested(nursingHome, hospital, 'token with a foreign id', (notes) => ({
          credentials: listAt(notes.get(own)).map(disguised),
        })),
        introspected(
          hospital,
          'token with a foreign id',
          'the node resolves the id to the genuine credential of home care',
          (json) => at(json, 'active') === true && at(json, 'resolvedVCs', 0, 'credentialSubject', 'id') === homeCare.did,
        ),
        nursingHome.gate(taskPath, 'token with a foreign id', {
          method: 'GET',
          expect: 403,
          words: "another's credential, smuggled in as another type",
        }),
        notify('a notification without a token', undefined),
        notify("a notification with a token of the hospital's node", 'token without credential'),
      ],
    },
  ];
}

/**
 * The scenario at the pace of real nodes, where a credential is some seconds on its way (their own gossip interval is 5 s): every search in a
 * wallet is repeated until it finds, and home care's EHR waits for the hand-off's credential before it reads.
 */
export function patiently(acts: readonly Act[], { hospital, homeCare }: Cast): readonly Act[] {
  const arrives: Act = {
    title: 'The credential for the hand-off travels',
    steps: tokenSteps(homeCare, 'token while waiting', { custodian: hospital.did, path: `/${DOSSIER.nursingHandoff}` }),
  };
  const reading = acts.findIndex(({ title }) => title.startsWith('Home care reads the hand-off'));
  insist(reading >= 0, 'the scenario has no act in which the hand-off is read');
  return [...acts.slice(0, reading), arrives, ...acts.slice(reading)].map(({ title, steps }) => ({
    title,
    steps: steps.map((step) =>
      step.words === 'its credential for that resource'
        ? { ...step, until: ({ json }: Answer) => listAt(json, 'verifiableCredentials').length > 0 }
        : step,
    ),
  }));
}

/** After the end: what the nodes of both sides say about the rights. */
export function aftermathActs({ hospital, homeCare }: Cast): readonly Act[] {
  const issued = new URLSearchParams({
    credentialType: 'NutsAuthorizationCredential',
    issuer: hospital.did,
    subject: homeCare.did,
  });
  const others = (json: unknown): readonly unknown[] =>
    listAt(json, 'verifiableCredentials').filter((each) => !pathsOf(each).every((path) => path.startsWith('/Task/')));
  return [
    {
      title: 'What the nodes say when it is over',
      steps: [
        hospital.node(`/internal/vcr/v2/issuer/vc/search?${issued.toString()}`, {
          method: 'GET',
          expect: 200,
          words: 'its node has every medical credential revoked',
          until: ({ json }) => others(json).length > 0 && others(json).every((each) => at(each, 'revocation') !== undefined),
        }),
        homeCare.node('/internal/vcr/v2/search', {
          method: 'POST',
          body: () => ({
            query: {
              '@context': ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'],
              type: ['VerifiableCredential', 'NutsAuthorizationCredential'],
              issuer: hospital.did,
              credentialSubject: { id: homeCare.did, purposeOfUse: SENDER },
            },
            searchOptions: { allowUntrustedIssuer: true },
          }),
          expect: 200,
          words: 'the revocations have travelled: home care holds the Task only',
          until: ({ json }) => listAt(json, 'verifiableCredentials').length > 0 && others(json).length === 0,
        }),
        introspected(
          hospital,
          'hand-off token of home care',
          'the token lives on, its credentials do not',
          (json) => at(json, 'active') === true && listAt(json, 'resolvedVCs').length === 0,
        ),
      ],
    },
  ];
}

/** A fresh token for the Task, before the hospital's node stops. */
export function freshTokenActs({ hospital, homeCare }: Cast, task: string): readonly Act[] {
  return [
    {
      title: 'A token is there before the node stops',
      steps: tokenSteps(homeCare, 'fresh token', { custodian: hospital.did, path: `/Task/${task}` }),
    },
  ];
}

/** With a token that nobody has introspected yet. */
export function stoppedNodeActs({ internal }: Region, { hospital, homeCare }: Cast, task: string, token: string): readonly Act[] {
  const bearer = { headers: () => ({ authorization: `Bearer ${token}` }) };
  return [
    {
      title: "The hospital's node does not run",
      steps: [
        homeCare.gate(`/Task/${task}`, undefined, {
          ...bearer,
          method: 'GET',
          expect: 503,
          words: 'nobody can say whether the token is good',
          check: ({ headers }) => insist(headers.has('retry-after'), 'it does not say when to try again'),
        }),
        hospital.ehr('/organizations?service=eOverdracht-receiver', { method: 'GET', expect: 503, words: 'nor who is there' }),
        homeCare.ehr('/organizations?service=eOverdracht-receiver', {
          method: 'GET',
          expect: 200,
          words: 'others have their own',
        }),
        {
          who: 'operator',
          whom: 'gateway',
          method: 'GET',
          url: () => `${internal}/health/live`,
          expect: 200,
          words: 'the gateway lives',
        },
      ],
    },
  ];
}

/** A token of the hospital's node for home care; times in seconds from now. */
function signedToken(hospital: Player, homeCare: Player, note: string, fromS: number, untilS: number): Step {
  return hospital.node('/internal/crypto/v1/sign_jws', {
    method: 'POST',
    body: (notes) => {
      const nowS = Math.floor(Date.now() / 1000);
      const claims = { iss: hospital.did, sub: homeCare.did, service: SENDER, iat: nowS + fromS, exp: nowS + untilS };
      const payload = Buffer.from(JSON.stringify(claims)).toString('base64');
      return { kid: notes.text(KEY), headers: { typ: 'at+jwt' }, payload };
    },
    expect: 200,
    words: `signs: ${note}`,
    check: ({ bytes }, notes) => notes.set(note, new TextDecoder().decode(bytes).trim()),
  });
}

function introspected(hospital: Player, token: string, words: string, holds: (json: unknown) => boolean): Step {
  return hospital.node('/internal/auth/v1/accesstoken/introspect', {
    method: 'POST',
    body: (notes) => new URLSearchParams({ token: notes.text(token) }),
    expect: 200,
    words,
    check: ({ json }) => insist(holds(json), `it says ${JSON.stringify(json).slice(0, 600)}`),
  });
}

/** A token request at the requester's own node; 503 is every refusal of the authorizer's node. */
function requested(
  requester: Player,
  authorizer: Player,
  note: string | undefined,
  more: (notes: Notes) => object,
  expect: 200 | 503 = 200,
): Step {
  return requester.node('/internal/auth/v1/request-access-token', {
    method: 'POST',
    body: (notes) => ({ authorizer: authorizer.did, requester: requester.did, service: SENDER, ...more(notes) }),
    expect,
    words: note ?? "with another's credential: refused by the authorizer's node",
    check: ({ json }, notes) => {
      if (note !== undefined) notes.set(note, textAt(json, 'access_token'));
    },
  });
}

/** The credential as an object of another type, which nodes do not check (facts §1.4). */
function disguised(credential: unknown): unknown {
  return { ...Object(credential), type: ['VerifiableCredential', 'NutsEmployeeCredential'] };
}

function pathsOf(result: unknown): readonly string[] {
  const resources = at(result, 'verifiableCredential', 'credentialSubject', 'resources');
  return (Array.isArray(resources) ? resources : [resources]).map((each) => String(at(each, 'path')));
}

/** Nothing that the hospital must keep to itself may have been asked of its FHIR server. */
export const NEVER_ASKED = DOSSIER.outsideGrant;
