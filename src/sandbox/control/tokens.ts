import type { World } from '../world/world.ts';
import { makeOpaqueToken } from './opaque-tokens.ts';
import { partyOf, tenantOf } from './parties.ts';
import type { TokenAnswer, TokenRequest } from './requests.ts';
import { makeSignedToken } from './signed-tokens.ts';

/** Makes a token for `tenant`'s gate (design §11): grants and their credentials first, then the token, made by the tenant's node. */
export async function makeToken(world: World, request: TokenRequest): Promise<TokenAnswer> {
  const custodian = tenantOf(world, request.tenant);
  const requester = partyOf(world, request.requester);
  const purpose = request.purpose ?? request.scope ?? '';
  switch (request.generation) {
    case 'v1':
      return makeSignedToken(world, custodian, requester, purpose, request);
    case 'v2':
      return makeOpaqueToken(world, custodian, requester, purpose, request);
  }
}
