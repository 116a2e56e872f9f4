import { z } from 'zod';
import { GatewayError } from '../errors.ts';

const position = z.tuple([z.iso.datetime(), z.string().regex(/^[A-Za-z0-9_.:-]{1,128}$/)]);

/** The place of the last item of a page, opaque to who gets it: a moment and an id. */
export function printCursor(at: string, id: string): string {
  return Buffer.from(JSON.stringify([at, id])).toString('base64url');
}

/** @throws GatewayError `invalid_parameter` when the text is no cursor. */
export function parseCursor(cursor: string): readonly [at: string, id: string] {
  try {
    return position.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')));
  } catch (error) {
    const fields = [{ field: 'cursor', problem: 'must be a cursor of an earlier answer' }];
    throw new GatewayError('invalid_parameter', 'the cursor is not one of ours', { cause: error, fields });
  }
}
