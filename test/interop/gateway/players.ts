/** The organisations of a region as players of the demo's scenario: `playerOf`. */
import { filled, type Player } from '../../../src/sandbox/scenario/cast.ts';
import type { Step } from '../../../src/sandbox/scenario/step.ts';
import type { Region, RegionMember } from './region.ts';

/** A member of the region as a player; remote parties call the gate of `custodian`. */
export function playerOf(region: Region, member: RegionMember, custodian: string): Player {
  const { id, name, did, node, apiKey, operatorKey } = member;
  type Request = Omit<Step, 'who' | 'whom' | 'url'>;
  const api = (who: string, key: string, path: string, request: Request): Step => ({
    ...request,
    who,
    whom: 'API',
    url: (notes) => `${region.internal}/api/v1/tenants/${id}${filled(path, notes)}`,
    headers: (notes) => ({ authorization: `Bearer ${key}`, ...request.headers?.(notes) }),
  });
  return {
    id,
    name,
    did,
    ehr: (path, request) => api(name, apiKey, path, request),
    operator: (path, request) => api('operator', operatorKey, path, request),
    node: (path, request) => ({ ...request, who: name, whom: 'its node', url: (notes) => `${node}${filled(path, notes)}` }),
    gate: (path, token, request) => ({
      ...request,
      who: name,
      whom: 'gate',
      url: (notes) => `${region.public}/${custodian}/fhir${filled(path, notes)}`,
      headers: (notes) => ({
        accept: 'application/fhir+json',
        ...(token === undefined ? {} : { authorization: `Bearer ${notes.text(token)}` }),
        ...request.headers?.(notes),
      }),
    }),
    person: (url, request) => ({ ...request, who: 'care worker', whom: "node's page", url: (notes) => notes.text(url) }),
  };
}
