import { lookup as resolve, type LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** Thrown by a guarded look-up: the name leads to an address that nobody else's URL may lead us to. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
}

// IANA special-purpose registry for IPv4, and the address at which one cloud offers its machine's metadata.
const REFUSED_IPV4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['168.63.129.16', 32],
];

// Within global unicast (2000::/3): Teredo and the other IETF assignments, documentation, 6to4. All else that is special (loopback,
// IPv4-mapped, NAT64, ULA, link-local, site-local, multicast) lies outside of it.
const REFUSED_IPV6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const refused = new BlockList();
for (const [network, prefix] of REFUSED_IPV4) refused.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of REFUSED_IPV6) refused.addSubnet(network, prefix, 'ipv6');
const globalUnicast = new BlockList();
globalUnicast.addSubnet('2000::', 3, 'ipv6');

/** Whether an IP address is one on the public internet. Text that is no address is not. */
export function isPublicAddress(ip: string): boolean {
  switch (isIP(ip)) {
    case 4:
      return !refused.check(ip, 'ipv4');
    case 6:
      // A zone (`fe80::1%eth0`) names a link of this machine.
      return !ip.includes('%') && globalUnicast.check(ip, 'ipv6') && !refused.check(ip, 'ipv6');
    default:
      return false;
  }
}

type Resolver = (
  hostname: string,
  callback: (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void,
) => void;

const systemResolver: Resolver = (hostname, callback) => {
  resolve(hostname, { all: true, order: 'verbatim' }, callback);
};

/**
 * A `lookup` for `net.connect`: it runs when the connection is made, so that a name cannot show one address to a check and another to the
 * connection. One refused answer among several refuses all. A host that is an address itself is never looked up: check that apart.
 */
export function createGuardedLookup(resolver: Resolver = systemResolver): LookupFunction {
  return (hostname, options, callback) => {
    resolver(hostname, (error, addresses) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      const wanted =
        options.family === 4 || options.family === 'IPv4' ? 4 : options.family === 6 || options.family === 'IPv6' ? 6 : 0;
      const usable = wanted === 0 ? [...addresses] : addresses.filter(({ family }) => family === wanted);
      const [first] = usable;
      if (first === undefined || !addresses.every(({ address }) => isPublicAddress(address))) {
        callback(new AddressRefused('the name leads to an address that is not public'), []);
      } else if (options.all === true) {
        callback(null, usable);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}
