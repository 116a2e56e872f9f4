import express, { type RequestHandler } from 'express';
import { GatewayError } from '../../errors.ts';
import { parseJson } from '../../fhir/json.ts';

/** Largest body of the API. */
export const MAX_BODY_BYTES = 262_144;

const readBytes = express.raw({ type: () => true, limit: MAX_BODY_BYTES, inflate: false });

/**
 * Reads a JSON body as strictly as FHIR ones are read: UTF-8, no repeated members, nothing after the value. No body leaves `req.body` undefined.
 * Refuses with 413, with 415 for another media type or an encoding, with 400 for what is no JSON.
 */
export const readJsonBody: readonly RequestHandler[] = [
  readBytes,
  (request, _response, next) => {
    const body: unknown = request.body;
    request.body = undefined;
    if (!Buffer.isBuffer(body) || body.length === 0) {
      next();
      return;
    }
    if (!/^application\/json(?:\s*;\s*charset="?utf-8"?)?$/i.test(request.headers['content-type'] ?? '')) {
      throw new GatewayError('unsupported_media_type', 'the body is not declared as JSON', {
        fields: [{ field: 'Content-Type', problem: 'must be application/json' }],
      });
    }
    request.body = parseJson(body);
    next();
  },
];
