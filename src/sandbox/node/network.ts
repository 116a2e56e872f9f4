/**
 * What all simulated nodes share: DID documents, published credentials, revocations, and per node its keys, issued credentials and
 * trust list. A node that is closed and started again under its name finds all of it back, as a real one does with its data folder.
 */
import type { KeyObject } from 'node:crypto';

import type { Clock } from '../../clock.ts';
import { createCredential, idOf, issuerOf, ORGANIZATION, subjectOf, typeOf, type VC } from './credential.ts';
import { DID_CONTEXTS, WEB_DID_CONTEXTS, type DidDocument } from './did-document.ts';
import { list, text, type Json } from './json.ts';
import { createIamStore, type IamStore, type Registration } from './iam/store.ts';
import { deriveIdentity, deriveWebKey, sha256, uuidOf, type SigningKey } from './key.ts';

/** What one node has for itself. */
export interface NodeStore {
  readonly name: string;
  readonly keys: Map<string, SigningKey>;
  /** The issuer's store: everything it ever issued, published or not. */
  readonly issued: Map<string, VC>;
  /** Trusted issuers by credential type. */
  readonly trust: Map<string, Set<string>>;
  readonly contacts: Map<string, Json>;
  /** Subjects, wallets and status lists of generation v2. */
  readonly iam: IamStore;
}

export interface Revocation extends Json {
  readonly issuer: string;
  readonly subject: string;
}

interface Published {
  readonly credential: VC;
  /** For private ones: from when (ms since 1970) which node has it. */
  readonly visibleFrom?: ReadonlyMap<string, number>;
}

export interface SimulatedNetwork {
  readonly clock: Clock;
  /** The DID that vouches for the name and city of every organisation; trusted for that by every node. */
  readonly anchorDid: string;
  /** The same for did:web. */
  readonly webAnchorDid: string;
  readonly revocations: Map<string, Revocation>;
  readonly deactivated: ReadonlySet<string>;
  /** What discovery services list, by service; oldest first. */
  readonly registrations: Map<string, Registration[]>;
  /** The store of the node called `name`, made when new. */
  store(name: string): NodeStore;
  /** Makes a DID of that node, or finds it back; `seed` fixes its id and key. */
  createDid(node: NodeStore, seed: string, options?: DidOptions): DidDocument;
  /** A did:web of that node below `url`, or finds it back; `seed` fixes its UUID and key. */
  createWebDid(node: NodeStore, url: string, seed: string): DidDocument;
  /** The document, `undefined` when unknown or (with `at`) not yet made then. */
  readonly resolve: (did: string, at?: Date) => DidDocument | undefined;
  created(did: string): Date;
  /** Ends a did:web for good: nobody resolves it any more. */
  deactivate(did: string): void;
  /** Stores a changed document. */
  update(document: DidDocument): void;
  /** The public key of an assertion method. */
  publicKey(kid: string, at?: Date): KeyObject | undefined;
  /** The signing key of a DID when this node has it. */
  signingKey(node: NodeStore, did: string): SigningKey | undefined;
  publish(credential: VC, visibility: 'public' | 'private'): void;
  /** Credentials that this node has by now, oldest first. */
  credentials(node: NodeStore): VC[];
  find(node: NodeStore, id: string): VC | undefined;
  /** The organisation's name and city as stated by the anchor, made when there is none yet. */
  vouch(did: string, organization: { readonly name: string; readonly city: string }): Promise<void>;
  /** The same for a did:web, to be loaded in its wallet; nothing is published. */
  vouchWeb(did: string, organization: { readonly name: string; readonly city: string; readonly ura: string }): Promise<VC>;
  trust(node: NodeStore, type: string): Set<string>;
  isTrusted(node: NodeStore, credential: VC): boolean;
}

export interface DidOptions {
  readonly controllers?: readonly string[];
  readonly selfControl?: boolean;
  readonly keyAgreement?: boolean;
  readonly assertionMethod?: boolean;
  readonly capabilityInvocation?: boolean;
  /** When it was made; the clock's now by default. */
  readonly created?: Date;
}

