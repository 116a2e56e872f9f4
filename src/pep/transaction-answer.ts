import { GatewayError } from '../errors.ts';
import type { BundleEntry } from '../fhir/bundle.ts';
import { parseETag, printETag } from '../fhir/etag.ts';
import { isWrite, type Interaction } from '../fhir/interaction.ts';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../fhir/json.ts';
import { printReference } from '../fhir/reference.ts';
import { resourceAtEnd } from '../upstream/bundle.ts';
import { judgeRead } from './answer-judgement.ts';
import type { AnswerOptions } from './answer-options.ts';
import { statusText, type EntryRequest } from './bundle-entry.ts';
import { isListing } from './entries.ts';
import type { Match } from './conditional.ts';
import type { Permitted } from './stages.ts';
import { versionIdOf } from './stored.ts';

/** An entry that is permitted and checked, as it goes up. */
export interface Ready {
  readonly request: EntryRequest;
  /** The write that a conditional one comes to; all others are as they came. */
  readonly permitted: Permitted;
  readonly sent: BundleEntry;
  /** Of a create that is to happen only if nothing matches: what did. */
  readonly found?: Match;
}

/** @throws GatewayError `upstream_failed` for another number of entries: verdicts would go to the wrong ones (attack case B18) */
export function readEntries(bundle: JsonObject, count: number): readonly JsonValue[] {
  const { resourceType, type, entry } = bundle;
  if (resourceType === 'Bundle' && type === 'transaction-response' && isJsonArray(entry) && entry.length === count) return entry;
  throw unproved('the answer to the transaction is not one for each entry');
}

/** What of the server's entry may leave: of a write its place and version, of a read what was proved. */
export async function answerEntry(
  { permitted, request, sent, found }: Ready,
  said: JsonValue | undefined,
  options: AnswerOptions,
): Promise<JsonObject> {
  const unusable = (): GatewayError => unproved('an entry of the answer is not what was asked for');
  const response = isJsonObject(said) ? said['response'] : undefined;
  const given = isJsonObject(response) && typeof response['status'] === 'string' ? Number.parseInt(response['status'], 10) : NaN;
  if (!isJsonObject(said) || !isJsonObject(response) || !(given >= 200 && given < 500)) throw unusable();
  const { interaction } = permitted.verdict;
  const upstream = options.upstream(permitted.authenticated.addressed.tenant);
  if (!isWrite(interaction)) {
    if (given === 404 || given === 410) return { response: { status: statusText(404) } };
    const { resource } = said;
    if (given !== 200 || !isJsonObject(resource)) throw unusable();
    const judged = await judgeRead(permitted, request.record, resource, upstream, options);
    if (judged === 'not-shown') throw unusable();
    // What was changed on its way has no version, only that it is there (attack case X24).
    const current = judged === resource ? versionIdOf(resource) : undefined;
    if (!isListing(interaction) && isKnown(request.entry, current))
      return { response: { status: statusText(304), ...(current === undefined ? {} : { etag: printETag(current) }) } };
    return { resource: judged, response: { status: statusText(200) } };
  }
  const { etag, lastModified } = response;
  const version =
    typeof etag === 'string' ? (parseETag(etag) ?? (/^[A-Za-z0-9.-]{1,64}$/.test(etag) ? etag : undefined)) : undefined;
  const place = placeOf(sent.interaction, given, response, version, found);
  if (place === undefined) throw unusable();
  // Something matches that nobody has looked at: it is there, and that is all that is said.
  if (place === 'none' && sent.interaction.kind === 'conditional-create') return { response: { status: statusText(given) } };
  return {
    response: {
      status: statusText(given),
      ...(place === 'none' ? {} : { location: `${upstream.bases.public}/${place}` }),
      ...(version === undefined ? {} : { etag: `W/"${version}"` }),
      ...(typeof lastModified === 'string' && INSTANT.test(lastModified) ? { lastModified } : {}),
    },
  };
}

/** Whether a read names the version that is there; judged here, for the server got no condition. */
function isKnown({ ifNoneMatch }: BundleEntry, current: string | undefined): boolean {
  return ifNoneMatch !== undefined && (ifNoneMatch === '*' || ifNoneMatch === current);
}

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** Where what was written stands, below the base; undefined when the status or the place is none of such a write, as for one that comes alone. */
function placeOf(
  interaction: Interaction,
  status: number,
  { location }: JsonObject,
  version: string | undefined,
  found: Match | undefined,
): string | undefined {
  if (interaction.kind === 'create' || interaction.kind === 'conditional-create') {
    const created = typeof location === 'string' ? resourceAtEnd(location) : undefined;
    // "One match: the server ignores the post" (http.html#ccreate).
    if (status === 200 && interaction.kind === 'conditional-create' && (found === undefined || created?.id !== found.id))
      return 'none';
    const isRight = status === 201 || (status === 200 && interaction.kind === 'conditional-create');
    if (!isRight || created?.type !== interaction.type) return undefined;
    return `${printReference(created)}${created.versionId === undefined ? '' : `/_history/${created.versionId}`}`;
  }
  if (interaction.kind !== 'update') return status === 200 || status === 204 ? 'none' : undefined;
  if (status !== 200 && status !== 201) return undefined;
  return `${interaction.type}/${interaction.id}${version === undefined ? '' : `/_history/${version}`}`;
}

function unproved(problem: string): GatewayError {
  return new GatewayError('upstream_failed', problem, { reason: 'answer_unproved' });
}
