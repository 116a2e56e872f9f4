import { GatewayError } from '../errors.ts';
import { isOfVersion, isWrite, type Interaction } from '../fhir/interaction.ts';

/**
 * A condition that is not kept must not look as if it were.
 * @param headers by lower-case name
 * @throws GatewayError `invalid_header` (400)
 */
export function insistOnFittingConditions(headers: ReadonlyMap<string, string>, interaction: Interaction): void {
  if (!isWrite(interaction)) return;
  if (headers.has('if-none-match')) throw unfit('If-None-Match', 'is for reads; a create is conditional by If-None-Exist');
  if (headers.has('if-unmodified-since')) throw unfit('If-Unmodified-Since', 'is not kept: name the version with If-Match');
  if (headers.has('if-match') && !isOfVersion(interaction))
    throw unfit('If-Match', `is for what is there already, not for ${interaction.kind}`);
}

function unfit(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_header', `${field} ${problem}`, { fields: [{ field, problem }] });
}
