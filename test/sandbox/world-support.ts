import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const MAIN = fileURLToPath(new URL('../../src/sandbox/main.ts', import.meta.url));

const description = z.object({ public: z.string(), internal: z.string(), control: z.string() });

/** A sandbox as a program would start it: a child process whose one line is read. */
export async function spawnSandbox(args: readonly string[]): Promise<{
  readonly description: z.infer<typeof description>;
  /** Where the gateway's data is. */
  readonly folder: string;
  /** SIGTERM; the exit code. */
  end(): Promise<unknown>;
}> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, DATABASE_URL: undefined },
  });
  const lines = createInterface({ input: child.stdout });
  const [line] = z.tuple([z.string()]).parse(await once(lines, 'line'));
  const described = description.parse(JSON.parse(line));
  const folder = readdirSync(tmpdir())
    .filter((name) => name.startsWith('sluis-sandbox-'))
    .map((name) => join(tmpdir(), name))
    .find((candidate) => configOf(candidate).includes(`port: ${new URL(described.public).port}`));
  if (folder === undefined) throw new Error('the sandbox has no folder');
  return {
    description: described,
    folder,
    end: async () => {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const result: readonly unknown[] = await exited;
      return result[0];
    },
  };
}

function configOf(folder: string): string {
  try {
    return readFileSync(join(folder, 'sluis.yaml'), 'utf8');
  } catch {
    return '';
  }
}
