import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import type { Interaction } from '../fhir/interaction.ts';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import { CONTINUATION } from '../fhir/parameter-names.ts';
import { parseInteraction } from '../fhir/parse-interaction.ts';
import { interactionPath, printInteraction } from '../fhir/print-interaction.ts';
import { parseQuery, parseTarget, printQuery } from '../fhir/target.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import type { Sealer } from '../sealing.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Bases } from '../upstream/rewrite.ts';
import { policyVersionOf } from '../usecase/policy-version.ts';

/** A further page of a search that was judged before: the search is judged again, and the page fetched by its cursor. */
export interface Continuation {
  readonly interaction: Interaction;
  /** At the custodian, relative to its base: path and query. */
  readonly cursor: { readonly path: string; readonly query: string };
  /** 1 is the first after the search itself. */
  readonly page: number;
  /** For whom the link was made. */
  readonly bound: { readonly requester: string; readonly purpose: string; readonly policyVersion: string };
}

const LIFE_MS = 15 * 60_000;
// A server whose pages have no end, or go round in a circle (attack case S15).
const MAX_PAGES = 1_000;
/** What the gate itself would still read (`fhir/target.ts`), with room for the host. */
const MAX_URL = 4_000;
const FOLLOWED: ReadonlySet<string> = new Set(['next', 'previous', 'prev', 'first', 'last']);

