import type { JsonObject } from './json.ts';
import type { Parameter } from './parameter.ts';

/*
 * Begin here. Then, in the order of a request: `target.ts` (path and query, decoded once), `parse-interaction.ts` (which of these it is), `parameter.ts`,
 * `parameter-names.ts` and `parameter-values.ts` (what may be asked), `media.ts` (formats), `json.ts` (bodies), `print-interaction.ts` (what goes upstream).
 *
 * An interaction is what a FHIR request asks for (http.html, "Interactions"); its `kind` is FHIR's own word. A request is
 * parsed into exactly one of these (`parse-interaction.ts`) and what goes upstream is printed from it (`print-interaction.ts`): nothing
 * of the original request survives beside it. `head` is true where HEAD came in: judged and sent as GET, the body is dropped.
 * `_format` and `_pretty` are never among the parameters: `media.ts` resolves them.
 */
export type Interaction =
  | Read
  | VRead
  | Update
  | Patch
  | Delete
  | HistoryInstance
  | HistoryType
  | HistorySystem
  | Create
  | SearchType
  | SearchSystem
  | SearchCompartment
  | Capabilities
  | Options
  | BundleExchange
  | OperationInstance
  | OperationType
  | OperationSystem
  | ConditionalCreate
  | ConditionalUpdate
  | ConditionalPatch
  | ConditionalDelete;

/** The tag of every interaction there is. */
export type InteractionKind = Interaction['kind'];

/** How a search came and will go: parameters in the query (GET), or in a form body (`POST …/_search`). */
export type SearchVia = 'query' | 'form';

interface OnType {
  /** A resource type of the version, exact case. */
  readonly type: string;
}

interface OnInstance extends OnType {
  readonly id: string;
}

interface WithParameters {
  /** In the order received, query before form; entries are ANDed. */
  readonly parameters: readonly Parameter[];
}

interface Readable {
  readonly head: boolean;
}

/** `GET [type]/[id]`; parameters can only be `_summary` and `_elements`. */
export interface Read extends OnInstance, WithParameters, Readable {
  readonly kind: 'read';
}

/** `GET [type]/[id]/_history/[versionId]`; parameters as in a read. */
export interface VRead extends OnInstance, WithParameters, Readable {
  readonly kind: 'vread';
  readonly versionId: string;
}

/** `PUT [type]/[id]`. */
export interface Update extends OnInstance {
  readonly kind: 'update';
}

/** In what a patch is written (patch.html); the `Content-Type` says it. */
export type PatchFormat = 'json-patch' | 'xml-patch' | 'fhirpath-patch';

interface Patching {
  /** Absent where the `Content-Type` names no patch: that is answered with 415 before anything is judged. */
  readonly format?: PatchFormat;
}

/** `PATCH [type]/[id]`. */
export interface Patch extends OnInstance, Patching {
  readonly kind: 'patch';
}

/** `DELETE [type]/[id]`. */
export interface Delete extends OnInstance {
  readonly kind: 'delete';
}

/** `GET [type]/[id]/_history`. */
export interface HistoryInstance extends OnInstance, WithParameters, Readable {
  readonly kind: 'history-instance';
}

/** `GET [type]/_history`. */
export interface HistoryType extends OnType, WithParameters, Readable {
  readonly kind: 'history-type';
}

/** `GET _history`. */
export interface HistorySystem extends WithParameters, Readable {
  readonly kind: 'history-system';
}

/** `POST [type]`, without `If-None-Exist`. */
export interface Create extends OnType {
  readonly kind: 'create';
}

/** `GET [type]?…` or `POST [type]/_search`: the same thing, whatever the method. */
export interface SearchType extends OnType, WithParameters, Readable {
  readonly kind: 'search-type';
  readonly via: SearchVia;
}

/** `GET [base]?…` or `POST _search`. */
export interface SearchSystem extends WithParameters, Readable {
  readonly kind: 'search-system';
  readonly via: SearchVia;
}

/** `GET [compartment]/[id]/[type]?…` or the same with `POST …/_search`; `type` is `*` for all types. */
export interface SearchCompartment extends OnType, WithParameters, Readable {
  readonly kind: 'search-compartment';
  readonly compartment: { readonly type: string; readonly id: string };
  readonly via: SearchVia;
}

/** `GET metadata`. */
export interface Capabilities extends WithParameters, Readable {
  readonly kind: 'capabilities';
}

