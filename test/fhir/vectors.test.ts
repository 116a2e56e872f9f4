import { describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { GatewayError } from '../../src/errors.ts';
import { interactionId, interactionType, interactionVerb, type Interaction } from '../../src/fhir/interaction.ts';
import { parseJson, printJson } from '../../src/fhir/json.ts';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { parseQuery, parseTarget } from '../../src/fhir/target.ts';

// Recorded requests and examples, outside the repository; skipped, and said so, where they are not at hand.
const data = process.env['SLUIS_TEST_DATA'] ?? '../shared/data';
const vectorsFile = join(data, 'pdp/fhir-request-parsing-vectors.json');
const examples = join(data, 'eoverdracht/own-examples');

const Vectors = z.object({
  vectors: z.array(
    z.object({
      id: z.string(),
      request: z.object({
        method: z.string(),
        path: z.string(),
        query: z.string(),
        header: z.record(z.string(), z.array(z.string())),
        body: z.string(),
      }),
      connection_type_code: z.string(),
      expect: z.object({
        interaction_type: z.string().nullish(),
        resource_type: z.string().nullish(),
        resource_id: z.string().nullish(),
        operation: z.string().nullish(),
      }),
    }),
  ),
});

function parse(request: { method: string; path: string; query: string; body: string }): Interaction {
  const target = parseTarget(request.query === '' ? request.path : `${request.path}?${request.query}`, 0);
  const isForm = request.path.endsWith('/_search') && request.body !== '';
  return parseInteraction({
    method: request.method,
    segments: target.segments,
    query: target.query,
    version: 'R4',
    ...(isForm ? { form: parseQuery(request.body) } : {}),
  });
}

for (const path of [vectorsFile, examples]) {
  if (!existsSync(path)) process.stderr.write(`skipped: there is no ${path}; name the data folder in SLUIS_TEST_DATA\n`);
}

(existsSync(vectorsFile) ? describe : describe.skip)(`the requests of ${vectorsFile}`, () => {
  const { vectors } = existsSync(vectorsFile) ? Vectors.parse(JSON.parse(readFileSync(vectorsFile, 'utf8'))) : { vectors: [] };
  const readable = vectors.filter(
    ({ connection_type_code, expect: { interaction_type } }) => connection_type_code !== '' && interaction_type,
  );
  // What we read more strictly: `_since` is a history's, `_total` a code, `..` no id.
  const stricter = new Set(['p24', 'p25', 'p30.14']);

  it.each(readable.map((vector) => [vector.id, vector] as const))('%s is read as recorded', (id, vector) => {
    if (stricter.has(id)) {
      expect(() => parse(vector.request)).toThrow(GatewayError);
      return;
    }
    const interaction = parse(vector.request);
    expect([interactionVerb(interaction), interactionType(interaction) ?? '', interactionId(interaction) ?? '']).toEqual([
      vector.expect.interaction_type,
      vector.expect.resource_type ?? '',
      vector.expect.resource_id ?? '',
    ]);
  });
});

(existsSync(examples) ? describe : describe.skip)(`the examples of ${examples}`, () => {
  const files = existsSync(examples) ? readdirSync(examples).filter((name) => name.endsWith('.json')) : [];
  it.each(files)('%s goes through strict JSON unchanged', (name) => {
    const text = readFileSync(join(examples, name), 'utf8');
    expect(JSON.parse(printJson(parseJson(Buffer.from(text))))).toEqual(JSON.parse(text));
  });
});
