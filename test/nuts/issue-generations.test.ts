import { afterEach, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { createClock } from '../../src/clock.ts';
import { createNode } from '../../src/nuts/node.ts';
import { json, memoryLog, startServer, tenantOf } from '../outbound/servers.ts';

const OWN = 'did:nuts:oost';
const OTHER = 'did:nuts:west';

const closers: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((each) => each.close()));
});

// A v5 node reads `@context` and `type` of what it is to issue as one text each, and refuses a list; a v6 node takes both forms. Left out, the
// contexts of W3C and Nuts are used by both.
const v5Body = z.looseObject({ '@context': z.string().optional(), type: z.string(), visibility: z.enum(['public', 'private']) });

describe('what a node is asked to issue', () => {
  it('is in the form that both generations read', async () => {
    const server = await startServer(({ body }, response) => {
      const read = v5Body.safeParse(JSON.parse(body));
      if (!read.success) {
        json(
          response,
          { title: 'Operation failed', status: 400, detail: 'Unmarshal type error: expected=string, got=array' },
          400,
        );
        return;
      }
      json(response, {
        ...read.data,
        id: `${OWN}#1`,
        type: ['NutsAuthorizationCredential', 'VerifiableCredential'],
        issuanceDate: '2026-11-24T00:00:00Z',
      });
    });
    closers.push(server);
    const node = createNode({
      tenant: tenantOf({ did: OWN, node: { url: server.url } }),
      clock: createClock(),
      logger: memoryLog().logger,
    });
    closers.push(node);
    const issued = await node.services().issueCredential({
      subject: OTHER,
      purpose: 'eOverdracht-sender',
      resources: [{ path: '/Task/1', operations: ['read', 'update'], userContext: false }],
      expiresAt: new Date('2027-11-24T00:00:00Z'),
    });
    expect(issued).toMatchObject({ id: `${OWN}#1`, revoked: false });
  });
});
