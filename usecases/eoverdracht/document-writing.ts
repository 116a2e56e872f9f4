import { GatewayError, type JsonObject, type Services } from 'sluis/usecase';
import { buildAdvanceNotice, copiedReferences } from './advance-notice.ts';
import type { BuiltDocument } from './composition.ts';
import type { EOverdrachtConfig } from './config.ts';
import { buildHandoff } from './handoff.ts';
import type { Recipe, Transfer, TransferDocument } from './transfer.ts';

/**
 * Writes a document that we make, built again from its recipe: every id was chosen before, and everything is created only if absent, so that a
 * second run changes nothing. The Composition comes last: when it is there, all is there.
 */
export async function writeDocument(
  services: Services,
  config: EOverdrachtConfig,
  transfer: Pick<Transfer, 'patient'>,
  document: TransferDocument,
): Promise<void> {
  if (document.recipe === undefined) return;
  for (const resource of await buildDocument(services, config, transfer.patient, document.kind, document.recipe)) {
    await services.fhir.put(resource, 'absent');
  }
}

/** Builds a document from its recipe and from what the EHR has now. @throws GatewayError `unprocessable` for a reference to nothing */
export async function buildDocument(
  services: Services,
  config: EOverdrachtConfig,
  patient: string,
  kind: TransferDocument['kind'],
  recipe: Recipe,
): Promise<BuiltDocument> {
  switch (kind) {
    case 'advanceNotice': {
      const sources = new Map<string, JsonObject>();
      for (const reference of copiedReferences(recipe.content)) sources.set(reference, await mustRead(services, reference));
      return buildAdvanceNotice(recipe, await mustRead(services, patient), sources, services.tenant.name, config);
    }
    case 'nursingHandoff':
      return buildHandoff(recipe, patient, { did: services.tenant.did, name: services.tenant.name }, config);
  }
}

/** Reads what the EHR named. @throws GatewayError `unprocessable` (`unknown_reference`) when it is not there */
export async function mustRead(services: Services, reference: string): Promise<JsonObject> {
  const [type = '', id = ''] = reference.split('/');
  const found = await services.fhir.read(type, id);
  if (found === undefined) {
    throw new GatewayError('unprocessable', `${reference} is not at the FHIR server`, {
      reason: 'unknown_reference',
      fields: [{ field: reference, problem: 'is not at the FHIR server' }],
    });
  }
  return found.resource;
}
