import { isJsonObject } from '../fhir/json.ts';
import type { NodeServices } from '../usecase/workflow.ts';
import { didSegment, nodeFailure, nodeRefusal, type NodeApi } from './api.ts';
import { toArray } from './credential.ts';

/** Who is on the network, and where their services are (nuts-node-api.md §5.1). */
export function createRegistryServices(api: NodeApi): Pick<NodeServices, 'findOrganizations' | 'resolveEndpoint'> {
  return {
    async findOrganizations(query, service) {
      const parameters = new URLSearchParams({ query, didServiceType: service });
      const answer = await api.call({ method: 'GET', path: `/internal/didman/v1/search/organizations?${parameters.toString()}` });
      if (answer.status !== 200) throw nodeRefusal('a search for organisations', answer);
      return toArray(answer.json).flatMap((entry) => {
        if (!isJsonObject(entry)) return [];
        const { organization, didDocument } = entry;
        if (!isJsonObject(organization) || !isJsonObject(didDocument)) return [];
        const { name, city } = organization;
        const { id } = didDocument;
        if (typeof id !== 'string' || typeof name !== 'string') return [];
        return { id, name, ...(typeof city === 'string' ? { city } : {}) };
      });
    },

    async resolveEndpoint(party, service, endpoint) {
      const path = `/internal/didman/v1/did/${didSegment(party)}/compoundservice/${encodeURIComponent(service)}/endpoint/${encodeURIComponent(endpoint)}`;
      const answer = await api.call({ method: 'GET', path: `${path}?resolve=true` });
      // 406: no such compound service, or a reference that leads to none.
      if (answer.status === 404 || answer.status === 406) return undefined;
      if (answer.status !== 200) throw nodeRefusal('to resolve an endpoint', answer);
      const found = isJsonObject(answer.json) ? answer.json['endpoint'] : undefined;
      if (typeof found !== 'string') throw nodeFailure('resolved an endpoint to something else');
      // Nodes store any text, the empty one too.
      return found === '' ? undefined : found;
    },
  };
}
