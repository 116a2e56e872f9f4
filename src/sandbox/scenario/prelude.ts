import type { WorldDescription } from '../world/description.ts';
import { insist, at, textAt, type Act } from './step.ts';

/** Before the story: is everything there, and the one token that no honest node makes. */
export function prelude({ internal, control }: WorldDescription): Act {
  return {
    title: 'Is everything there?',
    steps: [
      {
        who: 'operator',
        whom: 'Sluis',
        method: 'GET',
        url: () => `${internal}/health/ready`,
        expect: 200,
        words: 'gateway, nodes, FHIR servers, store and audit disk',
        until: ({ status }) => status === 200,
      },
      {
        who: 'sandbox',
        whom: 'its control API',
        method: 'POST',
        url: () => `${control}/tokens`,
        body: () => ({
          tenant: 'ziekenhuis-oost',
          requester: 'thuiszorg-west',
          purpose: 'eOverdracht-sender',
          generation: 'v1',
          expiresInS: -60,
        }),
        expect: 200,
        words: 'a token that has expired, for later',
        check: ({ json }, notes) => {
          insist(at(json, 'token_type') === 'bearer', 'it is no bearer token');
          notes.set('expired token', textAt(json, 'access_token'));
        },
      },
    ],
  };
}
