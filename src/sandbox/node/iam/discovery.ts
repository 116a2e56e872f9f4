/** Discovery services (Nuts RFC022, facts §5.3): `register`, `registrationsOf`, `matchesQuery`. */
import type { NodeContext } from '../context.ts';
import { list, type Json } from '../json.ts';
import { KEY_NOT_FOUND, NodeProblem } from '../problem.ts';
import { viewOf } from './any-credential.ts';
import type { DiscoveryDefinition } from './definition.ts';
import { choose } from './exchange.ts';
import { valueAt } from './json-path.ts';
import { createPresentation } from './presentation.ts';
import type { Registration } from './store.ts';
import { issuerUrl, subjectNamed } from './subject.ts';
import { validCredentials } from './wallet.ts';

const REGISTRATION = 'DiscoveryRegistrationCredential';

export function serviceNamed(context: NodeContext, id: string): DiscoveryDefinition {
  const found = context.discovery.find((definition) => definition.id === id);
  if (found === undefined) throw new NodeProblem(404, 'discovery service not found');
  return found;
}

/** Registrations that are valid and that this node knows of, oldest first. */
export function registrationsOf(context: NodeContext, service: string): readonly Registration[] {
  const nowMs = context.clock.now().getTime();
  return (context.network.registrations.get(service) ?? []).filter(
    ({ expiresMs, visibleMs, node }) => expiresMs > nowMs && (node === context.store.name || visibleMs <= nowMs),
  );
}

/** Registers a subject by a presentation of what is in its wallet. Errors: 404, 412. */
export async function register(context: NodeContext, serviceId: string, subjectId: string, given: Json): Promise<void> {
  const { presentation_definition: definition, presentation_max_validity: lifeS } = serviceNamed(context, serviceId);
  const { dids } = subjectNamed(context, subjectId);
  const did = dids[0] ?? '';
  const parameters = { authServerURL: issuerUrl(context, subjectId), ...given };
  const now = context.clock.now();
  const own = {
    '@context': ['https://www.w3.org/2018/credentials/v1', 'https://nuts.nl/credentials/v1'],
    type: ['VerifiableCredential', REGISTRATION],
    issuer: did,
    issuanceDate: now.toISOString(),
    credentialSubject: { ...parameters, id: did },
  };
  const { chosen, missing } = choose(definition, [...(await validCredentials(context, subjectId)), own]);
  if (missing !== undefined) {
    const why = `failed registration for service=${serviceId}, subject=${subjectId}: missing credentials`;
    throw new NodeProblem(412, `registration of Verifiable Presentation on remote Discovery Service failed: ${why}`);
  }
  const key = context.network.signingKey(context.store, did);
  if (key === undefined) throw new NodeProblem(500, KEY_NOT_FOUND);
  const { assertion } = await createPresentation(key, definition, chosen, serviceId, now, lifeS);
  const earlier = context.network.registrations.get(serviceId) ?? [];
  const registration: Registration = {
    presentation: assertion,
    did,
    subject: subjectId,
    node: context.store.name,
    chosen,
    // Only a definition that asks for them lists parameters.
    parameters: Object.values(chosen).includes(own) ? parameters : {},
    timestamp: (earlier.at(-1)?.timestamp ?? 0) + 1,
    visibleMs: now.getTime() + context.discoveryDelayMs,
    expiresMs: now.getTime() + lifeS * 1000,
  };
  context.network.registrations.set(serviceId, [...earlier.filter((each) => each.did !== did), registration]);
}

export function unregister(context: NodeContext, serviceId: string, subjectId: string): void {
  const { dids } = subjectNamed(context, subjectId);
  const earlier = context.network.registrations.get(serviceId) ?? [];
  context.network.registrations.set(
    serviceId,
    earlier.filter(({ did }) => !dids.includes(did)),
  );
}

/** Whether all terms (JSON paths without `$.`, `*` at either end) hit one and the same credential. */
export function matchesQuery(registration: Registration, query: URLSearchParams): boolean {
  const terms = [...new Set(query.keys())].map((path) => ({ path, wanted: query.get(path) ?? '' }));
  return Object.values(registration.chosen).some((credential) => {
    const view = viewOf(credential);
    return terms.every(({ path, wanted }) => list(valueAt(view, `$.${path}`)).some((value) => hits(wanted, value)));
  });
}

/** Exact is exact; with a wildcard case does not count. */
function hits(wanted: string, value: unknown): boolean {
  if (typeof value !== 'string') return false;
  if (wanted === '*') return true;
  const [start, end] = [wanted.startsWith('*'), wanted.endsWith('*')];
  if (!start && !end) return value === wanted;
  const [text, part] = [value.toLowerCase(), wanted.replace(/^\*/, '').replace(/\*$/, '').toLowerCase()];
  if (start && end) return text.includes(part);
  return start ? text.endsWith(part) : text.startsWith(part);
}
