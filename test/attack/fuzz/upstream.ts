import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { Recorded } from '../run/world.ts';
import { portOf, shut } from '../run/scripted.ts';

/** A FHIR server without a memory: it records, and answers whatever is asked, as a server does that has everything. */
export interface FuzzUpstream {
  readonly url: string;
  /** How many are being read and answered. */
  underWay(): number;
  /** What came since the last call. */
  take(): readonly Recorded[];
  close(): Promise<void>;
}

export async function startFuzzUpstream(): Promise<FuzzUpstream> {
  let received: Recorded[] = [];
  let underWay = 0;
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const target = (request.url ?? '').replace(/^\/fhir/, '');
    const body = Buffer.concat(chunks);
    received.push({ method: request.method ?? '', target, rawHeaders: request.rawHeaders, body });
    answer(request.method ?? '', target, body, response);
  };
  const server: Server = createServer((request, response) => {
    underWay += 1;
    serve(request, response)
      .catch(() => request.socket.destroy())
      .finally(() => (underWay -= 1));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${portOf(server)}/fhir`,
    underWay: () => underWay,
    take: () => {
      const taken = received;
      received = [];
      return taken;
    },
    close: () => shut(server),
  };
}

function answer(method: string, target: string, body: Buffer, response: ServerResponse): void {
  const json = (status: number, resource: object, headers: Readonly<Record<string, string>> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/fhir+json', ...headers }).end(JSON.stringify(resource));
  };
  const [path = '', query = ''] = target.split('?');
  const [, type = '', id] = path.split('/');
  if (method === 'GET' && id !== undefined) {
    json(200, resourceOf(type, id), { etag: 'W/"1"' });
    return;
  }
  if (method === 'GET' || path.endsWith('/_search')) {
    json(
      200,
      searchset(`http://fhir.example/fhir${path.replace('/_search', '')}?${query === '' ? body.toString('latin1') : query}`),
    );
    return;
  }
  if (method === 'PUT') {
    json(200, { ...(JSON.parse(body.toString()) as object), meta: { versionId: '2' } }, { etag: 'W/"2"' });
    return;
  }
  if (path === '' || path === '/') {
    const { entry = [] } = JSON.parse(body.toString()) as {
      readonly entry?: readonly { readonly request: { readonly method: string } }[];
    };
    json(200, {
      resourceType: 'Bundle',
      type: 'transaction-response',
      entry: entry.map(({ request }) => entryAnswer(request.method)),
    });
    return;
  }
  json(
    201,
    { ...(JSON.parse(body.toString()) as object), id: 'new-1', meta: { versionId: '1' } },
    {
      location: 'http://fhir.example/fhir/Observation/new-1/_history/1',
      etag: 'W/"1"',
    },
  );
}

function resourceOf(type: string, id: string): object {
  const owner = id.startsWith('mine') ? 'mine' : 'other';
  const common = { resourceType: type, id, meta: { versionId: '1' } };
  if (type === 'Patient') return { ...common, name: [{ family: owner === 'mine' ? 'Mijnheer' : SECRET }] };
  return {
    ...common,
    status: 'final',
    code: { text: owner === 'mine' ? 'x' : SECRET },
    subject: { reference: `Patient/${owner}` },
  };
}

/** Stands in everything that is another's. */
export const SECRET = 'Anderman-fuzz';

function searchset(self: string): object {
  return {
    resourceType: 'Bundle',
    type: 'searchset',
    link: [{ relation: 'self', url: self }],
    entry: ['mine-1', 'mine-2'].map((id) => ({
      fullUrl: `http://fhir.example/fhir/Observation/${id}`,
      resource: resourceOf('Observation', id),
      search: { mode: 'match' },
    })),
  };
}

function entryAnswer(method: string): object {
  switch (method) {
    case 'GET':
      return {
        resource: searchset('http://fhir.example/fhir/Observation?patient=Patient/mine&_count=5'),
        response: { status: '200' },
      };
    case 'PUT':
      return { response: { status: '200', etag: 'W/"2"' } };
    default:
      return { response: { status: '201', location: 'Observation/new-1/_history/1', etag: 'W/"1"' } };
  }
}
