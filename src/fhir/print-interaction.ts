import type { Interaction, PatchFormat, SearchVia } from './interaction.ts';
import { printJson } from './json.ts';
import { printParameter, type Parameter } from './parameter.ts';
import { printQuery } from './target.ts';

/** A request as it goes upstream, relative to the FHIR base. */
export interface CanonicalRequest {
  readonly method: 'GET' | 'OPTIONS' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Begins with a slash, except at the base itself, where it is empty; never has a percent sign. */
  readonly path: string;
  /** Without the question mark; empty where there is none. */
  readonly query: string;
  /** The body of a search by POST (`application/x-www-form-urlencoded`). */
  readonly form?: string;
  /** The value of `If-None-Exist`. */
  readonly ifNoneExist?: string;
  /** In what a patch is written. */
  readonly contentType?: string;
  /** The `Parameters` of an operation by POST, as JSON. */
  readonly input?: string;
}

/** The `Content-Type` of each way to write a patch. */
export const PATCH_TYPES: Readonly<Record<PatchFormat, string>> = {
  'json-patch': 'application/json-patch+json',
  'xml-patch': 'application/xml-patch+xml',
  'fhirpath-patch': 'application/fhir+json',
};

/**
 * Prints the one canonical request of an interaction. Parsing that gives the interaction again, except that HEAD has become GET and
 * that a bundle's type is not in it.
 */
export function printInteraction(interaction: Interaction): CanonicalRequest {
  const path = interactionPath(interaction);
  switch (interaction.kind) {
    case 'read':
    case 'vread':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'capabilities':
      return { method: 'GET', path, query: printParameters(interaction.parameters) };
    case 'options':
      return { method: 'OPTIONS', path, query: '' };
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
      return printSearch(path, interaction.via, interaction.parameters);
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
      if (interaction.input !== undefined)
        return { method: interaction.method, path, query: '', input: printJson(interaction.input) };
      return { method: interaction.method, path, query: printParameters(interaction.parameters) };
    case 'update':
      return { method: 'PUT', path, query: '' };
    case 'patch':
      return { method: 'PATCH', path, query: '', ...patchType(interaction.format) };
    case 'delete':
      return { method: 'DELETE', path, query: '' };
    case 'create':
    case 'bundle':
      return { method: 'POST', path, query: '' };
    case 'conditional-create':
      return { method: 'POST', path, query: '', ifNoneExist: printParameters(interaction.criteria) };
    case 'conditional-update':
      return { method: 'PUT', path, query: printParameters(interaction.criteria) };
    case 'conditional-patch':
      return { method: 'PATCH', path, query: printParameters(interaction.criteria), ...patchType(interaction.format) };
    case 'conditional-delete':
      return { method: 'DELETE', path, query: printParameters(interaction.criteria) };
  }
}

function patchType(format: PatchFormat | undefined): Pick<CanonicalRequest, 'contentType'> {
  return format === undefined ? {} : { contentType: PATCH_TYPES[format] };
}

// Query and form were one list; they go on in one place only (attack case Q42).
function printSearch(path: string, via: SearchVia, parameters: readonly Parameter[]): CanonicalRequest {
  const text = printParameters(parameters);
  if (via === 'query') return { method: 'GET', path, query: text };
  return { method: 'POST', path: `${path}/_search`, query: '', form: text };
}

function printParameters(parameters: readonly Parameter[]): string {
  return parameters.length === 0 ? '' : printQuery(parameters.map(printParameter));
}

/** The path of an interaction below the base, such as `/Task/123` or `/Composition/1/$document`; a search's path is without `_search`. */
export function interactionPath(interaction: Interaction): string {
  switch (interaction.kind) {
    case 'read':
    case 'update':
    case 'patch':
    case 'delete':
      return `/${interaction.type}/${interaction.id}`;
    case 'vread':
      return `/${interaction.type}/${interaction.id}/_history/${interaction.versionId}`;
    case 'history-instance':
      return `/${interaction.type}/${interaction.id}/_history`;
    case 'history-type':
      return `/${interaction.type}/_history`;
    case 'history-system':
      return '/_history';
    case 'create':
    case 'search-type':
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return `/${interaction.type}`;
    case 'search-compartment':
      return `/${interaction.compartment.type}/${interaction.compartment.id}/${interaction.type}`;
    case 'search-system':
    case 'bundle':
      return '';
    case 'capabilities':
      return '/metadata';
    case 'options':
      return interaction.path;
    case 'operation-instance':
      return `/${interaction.type}/${interaction.id}/${interaction.operation}`;
    case 'operation-type':
      return `/${interaction.type}/${interaction.operation}`;
    case 'operation-system':
      return `/${interaction.operation}`;
  }
}

/**
 * The path that a grant names for an interaction (eoverdracht.md §5.7): `/Task/1` for everything done to that instance, its versions and
 * its operations included, `/Task` for what is done to the type; undefined where no grant can name anything.
 */
export function resourcePath(interaction: Interaction): string | undefined {
  switch (interaction.kind) {
    case 'read':
    case 'vread':
    case 'update':
    case 'patch':
    case 'delete':
    case 'history-instance':
    case 'operation-instance':
      return `/${interaction.type}/${interaction.id}`;
    case 'create':
    case 'search-type':
      return `/${interaction.type}`;
    case 'history-type':
    case 'history-system':
    case 'search-system':
    case 'search-compartment':
    case 'capabilities':
    case 'options':
    case 'bundle':
    case 'operation-type':
    case 'operation-system':
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return undefined;
  }
}
