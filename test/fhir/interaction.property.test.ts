import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import { GatewayError } from '../../src/errors.ts';
import type { Interaction } from '../../src/fhir/interaction.ts';
import { parseJsonObject } from '../../src/fhir/json.ts';
import { readOperationInput } from '../../src/fhir/operation-input.ts';
import { parseParameter, type Parameter } from '../../src/fhir/parameter.ts';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { printInteraction } from '../../src/fhir/print-interaction.ts';
import { parseQuery, parseTarget } from '../../src/fhir/target.ts';
import type { FhirVersion } from '../../src/fhir/version.ts';

const RUNS = Number(process.env['SLUIS_GRAMMAR_RUNS'] ?? '100000');
const version: FhirVersion = 'R4';

// Random models, of every kind.
/** A record as a literal would be: with a prototype, as the parser's own values have. */
const record: typeof fc.record = (model: object) => fc.record(model, { noNullPrototype: true }) as never;

const type = fc.constantFrom('Task', 'Patient', 'Observation', 'Binary', 'Composition', 'List');
const id = fc.stringMatching(/^[A-Za-z0-9.-]{1,64}$/).filter((text) => text !== '.' && text !== '..');
const head = fc.boolean();
const via = fc.constantFrom('query' as const, 'form' as const);
const method = fc.constantFrom('GET' as const, 'POST' as const);
const value = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((text) => !/[\p{Cc}\p{Cs}]/u.test(text));
const values = fc.array(
  value.map((text) => text.replace(/[,|$\\]/g, '\\$&')),
  { minLength: 1, maxLength: 3 },
);

function parameter(key: fc.Arbitrary<string>, of: fc.Arbitrary<readonly string[]>): fc.Arbitrary<Parameter> {
  return fc.tuple(key, of).map(([name, alternatives]) => parseParameter({ name, value: alternatives.join(',') }, version));
}

const shown = fc.constantFrom(
  [parseParameter({ name: '_summary', value: 'true' }, version)],
  [parseParameter({ name: '_elements', value: 'id,code' }, version)],
  [],
);
const selecting = fc.oneof(
  parameter(
    fc.constantFrom(
      'identifier',
      'identifier:of-type',
      'patient:Patient.general-practitioner:Practitioner.name:contains',
      '_has:Observation:patient:code',
      '_has:Observation:patient:_has:AuditEvent:entity:agent.name',
      '_tag:not',
      '_filter',
    ),
    values,
  ),
  parameter(
    fc.constantFrom('patient', 'subject:Patient'),
    fc.array(
      fc.oneof(
        id,
        id.map((name) => `Patient/${name}`),
        fc.constant('https://x/Patient/1'),
      ),
      { minLength: 1, maxLength: 3 },
    ),
  ),
  parameter(
    fc.constantFrom('date', '_lastUpdated'),
    fc.subarray(['ge2020', '2020-01-01T10:00:00+01:00', 'lt2021-01'], { minLength: 1 }),
  ),
  parameter(fc.constant('patient:missing'), fc.constantFrom(['true'], ['false'])),
);
const resulting = fc.constantFrom(
  ...[
    ['_count', '0'],
    ['_sort', '-date,status'],
    ['_include:iterate', 'Observation:subject:Patient'],
    ['_revinclude', '*'],
    ['_total', 'none'],
  ].map(([name = '', text = '']) => parseParameter({ name, value: text }, version)),
);
// `patient` is known to Observation and Composition; searches of the model are over these and over everything.
const searched = fc.constantFrom('Observation', 'Composition');
const criteria = fc.array(selecting, { minLength: 1, maxLength: 4 });
const search = fc
  .tuple(fc.array(selecting, { maxLength: 4 }), fc.uniqueArray(resulting, { maxLength: 3, selector: (found) => found.name }))
  .map(([some, others]) => [...some, ...others]);
const free = fc
  .array(parameter(fc.constantFrom('persist', 'graph', 'start', '_count'), values), { maxLength: 3 })
  .filter(onceEach);

function onceEach(parameters: readonly Parameter[]): boolean {
  return parameters.filter(({ name }) => name === '_count').length < 2;
}

const operation = fc.stringMatching(/^[a-z][a-z0-9.-]{0,30}$/).map((name) => `$${name}`);
const compartment = record({ type: fc.constantFrom('Patient', 'Device'), id });

const format = fc.constantFrom('json-patch' as const, 'xml-patch' as const, 'fhirpath-patch' as const);
const input = fc
  .uniqueArray(fc.tuple(fc.constantFrom('persist', 'graph', 'start', '_since'), fc.oneof(value, fc.integer(), fc.boolean())), {
    maxLength: 3,
    selector: ([name]) => name,
  })
  .map((found) => {
    const type = { string: 'valueString', number: 'valueInteger', boolean: 'valueBoolean' };
    const parameter = found.map(([name, said]) => ({ name, [type[typeof said as keyof typeof type]]: said }));
    return parseJsonObject(Buffer.from(JSON.stringify({ resourceType: 'Parameters', parameter })));
  });

