import type { RunningOrganization, World } from '../world/world.ts';
import { openGrant } from './grants.ts';
import { wrong } from './problem.ts';
import type { TokenAnswer, TokenRequest } from './requests.ts';

const DEFAULT_LIFE_S = 60;

/** Generation v1: a token that names one service; `scope` is its v2 word. */
export async function makeSignedToken(
  world: World,
  custodian: RunningOrganization,
  requester: RunningOrganization,
  purpose: string,
  request: TokenRequest,
): Promise<TokenAnswer> {
  if (request.dpop) throw wrong('dpop', 'is for generation v2: a v1 token is a bearer token');
  if (!custodian.services.has(purpose)) {
    custodian.node.register(purpose, {});
    custodian.services.add(purpose);
  }
  const granted = request.grants === undefined ? [] : [await openGrant(world, custodian, requester.did, purpose, request.grants)];
  const expiresInS = request.expiresInS ?? DEFAULT_LIFE_S;
  const token = await custodian.node.mintToken({
    requester: requester.did,
    purpose,
    credentials: [...(request.credentials ?? []), ...granted],
    ...(request.user === undefined ? {} : { user: request.user }),
    expiresInS,
  });
  return { access_token: token, token_type: 'bearer', expires_in: expiresInS };
}
