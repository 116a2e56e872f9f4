import { GatewayError, type JsonObject } from 'sluis/usecase';
import { noticeSections } from './advance-notice.ts';
import { buildComposition, type BuiltDocument, type Sections } from './composition.ts';
import type { EOverdrachtConfig } from './config.ts';
import { DID_SYSTEM, type Party } from './task.ts';
import type { Recipe } from './transfer.ts';

/** Keys of `recipe.ids` for what we make ourselves. */
export const HANDOFF_IDS = { composition: 'composition', sender: 'sender', receiver: 'receiver' } as const;

/**
 * Builds the nursing hand-off for an adult from references to the real resources (facts §3.2): the Composition, and the Organizations of
 * sender and receiver where the EHR has none of its own for them.
 */
export function buildHandoff(
  recipe: Recipe,
  patient: string,
  sender: Party,
  config: Pick<EOverdrachtConfig, 'codingOrder'>,
): BuiltDocument {
  const made: JsonObject[] = [];
  const organization = (given: readonly string[] | undefined, key: string, party: Party | undefined): readonly string[] => {
    if (given !== undefined && given.length > 0) return given;
    if (party === undefined) return [];
    const id = idFor(recipe, key);
    made.push({ resourceType: 'Organization', id, identifier: [{ system: DID_SYSTEM, value: party.did }], name: party.name });
    return [`Organization/${id}`];
  };
  const { content } = recipe;
  const practitioners = content['practitioners'] ?? [];
  const sections: Sections = {
    ...noticeSections(content),
    sendingOrganization: [...organization(content['sendingOrganization'], HANDOFF_IDS.sender, sender), ...practitioners],
    receivingOrganization: organization(content['receivingOrganization'], HANDOFF_IDS.receiver, recipe.receiver),
  };
  const [author = practitioners[0]] = content['author'] ?? [];
  const composition = buildComposition(
    {
      kind: 'nursingHandoff',
      id: idFor(recipe, HANDOFF_IDS.composition),
      subject: patient,
      author: author === undefined ? { display: sender.name } : { reference: author },
      at: recipe.at,
      transferDate: recipe.transferDate,
      sections,
    },
    config,
  );
  return [...made, composition];
}

function idFor(recipe: Recipe, key: string): string {
  const id = recipe.ids[key];
  if (id === undefined) throw new GatewayError('internal', `the recipe has no id for ${key}`);
  return id;
}
