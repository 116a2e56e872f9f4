import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

/** Seals texts for those who may carry them, but neither read nor change them (AES-256-GCM). */
export interface Sealer {
  /** @param context what it is sealed for; whoever opens it must name the same */
  seal(text: string, context: string): string;
  /** Undefined for whatever was not sealed by one of the keys for this context. */
  open(sealed: string, context: string): string | undefined;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;
const ALPHABET = /^[A-Za-z0-9_-]+$/;

/**
 * Creates a sealer.
 * @param secrets the first seals, all open; without any a random one is made, good for the life of the process
 */
export function createSealer(secrets: readonly string[]): Sealer {
  const keys = (secrets.length === 0 ? [randomBytes(32).toString('base64')] : secrets).map((secret) =>
    Buffer.from(hkdfSync('sha256', secret, '', 'sluis seal 1', 32)),
  );
  const [first = randomBytes(32)] = keys;
  return {
    seal: (text, context) => {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', first, iv).setAAD(Buffer.from(context));
      return Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64url');
    },
    open: (sealed, context) => {
      if (!ALPHABET.test(sealed)) return undefined;
      const bytes = Buffer.from(sealed, 'base64url');
      // A text has one seal: bits that the decoder would drop are not dropped.
      if (bytes.length <= IV_BYTES + TAG_BYTES || bytes.toString('base64url') !== sealed) return undefined;
      for (const key of keys) {
        const text = attempt(key, bytes, context);
        if (text !== undefined) return text;
      }
      return undefined;
    },
  };
}

function attempt(key: Buffer, bytes: Buffer, context: string): string | undefined {
  const end = bytes.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(end));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, end)), decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}
