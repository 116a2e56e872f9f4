import { GatewayError } from '../errors.ts';
import { isJsonArray, isJsonObject, JsonNumber, type JsonObject, type JsonValue } from './json.ts';
import { CONTINUATION } from './parameter-names.ts';
import { parseParameter, type Parameter } from './parameter.ts';
import type { FhirVersion } from './version.ts';

const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;

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
  if (said === undefined || others.length > 0 || !/^value[A-Z][A-Za-z0-9]*$/.test(said)) throw unjudged(field);
  const value = textOf(item[said]);
  if (value === undefined) throw unjudged(field);
  if (value === '') throw fault(`${field}.value`, 'must not be empty');
  // One value, whatever is in it: a comma here is no OR.
  return parseParameter({ name, value: value.replace(/[\\,]/g, '\\$&') }, version);
}

function textOf(value: JsonValue | undefined): string | undefined {
  if (typeof value === 'string') return value;
  if (value instanceof JsonNumber) return value.text;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
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
