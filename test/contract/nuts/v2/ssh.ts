import type { JWK } from 'jose';

/** A P-256 key as a line of an authorized_keys file (RFC 5656 §3.1). */
export function sshLine({ x = '', y = '' }: JWK, name: string): string {
  const point = Buffer.concat([Buffer.from([4]), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  const parts = [Buffer.from('ecdsa-sha2-nistp256'), Buffer.from('nistp256'), point];
  const blob = Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    }),
  );
  return `ecdsa-sha2-nistp256 ${blob.toString('base64')} ${name}`;
}
