/** What a node asks another's authorization server: metadata, presentation definition, token (facts §3.3, the table of failures). */
import { z } from 'zod';

import { isObject, text } from '../json.ts';
import { NodeProblem } from '../problem.ts';
import { definitionSchema, type Definition } from './definition.ts';

/** Deadline where a real node has none. */
const TIMEOUT_MS = 30_000;

const metadataSchema = z.looseObject({
  token_endpoint: z.string().default(''),
  presentation_definition_endpoint: z.string().default(''),
});

export type Metadata = z.infer<typeof metadataSchema>;

/** More headers on every call. */
export type MoreHeaders = Readonly<Record<string, string>>;

interface Fetched {
  readonly status: number;
  readonly json: unknown;
}

async function send(url: string, init: RequestInit): Promise<Fetched> {
  const response = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
  const body = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    json = undefined;
  }
  return { status: response.status, json };
}

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : 'failed');

export async function fetchMetadata(issuer: string, headers: MoreHeaders): Promise<Metadata> {
  const step = 'failed to retrieve remote OAuth Authorization Server metadata: ';
  let url: URL;
  try {
    url = new URL(issuer);
  } catch {
    throw new NodeProblem(500, `${issuer === '' ? '' : step}url must contain scheme and host`);
  }
  const path = url.pathname === '/' ? '' : url.pathname;
  let answer: Fetched;
  try {
    answer = await send(`${url.origin}/.well-known/oauth-authorization-server${path}`, { headers });
  } catch (error) {
    throw new NodeProblem(400, `${step}invalid client call\n${wordsOf(error)}`);
  }
  if (answer.status >= 500) throw new NodeProblem(500, `${step}server returned HTTP ${answer.status} (expected: 200)`);
  if (answer.status !== 200) {
    throw new NodeProblem(400, `${step}invalid client call\nserver returned HTTP ${answer.status} (expected: 200)`);
  }
  const metadata = metadataSchema.safeParse(answer.json);
  if (!metadata.success)
    throw new NodeProblem(400, `${step}invalid client call\ninvalid character looking for beginning of value`);
  if (metadata.data.token_endpoint === '') throw new NodeProblem(500, 'url must contain scheme and host');
  return metadata.data;
}

/** The organization's definition for a scope; asked for without `Accept`, so that errors come as pages. */
export async function fetchDefinition(metadata: Metadata, scope: string, headers: MoreHeaders): Promise<Definition> {
  const failed = (why: string): NodeProblem =>
    new NodeProblem(502, `failed to retrieve presentation definition: upstream returned unexpected result\n${why}`);
  const query = new URLSearchParams({ scope });
  let answer: Fetched;
  try {
    answer = await send(`${metadata.presentation_definition_endpoint}?${query.toString()}`, { headers });
  } catch (error) {
    throw failed(wordsOf(error));
  }
  const { status, json } = answer;
  const code = isObject(json) ? text(json, 'error') : undefined;
  if (status === 400 && isObject(json) && code !== undefined) {
    const description = text(json, 'error_description') ?? '';
    throw new NodeProblem(500, `failed to retrieve presentation definition: ${code} - ${description}`);
  }
  if (status !== 200) throw failed(`server returned HTTP ${status} (expected: 200)`);
  const definition = definitionSchema.safeParse(json);
  if (!definition.success) throw failed('unable to unmarshal response');
  return definition.data;
}

/** The token endpoint's answer as it is. */
export async function fetchToken(
  metadata: Metadata,
  form: Readonly<Record<string, string>>,
  headers: MoreHeaders,
): Promise<Readonly<Record<string, unknown>>> {
  let answer: Fetched;
  try {
    answer = await send(metadata.token_endpoint, {
      method: 'POST',
      headers: { ...headers, Accept: 'application/json', 'Content-Type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(form).toString(),
    });
  } catch (error) {
    throw new NodeProblem(500, wordsOf(error));
  }
  const { status, json } = answer;
  if (status === 200 && isObject(json)) return json;
  if (status === 200) throw new NodeProblem(500, 'unable to unmarshal response');
  if (status === 400 && isObject(json)) {
    const [code, description] = [text(json, 'error'), text(json, 'error_description')];
    throw new NodeProblem(400, code === undefined ? '' : [code, description].filter((part) => part !== undefined).join(' - '));
  }
  throw new NodeProblem(500, `server returned HTTP ${status} (expected: 200)`);
}
