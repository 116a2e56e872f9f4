import { randomUUID } from 'node:crypto';
import { GatewayError, type JsonObject, type Services } from 'sluis/usecase';
import { copiedReferences, NOTICE_IDS } from './advance-notice.ts';
import { anonymityProblems } from './anonymity.ts';
import { collect, type Collection, type ReadResource } from './collect.ts';
import type { EOverdrachtConfig } from './config.ts';
import type { HandoffContent, NoticeContent } from './content.ts';
import { buildDocument, mustRead } from './document-writing.ts';
import { HANDOFF_IDS } from './handoff.ts';
import { referenceText, text } from './json.ts';
import { compositionReference, type Party } from './task.ts';
import type { Recipe, TransferDocument } from './transfer.ts';

/** What a document is for. */
export interface DocumentFor {
  /** `Patient/…`, the real one. */
  readonly patient: string;
  readonly transferDate: string;
  readonly receiver?: Party;
}

/**
 * Checks a notice, given or to be built, before anything is written or offered: it must keep the patient unknown.
 * @throws GatewayError `unprocessable`: `not_anonymous` with the places, `mixed_patients`, `unknown_reference`
 */
export async function prepareNotice(
  services: Services,
  config: EOverdrachtConfig,
  of: DocumentFor,
  content: NoticeContent,
): Promise<TransferDocument> {
  const patient = await mustRead(services, of.patient);
  if ('composition' in content) {
    const composition = await readComposition(services, content.composition);
    const collection = await collect(composition, reader(services), config, services.tenant.fhirUrl);
    assertAnonymous(collection, of.patient, patient, services);
    return given('advanceNotice', collection);
  }
  const recipe = makeRecipe(services, of, content, Object.values(NOTICE_IDS), copiedReferences);
  await assertSamePatient(services, of.patient, copiedReferences(recipe.content));
  return build(services, config, of.patient, 'advanceNotice', recipe, (collection) => {
    assertAnonymous(collection, of.patient, patient, services);
  });
}

/** The notice of a recipe once more, for another date: new ids throughout (facts §1.4 C1). */
export async function rebuildNotice(
  services: Services,
  config: EOverdrachtConfig,
  of: DocumentFor,
  earlier: Recipe,
): Promise<TransferDocument> {
  const patient = await mustRead(services, of.patient);
  const ids = Object.fromEntries(Object.keys(earlier.ids).map((key) => [key, randomUUID()]));
  const recipe: Recipe = { ...earlier, ids, at: services.now().toISOString(), transferDate: of.transferDate };
  return build(services, config, of.patient, 'advanceNotice', recipe, (collection) => {
    assertAnonymous(collection, of.patient, patient, services);
  });
}

/**
 * Checks a hand-off, given or to be built: every resource is about this patient.
 * @throws GatewayError `unprocessable`: `mixed_patients`, `unknown_reference`, `document_too_large`
 */
export async function prepareHandoff(
  services: Services,
  config: EOverdrachtConfig,
  of: DocumentFor,
  content: HandoffContent,
): Promise<TransferDocument> {
  if ('composition' in content && typeof content.composition === 'string') {
    const composition = await readComposition(services, content.composition);
    const collection = await collect(composition, reader(services), config, services.tenant.fhirUrl);
    assertSubject(composition, of.patient, services);
    return given('nursingHandoff', collection);
  }
  const recipe = makeRecipe(services, of, content, Object.values(HANDOFF_IDS), () => []);
  // What the EHR named itself must be there; further on a dangling reference is skipped.
  for (const reference of Object.values(recipe.content).flat()) await mustRead(services, reference);
  return build(services, config, of.patient, 'nursingHandoff', recipe, () => undefined);
}

function makeRecipe(
  services: Services,
  of: DocumentFor,
  content: Readonly<Record<string, string | readonly string[] | undefined>>,
  made: readonly string[],
  copied: (content: Recipe['content']) => readonly string[],
): Recipe {
  const lists: Record<string, readonly string[]> = {};
  for (const [name, value] of Object.entries(content)) {
    if (value !== undefined) lists[name] = (typeof value === 'string' ? [value] : value).map(withoutSlash);
  }
  const ids = Object.fromEntries([...made, ...copied(lists)].map((key) => [key, randomUUID()]));
  return {
    at: services.now().toISOString(),
    transferDate: of.transferDate,
    content: lists,
    ids,
    ...(of.receiver === undefined ? {} : { receiver: { ...of.receiver } }),
  };
}

/** Builds once without writing, to see what would be granted; the job builds again. */
async function build(
  services: Services,
  config: EOverdrachtConfig,
  patient: string,
  kind: TransferDocument['kind'],
  recipe: Recipe,
  check: (collection: Collection) => void,
): Promise<TransferDocument> {
  const built = await buildDocument(services, config, patient, kind, recipe);
  const made = new Map(
    built.map((resource) => [`${text(resource, 'resourceType') ?? ''}/${text(resource, 'id') ?? ''}`, resource]),
  );
  const composition = built.at(-1);
  if (composition === undefined) throw new GatewayError('internal', 'a document without a Composition');
  const read = reader(services);
  const collection = await collect(
    composition,
    async (type, id) => made.get(`${type}/${id}`) ?? (await read(type, id)),
    config,
    services.tenant.fhirUrl,
  );
  check(collection);
  return { ...given(kind, collection), written: false, recipe };
}

function given(kind: TransferDocument['kind'], collection: Collection): TransferDocument {
  const [composition = ''] = collection.references;
  return { composition, kind, resources: collection.references, written: true };
}

async function readComposition(services: Services, reference: string): Promise<JsonObject> {
  return mustRead(services, withoutSlash(compositionReference(reference) ?? reference));
}

function reader(services: Services): ReadResource {
  return async (type, id) => (await services.fhir.read(type, id))?.resource;
}

function assertAnonymous(collection: Collection, patient: string, resource: JsonObject, services: Services): void {
  const fields = anonymityProblems(collection.resources, { reference: patient, resource }, services.tenant.fhirUrl);
  if (fields.length > 0)
    throw new GatewayError('unprocessable', 'the notice is not anonymous', { reason: 'not_anonymous', fields });
}

function assertSubject(composition: JsonObject, patient: string, services: Services): void {
  const subject = referenceText(composition, 'subject') ?? '';
  const local = subject.startsWith(`${services.tenant.fhirUrl}/`) ? subject.slice(services.tenant.fhirUrl.length) : subject;
  if (withoutSlash(local) === patient) return;
  throw new GatewayError('unprocessable', 'the hand-off is about another patient', {
    reason: 'mixed_patients',
    fields: [{ field: 'Composition.subject', problem: 'is another patient than the transfer' }],
  });
}

/** What a notice is copied from must be this patient's own. */
async function assertSamePatient(services: Services, patient: string, references: readonly string[]): Promise<void> {
  const virtual: JsonObject = {
    resourceType: 'Composition',
    id: 'check',
    subject: { reference: patient },
    section: [{ entry: references.map((reference) => ({ reference })) }],
  };
  await collect(virtual, reader(services), { collect: { depth: 1, maxResources: 1000 } }, services.tenant.fhirUrl);
}

function withoutSlash(reference: string): string {
  return reference.startsWith('/') ? reference.slice(1) : reference;
}
