import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { GatewayError } from '../errors.ts';

/**
 * Keeps a second process from writing the same instance's chains. The lock is SQLite's own on an empty file: the system lets go
 * of it when the process dies, however it dies, so no stale lock ever needs a human.
 *
 * @returns what releases it
 * @throws GatewayError `audit_unavailable` when another journal holds it
 */
export function lockInstance(directory: string, instance: string): () => void {
  const database = new DatabaseSync(join(directory, `${instance}.lock`));
  try {
    database.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw new GatewayError('audit_unavailable', `another process writes the audit journal of ${instance} in ${directory}`, {
      cause,
    });
  }
  return () => {
    database.close();
  };
}

/** The name of this data directory's instance, made at the first start and kept in the file `instance`. */
export function instanceId(directory: string): string {
  const path = join(directory, 'instance');
  try {
    writeFileSync(path, `g-${randomBytes(5).toString('hex')}\n`, { flag: 'wx', flush: true });
  } catch {
    // There is one already; or there can be none, and then the next line says why.
  }
  return readFileSync(path, 'utf8').trim();
}
