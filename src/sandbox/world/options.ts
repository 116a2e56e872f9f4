import { parseArgs } from 'node:util';
import { WORLD_NAMES } from './worlds.ts';

/** What `npm run sandbox` was asked for. */
export interface SandboxArguments {
  readonly world: string;
  readonly ports: 'fixed' | 'auto';
  readonly json: boolean;
  /** Folder for the gateway's data; one that is removed at the end by default. */
  readonly data?: string;
  readonly help: boolean;
}

export const USAGE = `npm run sandbox -- [--world ${WORLD_NAMES.join('|')}] [--ports auto] [--json] [--data DIR]

  --world NAME   which organisations (demo)
  --ports auto   free ports instead of 7080 (public), 7081 (internal) and 7082 (control)
  --json         one line of JSON on stdout once everything answers, for programs
  --data DIR     keep the gateway's data there; nodes and FHIR servers begin anew at every start`;

/** Reads the arguments. @throws Error that says what is wrong, and what is allowed */
export function parseSandboxArguments(args: readonly string[]): SandboxArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      world: { type: 'string', default: 'demo' },
      ports: { type: 'string', default: 'fixed' },
      json: { type: 'boolean', default: false },
      data: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
    strict: true,
    allowPositionals: false,
  });
  const { world, ports, json, data, help } = values;
  if (ports !== 'auto' && ports !== 'fixed') throw new Error(`--ports ${ports}: must be auto, or left out for the usual ports`);
  return { world, ports, json, help, ...(data === undefined ? {} : { data }) };
}
