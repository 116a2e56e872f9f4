import { constants } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { segmentName } from './format.ts';

/** A segment open for writing; `descriptor` is synchronous on data where the platform can (`synchronous`), else the writer syncs. */
export interface SegmentFile {
  readonly handle: FileHandle;
  readonly path: string;
  readonly sizeBytes: number;
  readonly synchronous: boolean;
}

/**
 * Allocates and zeroes `sizeBytes` in a spare file, durably. A synchronous write into blocks that are there already need not
 * wait for the file system's own journal: that is what makes one write a batch affordable (design §9).
 */
export async function allocateSpare(directory: string, instance: string, sizeBytes: number): Promise<void> {
  const path = sparePath(directory, instance);
  await rm(path, { force: true });
  const handle = await open(path, 'wx', 0o600);
  try {
    const zeros = Buffer.alloc(Math.min(sizeBytes, 1 << 20));
    for (let position = 0; position < sizeBytes;) {
      const { bytesWritten } = await handle.write(zeros, 0, Math.min(zeros.length, sizeBytes - position), position);
      if (bytesWritten === 0) throw new Error('the disk took no bytes');
      position += bytesWritten;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes the header into the spare and then gives it its name: a named segment always has a whole header. */
export async function beginSegment(
  directory: string,
  instance: string,
  number: number,
  header: Buffer,
  sizeBytes: number,
): Promise<SegmentFile> {
  const spare = sparePath(directory, instance);
  const path = join(directory, segmentName(instance, number));
  const dataSync = (constants as { readonly O_DSYNC?: number }).O_DSYNC;
  const handle = await open(spare, constants.O_RDWR | (dataSync ?? 0));
  try {
    const { bytesWritten } = await handle.write(header, 0, header.length, 0);
    if (bytesWritten !== header.length) throw new Error('the disk took half a header');
    await handle.datasync();
    await rename(spare, path);
    await syncDirectory(directory);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { handle, path, sizeBytes, synchronous: dataSync !== undefined };
}

/** Cuts a segment to what was used and closes it; it is never written again. */
export async function finishSegment(file: SegmentFile, usedBytes: number): Promise<void> {
  try {
    await file.handle.truncate(usedBytes);
    await file.handle.sync();
  } finally {
    await file.handle.close();
  }
}

export async function removeSpare(directory: string, instance: string): Promise<void> {
  await rm(sparePath(directory, instance), { force: true });
}

/** Makes names in a directory durable. Windows has no such call and needs none. */
export async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function sparePath(directory: string, instance: string): string {
  return join(directory, `${instance}.spare`);
}
