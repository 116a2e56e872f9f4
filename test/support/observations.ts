import type { FhirHandler } from './gate.ts';

interface Stored {
  readonly resourceType: string;
  readonly id: string;
  readonly meta: { readonly versionId: string };
  readonly subject?: { readonly reference?: string };
  readonly identifier?: readonly { readonly value?: string }[];
}

/** A FHIR server that holds Observations, as much of one as conditional writes need. `If-Match` of a DELETE does nothing, as on real servers. */
export interface ObservationServer {
  readonly handler: FhirHandler;
  readonly stored: Map<string, Stored>;
  put(id: string, observation: object, versionId?: string): void;
}

export function createObservationServer(): ObservationServer {
  const stored = new Map<string, Stored>();
  let created = 0;
  const put = (id: string, observation: object, versionId = '1'): Stored => {
    const resource = { ...observation, resourceType: 'Observation', id, meta: { versionId } };
    stored.set(id, resource);
    return resource;
  };
  const matching = (query: URLSearchParams): readonly Stored[] =>
    [...stored.values()].filter(
      ({ subject, identifier }) =>
        [query.get('patient'), undefined].includes(subject?.reference) &&
        (query.get('identifier') === null || identifier?.some(({ value }) => value === query.get('identifier')) === true),
    );

  const handler: FhirHandler = (request, response, body) => {
    const base = `http://127.0.0.1:${String(request.socket.localPort)}/fhir`;
    const url = new URL(request.url ?? '', base);
    const [type, id = ''] = url.pathname.slice('/fhir/'.length).split('/');
    const send = (status: number, resource?: object, version?: string, more: Record<string, string> = {}): void => {
      const tag = version === undefined ? {} : { etag: `W/"${version}"` };
      response.writeHead(status, { 'content-type': 'application/fhir+json', ...tag, ...more });
      response.end(resource === undefined ? '' : JSON.stringify(resource));
    };
    const failed = { resourceType: 'OperationOutcome', issue: [] };
    const search = (found: readonly Stored[]): void => {
      const entry = found.map((resource) => ({
        fullUrl: `${base}/Observation/${resource.id}`,
        resource,
        search: { mode: 'match' },
      }));
      const self = { relation: 'self', url: `${base}/Observation?${url.searchParams.toString()}` };
      send(200, { resourceType: 'Bundle', type: 'searchset', link: [self], entry });
    };
    if (type !== 'Observation') send(404, failed);
    else if (id === '$lastn') search(matching(new URLSearchParams({ patient: 'Patient/mine' })));
    else if (request.method === 'GET' && id === '') search(matching(url.searchParams));
    else if (request.method === 'POST') {
      const criteria = request.headers['if-none-exist'];
      const found = criteria === undefined ? [] : matching(new URLSearchParams(String(criteria)));
      if (found.length > 1) send(412, failed);
      else if (found[0] !== undefined) send(200, found[0], found[0].meta.versionId);
      else {
        created += 1;
        const made = put(`new-${String(created)}`, JSON.parse(body) as object);
        send(201, undefined, '1', { location: `${base}/Observation/${made.id}/_history/1` });
      }
    } else {
      const before = stored.get(id);
      if (before === undefined) send(404, failed);
      else if (request.method === 'GET') send(200, before, before.meta.versionId);
      else if (request.method === 'DELETE') {
        stored.delete(id);
        send(204);
      } else if (request.headers['if-match'] !== `W/"${before.meta.versionId}"`) send(412, failed);
      else {
        const made = put(id, JSON.parse(body) as object, String(Number(before.meta.versionId) + 1));
        send(200, made, made.meta.versionId);
      }
    }
  };
  return {
    handler,
    stored,
    put: (id, observation, versionId) => {
      put(id, observation, versionId);
    },
  };
}