/** `OPTIONS` of any path of the grammar: which methods it has. Nothing but a question, and a role's rules say whether it may be asked. */
export interface Options {
  readonly kind: 'options';
  /** The path below the base, canonical; empty at the base itself. */
  readonly path: string;
  /** The methods that the grammar has for it. */
  readonly allow: readonly string[];
}

/** `POST [base]`. Whether it is a batch or a transaction stands in the body alone; whoever has parsed that sets `bundleType`. */
export interface BundleExchange {
  readonly kind: 'bundle';
  readonly bundleType?: 'batch' | 'transaction';
}

interface Operation extends WithParameters, Readable {
  /** With its dollar sign: `$document`. */
  readonly operation: string;
  readonly method: 'GET' | 'POST';
  /** The `Parameters` that a POST brought; then `parameters` are what stands in it, and nothing stands in the query. */
  readonly input?: JsonObject;
}

/** `[type]/[id]/$[operation]`. */
export interface OperationInstance extends OnInstance, Operation {
  readonly kind: 'operation-instance';
}

/** `[type]/$[operation]`. */
export interface OperationType extends OnType, Operation {
  readonly kind: 'operation-type';
}

/** `$[operation]`. */
export interface OperationSystem extends Operation {
  readonly kind: 'operation-system';
}

interface Conditional extends OnType {
  /** What the server would search for first: at least one. It needs the rights of that search. */
  readonly criteria: readonly Parameter[];
}

/** `POST [type]` with `If-None-Exist: criteria`. */
export interface ConditionalCreate extends Conditional {
  readonly kind: 'conditional-create';
}

/** `PUT [type]?criteria`. */
export interface ConditionalUpdate extends Conditional {
  readonly kind: 'conditional-update';
}

/** `PATCH [type]?criteria`. */
export interface ConditionalPatch extends Conditional, Patching {
  readonly kind: 'conditional-patch';
}

/** `DELETE [type]?criteria`. */
export interface ConditionalDelete extends Conditional {
  readonly kind: 'conditional-delete';
}

/** FHIR's code for an interaction (value sets `restful-interaction` and `audit-event-sub-type`), for audit and logs. */
export type InteractionVerb =
  | 'read'
  | 'vread'
  | 'update'
  | 'patch'
  | 'delete'
  | 'history-instance'
  | 'history-type'
  | 'history-system'
  | 'create'
  | 'search-type'
  | 'search-system'
  | 'search-compartment'
  | 'capabilities'
  | 'options'
  | 'batch'
  | 'transaction'
  | 'operation';

/** The verb of an interaction; a bundle whose type is not known yet is a `batch`. */
export function interactionVerb(interaction: Interaction): InteractionVerb {
  switch (interaction.kind) {
    case 'read':
    case 'vread':
    case 'update':
    case 'patch':
    case 'delete':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'create':
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
    case 'capabilities':
    case 'options':
      return interaction.kind;
    case 'bundle':
      return interaction.bundleType ?? 'batch';
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
      return 'operation';
    case 'conditional-create':
      return 'create';
    case 'conditional-update':
      return 'update';
    case 'conditional-patch':
      return 'patch';
    case 'conditional-delete':
      return 'delete';
  }
}

/** Whether the interaction may change something at the custodian. An operation by POST is taken for one that does. */
export function isWrite(interaction: Interaction): boolean {
  switch (interaction.kind) {
    case 'read':
    case 'vread':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
    case 'capabilities':
    case 'options':
      return false;
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
      return interaction.method === 'POST';
    case 'update':
    case 'patch':
    case 'delete':
    case 'create':
    case 'bundle':
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return true;
  }
}

/** Whether a write is of a version that is there already, so that `If-Match` can be kept. */
export function isOfVersion({ kind }: Interaction): boolean {
  switch (kind) {
    case 'update':
    case 'patch':
    case 'delete':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return true;
    case 'read':
    case 'vread':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
    case 'capabilities':
    case 'options':
    case 'create':
    case 'conditional-create':
    case 'bundle':
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
      return false;
  }
}

/** Whether the answer is a list of entries: a search or a history. */
export function isListing(kind: InteractionKind): boolean {
  return kind.startsWith('search-') || kind.startsWith('history-');
}

/** The resource type that an interaction is about; undefined at system level and for `*`. */
export function interactionType(interaction: Interaction): string | undefined {
  if (!('type' in interaction) || interaction.type === '*') return undefined;
  return interaction.type;
}

/** The logical id that an interaction names, if it names one; a compartment's id is not one. */
export function interactionId(interaction: Interaction): string | undefined {
  return 'id' in interaction ? interaction.id : undefined;
}
