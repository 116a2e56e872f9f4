/** Searching credentials by example (facts §4.3): every leaf is a term, `*` is present, `abc*` a prefix, names match by sound too. */
import { isDefined, UNDEFINED_PROPERTY } from './credential-rules.ts';
import { issuerOf, NUTS_CONTEXT, subjectOf, W3C_CONTEXT, type VC } from './credential.ts';
import { isObject, list, text, type Json } from './json.ts';
import { NodeProblem } from './problem.ts';

interface Term {
  readonly path: readonly string[];
  readonly value: string;
}

/** A test for one credential. Errors: 400 for two subjects or a property that no context defines. */
export function compileQuery(query: Json): (credential: VC) => boolean {
  const subjects = list(query['credentialSubject']);
  if (subjects.length > 1) throw new NodeProblem(400, "can't match on multiple VC subjects");
  const contexts = list(query['@context']);
  const types = contexts.includes(NUTS_CONTEXT) ? list(query['type']) : [];
  // `credentialSubject` itself is a term of the W3C context.
  const isKnown = subjects.length === 0 || contexts.includes(W3C_CONTEXT);
  if (!isKnown || !isDefined(query['credentialSubject'], types)) {
    throw new NodeProblem(400, `failed to convert query to JSON-LD expanded form: ${UNDEFINED_PROPERTY}`);
  }
  const terms = subjects.flatMap((subject) => leaves(subject, []));
  const issuer = text(query, 'issuer');
  return (credential) =>
    (issuer === undefined || matches(issuer, issuerOf(credential), false)) &&
    terms.every(({ path, value }) =>
      valuesAt(subjectOf(credential), path).some((actual) => matches(value, actual, path.join('.') === 'organization.name')),
    );
}

function leaves(value: unknown, path: readonly string[]): Term[] {
  if (Array.isArray(value)) return value.flatMap((entry) => leaves(entry, path));
  if (isObject(value)) return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
  if (value === undefined || value === null) return [];
  return [{ path, value: scalar(value) }];
}

function valuesAt(value: unknown, path: readonly string[]): string[] {
  const [key, ...rest] = path;
  return list(value).flatMap((entry) => {
    if (key === undefined) return isObject(entry) ? [] : [scalar(entry)];
    return isObject(entry) ? valuesAt(entry[key], rest) : [];
  });
}

function scalar(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function matches(term: string, actual: string, bySound: boolean): boolean {
  if (term === '*') return true;
  const isPrefix = term.endsWith('*');
  const wanted = isPrefix ? term.slice(0, -1) : term;
  if (isPrefix ? actual.startsWith(wanted) : actual === wanted) return true;
  if (!bySound) return false;
  const [sound, actualSound] = [soundOf(wanted), soundOf(actual)];
  return isPrefix ? actualSound.startsWith(sound) : sound === actualSound;
}

/** Whether an organisation's name is what somebody typed: the start of any word, whatever its case, or something that sounds like it. */
export function nameMatches(name: string, query: string): boolean {
  if (query === '' || query === '*') return true;
  const words = [name, ...name.split(/\s+/)];
  return words.some((word) => word.toLowerCase().startsWith(query.toLowerCase()) || soundOf(word).startsWith(soundOf(query)));
}

const SOUNDS: readonly (readonly [RegExp, string])[] = [
  [/[bp]/g, 'p'],
  [/[cgkqx]/g, 'k'],
  [/[dt]/g, 't'],
  [/[fvw]/g, 'f'],
  [/[sz]/g, 's'],
  [/[^a-z]|[aeiouyhj]/g, ''],
  [/(.)\1+/g, '$1'],
];

/** A rough key of how a text sounds: consonants in classes, doubles once. Cruder than a node's, equal on the recorded examples. */
function soundOf(value: string): string {
  const key = SOUNDS.reduce((sound, [pattern, replacement]) => sound.replaceAll(pattern, replacement), value.toLowerCase());
  // A text without consonants sounds like nothing else.
  return key === '' ? value.toLowerCase() : key;
}
