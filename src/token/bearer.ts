import { GatewayError } from '../errors.ts';

/** A token as it was presented; nothing about it is known yet. */
export interface PresentedToken {
  readonly scheme: 'bearer' | 'dpop';
  readonly token: string;
}

const MAX_TOKEN_CHARACTERS = 8192;
// RFC 9110 §11.4 (scheme case-insensitive, one space) and §11.2 (token68); RFC 6750 §2.1, RFC 9449 §7.1.
const CREDENTIALS = /^(bearer|dpop) ([A-Za-z0-9._~+/-]+=*)$/i;

/**
 * Reads the one `Authorization` header (the edge has refused a repeated one).
 * @throws GatewayError `token_missing` (401) when there is none or it is no single token, `token_invalid` (401) when it is too long
 */
export function parseAuthorization(header: string | undefined): PresentedToken {
  if (header === undefined) throw new GatewayError('token_missing', 'no Authorization header');
  if (header.length > MAX_TOKEN_CHARACTERS + 'Bearer '.length) throw new GatewayError('token_invalid', 'token is too long');
  const match = CREDENTIALS.exec(header);
  const token = match?.[2];
  if (match === null || token === undefined) throw new GatewayError('token_missing', 'Authorization is not one bearer token');
  return { scheme: match[1]?.toLowerCase() === 'dpop' ? 'dpop' : 'bearer', token };
}