const interactions: fc.Arbitrary<Interaction> = fc.oneof(
  record({ kind: fc.constant('read' as const), type, id, parameters: shown, head }),
  record({ kind: fc.constant('vread' as const), type, id, versionId: id, parameters: shown, head }),
  record({ kind: fc.constantFrom('update' as const, 'delete' as const), type, id }),
  record({ kind: fc.constant('patch' as const), type, id, format }),
  record({ kind: fc.constant('history-instance' as const), type, id, parameters: shown, head }),
  record({ kind: fc.constant('history-type' as const), type, parameters: shown, head }),
  record({ kind: fc.constantFrom('history-system' as const, 'capabilities' as const), parameters: shown, head }),
  record({ kind: fc.constant('create' as const), type }),
  record({ kind: fc.constant('search-type' as const), type: searched, parameters: search, head, via }),
  record({ kind: fc.constant('search-system' as const), parameters: search, head, via }),
  record({
    kind: fc.constant('search-compartment' as const),
    compartment,
    type: fc.oneof(searched, fc.constant('*')),
    parameters: search,
    head,
    via,
  }),
  fc.constant({ kind: 'bundle' as const }),
  fc
    .constantFrom('', '/metadata', '/_history', '/Task', '/Task/1', '/Task/1/$document', '/Patient/1/Task', '/Task/_search')
    .map((path) => {
      const { segments, query } = parseTarget(`/a/fhir${path}`);
      return parseInteraction({ method: 'OPTIONS', segments: segments.slice(2), query, version });
    }),
  record({ kind: fc.constant('operation-instance' as const), type, id, operation, method, parameters: free, head }),
  record({ kind: fc.constant('operation-type' as const), type, operation, method, parameters: free, head }),
  record({ kind: fc.constant('operation-system' as const), operation, method, parameters: free, head }),
  record({
    kind: fc.constantFrom('conditional-create' as const, 'conditional-update' as const, 'conditional-delete' as const),
    type: searched,
    criteria,
  }),
  record({ kind: fc.constant('conditional-patch' as const), type: searched, criteria, format }),
  record({ kind: fc.constant('operation-type' as const), type, operation, method: fc.constant('POST' as const), input }).map(
    (asked) => ({
      ...asked,
      parameters: readOperationInput(asked.input, version),
      head: false,
    }),
  ),
);

function reparse(interaction: Interaction): Interaction {
  const { method: verb, path, query, form, ifNoneExist, contentType, input: body } = printInteraction(interaction);
  const target = parseTarget(`/a/fhir${path}${query === '' ? '' : `?${query}`}`);
  return parseInteraction({
    method: verb,
    segments: target.segments.slice(2),
    query: target.query,
    version,
    ...(form === undefined ? {} : { form: parseQuery(form) }),
    ...(ifNoneExist === undefined ? {} : { ifNoneExist }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(body === undefined ? {} : { input: parseJsonObject(Buffer.from(body)) }),
  });
}

function asGet(interaction: Interaction): Interaction {
  return 'head' in interaction ? { ...interaction, head: false } : interaction;
}

/** The interaction of a request, or undefined when it is refused in the one way that there is. */
function attempt(verb: string, raw: string): Interaction | undefined {
  try {
    const target = parseTarget(raw);
    return parseInteraction({ method: verb, segments: target.segments.slice(2), query: target.query, version });
  } catch (error) {
    if (error instanceof GatewayError) return undefined;
    throw error;
  }
}

describe('the grammar, over random models and random requests', () => {
  it('reads what it printed as what was printed', () => {
    fc.assert(
      fc.property(
        interactions.filter((interaction) => printInteraction(interaction).query.length < 3500),
        (interaction) => isDeepStrictEqual(reparse(interaction), asGet(interaction)),
      ),
      { numRuns: RUNS },
    );
  }, 240_000);

  it('prints a path without escapes and a query in plain characters', () => {
    fc.assert(
      fc.property(interactions, (interaction) => {
        const { path, query, form } = printInteraction(interaction);
        expect(path).toMatch(/^(?:\/[A-Za-z0-9.$_*-]+)*$/);
        expect(query + (form ?? '')).toMatch(/^[A-Za-z0-9._~%&=-]*$/);
      }),
      { numRuns: 5000 },
    );
  });

  it('refuses or reads a random request, and what it reads is a fixed point', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        'Patient',
        'Observation',
        'mine',
        '_history',
        '_search',
        '$document',
        'metadata',
        '*',
        '1',
        '..',
        '%2e',
        '%24',
      ),
      fc.constantFrom(
        '/',
        '//',
        '?',
        '&',
        '=',
        ';',
        '%',
        '%2F',
        '%25',
        '\\',
        '#',
        ',',
        ':',
        '.',
        '_id',
        '_count',
        'code',
        'patient',
        '+',
      ),
      fc.string({ maxLength: 3 }),
      fc.string({ unit: 'binary', maxLength: 2 }),
    );
    const target = fc.array(piece, { maxLength: 12 }).map((pieces) => `/a/fhir/${pieces.join('')}`);
    const verb = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'get', '');
    let read = 0;
    fc.assert(
      fc.property(verb, target, (name, raw) => {
        const interaction = attempt(name, raw);
        if (interaction === undefined) return true;
        read += 1;
        return isDeepStrictEqual(reparse(interaction), asGet(interaction));
      }),
      { numRuns: RUNS },
    );
    // Otherwise the generator, and with it this test, says nothing.
    expect(read).toBeGreaterThan(RUNS / 1000);
  }, 240_000);
});
