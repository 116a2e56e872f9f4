import { GatewayError } from '../errors.ts';
import { withOwnReferences } from '../fhir/bundle.ts';
import { interactionType, type Interaction } from '../fhir/interaction.ts';
import type { JsonObject } from '../fhir/json.ts';
import type { Tenant } from '../tenant/tenant.ts';

/**
 * The resource that a write brings: the one of the path, or nothing (attack case C8).
 * @throws GatewayError `invalid_body` (400) that names the member
 */
export function readResource(said: JsonObject, interaction: Interaction, tenant: Pick<Tenant, 'publicUrl'>): JsonObject {
  // Our own absolute URLs are what we give: the relative references that they are, as in a Bundle.
  const resource = withOwnReferences(said, `${tenant.publicUrl}/fhir`);
  if (resource['resourceType'] !== interactionType(interaction)) throw otherThanPath('resourceType');
  // Whether an id is that of what matches is judged once that is found.
  if (interaction.kind === 'conditional-update') return resource;
  if (interaction.kind !== 'update') return withoutId(resource);
  if (resource['id'] !== interaction.id) throw otherThanPath('id');
  return resource;
}

function otherThanPath(field: string): GatewayError {
  return new GatewayError('invalid_body', `${field} is not that of the path`, {
    fields: [{ field, problem: 'must be that of the path' }],
  });
}

// An id of the caller's is no id of what is created (http.html#create): it is not passed on.
function withoutId(resource: JsonObject): JsonObject {
  if (!Object.hasOwn(resource, 'id')) return resource;
  const { id: _left, ...rest } = resource;
  return rest;
}
