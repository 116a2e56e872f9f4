import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tellParent } from './messages.ts';
import { introspectionAnswer, TASK } from './world.ts';

// The custodian's FHIR server and its Nuts node, as small as can be: what they cost is on nobody's account.

const task = Buffer.from(TASK);
const taskHeaders = {
  'content-type': 'application/fhir+json;charset=UTF-8',
  'content-length': String(task.length),
  etag: 'W/"3"',
  'last-modified': 'Tue, 03 Feb 2026 10:15:00 GMT',
};

const fhir = await listen((request, response) => {
  request.resume();
  response.writeHead(200, taskHeaders);
  response.end(task);
});

const node = await listen((request, response) => {
  request.resume();
  const body = request.url === '/health' ? { status: 'UP' } : introspectionAnswer(Date.now());
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
});

tellParent({ type: 'ready', urls: { fhir, node } });
process.on('disconnect', () => process.exit(0));

async function listen(onRequest: RequestListener): Promise<string> {
  const server = createServer({ keepAliveTimeout: 60_000 }, onRequest);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}
