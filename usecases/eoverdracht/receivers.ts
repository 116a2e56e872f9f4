import { GatewayError, type Services } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { RECEIVER_SERVICE } from './notify-job.ts';

/** A receiver that can be reached. */
export interface Receiver {
  readonly organization: string;
  readonly name: string;
}

/**
 * Makes sure that each organisation can receive before anything is written (facts §1.3 A2): its token and notification endpoints resolve.
 * @throws GatewayError `unprocessable` (`unknown_receiver`) with the ones that cannot
 */
export async function resolveReceivers(
  services: Services,
  config: EOverdrachtConfig,
  wanted: readonly { readonly organization: string; readonly name?: string | undefined }[],
): Promise<readonly Receiver[]> {
  const fields: { readonly field: string; readonly problem: string }[] = [];
  const receivers: Receiver[] = [];
  const seen = new Set<string>();
  for (const [index, { organization, name }] of wanted.entries()) {
    const problem = seen.has(organization) ? 'is named twice' : await problemOf(services, config, organization);
    seen.add(organization);
    if (problem !== undefined) fields.push({ field: `receivers[${String(index)}].organization`, problem });
    else receivers.push({ organization, name: name ?? (await nameOf(services, organization)) });
  }
  if (fields.length > 0)
    throw new GatewayError('unprocessable', 'a receiver cannot receive', { reason: 'unknown_receiver', fields });
  return receivers;
}

async function problemOf(services: Services, config: EOverdrachtConfig, organization: string): Promise<string | undefined> {
  if (!/^did:[a-z0-9]+:[A-Za-z0-9._:%-]+$/.test(organization))
    return 'is no DID, such as did:nuts:B8PUHs2AUHbFF1xLLK4eZjgErEcMXHxs68FteY7NDtCY';
  if (organization === services.tenant.did && !config.allowSelf) return 'is the sender itself';
  for (const endpoint of ['oauth', 'notification']) {
    if ((await services.node.resolveEndpoint(organization, RECEIVER_SERVICE, endpoint)) === undefined) {
      return `has no ${endpoint} endpoint of the service ${RECEIVER_SERVICE}`;
    }
  }
  return undefined;
}

/** The name that the receiver is shown with; its DID where the node does not know one. */
async function nameOf(services: Services, organization: string): Promise<string> {
  const found = await services.node.findOrganizations('', RECEIVER_SERVICE).catch((error: unknown) => {
    if (error instanceof GatewayError) return [];
    throw error;
  });
  return found.find((each) => each.id === organization)?.name ?? organization;
}
