/** StatusList2021 (facts §4.6): `takeEntry`, `revokeEntry`, `statusCredential`, and `isRevoked` of anybody's credential. */
import { gunzipSync, gzipSync } from 'node:zlib';

import type { NodeContext } from '../context.ts';
import { idOf, issuerOf, JWS_CONTEXT, signDocument, W3C_CONTEXT, type VC } from '../credential.ts';
import { isObject, list, text, type Json } from '../json.ts';
import { NodeProblem } from '../problem.ts';
import { uuidOf } from '../key.ts';
import type { StatusList } from './store.ts';

export const STATUS_CONTEXT = 'https://w3id.org/vc/status-list/2021/v1';
const LIST_BYTES = 131_072 / 8;
const LIST_LIFE_MS = 24 * 3600 * 1000;
/** How long a copy of another node's list is believed. */
const COPY_LIFE_MS = 15 * 60 * 1000;
const FETCH_TIMEOUT_MS = 5_000;

function listOf(context: NodeContext, issuer: string): StatusList {
  const { statusLists } = context.store.iam;
  const known = statusLists.get(issuer) ?? { next: 0, indexOf: new Map<string, number>(), revoked: new Set<number>() };
  statusLists.set(issuer, known);
  return known;
}

/** A new place in the issuer's list for a credential: its `credentialStatus`. */
export function takeEntry(context: NodeContext, issuer: string, credentialId: string): Json {
  const status = listOf(context, issuer);
  const index = status.next++;
  status.indexOf.set(credentialId, index);
  const url = `${context.url()}/statuslist/${issuer}/1`;
  return {
    id: `${url}#${index}`,
    statusListCredential: url,
    statusListIndex: String(index),
    statusPurpose: 'revocation',
    type: 'StatusList2021Entry',
  };
}

/** Sets the bit. Errors: 400 when it has no place, 409 when it is set. */
export function revokeEntry(context: NodeContext, credential: VC): void {
  const status = listOf(context, issuerOf(credential));
  const index = status.indexOf.get(idOf(credential));
  if (index === undefined) throw new NodeProblem(400, 'credential contains no (relevant) status');
  if (status.revoked.has(index)) throw new NodeProblem(409, 'credential is revoked');
  status.revoked.add(index);
}

function bitsOf(status: StatusList): Buffer {
  const bits = Buffer.alloc(LIST_BYTES);
  // Most significant bit first.
  for (const index of status.revoked) bits[index >> 3] = (bits[index >> 3] ?? 0) | (0x80 >> (index & 7));
  return bits;
}

/** The list as a credential; its subject and proof are lists of one. Errors: 500 for one that is not here, as a node says. */
export async function statusCredential(context: NodeContext, issuer: string, page: string): Promise<Json> {
  const status = context.store.iam.statusLists.get(issuer);
  const key = context.network.signingKey(context.store, issuer);
  if (status === undefined || key === undefined || page !== '1') throw new NodeProblem(500, 'not found');
  const now = context.clock.now();
  const url = `${context.url()}/statuslist/${issuer}/1`;
  const signed = await signDocument(
    {
      '@context': [W3C_CONTEXT, STATUS_CONTEXT, JWS_CONTEXT],
      id: `${issuer}#${uuidOf(`list ${issuer} ${now.getTime()}`)}`,
      type: ['VerifiableCredential', 'StatusList2021Credential'],
      issuer,
      issuanceDate: now.toISOString(),
      expirationDate: new Date(now.getTime() + LIST_LIFE_MS).toISOString(),
      credentialSubject: [
        {
          encodedList: gzipSync(bitsOf(status)).toString('base64url'),
          id: url,
          statusPurpose: 'revocation',
          type: 'StatusList2021',
        },
      ],
    },
    key,
    now,
  );
  return { ...signed, proof: [signed['proof']] };
}

/** Whether a credential's status says that it is revoked: at once for own lists, after 15 min at most for others', which fail open. */
export async function isRevoked(context: NodeContext, credential: VC): Promise<boolean> {
  if (context.network.revocations.has(idOf(credential))) return true;
  const entry = list(credential['credentialStatus']).find(
    (status) => isObject(status) && status['type'] === 'StatusList2021Entry' && status['statusPurpose'] === 'revocation',
  );
  if (!isObject(entry)) return false;
  const index = Number(text(entry, 'statusListIndex') ?? Number.NaN);
  if (!Number.isInteger(index) || index < 0) return false;
  const own = context.store.iam.statusLists.get(issuerOf(credential));
  if (own !== undefined) return own.revoked.has(index);
  const bits = await remoteBits(context, text(entry, 'statusListCredential') ?? '');
  return ((bits?.[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0;
}

async function remoteBits(context: NodeContext, url: string): Promise<Uint8Array | undefined> {
  const { lists } = context.iam;
  const nowMs = context.clock.now().getTime();
  const copy = lists.get(url);
  if (copy !== undefined && nowMs - copy.fetchedMs <= COPY_LIFE_MS) return copy.bits;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
    const body: unknown = response.status === 200 ? await response.json() : undefined;
    const subject = isObject(body) ? list(body['credentialSubject'])[0] : undefined;
    const encoded = isObject(subject) ? text(subject, 'encodedList') : undefined;
    if (encoded === undefined) return copy?.bits;
    const bits = gunzipSync(Buffer.from(encoded, 'base64url'));
    lists.set(url, { bits, fetchedMs: nowMs });
    return bits;
  } catch {
    return copy?.bits;
  }
}
