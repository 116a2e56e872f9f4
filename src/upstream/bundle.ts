import { isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
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

function named(entry: JsonValue, upstream: string): JsonValue {
  if (!isJsonObject(entry)) return entry;
  const { link, ...rest } = entry;
  const own = link === undefined ? entry : rest;
  const { fullUrl, resource } = own;
  // `urn:uuid:…` names no place.
  if (typeof fullUrl !== 'string' || !/^https?:/i.test(fullUrl)) return own;
  const { resourceType, id } = isJsonObject(resource) ? resource : {};
  if (typeof resourceType !== 'string' || typeof id !== 'string') return fullUrl.startsWith(`${upstream}/`) ? own : nameless(own);
  const name = `${upstream}/${resourceType}/${id}`;
  return fullUrl === name ? own : { ...own, fullUrl: name };
}

/** A deletion in a history has no resource: what it is about stands in its request. */
function nameless({ fullUrl: _fullUrl, ...rest }: JsonObject): JsonObject {
  return rest;
}

function isBelow(link: JsonValue, upstream: string): boolean {
  const url = isJsonObject(link) ? link['url'] : undefined;
  return typeof url === 'string' && (url === upstream || url.startsWith(`${upstream}/`) || url.startsWith(`${upstream}?`));
}

function changed(list: readonly JsonValue[], change: (each: JsonValue) => JsonValue): readonly JsonValue[] {
  const result = list.map(change);
  return result.some((each, index) => each !== list[index]) ? result : list;
}

function kept(list: readonly JsonValue[], keep: (each: JsonValue) => boolean): readonly JsonValue[] {
  return list.every(keep) ? list : list.filter(keep);
}