const sealedPage = z.tuple([
  z.literal(1),
  z.number(),
  z.number(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
  z.string(),
]);

/** Opens a link. Whether the caller is the one that it was made for is known when it is judged. @returns undefined for what is no link of ours, or too old */
export function openPage(sealer: Sealer, tenant: Tenant, sealed: string, nowMs: number): Continuation | undefined {
  const text = sealer.open(sealed, tenant.id);
  if (text === undefined) return undefined;
  const opened = sealedPage.safeParse(JSON.parse(text));
  if (!opened.success) return undefined;
  const [, expiresAtMs, page, requester, purpose, policyVersion, method, target, form, path, query] = opened.data;
  if (!(expiresAtMs > nowMs)) return undefined;
  const { segments, query: pairs } = parseTarget(target, 0);
  const interaction = parseInteraction({
    method,
    segments,
    query: pairs,
    version: tenant.fhir.version,
    ...(method === 'POST' ? { form: parseQuery(form) } : {}),
  });
  return { interaction, cursor: { path, query }, page, bound: { requester, purpose, policyVersion } };
}

/**
 * The page that is asked for by a link, at the place of its search.
 * @returns undefined for what asks by no link
 * @throws GatewayError `forbidden` for a link that is none of ours, too old, or of another search: for the caller as any denial
 */
export function continuationOf(asked: Interaction, tenant: Tenant, sealer: Sealer, nowMs: number): Continuation | undefined {
  const sealed = 'parameters' in asked ? asked.parameters.find(({ key }) => key === CONTINUATION)?.values[0] : undefined;
  if (sealed === undefined) return undefined;
  const opened = openPage(sealer, tenant, sealed, nowMs);
  if (opened === undefined)
    throw new GatewayError('forbidden', 'a link that cannot be opened', { reason: 'link_not_ours_or_too_old' });
  if (interactionPath(opened.interaction) !== interactionPath(asked))
    throw new GatewayError('forbidden', 'a link of another search', { reason: 'link_of_another_search' });
  return opened;
}

/** Why a link that can be opened is denied, for operators. */
export const LINK_OF_ANOTHER = {
  code: 'link_of_another',
  text: 'the link was made for another caller, purpose or policy',
} as const;

/** Whether a link was made for this caller, purpose and policy. */
export function isBoundTo({ bound }: Continuation, { request, selected }: PermitVerdict): boolean {
  return (
    bound.requester === request.subject.organization.id &&
    bound.purpose === selected.purpose &&
    bound.policyVersion === policyVersionOf(selected.role)
  );
}

/** What links are made of. */
export interface LinkOptions {
  readonly sealer: Sealer;
  readonly tenant: Tenant;
  readonly verdict: PermitVerdict;
  /** The number of the page that the links stand in; 0 for the search itself. */
  readonly page: number;
  readonly bases: Bases;
  /** The path that the server was asked for, below its base; absent: that of the interaction. */
  readonly asked?: string | undefined;
  readonly nowMs: number;
}

/**
 * The links of an answer: `self` is our own request, links to pages are sealed, all others go (ADR 0013).
 * @throws GatewayError `upstream_failed` for a next page that nobody could fetch: a list that ends too early looks whole
 */
export function sealLinks(links: JsonValue | undefined, options: LinkOptions): readonly JsonObject[] {
  const { bases, verdict } = options;
  // The form of a search by POST stays out of links: it may name what must not stand in a URL.
  const { path, query } = printInteraction(verdict.interaction);
  const sealed: JsonObject[] = [{ relation: 'self', url: `${bases.public}${path}${query === '' ? '' : `?${query}`}` }];
  if (links === undefined) return sealed;
  if (!isJsonArray(links)) throw unusable('the links of the answer are no list');
  const roots = [pathOf(bases.upstream), rootSaid(links, options.asked ?? path)].filter((root) => root !== undefined);
  for (const link of links) {
    if (!isJsonObject(link)) throw unusable('a link of the answer is no object');
    const { relation, url } = link;
    if (typeof relation !== 'string' || !FOLLOWED.has(relation) || typeof url !== 'string') continue;
    const cursor = readCursor(url, roots);
    if (cursor !== undefined) sealed.push({ relation, url: sealPage(cursor, options) });
    else if (relation === 'next') throw unusable('the next page is not at the FHIR base');
  }
  return sealed;
}

/**
 * The path of the base by which the server calls itself: what stands before the path that it was asked for, in its own self link. One behind a proxy may have
 * another path than it is called by here (real-servers.md §1.6).
 */
function rootSaid(links: readonly JsonValue[], asked: string): string | undefined {
  const self = links.filter(isJsonObject).find(({ relation }) => relation === 'self')?.['url'];
  const path = typeof self === 'string' ? pathOf(self.replace(/[?#].*$/su, '')) : undefined;
  return path?.endsWith(asked) === true ? path.slice(0, path.length - asked.length) : undefined;
}

/** A link below one of these, whatever host the server calls itself (real-servers.md §1.6); everything else is somebody else's. */
function readCursor(url: string, roots: readonly string[]): Continuation['cursor'] | undefined {
  const mark = url.indexOf('?');
  const place = mark === -1 ? url : url.slice(0, mark);
  const query = mark === -1 ? '' : url.slice(mark + 1);
  const path = pathOf(place);
  const root = roots.find((each) => path === each || path?.startsWith(`${each}/`) === true);
  if (path === undefined || root === undefined) return undefined;
  try {
    const { segments } = parseTarget(path === root ? '/' : path.slice(root.length), 0);
    return { path: segments.length === 0 ? '' : `/${segments.join('/')}`, query: printQuery(parseQuery(query)) };
  } catch {
    return undefined;
  }
}

/** The path of a URL without its query, as it was written, without a slash at the end; undefined for what names no place by a path. */
function pathOf(url: string): string | undefined {
  const [, path = url.startsWith('/') ? url : undefined] = /^https?:\/\/[^/?#]+([^?#]*)$/i.exec(url) ?? [];
  return path?.replace(/\/$/, '');
}

function sealPage(cursor: Continuation['cursor'], { sealer, tenant, verdict, page, bases, nowMs }: LinkOptions): string {
  if (page >= MAX_PAGES) throw unusable('the answer has no end');
  const { request, selected } = verdict;
  // As it was asked, before it was narrowed: so it is judged again.
  const { method, path, query, form } = printInteraction(request.action);
  const content: z.infer<typeof sealedPage> = [
    1,
    nowMs + LIFE_MS,
    page + 1,
    request.subject.organization.id,
    selected.purpose,
    policyVersionOf(selected.role),
    method,
    `${path === '' ? '/' : path}${query === '' ? '' : `?${query}`}`,
    form ?? '',
    cursor.path,
    cursor.query,
  ];
  const url = `${bases.public}${interactionPath(request.action)}?${CONTINUATION}=${sealer.seal(JSON.stringify(content), tenant.id)}`;
  if (url.length > MAX_URL) throw unusable('the link to the next page is too long');
  return url;
}

function unusable(problem: string): GatewayError {
  return new GatewayError('upstream_failed', problem, { reason: 'upstream_bad_link' });
}
