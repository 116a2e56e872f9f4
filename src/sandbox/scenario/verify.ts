import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('../../../bin/sluis', import.meta.url));

/** Runs `sluis audit verify` on a journal, as an operator would, beside the running gateway. */
export function verifyAudit(directory: string): Promise<{ readonly intact: boolean; readonly lines: readonly string[] }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [COMMAND, 'audit', 'verify', '--directory', directory],
      { timeout: 30_000 },
      (error, stdout, stderr) => {
        const lines = `${stdout}${stderr}`.trim().split('\n');
        resolve({ intact: error === null, lines });
      },
    );
  });
}
