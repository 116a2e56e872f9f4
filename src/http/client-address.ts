import { BlockList, isIP } from 'node:net';

/** Whose `X-Forwarded-For` counts. */
export interface TrustedProxies {
  /**
   * The caller's address: the peer's own, or, when the peer is a trusted proxy, the right-most one in `X-Forwarded-For` that is not.
   * What stands to the left of it was written by the caller (attack case H2).
   */
  clientAddress(peer: string, forwardedFor: string | undefined): string;
}

/** @param ranges IP addresses and CIDR ranges, checked by the configuration */
export function createTrustedProxies(ranges: readonly string[]): TrustedProxies {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', prefix] = range.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  const trusts = (address: string): boolean => {
    const family = isIP(address);
    return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
  };
  return {
    clientAddress: (peer, forwardedFor) => {
      if (ranges.length === 0 || forwardedFor === undefined || !trusts(peer)) return peer;
      const hops = forwardedFor.split(',').map((hop) => hop.trim());
      for (let index = hops.length - 1; index >= 0; index -= 1) {
        const hop = hops[index] ?? '';
        // A hop that is no address was not written by a proxy that can be trusted.
        if (isIP(hop) === 0) return peer;
        if (!trusts(hop)) return hop;
      }
      return hops[0] ?? peer;
    },
  };
}
