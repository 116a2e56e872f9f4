/** Presentations of credentials over HTTP (vcr v2): made for a holder of this node, and verified. */
import { z } from 'zod';

import type { NodeContext } from './context.ts';
import { JWS_CONTEXT, NUTS_CONTEXT, signDocument, signerOf, subjectOf, verifyDocument, W3C_CONTEXT } from './credential.ts';
import { json, parseBody, type Answer, type Call, type Route } from './http.ts';
import { collapse, isObject, list, sorted, text } from './json.ts';
import { KEY_NOT_FOUND, NodeProblem } from './problem.ts';
import { faultOf } from './verifier.ts';

const jsonObject = z.record(z.string(), z.unknown());

const createRequest = z.looseObject({
  verifiableCredentials: z.array(jsonObject).nullish(),
  signerDID: z.string().nullish(),
  challenge: z.string().nullish(),
});

const verifyRequest = z.looseObject({
  verifiablePresentation: jsonObject.nullish(),
  verifyCredentials: z.boolean().nullish(),
});

export function presentationRoutes(context: NodeContext, base: string): Route[] {
  return [
    { method: 'POST', path: `${base}/holder/vp`, operation: 'CreateVP', handle: async (call) => create(context, call) },
    { method: 'POST', path: `${base}/verifier/vp`, operation: 'VerifyVP', handle: async (call) => verify(context, call) },
  ];
}

async function create(context: NodeContext, call: Call): Promise<Answer> {
  const { verifiableCredentials, signerDID, challenge } = parseBody(call, createRequest);
  const [first] = verifiableCredentials ?? [];
  if (first === undefined) throw new NodeProblem(400, 'verifiableCredentials needs at least 1 item');
  const signer = signerDID ?? text(subjectOf(first), 'id') ?? '';
  const key = context.network.signingKey(context.store, signer);
  if (key === undefined) throw new NodeProblem(400, `unable to resolve assertion key for signing VP: ${KEY_NOT_FOUND}`);
  const presentation = {
    '@context': [NUTS_CONTEXT, W3C_CONTEXT, JWS_CONTEXT],
    type: ['VerifiablePresentation'],
    verifiableCredential: collapse(verifiableCredentials),
  };
  return json(
    sorted(await signDocument(presentation, key, context.clock.now(), 'authentication', challenge == null ? {} : { challenge })),
  );
}

async function verify(context: NodeContext, call: Call): Promise<Answer> {
  const { verifiablePresentation, verifyCredentials } = parseBody(call, verifyRequest);
  const presentation = verifiablePresentation ?? {};
  const credentials = list(presentation['verifiableCredential']).filter(isObject);
  const invalid = (message: string): Answer => json({ message, validity: false });
  const holders = new Set(credentials.map((credential) => text(subjectOf(credential), 'id')));
  const signer = signerOf(presentation);
  const isGenuine = await verifyDocument(presentation, (kid) => context.network.publicKey(kid));
  if (!isGenuine || holders.size !== 1 || !holders.has(signer)) return invalid('invalid proof signature');
  if (verifyCredentials !== false) {
    for (const credential of credentials) {
      const fault = await faultOf(context, credential, { allowUntrusted: false, at: context.clock.now() });
      if (fault !== undefined) return invalid(fault);
    }
  }
  return json({ credentials, validity: true });
}
