import { parseBundle } from '../../../src/fhir/bundle.ts';
import { interactionPath, printInteraction } from '../../../src/fhir/print-interaction.ts';
import type { Interaction } from '../../../src/fhir/interaction.ts';
import { isJsonObject, parseJson, parseJsonObject, printJson, type JsonObject } from '../../../src/fhir/json.ts';
import { parseInteraction } from '../../../src/fhir/parse-interaction.ts';
import { parseQuery, parseTarget } from '../../../src/fhir/target.ts';
import type { StoredRecord } from '../../../src/audit/query.ts';
import { headersOf } from '../run/run-case.ts';
import type { Recorded } from '../run/world.ts';

const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/fhir+json';
/** Names and the values that they may have. */
const HEADERS: ReadonlyMap<string, RegExp> = new Map([
  ['host', /^127\.0\.0\.1:\d+$/],
  ['connection', /^keep-alive$/],
  ['accept', /^application\/fhir\+json$/],
  ['accept-encoding', /^identity$/],
  ['content-type', /^application\/(?:x-www-form-urlencoded|fhir\+json)$/],
  ['content-length', /^\d+$/],
  ['if-match', /^W\/"[A-Za-z0-9.-]{1,64}"$/],
  ['if-none-match', /^(?:\*|W\/"[A-Za-z0-9.-]{1,64}")$/],
  ['prefer', /^[a-z=, -]+$/],
  ['cache-control', /^no-cache$/],
  ['x-sluis-lookup', /^1$/],
]);

/** What a request that reached the FHIR server is: a look-up, or something of a permitted request under its key. */
export type Judged =
  | { readonly kind: 'look-up' }
  | { readonly kind: 'sent'; readonly key: string }
  | { readonly kind: 'wrong'; readonly problem: string };

/** Whether a request is its own canonical form, and something that `chart` permits; written apart from the gate's own policy. */
export function judgeSent(recorded: Recorded): Judged {
  try {
    return judge(recorded);
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
}

function judge(recorded: Recorded): Judged {
  const headers = headersOf(recorded);
  if (headers.size * 2 !== recorded.rawHeaders.length) return wrong('a header twice');
  for (const [name, value] of headers) if (HEADERS.get(name)?.test(value) !== true) return wrong(`the header ${name}: ${value}`);

  const isForm = headers.get('content-type') === FORM;
  const text = recorded.body.toString('latin1');
  const { segments, query } = parseTarget(`/fhir${recorded.target}`, 1);
  const interaction = parseInteraction({
    method: recorded.method,
    segments: segments.slice(1),
    query,
    version: 'R4',
    ...(isForm ? { form: parseQuery(text) } : {}),
  });
  const canonical = printInteraction(interaction);
  const target = `${canonical.path}${canonical.query === '' ? '' : `?${canonical.query}`}`;
  if (canonical.method !== recorded.method || target !== recorded.target)
    return wrong(`not canonical: ${recorded.method} ${recorded.target} is ${canonical.method} ${target}`);
  if ((canonical.form ?? '') !== (isForm ? text : '')) return wrong('the form is not canonical');
  let resource: JsonObject | undefined;
  if (!isForm && recorded.body.length > 0) {
    if (headers.get('content-type') !== JSON_TYPE) return wrong('a body of no type');
    resource = parseJsonObject(recorded.body);
    if (printJson(parseJson(recorded.body)) !== recorded.body.toString('utf8')) return wrong('the body is not canonical');
  }
  if (headers.has('x-sluis-lookup')) return recorded.method === 'GET' ? { kind: 'look-up' } : wrong('a look-up that is no GET');
  const problem = forbidden(interaction, resource, headers.has('if-match'));
  return problem === undefined ? { kind: 'sent', key: keyOf(interaction) } : wrong(problem);
}

function wrong(problem: string): Judged {
  return { kind: 'wrong', problem };
}

function keyOf(interaction: Interaction): string {
  return interaction.kind === 'bundle' ? 'bundle' : interactionPath(interaction);
}

const MINE = 'Patient/mine';
const SEARCHED: ReadonlySet<string> = new Set(['patient', 'subject', 'code', 'date', '_count', '_sort', '_include']);

/** Why `chart` does not permit it; undefined when it does. */
function forbidden(interaction: Interaction, resource: JsonObject | undefined, hasVersion: boolean): string | undefined {
  switch (interaction.kind) {
    case 'read':
      if (interaction.parameters.length > 0) return 'a parameter at a read';
      if (interaction.type === 'Patient') return interaction.id === 'mine' ? undefined : 'another patient';
      return interaction.type === 'Observation' && interaction.id.startsWith('mine') ? undefined : 'a read that is not permitted';
    case 'search-type': {
      if (interaction.type !== 'Observation') return 'a search of another type';
      const { parameters } = interaction;
      for (const { key, values } of parameters) {
        const [value = ''] = values;
        if (!SEARCHED.has(key)) return `the parameter ${key}`;
        if ((key === 'patient' || key === 'subject') && (values.length > 1 || value !== MINE))
          return 'another patient’s observations';
        if (key === '_count' && Number(value) > 50) return 'a page that is too large';
        if (key === '_sort' && !['date', '-date'].includes(values.join())) return 'another sort';
        if (key === '_include' && value !== 'Observation:subject') return 'another include';
      }
      return parameters.some(({ key }) => key === 'patient' || key === 'subject') ? undefined : 'a search without a patient';
    }
    case 'create':
      return interaction.type === 'Observation' ? aboutMine(resource) : 'a create of another type';
    case 'update':
      if (interaction.type !== 'Observation' || !interaction.id.startsWith('mine')) return 'an update of another’s record';
      if (!hasVersion) return 'an update without a version';
      return resource?.['id'] === interaction.id ? aboutMine(resource) : 'another id in the body';
    case 'bundle':
      return inBundle(resource);
    case 'vread':
    case 'patch':
    case 'delete':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'search-system':
    case 'search-compartment':
    case 'capabilities':
    case 'options':
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return `${interaction.kind} is not permitted`;
  }
}

function aboutMine(resource: JsonObject | undefined): string | undefined {
  const subject = resource?.['subject'];
  if (resource?.['resourceType'] !== 'Observation') return 'a body of another type';
  if (!isJsonObject(subject) || subject['reference'] !== MINE) return 'a record about another';
  return /"reference":"(?:[^"]*\/)?Patient\/(?!mine")/.test(printJson(resource)) ? 'another patient in the body' : undefined;
}

function inBundle(resource: JsonObject | undefined): string | undefined {
  if (resource === undefined) return 'a bundle without a body';
  const { entries } = parseBundle(resource, { version: 'R4', base: 'http://none', maxEntries: 100 });
  for (const { interaction, resource: written, ifMatch } of entries) {
    const problem = forbidden(interaction, written, ifMatch !== undefined);
    if (problem !== undefined) return `in a bundle: ${problem}`;
  }
  return undefined;
}

/** How often what was permitted, under the same keys: an intent, or an outcome that says so. */
export function permittedKey(record: StoredRecord): string | undefined {
  if (record.phase === 'event' || record.path === undefined) return undefined;
  const isPermit = record.phase === 'intent' || (record.outcome === 'permitted' && record.intent === undefined);
  if (!isPermit) return undefined;
  const [path = ''] = record.path.split('?');
  return path === '' ? 'bundle' : path;
}
