import { isIP } from 'node:net';
import { parseArgs } from 'node:util';

export interface AttackArguments {
  readonly help: boolean;
  readonly json: boolean;
  /** Only these ids, rows or classes. */
  readonly only: readonly string[];
  readonly base?: ForeignBase;
  readonly fuzz?: FuzzArguments;
}

/** A FHIR base that was not set up by this suite. */
export interface ForeignBase {
  readonly url: URL;
  readonly tokenFile?: string;
  /** Texts that must never be in an answer. */
  readonly leaks: readonly string[];
}

export interface FuzzArguments {
  readonly count: number;
  /** The run with a seed is the same each time. */
  readonly seed: number;
  /** Only this mutant of the seed, with its bytes. */
  readonly index?: number;
}

export const USAGE = `npm run attack -- [--only ID,…] [--json]
npm run attack -- --base URL [--token-file FILE] [--leak TEXT]… [--allow-remote] [--only ID,…] [--json]
npm run attack -- --fuzz [--count N] [--seed S] [--index I]

  --only ID,…      only these ids (P1.a), rows (P1) or classes (path)
  --json           one object on stdout at the end, instead of lines
  --base URL       a FHIR base that runs elsewhere: the part that needs no inside view. Plain HTTP over raw sockets
  --token-file F   a token that may read Patient/mine there, as the use case "chart" has it
  --leak TEXT      must be in no answer (repeat it)
  --allow-remote   the base is not on this machine, and you are allowed to attack it
  --fuzz           mutated requests instead of the corpus
  --count N        how many (100000)
  --seed S         a number; without it a random one, which is printed
  --index I        only the mutant with this number, shown`;

/** @throws Error that says what is wrong, and what is allowed */
export function parseAttackArguments(args: readonly string[]): AttackArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      base: { type: 'string' },
      'token-file': { type: 'string' },
      leak: { type: 'string', multiple: true, default: [] },
      'allow-remote': { type: 'boolean', default: false },
      fuzz: { type: 'boolean', default: false },
      count: { type: 'string', default: '100000' },
      seed: { type: 'string' },
      index: { type: 'string' },
    },
    strict: true,
    allowPositionals: false,
  });
  const { help, json, base, fuzz } = values;
  const only = values.only.flatMap((text) => text.split(',')).filter((text) => text !== '');
  if (fuzz) {
    const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : whole('seed', values.seed);
    const index = values.index === undefined ? {} : { index: whole('index', values.index) };
    return { help, json, only, fuzz: { count: whole('count', values.count), seed, ...index } };
  }
  if (base === undefined) return { help, json, only };
  const url = new URL(base);
  if (url.protocol !== 'http:') throw new Error(`--base ${base}: must begin with http://, the cases are raw HTTP/1.1`);
  if (!isLoopback(url.hostname) && !values['allow-remote'])
    throw new Error(`--base ${base}: is not on this machine; add --allow-remote if you are allowed to attack it`);
  const tokenFile = values['token-file'] === undefined ? {} : { tokenFile: values['token-file'] };
  return { help, json, only, base: { url, leaks: values.leak, ...tokenFile } };
}

function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '');
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} ${text}: must be a whole number`);
  return value;
}
