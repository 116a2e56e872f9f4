import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { createClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { GatewayError } from '../errors.ts';
import { readHeaders, type ExplainRequest } from '../pep/explain-request.ts';
import type { ExplainedEntry, ExplainedStage, Explanation } from '../pep/explanation.ts';
import { createApiKey, revokeApiKey } from '../store/api-keys.ts';
import { withDatabase } from './database.ts';
import { requireTenant } from './tenant.ts';

type Print = (line: string) => void;

export interface ExplainArguments {
  readonly tenant: string;
  /** A file with the token alone. */
  readonly tokenFile: string;
  /** A file with the form of a search, the resource of a write, a Bundle, the steps of a patch, or the Parameters of an operation. */
  readonly bodyFile?: string;
  readonly accept?: string;
  /** `Name: value`, each. */
  readonly header?: readonly string[];
  /** Of the internal listener; default: the one of the configuration on this machine. */
  readonly url?: string;
  readonly json?: boolean;
}

const TIMEOUT_MS = 30_000;

/**
 * `sluis explain`: asks the running gateway how it would judge a request, with an operator key that lives as long as the question.
 * @throws Error in words for whatever is wrong with arguments, gateway or answer
 */
export async function explainRequest(
  config: () => Config,
  options: ExplainArguments,
  [method, target]: readonly [string, string],
  print: Print,
): Promise<void> {
  const loaded = config();
  const { tenant } = options;
  requireTenant(loaded, tenant);
  if (!target.startsWith('/'))
    throw new Error(`the target ${JSON.stringify(target)} must begin with a slash: it is below the FHIR base`);
  const request: ExplainRequest = {
    token: readText('--token-file', options.tokenFile).trim(),
    method,
    target,
    headers: headersIn(options),
    ...(options.bodyFile === undefined ? {} : { body: readText('--body-file', options.bodyFile) }),
  };
  const base = options.url ?? `http://${loaded.internal.host}:${String(loaded.internal.port)}`;
  const explained = await withDatabase(loaded, async (database) => {
    const key = await database.transaction((tx) =>
      createApiKey(tx, { tenant, role: 'operator', label: 'sluis explain' }, createClock().now()),
    );
    try {
      return await ask(`${base}/api/v1/tenants/${tenant}/explain`, key.secret, request);
    } finally {
      await database.transaction((tx) => revokeApiKey(tx, tenant, key.id, createClock().now()));
    }
  });
  if (options.json === true) print(JSON.stringify(explained, undefined, 2));
  else for (const line of describeExplanation(explained)) print(line);
}

function headersIn({ header = [], accept }: ExplainArguments): Readonly<Record<string, string>> {
  const given = [...header.map(parseHeader), ...(accept === undefined ? [] : [['Accept', accept] as const])];
  try {
    return Object.fromEntries(readHeaders(given));
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const faults = (error.options.fields ?? []).map(({ field, problem }) => `${field.slice('headers.'.length)} ${problem}`);
    throw new Error(`--header ${faults.join('; ')}`, { cause: error });
  }
}

function parseHeader(text: string): readonly [name: string, value: string] {
  const [, name, value] = /^([!#$%&'*+.^`|~0-9A-Za-z-]+):\s*(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new Error(`--header ${JSON.stringify(text)} must be a name, a colon and a value, such as 'If-Match: W/"3"'`);
  return [name, value];
}

function readText(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${option} ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

const problem = z.object({
  detail: z.string().optional(),
  code: z.string(),
  fields: z.array(z.object({ field: z.string(), problem: z.string() })).optional(),
});

const explanation = z.object({ outcome: z.string(), status: z.number(), headline: z.string(), stages: z.array(z.unknown()) });

async function ask(url: string, secret: string, request: ExplainRequest): Promise<Explanation> {
  let answer: Response;
  try {
    answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${secret}` },
      body: JSON.stringify(request),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new Error(`the gateway does not answer at ${url}; start it, or name its internal listener with --url`, {
      cause: error,
    });
  }
  const body: unknown = await answer.json().catch(() => undefined);
  if (answer.status === 200 && explanation.safeParse(body).success) return body as Explanation;
  const { data: said } = problem.safeParse(body);
  if (said === undefined)
    throw new Error(
      `${url} answered ${String(answer.status)}, and not as the internal listener of a gateway does: look at --url`,
    );
  const faults = (said.fields ?? []).map((each) => `${each.field} ${each.problem}`);
  throw new Error(
    `the gateway answered ${String(answer.status)} ${said.code}: ${faults.length > 0 ? faults.join('; ') : (said.detail ?? 'no detail')}`,
  );
}

/** An explanation in lines for a person: the outcome first, and what it depends on. */
export function describeExplanation({ headline, stages, entries = [] }: Explanation): readonly string[] {
  return [headline, ...stages.flatMap((stage) => describeStage(stage)), ...entries.flatMap(describeEntry)];
}

function describeEntry({ index, part, headline, stages }: ExplainedEntry): readonly string[] {
  // Which rules fit an entry that was let in is told by its decision.
  const lines = stages.flatMap((stage) => describeStage(stage.outcome === 'passed' ? { ...stage, rules: [] } : stage));
  return ['', `${part} (Bundle.entry[${String(index)}]): ${headline}`, ...lines.map((line) => `  ${line}`)];
}

function describeStage({ stage, outcome, code, text, facts, rules }: ExplainedStage): readonly string[] {
  const why = [code, text].filter((part) => part !== undefined).join(': ');
  const lines = [`${outcome === 'passed' ? '✓' : '✗'} ${stage}${why === '' ? '' : `  ${why}`}`];
  for (const [name, value] of Object.entries(facts ?? {})) {
    const shown = Array.isArray(value) ? value.join(', ') : String(value);
    if (shown !== '') lines.push(`    ${name}: ${shown}`);
  }
  for (const { id, faults } of rules ?? []) {
    lines.push(faults.length === 0 ? `    ✓ ${id}` : `    ✗ ${id}  ${faults.map((fault) => fault.text).join('; ')}`);
  }
  return lines;
}
