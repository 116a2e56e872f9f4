import type { RunningOrganization, World } from '../world/world.ts';
import { wrong } from './problem.ts';

/** The organisation of a tenant. @throws ControlProblem that says which there are */
export function tenantOf(world: World, id: string): RunningOrganization & Required<Pick<RunningOrganization, 'tenant'>> {
  for (const { tenant, ...organization } of world.organizations) {
    if (organization.id === id && tenant !== undefined) return { ...organization, tenant };
  }
  const known = world.organizations.filter(({ tenant }) => tenant !== undefined).map((each) => each.id);
  throw wrong('tenant', `must be one of ${known.join(', ')}`);
}

/** A party by its name, or its DID of either generation. */
export function partyOf(world: World, nameOrDid: string): RunningOrganization {
  const found = world.organizations.find(({ id, did, node }) => [id, did, node.subject.did].includes(nameOrDid));
  if (found !== undefined) return found;
  throw wrong('requester', `must be one of ${world.organizations.map(({ id }) => id).join(', ')}, or the DID of one`);
}
