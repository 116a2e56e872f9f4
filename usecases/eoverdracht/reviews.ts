import {
  isJsonObject,
  type AccessRequest,
  type JsonObject,
  type PolicyInformation,
  type Review,
  type ReviewVerdict,
} from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { entitle } from './entitlement.ts';
import { isList, object, text } from './json.ts';
import { isPrivate, privateTask } from './task-privacy.ts';

/** Looks at an answer before it leaves. */
export const reviews: readonly Review<EOverdrachtConfig>[] = [
  { name: 'task-privacy', review: ({ body }) => reviewTask(body) },
  { name: 'document', review: ({ request, body }, config, information) => reviewDocument(request, body, config, information) },
];

/** Facts §2.3: without a proven user a Task holds nothing that identifies a person. */
function reviewTask(body: JsonObject): ReviewVerdict {
  if (text(body, 'resourceType') !== 'Task') return { outcome: 'withhold', reason: 'answer_is_no_task' };
  return isPrivate(body) ? { outcome: 'pass' } : { outcome: 'replace', body: privateTask(body) };
}

/**
 * Facts §3.4: `$document` gives whatever the FHIR server puts into the Bundle. What is not granted for reading is taken out, and every
 * Binary with it: a Binary is read by itself, under a grant of its own.
 */
async function reviewDocument(
  request: AccessRequest,
  body: JsonObject,
  config: EOverdrachtConfig,
  information: PolicyInformation,
): Promise<ReviewVerdict> {
  const entries = body['entry'];
  if (text(body, 'resourceType') !== 'Bundle' || text(body, 'type') !== 'document' || !isList(entries)) {
    return { outcome: 'withhold', reason: 'answer_is_no_document' };
  }
  const kept: JsonObject[] = [];
  for (const [index, entry] of entries.entries()) {
    const resource = isJsonObject(entry) ? object(entry, 'resource') : undefined;
    const type = text(resource, 'resourceType');
    const id = text(resource, 'id');
    const isSubject = type === 'Composition' && `/Composition/${id ?? ''}` === request.resource.path;
    if (index === 0 && !isSubject) return { outcome: 'withhold', reason: 'document_of_another_composition' };
    if (!isJsonObject(entry) || type === undefined || id === undefined) continue;
    if (index === 0 || (type !== 'Binary' && (await mayRead(request, type, id, config, information)))) kept.push(entry);
  }
  if (kept.length === 0) return { outcome: 'withhold', reason: 'document_without_composition' };
  return kept.length === entries.length ? { outcome: 'pass' } : { outcome: 'replace', body: { ...body, entry: kept } };
}

async function mayRead(
  request: AccessRequest,
  type: string,
  id: string,
  config: EOverdrachtConfig,
  information: PolicyInformation,
): Promise<boolean> {
  const entitlement = await entitle(request, { path: `/${type}/${id}`, type, operation: 'read' }, config, information);
  return entitlement.entitled;
}