/** How long before the sandbox started its organisations came to be, so that a grant of the first second finds them. */
const AGE_MS = 24 * 3600 * 1000;

/** The network of a sandbox; `syncDelayMs` (0) is what a private credential needs to reach the other node. */
export function createSimulatedNetwork(options: { clock: Clock; syncDelayMs?: number }): SimulatedNetwork {
  const { clock, syncDelayMs = 0 } = options;
  const stores = new Map<string, NodeStore>();
  const documents = new Map<string, { readonly document: DidDocument; readonly created: Date }>();
  const published = new Map<string, Published>();
  const revocations = new Map<string, Revocation>();
  const deactivated = new Set<string>();
  const registrations = new Map<string, Registration[]>();

  const store = (name: string): NodeStore => {
    const known = stores.get(name);
    if (known !== undefined) return known;
    const made: NodeStore = {
      name,
      keys: new Map(),
      issued: new Map(),
      trust: new Map(),
      contacts: new Map(),
      iam: createIamStore(),
    };
    if (name !== ANCHOR) trust(made, ORGANIZATION).add(anchor.id);
    stores.set(name, made);
    return made;
  };

  const trust = (node: NodeStore, type: string): Set<string> => {
    const known = node.trust.get(type) ?? new Set<string>();
    node.trust.set(type, known);
    return known;
  };

  const createDid = (node: NodeStore, seed: string, made: DidOptions = {}): DidDocument => {
    const { did, key } = deriveIdentity(seed);
    node.keys.set(key.kid, key);
    const known = documents.get(did);
    if (known !== undefined) return known.document;
    const document = newDocument(did, key, made);
    documents.set(did, { document, created: wholeSeconds(made.created ?? clock.now()) });
    return document;
  };

  const createWebDid = (node: NodeStore, url: string, seed: string): DidDocument => {
    const did = `did:web:${encodeURIComponent(new URL(url).host)}:iam:${uuidOf(seed)}`;
    const key = deriveWebKey(did, seed);
    node.keys.set(key.kid, key);
    const known = documents.get(did);
    if (known !== undefined) return known.document;
    const document = newWebDocument(did, key);
    documents.set(did, { document, created: wholeSeconds(clock.now()) });
    return document;
  };

  const resolve = (did: string, at?: Date): DidDocument | undefined => {
    const known = deactivated.has(did) ? undefined : documents.get(did);
    return known === undefined || (at !== undefined && known.created.getTime() > at.getTime()) ? undefined : known.document;
  };

  const nodesOf = (did: string): string[] =>
    [...stores.values()].filter((node) => keyOf(node, did) !== undefined).map(({ name }) => name);

  const isVisible = (entry: Published, node: NodeStore): boolean => {
    if (entry.visibleFrom === undefined) return true;
    const from = entry.visibleFrom.get(node.name);
    return from !== undefined && from <= clock.now().getTime();
  };

  const longAgo = new Date(clock.now().getTime() - AGE_MS);
  const anchorStore: NodeStore = {
    name: ANCHOR,
    keys: new Map(),
    issued: new Map(),
    trust: new Map(),
    contacts: new Map(),
    iam: createIamStore(),
  };
  const anchor = createDid(anchorStore, ANCHOR, { created: longAgo });
  const webAnchor = createWebDid(anchorStore, WEB_ANCHOR_URL, ANCHOR);

  return {
    clock,
    anchorDid: anchor.id,
    webAnchorDid: webAnchor.id,
    revocations,
    deactivated,
    registrations,
    store,
    createDid,
    createWebDid,
    resolve,
    created: (did) => documents.get(did)?.created ?? clock.now(),
    deactivate: (did) => void deactivated.add(did),
    update: (document) => documents.set(document.id, { document, created: documents.get(document.id)?.created ?? clock.now() }),
    publicKey: (kid, at) => {
      const document = resolve(kid.split('#')[0] ?? '', at);
      const method = document?.assertionMethod?.includes(kid) === true;
      const owner = method ? [anchorStore, ...stores.values()].find((node) => node.keys.has(kid)) : undefined;
      return owner?.keys.get(kid)?.publicKey;
    },
    signingKey: keyOf,
    publish: (credential, visibility) => {
      if (visibility === 'public') {
        published.set(idOf(credential), { credential });
        return;
      }
      const now = clock.now().getTime();
      const visibleFrom = new Map<string, number>();
      for (const name of nodesOf(text(subjectOf(credential), 'id') ?? '')) visibleFrom.set(name, now + syncDelayMs);
      for (const name of nodesOf(issuerOf(credential))) visibleFrom.set(name, now);
      published.set(idOf(credential), { credential, visibleFrom });
    },
    credentials: (node) => [...published.values()].filter((entry) => isVisible(entry, node)).map(({ credential }) => credential),
    find: (node, id) => {
      const entry = published.get(id);
      return entry !== undefined && isVisible(entry, node) ? entry.credential : undefined;
    },
    vouch: async (did, organization) => {
      const known = [...published.values()].some(
        ({ credential }) => issuerOf(credential) === anchor.id && text(subjectOf(credential), 'id') === did,
      );
      const key = keyOf(anchorStore, anchor.id);
      if (known || key === undefined) return;
      const subject = { id: did, organization };
      const credential = await createCredential({ type: ORGANIZATION, issuer: anchor.id, subject }, key, longAgo);
      published.set(idOf(credential), { credential });
    },
    vouchWeb: async (did, organization) => {
      const key = keyOf(anchorStore, webAnchor.id);
      if (key === undefined) throw new Error('the anchor has lost its key');
      const subject = { id: did, organization };
      return createCredential({ type: ORGANIZATION, issuer: webAnchor.id, subject }, key, longAgo);
    },
    trust,
    isTrusted: (node, credential) => trust(node, typeOf(credential)).has(issuerOf(credential)),
  };
}

