import resourceTypes from './resource-types.json' with { type: 'json' };
import sharedTypes from './shared-types.json' with { type: 'json' };

/** The generations of FHIR that Sluis speaks. STU3 is 3.0, R4 is 4.0. */
export type FhirVersion = 'STU3' | 'R4';

const TYPES: Readonly<Record<FhirVersion, ReadonlySet<string>>> = {
  STU3: new Set(resourceTypes.STU3),
  R4: new Set(resourceTypes.R4),
};

/** Whether `text` is, in exact letter case, a resource type of that version (design §12: another case is unknown). */
export function isResourceType(version: FhirVersion, text: string): boolean {
  return TYPES[version].has(text);
}

/** The value of the media type parameter `fhirVersion` (R4 http.html §3.1.0.1.11.1) for each version. */
export const FHIR_VERSION_PARAMETER: Readonly<Record<FhirVersion, string>> = { STU3: '3.0', R4: '4.0' };

/** Whether `text` is a FHIR id: 1 to 64 of letters, digits, `-` and `.`; but never `.` or `..`, which are paths to others. */
export function isId(text: string): boolean {
  const length = text.length;
  if (length === 0 || length > 64) return false;
  for (let index = 0; index < length; index += 1) {
    if (!isIdCharacter(text.charCodeAt(index))) return false;
  }
  return text !== '.' && text !== '..';
}

function isIdCharacter(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x61 && code <= 0x7a) ||
    code === 0x2d ||
    code === 0x2e
  );
}

const SHARED_TYPES: ReadonlySet<string> = new Set(sharedTypes);

/** Whether resources of a type are about nobody: directories, definitions, products. Of all other types one may be somebody's record. */
export function isSharedType(type: string): boolean {
  return SHARED_TYPES.has(type);
}
