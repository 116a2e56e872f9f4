import { isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import { localReference, printReference, type LocalReference } from '../fhir/reference.ts';
import { isResourceType } from '../fhir/version.ts';
import type { Bases } from './rewrite.ts';

const ANSWERS: ReadonlySet<string> = new Set(['document', 'searchset', 'history']);

/**
 * A Bundle that is an answer, with its entries named below the base that we know. Some servers call themselves otherwise than we call them (one that is told
 * its address, one behind a proxy of its own): the rewriting of bodies finds no such name, and it would show where the server is. An entry is
 * judged as `Type/id` of this custodian, so it is named so; a link of a document that is not below the base goes, for nobody needs it, and so does every
 * link of an entry. The links of a list are the gate's own.
 * @returns the same object when nothing had to change
 */
export function nameEntries(bundle: JsonObject, { upstream }: Bases): JsonObject {
  const { resourceType, type, entry, link } = bundle;
  if (resourceType !== 'Bundle' || typeof type !== 'string' || !ANSWERS.has(type)) return bundle;
  const entries = Array.isArray(entry) ? changed(entry as readonly JsonValue[], (each) => named(each, upstream)) : entry;
  const links =
    type === 'document' && Array.isArray(link) ? kept(link as readonly JsonValue[], (each) => isBelow(each, upstream)) : link;
  if (entries === entry && links === link) return bundle;
  const { link: _link, ...rest } = bundle;
  // FHIR's JSON has no empty lists.
  const hasLinks = links !== undefined && !(Array.isArray(links) && links.length === 0);
  return { ...rest, ...(entries === undefined ? {} : { entry: entries }), ...(hasLinks ? { link: links } : {}) };
}

/**
 * The resource that a server's URL of it ends with, whatever the server calls itself: `…/[type]/[id]`, with or without a version.
 * @returns undefined for a URL that names none: of a type, of a search
 */
export function resourceAtEnd(url: string): LocalReference | undefined {
  const parts = pathOf(url).split('/');
  return localReference(parts.slice(parts.at(-2) === '_history' ? -4 : -2).join('/'));
}

function named(entry: JsonValue, upstream: string): JsonValue {
  if (!isJsonObject(entry)) return entry;
  const { link, ...rest } = entry;
  const own = placed(placed(link === undefined ? entry : rest, 'request', 'url', upstream), 'response', 'location', upstream);
  const { fullUrl, resource } = own;
  // `urn:uuid:…` names no place.
  if (typeof fullUrl !== 'string' || fullUrl.startsWith('urn:')) return own;
  const { resourceType, id } = isJsonObject(resource) ? resource : {};
  if (typeof resourceType !== 'string' || typeof id !== 'string') return isBelowBase(fullUrl, upstream) ? own : nameless(own);
  const name = `${upstream}/${resourceType}/${id}`;
  return fullUrl === name ? own : { ...own, fullUrl: name };
}

/** What a history says of the request that made a version, relative to the base as FHIR has it: without a foreign host, and without criteria. */
function placed(entry: JsonObject, member: 'request' | 'response', key: 'url' | 'location', upstream: string): JsonObject {
  const { [member]: about } = entry;
  const url = isJsonObject(about) ? about[key] : undefined;
  if (!isJsonObject(about) || typeof url !== 'string') return entry;
  const isRelative = !/^(?:[a-z][a-z0-9+.-]*:|\/)/i.test(url);
  if ((isRelative || isBelowBase(url, upstream)) && !url.includes('?')) return entry;
  return { ...entry, [member]: { ...about, [key]: relative(url) } };
}

function relative(url: string): string {
  const named = resourceAtEnd(url);
  if (named !== undefined) {
    return `${printReference(named)}${named.versionId === undefined ? '' : `/_history/${named.versionId}`}`;
  }
  const last = pathOf(url).split('/').at(-1) ?? '';
  return isResourceType('STU3', last) || isResourceType('R4', last) ? last : '';
}

function pathOf(url: string): string {
  return url.slice(0, Math.max(0, url.search(/[?#]|$/)));
}

/** A deletion in a history has no resource: what it is about stands in its request. */
function nameless({ fullUrl: _fullUrl, ...rest }: JsonObject): JsonObject {
  return rest;
}

function isBelowBase(url: string, upstream: string): boolean {
  return url === upstream || url.startsWith(`${upstream}/`) || url.startsWith(`${upstream}?`);
}

function isBelow(link: JsonValue, upstream: string): boolean {
  const url = isJsonObject(link) ? link['url'] : undefined;
  return typeof url === 'string' && isBelowBase(url, upstream);
}

function changed(list: readonly JsonValue[], change: (each: JsonValue) => JsonValue): readonly JsonValue[] {
  const result = list.map(change);
  return result.some((each, index) => each !== list[index]) ? result : list;
}

function kept(list: readonly JsonValue[], keep: (each: JsonValue) => boolean): readonly JsonValue[] {
  return list.every(keep) ? list : list.filter(keep);
}