const ANCHOR = 'trust-anchor';
const WEB_ANCHOR_URL = 'https://trust-anchor.sluis-sandbox';

/** When the organisations of the sandbox were made. */
export function foundingDate(network: SimulatedNetwork): Date {
  return network.created(network.anchorDid);
}

function keyOf(node: NodeStore, did: string): SigningKey | undefined {
  // The newest signs.
  return [...node.keys.values()].findLast((key) => key.kid.startsWith(`${did}#`));
}

function newDocument(did: string, key: SigningKey, options: DidOptions): DidDocument {
  const { controllers = [], selfControl = true, keyAgreement = true, assertionMethod = true } = options;
  const capabilityInvocation = options.capabilityInvocation ?? selfControl;
  const uses = [key.kid];
  const all = [...controllers, ...(selfControl && controllers.length > 0 ? [did] : [])];
  return {
    '@context': DID_CONTEXTS,
    id: did,
    ...(all.length === 0 ? {} : { controller: list(all) as readonly string[] }),
    verificationMethod: [{ id: key.kid, type: 'JsonWebKey2020', controller: did, publicKeyJwk: key.publicJwk }],
    ...(assertionMethod ? { assertionMethod: uses } : {}),
    ...(capabilityInvocation ? { capabilityInvocation: uses } : {}),
    ...(keyAgreement ? { keyAgreement: uses } : {}),
  };
}

function newWebDocument(did: string, key: SigningKey): DidDocument {
  const uses = [key.kid];
  return {
    '@context': WEB_DID_CONTEXTS,
    id: did,
    verificationMethod: [{ id: key.kid, type: 'JsonWebKey2020', controller: did, publicKeyJwk: key.publicJwk }],
    authentication: uses,
    assertionMethod: uses,
    capabilityInvocation: uses,
    capabilityDelegation: uses,
  };
}

/** Document times are whole seconds, and so are the times in grants that are compared with them. */
function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000);
}

/** The document's fingerprint, for its metadata. */
export function documentHash(document: DidDocument): string {
  return sha256(JSON.stringify(document)).toString('hex');
}
