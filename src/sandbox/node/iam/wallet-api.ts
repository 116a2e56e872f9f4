/** Wallets over the internal API (vcr v2, facts §4.2). */
import { z } from 'zod';

import type { NodeContext } from '../context.ts';
import { idOf, issuerOf } from '../credential.ts';
import { empty, json, parseBody, type Call, type Route } from '../http.ts';
import { list } from '../json.ts';
import { NodeProblem } from '../problem.ts';
import { viewOf } from './any-credential.ts';
import { isRevoked } from './status-list.ts';
import { subjectNamed } from './subject.ts';
import { loadCredential, validCredentials, walletOf } from './wallet.ts';

const loadRequest = z.union([z.string(), z.record(z.string(), z.unknown())]);

export function walletRoutes(context: NodeContext): Route[] {
  const base = '/internal/vcr/v2/holder/:subject/vc';
  const named = (call: Call): string => subjectNamed(context, call.params['subject'] ?? '').id;
  return [
    {
      method: 'POST',
      path: base,
      operation: 'LoadVC',
      handle: async (call) => {
        const credential = parseBody(call, loadRequest);
        if (typeof credential !== 'string' && list(credential['credentialSubject']).length === 0) {
          const why = 'unable to get subject DID from VC: there must be at least 1 credentialSubject';
          throw new NodeProblem(400, `invalid credentialSubject.ID: ${why}`);
        }
        await loadCredential(context, named(call), credential);
        return empty(204);
      },
    },
    {
      method: 'GET',
      path: base,
      operation: 'GetCredentialsInWallet',
      handle: async (call) => json(await validCredentials(context, named(call))),
    },
    {
      method: 'GET',
      path: `${base}/search`,
      operation: 'SearchCredentialsInWallet',
      handle: async (call) => {
        const found = [...walletOf(context, named(call)).values()].map(async (verifiableCredential) => {
          const view = viewOf(verifiableCredential);
          if (!(await isRevoked(context, view))) return { verifiableCredential };
          const revocation = { issuer: issuerOf(view), subject: idOf(view), date: '0001-01-01T00:00:00Z' };
          return { revocation, verifiableCredential };
        });
        return json({ verifiableCredentials: await Promise.all(found) });
      },
    },
    {
      method: 'DELETE',
      path: `${base}/:id`,
      operation: 'RemoveCredentialFromWallet',
      handle: (call) => {
        // A real node finds the id only when its colons are written plainly, its `%` as %25 and its `#` as %23.
        const isPlain = !/%3a/i.test(call.request.url?.replaceAll('%253A', '') ?? '');
        if (!isPlain || !walletOf(context, named(call)).delete(call.params['id'] ?? '')) {
          throw new NodeProblem(404, 'credential not found');
        }
        return empty(204);
      },
    },
  ];
}
