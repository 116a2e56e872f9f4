import { GatewayError } from '../errors.ts';
import { isJsonArray, isJsonObject, JsonNumber, type JsonObject, type JsonValue } from './json.ts';
import { CONTINUATION } from './parameter-names.ts';
import { parseParameter, type Parameter } from './parameter.ts';
import type { FhirVersion } from './version.ts';

const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
/** As in a query (attack case Q45). */
const MAX_PARAMETERS = 100;
/** FHIR's primitive types (datatypes.html) and what each is in JSON: another name, some servers drop with its value, and what was judged would not be there. */
const PRIMITIVES: ReadonlyMap<string, 'boolean' | 'integer' | 'decimal' | 'text'> = new Map([
  ['valueBoolean', 'boolean'],
  ['valueInteger', 'integer'],
  ['valueUnsignedInt', 'integer'],
  ['valuePositiveInt', 'integer'],
  ['valueDecimal', 'decimal'],
  ...[
    'Base64Binary',
    'Canonical',
    'Code',
    'Date',
    'DateTime',
    'Id',
    'Instant',
    'Markdown',
    'Oid',
    'String',
    'Time',
    'Uri',
    'Url',
    'Uuid',
  ].map((type) => [`value${type}`, 'text'] as const),
]);

/**
 * The parameters in the `Parameters` resource of an operation by POST, as the list that the same operation by GET would have (operations.html: what is
 * primitive may stand in the one or the other), so that a rule judges both alike.
 * @throws GatewayError `invalid_body` (400) for malformed `Parameters`; `forbidden` for anything but `Parameters`, and for a resource, a part or a complex value in it, which no rule can judge
 */
export function readOperationInput(input: JsonObject, version: FhirVersion): readonly Parameter[] {
  // A resource by itself, or what is no resource: no rule can judge either (attack case B21).
  if (input['resourceType'] !== 'Parameters') throw unjudged('resourceType');
  const { parameter = [] } = input;
  if (!isJsonArray(parameter)) throw fault('Parameters.parameter', 'must be a list');
  if (parameter.length > MAX_PARAMETERS)
    throw fault('Parameters.parameter', `must have at most ${String(MAX_PARAMETERS)} entries`);
  for (const name of Object.keys(input)) if (!ROOT.has(name)) throw unjudged(`Parameters.${name}`);
  return parameter.map((each, index) => readParameter(each, `Parameters.parameter[${String(index)}]`, version));
}

const ROOT: ReadonlySet<string> = new Set(['resourceType', 'parameter']);

function readParameter(item: JsonValue, field: string, version: FhirVersion): Parameter {
  if (!isJsonObject(item)) throw fault(field, 'must be an object');
  const { name } = item;
  if (typeof name !== 'string' || !NAME.test(name)) throw fault(`${field}.name`, 'must be a plain name');
  // A link is followed by GET, and stands alone.
  if (name === CONTINUATION) throw unjudged(field);
  const [said, ...others] = Object.keys(item).filter((member) => member !== 'name');
  const type = said === undefined ? undefined : PRIMITIVES.get(said);
  if (said === undefined || type === undefined || others.length > 0) throw unjudged(field);
  const value = textOf(item[said], type);
  if (value === undefined) throw fault(`${field}.value`, `must be of the type that its name says (${type})`);
  if (value === '') throw fault(`${field}.value`, 'must not be empty');
  // One value, whatever is in it: a comma here is no OR.
  return parseParameter({ name, value: value.replace(/[\\,]/g, '\\$&') }, version);
}

function textOf(value: JsonValue | undefined, type: 'boolean' | 'integer' | 'decimal' | 'text'): string | undefined {
  if (type === 'text') return typeof value === 'string' ? value : undefined;
  if (type === 'boolean') return typeof value === 'boolean' ? String(value) : undefined;
  const text = value instanceof JsonNumber ? value.text : typeof value === 'number' ? String(value) : undefined;
  return text === undefined || (type === 'integer' && !/^-?\d+$/.test(text)) ? undefined : text;
}

/** The input with one text for each of these parameters, said once: what was judged in one form goes up in it. */
export function withValues(input: JsonObject, values: ReadonlyMap<string, string>): JsonObject {
  const { parameter } = input;
  const seen = new Set<string>();
  const entries = (isJsonArray(parameter) ? parameter : []).flatMap((item) => {
    const name = isJsonObject(item) ? item['name'] : undefined;
    const value = typeof name === 'string' ? values.get(name) : undefined;
    if (typeof name !== 'string' || value === undefined) return [item];
    if (seen.has(name)) return [];
    seen.add(name);
    return [{ name, valueString: value }];
  });
  return { ...input, parameter: entries };
}

function fault(field: string, problem: string): GatewayError {
  return new GatewayError('invalid_body', `${field} ${problem}`, { fields: [{ field, problem }] });
}

/** Nothing that a rule could say of it: a denial as any other. */
export function unjudged(field: string): GatewayError {
  return new GatewayError('forbidden', `${field} is not what a rule can judge: Parameters with single primitive values`, {
    reason: 'operation_input_unjudged',
  });
}
