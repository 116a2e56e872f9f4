import { isJsonObject, type JsonObject, type JsonValue } from 'sluis/usecase';
import { canonical, isList, object, without } from './json.ts';
import { ANONYMOUS_FOR } from './task.ts';

/** Elements in which a person can be named or linked, and which the receiver does not need (facts §2.3). */
const PERSONAL = [
  'context',
  'note',
  'contained',
  'text',
  'description',
  'identifier',
  'groupIdentifier',
  'basedOn',
  'partOf',
  'focus',
] as const;

/**
 * The Task as it may be shown when no user is proven: nothing in it identifies the patient (Bolt §4.1.3). A Task that we wrote comes out as
 * it went in; one that the EHR touched loses what does not belong there.
 */
export function privateTask(task: JsonObject): JsonObject {
  const shown: Record<string, JsonValue> = without(task, ...PERSONAL);
  if (task['for'] !== undefined) shown['for'] = privateFor(task);
  const inputs = task['input'];
  if (inputs !== undefined) shown['input'] = withoutDisplay(inputs);
  return shown;
}

/** Whether a Task may be shown as it is. */
export function isPrivate(task: JsonObject): boolean {
  return isUntouched(task) || canonical(privateTask(task)) === canonical(task);
}

/** Whether `privateTask` would find nothing to take away: said at a glance, as most Tasks are our own and each read asks. */
function isUntouched(task: JsonObject): boolean {
  if (PERSONAL.some((name) => name in task)) return false;
  if (task['for'] !== undefined && privateFor(task) !== task['for']) return false;
  const inputs = task['input'];
  return inputs === undefined || (isList(inputs) && inputs.every(isPlainInput));
}

const INPUT_MEMBERS: ReadonlySet<string> = new Set(['id', 'type', 'valueReference']);

function isPlainInput(input: JsonValue): boolean {
  if (!isJsonObject(input)) return false;
  for (const name in input) if (!INPUT_MEMBERS.has(name)) return false;
  const reference = input['valueReference'];
  if (reference === undefined) return true;
  return isJsonObject(reference) && !('display' in reference || 'identifier' in reference || 'extension' in reference);
}

function privateFor(task: JsonObject): JsonObject {
  const named = object(task, 'for');
  const constant = named !== undefined && Object.keys(named).length === 1 && named['display'] === ANONYMOUS_FOR;
  return constant ? named : { display: ANONYMOUS_FOR };
}

/** Input values without the display of a reference, and without free text: codes and references are all that an input needs. */
function withoutDisplay(inputs: JsonValue): JsonValue {
  if (isList(inputs)) return inputs.map(withoutDisplay);
  if (!isJsonObject(inputs)) return inputs;
  const shown: Record<string, JsonValue> = {};
  for (const name of ['id', 'type', 'valueReference'] as const) {
    const member = inputs[name];
    if (member === undefined) continue;
    shown[name] =
      name === 'valueReference' && isJsonObject(member) ? without(member, 'display', 'identifier', 'extension') : member;
  }
  return shown;
}
