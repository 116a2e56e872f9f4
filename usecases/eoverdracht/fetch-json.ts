import { GatewayError, parseJsonObject, type JsonObject } from 'sluis/usecase';

/**
 * A resource of another party, read so that no other parser reads something else in it: UTF-8 only, no repeated member, and decimals that
 * keep their precision (`1.50`) when they are printed again.
 * @throws GatewayError `upstream_failed` (`sender_answer_unreadable`); never with the content
 */
export function parseResource(bytes: Uint8Array): JsonObject {
  try {
    return parseJsonObject(bytes);
  } catch (cause) {
    throw new GatewayError('upstream_failed', "the sender's answer cannot be read in one way", {
      cause,
      reason: 'sender_answer_unreadable',
    });
  }
}
