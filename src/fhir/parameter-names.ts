import type { Parameter } from './parameter.ts';
import type { FhirVersion } from './version.ts';

/** Where a parameter stands; each place has its own closed list of names. */
export type ParameterUse = 'none' | 'read' | 'history' | 'search' | 'criteria' | 'operation' | 'capabilities';

const ON_READ: ReadonlySet<string> = new Set(['_summary', '_elements']);
const ON_HISTORY: ReadonlySet<string> = new Set(['_count', '_since', '_at', '_list', '_summary', '_elements']);

/** Parameters of every type (search.html, "Parameters for all resources"). */
const COMMON: ReadonlySet<string> = new Set([
  '_id',
  '_lastUpdated',
  '_tag',
  '_profile',
  '_security',
  '_source',
  '_text',
  '_content',
  '_list',
  '_has',
  '_type',
  '_query',
  '_filter',
]);
/** How a result looks, and what comes along (search.html, "Search result parameters"). */
const RESULT: ReadonlySet<string> = new Set([
  '_sort',
  '_count',
  '_include',
  '_revinclude',
  '_summary',
  '_total',
  '_elements',
  '_contained',
  '_containedType',
]);
/** What servers put into the links of a page. They are seen by policy, which only ever permits sealed ones of ours (attack case P23). */
const PAGING: ReadonlySet<string> = new Set(['_getpages', '_getpagesoffset', '_pageId', '_bundletype']);
const NAME = /^[A-Za-z][A-Za-z0-9_-]*$/;

/**
 * Whether a parameter is known for its place. What is unknown is refused (400) rather than dropped: a server that ignores it would
 * answer more than was asked for (attack case Q41).
 */
export function isKnownParameter(parameter: Parameter, use: ParameterUse, version: FhirVersion, type?: string): boolean {
  const { name } = parameter;
  switch (use) {
    case 'none':
      return false;
    case 'read':
      return ON_READ.has(parameter.key);
    case 'history':
      return ON_HISTORY.has(parameter.key);
    case 'capabilities':
      return ON_READ.has(parameter.key) || (version === 'R4' && parameter.key === 'mode');
    case 'operation':
      return name.startsWith('_') ? COMMON.has(name) || RESULT.has(name) || ON_HISTORY.has(name) : true;
    case 'criteria':
      return COMMON.has(name) || isSearchName(name);
    case 'search':
      return COMMON.has(name) || RESULT.has(name) || (type === undefined && PAGING.has(name)) || isSearchName(name);
  }
}

function isSearchName(name: string): boolean {
  return NAME.test(name);
}
