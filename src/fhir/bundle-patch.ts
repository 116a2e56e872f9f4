import { GatewayError } from '../errors.ts';
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { FHIR_JSON } from './media.ts';

/** What the Binary of a PATCH entry brings (http.html#patch): what stands in it is read once it is judged, as the body of a PATCH that comes alone. */
export interface EntryPatch {
  /** As a `Content-Type` would say it, as it came. */
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** The same of a `Parameters`, a patch in FHIRPath: that is the entry's resource itself. */
export interface ResourcePatch {
  readonly contentType: string;
  readonly bytes?: undefined;
}

/**
 * Reads the resource of a PATCH entry: a Binary with the patch, or `Parameters`.
 * @throws GatewayError `invalid_body` (400) that names the member
 */
export function parsePatchResource(resource: JsonValue | undefined, field: string): EntryPatch | ResourcePatch {
  if (!isJsonObject(resource)) throw fault(field, 'is missing');
  const { resourceType, contentType, data } = resource;
  if (resourceType === 'Parameters') return { contentType: FHIR_JSON };
  if (resourceType !== 'Binary')
    throw fault(`${field}.resourceType`, 'must be Binary, with a JSON Patch in it, or Parameters where the method is PATCH');
  if (typeof contentType !== 'string') throw fault(`${field}.contentType`, 'must be text, such as application/json-patch+json');
  const bytes = typeof data === 'string' ? decode(data) : undefined;
  if (bytes === undefined) throw fault(`${field}.data`, 'must be the patch in base64');
  return { contentType, bytes };
}

/** The Binary of a patch, canonical. */
export function printPatchResource({ contentType, bytes }: EntryPatch): JsonObject {
  return { resourceType: 'Binary', contentType, data: Buffer.from(bytes).toString('base64') };
}

/** RFC 4648 §4, with the blanks that FHIR allows (datatypes.html#base64Binary): what decoders read in several ways is no base64. */
function decode(data: string): Uint8Array | undefined {
  const text = data.replace(/[ \t\r\n]+/g, '');
  const bytes = Buffer.from(text, 'base64');
  return bytes.byteLength > 0 && bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined;
}

function fault(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_body', `${field} ${problem}`, { fields: [{ field, problem }] });
}
