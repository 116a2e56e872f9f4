/** What all checks of writes use: the gate for two roles, and what is really stored. */
import { randomUUID } from 'node:crypto';
import { insist, textAt } from '../../../../src/sandbox/scenario/step.ts';
import { namesOf, observation, storedIds, type ChartGate, type ChartRequest } from '../chart/gate.ts';
import type { Exchange, ServerClient } from '../server.ts';
import { same } from '../store-checks.ts';

export interface WritesGate extends ChartGate {
  /** The same writes, of a role that may read nothing. */
  readonly blind: ChartGate;
  /** The role that may read the patient. */
  readonly chart: ChartGate;
  /** The FHIR server, without the gate. */
  readonly server: ServerClient;
}

export const JSON_PATCH = 'application/json-patch+json';
export const MINE = 'patient=Patient/mine';
export const REPRESENTATION = { prefer: 'return=representation' };
/** Observations of the world, one of each owner. */
export const OTHERS = '/Observation/other-1';

type Steps = readonly Readonly<Record<string, unknown>>[];

/** An Observation about the one patient that nobody else has named so. */
export function named(more: Readonly<Record<string, unknown>> = {}): {
  readonly name: string;
  readonly resource: Readonly<Record<string, unknown>>;
} {
  const name = randomUUID();
  return { name, resource: observation('Patient/mine', { identifier: [{ value: name }], status: 'preliminary', ...more }) };
}

/** Stores an Observation at the server, past the gate. @returns its path */
export async function store(server: ServerClient, body: unknown): Promise<string> {
  const answer = await server.send('POST', '/Observation', { body });
  insist(answer.status === 201, `the server's own create: ${answer.status} ${answer.text.slice(0, 200)}`);
  return pathIn(answer);
}

/** `/Observation/[id]` of a Location. */
export function pathIn(answer: Exchange): string {
  const id = /\/Observation\/([^/]+)(?:\/_history\/[^/]+)?$/.exec(answer.headers.get('location') ?? '')?.[1];
  insist(id !== undefined, `its Location is ${answer.headers.get('location') ?? 'missing'}`);
  return `/Observation/${id ?? ''}`;
}

export function patch(gate: ChartGate, path: string, steps: Steps, request: ChartRequest = {}): Promise<Exchange> {
  return gate.send('PATCH', path, {
    ...request,
    headers: { 'content-type': JSON_PATCH, ...request.headers },
    body: JSON.stringify(steps),
  });
}

/** What is stored now. */
export function stored(server: ServerClient, path: string): Promise<Exchange> {
  return server.send('GET', path, { headers: { 'cache-control': 'no-cache' } });
}

export async function versionOf(server: ServerClient, path: string): Promise<string> {
  return textAt((await stored(server, path)).json, 'meta', 'versionId');
}

/** The observations of both patients that an identifier names. */
export function storedAs(server: ServerClient, name: string): Promise<readonly string[]> {
  return storedIds(server, `identifier=${name}`);
}

/** Insists that nothing is stored or changed meanwhile: neither another observation nor another version of these. */
export async function unchanged(server: ServerClient, paths: readonly string[], work: () => Promise<unknown>): Promise<void> {
  const picture = async (): Promise<unknown> => [
    (await storedIds(server, MINE)).length,
    (await storedIds(server, 'patient=Patient/other')).length,
    ...(await Promise.all(paths.map(async (path) => (await stored(server, path)).text))),
  ];
  const before = await picture();
  await work();
  same(await picture(), before);
}

/** Each of these is the same denial. */
export function sameDenial(answers: readonly Exchange[]): void {
  same(
    answers.map(({ status }) => status),
    answers.map(() => 403),
  );
  const texts = new Set(answers.map(({ text }) => text.replace(/"diagnostics":"[^"]*"/u, '')));
  same(texts.size, 1);
}

/** The reason that an OperationOutcome gives for a rejected write. */
export function reasonOf({ text }: Exchange): string {
  return /"text":"([^"]*)"/.exec(text)?.[1] ?? '';
}

export function entriesOf(answer: Exchange): readonly string[] {
  return namesOf(answer.json);
}
