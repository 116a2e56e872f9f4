import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** Who sends a case: a token of that kind comes along in one `Authorization` header. `none` sends no such header. */
export const CALLERS = [
  'chart',
  'chart-v1',
  'chart-dpop',
  'other-scope',
  'two-scopes',
  'other-tenant',
  'expired',
  'unknown',
  'none',
] as const;
export type Caller = (typeof CALLERS)[number];

/** How a DPoP proof differs from a good one. */
const proof = z.strictObject({
  missing: z.literal(true).exactOptional(),
  /** Headers instead of one. */
  repeat: z.enum(['header', 'comma', 'used']).exactOptional(),
  header: z.record(z.string(), z.unknown()).exactOptional(),
  claims: z.record(z.string(), z.unknown()).exactOptional(),
  /** Claims that are left out. */
  without: z.array(z.string()).exactOptional(),
  /** Added to the moment of now, in seconds. */
  age: z.number().exactOptional(),
  /** By another key than the one the token is bound to. */
  otherKey: z.literal(true).exactOptional(),
  otherToken: z.literal(true).exactOptional(),
  scheme: z.string().exactOptional(),
});
export type ProofFault = z.infer<typeof proof>;

/** What the FHIR server answers instead of working. */
const upstreamAnswer = z.strictObject({
  status: z.int().default(200),
  headers: z.record(z.string(), z.union([z.string(), z.array(z.string())])).default({}),
  json: z.unknown().optional(),
  /** Exactly these characters, UTF-8. */
  text: z.string().exactOptional(),
  /** Whole bytes of the answer, status line and all (Latin-1), written to the socket as they are. */
  raw: z.string().exactOptional(),
  /** The text again and again, this many bytes; compressed when `gzip`. */
  fill: z.int().exactOptional(),
  gzip: z.literal(true).exactOptional(),
  /** Ends the connection when this many bytes of the body are out. */
  cutAfter: z.int().exactOptional(),
  delayMs: z.int().exactOptional(),
  /** Only for this request line (method and target below the base), all others are served. */
  for: z.string().exactOptional(),
  /** Only of this tenant's server. */
  tenant: z.string().exactOptional(),
});
export type UpstreamAnswer = z.infer<typeof upstreamAnswer>;

/** What the Nuts node answers to introspection instead of the truth. */
const nodeAnswer = z.strictObject({
  status: z.int().default(200),
  headers: z.record(z.string(), z.string()).default({}),
  /** Instead of the good answer's members; null leaves a member out. `{now+N}` is a moment in seconds. */
  change: z.record(z.string(), z.unknown()).exactOptional(),
  text: z.string().exactOptional(),
  fill: z.int().exactOptional(),
  delayMs: z.int().exactOptional(),
  drop: z.literal(true).exactOptional(),
});
export type NodeAnswer = z.infer<typeof nodeAnswer>;

const sent = z.union([
  z.string(),
  z.strictObject({ request: z.string(), body: z.string().exactOptional(), json: z.unknown().optional() }),
]);

const attackCase = z
  .strictObject({
    /** The row of the corpus; a letter or more behind a dot where it has several. Beyond the rows: `+` and a word. */
    id: z.string().regex(/^(?:[A-Z]{1,2}[0-9]+(?:\.[a-z0-9-]+)?|\+[a-z0-9.-]+)$/),
    title: z.string().min(3),
    as: z.enum(CALLERS).default('chart'),
    /** The request line, HTTP/1.1 unless it says otherwise, then header lines. Latin-1: one character is one byte. */
    request: z.array(z.string()).min(1).exactOptional(),
    /** Instead of that: all bytes, Latin-1. Nothing is added. */
    raw: z.string().exactOptional(),
    /** UTF-8. */
    body: z.string().exactOptional(),
    json: z.unknown().optional(),
    bodyBase64: z.base64().exactOptional(),
    /** Neither Host, Authorization nor Content-Length is added. */
    bare: z.literal(true).exactOptional(),
    /** The right answer, or those that are right. */
    status: z.union([z.int(), z.array(z.int()).min(1)]),
    /** Of requests that follow on the same connection. */
    then: z.array(z.union([z.int(), z.array(z.int())])).default([]),
    /** The gate closes the connection. */
    closes: z.literal(true).exactOptional(),
    /** What reaches the FHIR server, look-ups left out, below its base. */
    upstream: z.union([z.literal('nothing'), z.array(sent)]).default('nothing'),
    /** In the body. */
    has: z.array(z.string()).default([]),
    /** Nowhere in the answer. */
    lacks: z.array(z.string()).default([]),
    /** Headers of the answer as regular expressions; null: absent. */
    headers: z.record(z.string(), z.union([z.string(), z.null()])).default({}),
    /** Statuses of the entries, for a batch. */
    entries: z.array(z.int()).exactOptional(),
    proof: proof.exactOptional(),
    upstreamAnswers: upstreamAnswer.exactOptional(),
    node: nodeAnswer.exactOptional(),
    /** What a server that was not set up by this suite may do differently. */
    insideOnly: z.literal(true).exactOptional(),
    /** What a gate answers before a server that refuses this, although it is legal FHIR: nothing is shown by it either way. */
    serverMayRefuse: z.strictObject({ status: z.array(z.int()).min(1), what: z.string().min(3) }).exactOptional(),
    note: z.string().exactOptional(),
    /** The corpus says otherwise: why it is wrong here. */
    judgedWrong: z.string().exactOptional(),
  })
  .refine((each) => (each.request === undefined) !== (each.raw === undefined), 'exactly one of request and raw');

/** One hostile or friendly request, and what must come of it. */
export type AttackCase = z.infer<typeof attackCase> & { readonly class: string };

const FOLDER = join(import.meta.dirname, '../cases');

/** All cases, class by class: a file each. @throws Error that names the case at fault */
export function loadCases(folder = FOLDER): readonly AttackCase[] {
  const seen = new Set<string>();
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .flatMap((name) => {
      const parsed = z.array(z.unknown()).parse(JSON.parse(readFileSync(join(folder, name), 'utf8')));
      return parsed.map((each, index) => {
        const read = attackCase.safeParse(each);
        if (!read.success) throw new Error(`${name}, case ${index}: ${z.prettifyError(read.error)}`);
        if (seen.has(read.data.id)) throw new Error(`${name}: ${read.data.id} is there twice`);
        seen.add(read.data.id);
        return { ...read.data, class: name.replace(/\.json$/, '') };
      });
    });
}

/** The row of the corpus that a case or scenario is about; undefined beyond the rows. */
export function rowOf(id: string): string | undefined {
  return /^[A-Z]{1,2}[0-9]+/.exec(id)?.[0];
}

/** The ids of all rows of the corpus. */
export function loadRows(): readonly string[] {
  return z.array(z.string()).parse(JSON.parse(readFileSync(join(import.meta.dirname, '../rows.json'), 'utf8')));
}
