import { parseReference, type JsonObject, type JsonValue } from 'sluis/usecase';
import codes from './codes.json' with { type: 'json' };
import type { EOverdrachtConfig } from './config.ts';
import { objects, object, referenceText, text, without } from './json.ts';
import type { TaskStatus } from './task-state.ts';

/** Satisfies `for` 1..1 of the profile and identifies nobody (facts §2.3; the Bolt forbids a reference to the patient). */
export const ANONYMOUS_FOR = 'Niet-identificerend';

/** The naming system in which a DID stands in a Task (facts §2.3). */
export const DID_SYSTEM = 'http://nuts.nl';

/** The documents that a Task can point to. */
export type DocumentKind = 'advanceNotice' | 'nursingHandoff';

/** The Compositions that a Task points to, as `Composition/{id}`. */
export type TaskInputs = { readonly [kind in DocumentKind]?: string };

/** A party as a Task names it. */
export interface Party {
  readonly did: string;
  readonly name: string;
}

/** What a new Task says. */
export interface NewTask {
  readonly id: string;
  readonly status: TaskStatus;
  readonly requester: Party;
  readonly owner: Party;
  readonly inputs: TaskInputs;
  readonly now: Date;
}

/** What is read from a Task, whatever generation of software wrote it. */
export interface TaskView {
  readonly id: string;
  readonly status: string;
  readonly statusReason?: string;
  /** Proposed by the receiver with `on-hold`: a FHIR dateTime. */
  readonly alternativeDate?: string;
  readonly inputs: TaskInputs;
  /** DIDs as written; never a proof of who is who (facts §2.3). */
  readonly requester?: string;
  readonly owner?: string;
  readonly isTransfer: boolean;
}

/** Builds the Task of one offer (facts §2.9). It holds nothing by which the patient is known. */
export function buildTask(task: NewTask, config: Pick<EOverdrachtConfig, 'codingOrder'>): JsonObject {
  const now = task.now.toISOString();
  return {
    resourceType: 'Task',
    id: task.id,
    meta: { profile: [codes.taskProfile] },
    status: task.status,
    intent: 'order',
    code: { coding: [codes.transferOfCare] },
    for: { display: ANONYMOUS_FOR },
    authoredOn: now,
    lastModified: now,
    requester: { agent: party(task.requester) },
    owner: party(task.owner),
    input: inputList([], task.inputs, config),
  };
}

/**
 * The stored Task with the sender's change: status and inputs. Everything that we do not know stays as it is. Going back to `requested`
 * takes the receiver's proposal and its reason away (facts §1.4 C1).
 */
export function changeTask(
  stored: JsonObject,
  change: { readonly status: TaskStatus; readonly inputs: TaskInputs; readonly now: Date },
  config: Pick<EOverdrachtConfig, 'codingOrder'>,
): JsonObject {
  const base = change.status === 'requested' ? withoutProposal(stored) : stored;
  return {
    ...base,
    status: change.status,
    lastModified: change.now.toISOString(),
    input: inputList(objects(stored, 'input'), change.inputs, config),
  };
}

/** Reads a Task. Codings of both generations count, at any index; reference forms as in facts §2.5. `base` is the sender's FHIR base. */
export function readTask(task: JsonObject, base?: string): TaskView {
  const inputs: { [kind in DocumentKind]?: string } = {};
  for (const input of objects(task, 'input')) {
    const kind = documentKind(input);
    const reference = compositionReference(referenceText(input, 'valueReference'), base);
    if (kind !== undefined && reference !== undefined) inputs[kind] = reference;
  }
  const proposal = objects(task, 'output').find(isAlternativeDate);
  return {
    id: text(task, 'id') ?? '',
    status: text(task, 'status') ?? '',
    ...optional('statusReason', text(object(task, 'statusReason'), 'text')),
    ...optional('alternativeDate', text(proposal, 'valueDateTime')),
    inputs,
    ...optional('requester', identifierOf(object(object(task, 'requester'), 'agent')) ?? identifierOf(object(task, 'requester'))),
    ...optional('owner', identifierOf(object(task, 'owner'))),
    isTransfer: hasCoding(object(task, 'code'), codes.transferOfCare),
  };
}

/** Which document an input is, by any of its codings. */
export function documentKind(input: JsonObject): DocumentKind | undefined {
  const type = object(input, 'type');
  for (const kind of ['advanceNotice', 'nursingHandoff'] as const) {
    const { current, old } = codes.documents[kind];
    if (hasCoding(type, current) || hasCoding(type, old)) return kind;
  }
  return undefined;
}

/** Whether an output is the slice `alternativeDate`. */
export function isAlternativeDate(output: JsonObject): boolean {
  return hasCoding(object(output, 'type'), codes.alternativeDate);
}

/** The output slice `alternativeDate`. */
export function alternativeDateOutput(date: string): JsonObject {
  return { type: { coding: [codes.alternativeDate] }, valueDateTime: date };
}

/** `Composition/{id}` of a reference to a Composition of the sender; undefined for anything else, and for any other server (SSRF). */
export function compositionReference(reference: string | undefined, base?: string): string | undefined {
  if (reference === undefined) return undefined;
  const parsed = parseReference(reference, base);
  return parsed.kind === 'local' && parsed.type === 'Composition' ? `Composition/${parsed.id}` : undefined;
}

/** The `type` of a Composition or of a Task's input: both generations of codes, in the order that the peers need. */
export function documentType(kind: DocumentKind, config: Pick<EOverdrachtConfig, 'codingOrder'>): JsonObject {
  const { current, old } = codes.documents[kind];
  return { coding: config.codingOrder === 'new-first' ? [current, old] : [old, current] };
}

function inputList(
  present: readonly JsonObject[],
  inputs: TaskInputs,
  config: Pick<EOverdrachtConfig, 'codingOrder'>,
): JsonObject[] {
  const others = present.filter((input) => documentKind(input) === undefined);
  const list: JsonObject[] = [];
  for (const kind of ['advanceNotice', 'nursingHandoff'] as const) {
    const reference = inputs[kind];
    if (reference !== undefined) list.push({ type: documentType(kind, config), valueReference: { reference } });
  }
  return [...list, ...others];
}

function withoutProposal(task: JsonObject): JsonObject {
  const outputs = objects(task, 'output').filter((output) => !isAlternativeDate(output));
  const rest: Record<string, JsonValue> = without(task, 'statusReason', 'output');
  if (outputs.length > 0) rest['output'] = outputs;
  return rest;
}

function party(of: Party): JsonObject {
  return { identifier: { system: DID_SYSTEM, value: of.did }, display: of.name };
}

function identifierOf(reference: JsonObject | undefined): string | undefined {
  return text(object(reference, 'identifier'), 'value');
}

function hasCoding(concept: JsonObject | undefined, coding: { readonly system: string; readonly code: string }): boolean {
  return objects(concept, 'coding').some((each) => text(each, 'system') === coding.system && text(each, 'code') === coding.code);
}

function optional<Name extends string>(name: Name, value: string | undefined): { readonly [name in Name]?: string } {
  if (value === undefined) return {};
  const part: { [name in Name]?: string } = {};
  part[name] = value;
  return part;
}
