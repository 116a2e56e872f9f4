import { GatewayError } from '../errors.ts';
import type { Interaction } from '../fhir/interaction.ts';
import type { LocalReference } from '../fhir/reference.ts';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import { parametersOf } from '../pdp/rules.ts';
import { resourceAtEnd } from '../upstream/bundle.ts';
import { shows } from './proof.ts';

/** Whether an interaction is answered by a Bundle of what was found. */
export function isListing({ kind }: Interaction): boolean {
  return (
    kind === 'search-type' ||
    kind === 'search-system' ||
    kind === 'search-compartment' ||
    kind === 'history-instance' ||
    kind === 'history-type' ||
    kind === 'history-system'
  );
}

/** What is left of a Bundle of finds. */
export interface JudgedEntries {
  readonly entries: readonly JsonValue[];
  /** Whether something that was found does not leave: then a total would tell of it (attack case X12). */
  readonly isFiltered: boolean;
}

/**
 * Judges every entry of a search or history answer: what was matched is of the type asked for and shows every proof, what came along is of a type that the
 * rule names, a Patient that came along is the patient, and what an entry is called is what is in it. One that does not withholds the whole (attack cases
 * X9 to X11): the server did not do what it was asked. Then the use case's filters say of each whether it leaves.
 *
 * @throws GatewayError `upstream_failed` with the reason `answer_unproved`, `upstream_not_a_bundle` or `filter_failed`
 */
export function judgeEntries(verdict: PermitVerdict, bundle: JsonObject, base: string): JudgedEntries {
  const { interaction } = verdict;
  const isHistory = interaction.kind.startsWith('history');
  if (bundle['resourceType'] !== 'Bundle' || bundle['type'] !== (isHistory ? 'history' : 'searchset'))
    throw unusable('upstream_not_a_bundle', 'the FHIR server answered with no Bundle of finds');
  const entry = bundle['entry'] ?? [];
  if (!isJsonArray(entry)) throw unusable('upstream_not_a_bundle', 'the entries of the answer are no list');
  let isFiltered = false;
  const entries = entry.filter((each) => {
    if (!isJsonObject(each)) throw unusable('upstream_not_a_bundle', 'an entry of the answer is no object');
    const { resource } = each;
    if (isHistory && resource === undefined) return isDeletion(verdict, each);
    if (!isJsonObject(resource)) throw unusable('upstream_not_a_bundle', 'an entry of the answer has no resource');
    if (modeOf(each) === 'outcome') return false;
    judgeEntry(verdict, each, resource, base);
    const keeps = isKept(verdict, resource);
    isFiltered ||= !keeps;
    return keeps;
  });
  return { entries, isFiltered };
}

function modeOf(entry: JsonObject): JsonValue | undefined {
  const { search } = entry;
  return isJsonObject(search) ? search['mode'] : undefined;
}

function judgeEntry(verdict: PermitVerdict, entry: JsonObject, resource: JsonObject, base: string): void {
  const { interaction, rule, proofs, patient } = verdict;
  const { resourceType: type, id } = resource;
  if (typeof type !== 'string' || typeof id !== 'string') throw unproved('an entry has no type and id');
  // Another host is another name of the same server (real-servers.md §1.6); another resource is another resource.
  for (const name of namesOf(entry)) {
    if (name.type !== type || name.id !== id) throw unproved(`the entry of a ${type} is called something else`);
  }
  const mode = modeOf(entry);
  const isMatch = isAskedFor(interaction, type, id) && mode !== 'include';
  if (isMatch) {
    if (!shows(resource, proofs, base)) throw unproved(`a ${type} does not show what the request was narrowed to`);
    return;
  }
  if (mode === 'match') throw unproved(`a ${type} was matched that was not asked for`);
  const asked = parametersOf(interaction).map(({ name }) => name);
  const included = [
    ...(asked.includes('_include') ? (rule.includes?.types ?? []) : []),
    ...(asked.includes('_revinclude') ? (rule.revincludes?.types ?? []) : []),
  ];
  if (!included.includes(type)) throw unproved(`a ${type} came along that was not asked for`);
  // Asked for and included at once: of the type asked for, so that it has to show the same.
  if (isAskedFor(interaction, type, id) && !shows(resource, proofs, base))
    throw unproved(`a ${type} came along that does not show its proof`);
  if (type === 'Patient' && patient !== undefined && `Patient/${id}` !== patient.reference)
    throw unproved('another Patient came along');
}

function isAskedFor(interaction: Interaction, type: string, id: string): boolean {
  switch (interaction.kind) {
    case 'search-type':
    case 'history-type':
      return interaction.type === type;
    case 'history-instance':
      return interaction.type === type && interaction.id === id;
    case 'search-compartment':
      return interaction.type === '*' || interaction.type === type;
    case 'search-system':
    case 'history-system':
      return true;
    case 'read':
    case 'vread':
    case 'update':
    case 'patch':
    case 'delete':
    case 'create':
    case 'capabilities':
    case 'options':
    case 'bundle':
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return false;
  }
}

/**
 * A deletion in a history has no content that could show anything: it is of what was asked for by its names, and leaves only where nothing has to be shown.
 */
function isDeletion({ interaction, proofs, filters }: PermitVerdict, entry: JsonObject): boolean {
  const { request } = entry;
  if (!isJsonObject(request) || request['method'] !== 'DELETE')
    throw unusable('upstream_not_a_bundle', 'an entry has no resource');
  const names = namesOf(entry);
  const [first] = names;
  if (first === undefined || names.some(({ type, id }) => type !== first.type || id !== first.id))
    throw unproved('nobody can tell of what a deletion is');
  if (!isAskedFor(interaction, first.type, first.id)) throw unproved(`a deletion of a ${first.type} was not asked for`);
  return proofs.length === 0 && filters.length === 0;
}

/** The resources that an entry says to be about; a URN, the place of a create or a URL that ends otherwise names none, and leaves as our own name for it. */
function namesOf({ fullUrl, request }: JsonObject): readonly LocalReference[] {
  const urls = [fullUrl, isJsonObject(request) ? request['url'] : undefined];
  return urls.flatMap((url) => {
    if (url === undefined) return [];
    if (typeof url !== 'string') throw unproved('the name of an entry is no text');
    return url.startsWith('urn:') ? [] : (resourceAtEnd(url) ?? []);
  });
}

function isKept({ filters, request, selected }: PermitVerdict, resource: JsonObject): boolean {
  return filters.every((filter) => {
    let kept: unknown;
    try {
      kept = filter.keeps({ request, resource }, selected.config);
    } catch (cause) {
      throw new GatewayError('upstream_failed', `the filter ${filter.name} failed`, { cause, reason: 'filter_failed' });
    }
    // Only true keeps: a promise is no yes (attack case E1).
    return kept === true;
  });
}

function unproved(problem: string): GatewayError {
  return unusable('answer_unproved', problem);
}

function unusable(reason: string, problem: string): GatewayError {
  return new GatewayError('upstream_failed', problem, { reason });
}
