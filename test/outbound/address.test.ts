import { describe, expect, it } from '@jest/globals';
import type { LookupAddress } from 'node:dns';
import { AddressRefused, createGuardedLookup, isPublicAddress } from '../../src/outbound/address.ts';

describe('isPublicAddress', () => {
  it.each([
    '1.1.1.1',
    '93.184.216.34',
    '172.15.255.255',
    '172.32.0.1',
    '100.63.0.1',
    '192.167.1.1',
    '2a00:1450:400e::1',
    '2606:4700::1111',
  ])('lets %s pass', (ip) => expect(isPublicAddress(ip)).toBe(true));

  it.each([
    ['loopback', '127.0.0.1'],
    ['all of loopback', '127.255.0.9'],
    ['this host', '0.0.0.0'],
    ['RFC 1918', '10.1.2.3'],
    ['RFC 1918', '172.16.0.1'],
    ['RFC 1918', '172.31.255.255'],
    ['RFC 1918', '192.168.1.1'],
    ['carrier NAT', '100.64.0.1'],
    ['link-local and metadata', '169.254.169.254'],
    ['metadata of one cloud', '168.63.129.16'],
    ['benchmarks', '198.19.0.1'],
    ['documentation', '203.0.113.7'],
    ['multicast', '224.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['loopback', '::1'],
    ['unspecified', '::'],
    ['IPv4-mapped', '::ffff:127.0.0.1'],
    ['IPv4-mapped, hexadecimal', '::ffff:7f00:1'],
    ['IPv4-mapped of a public one', '::ffff:1.1.1.1'],
    ['NAT64', '64:ff9b::a9fe:a9fe'],
    ['local NAT64', '64:ff9b:1::1'],
    ['6to4', '2002:7f00:1::'],
    ['Teredo', '2001::1'],
    ['documentation', '2001:db8::1'],
    ['documentation', '3fff::1'],
    ['ULA', 'fd00:ec2::254'],
    ['link-local', 'fe80::1'],
    ['link-local with a zone', 'fe80::1%eth0'],
    ['a public one with a zone', '2a00:1450::1%lo'],
    ['multicast', 'ff02::1'],
    ['no address', 'localhost'],
    ['no address', ''],
    ['a number', '2130706433'],
  ])('refuses %s: %s', (_kind, ip) => expect(isPublicAddress(ip)).toBe(false));
});

function look(addresses: readonly LookupAddress[], options: { all?: boolean; family?: number } = { all: true }) {
  const lookup = createGuardedLookup((_host, callback) => callback(null, addresses));
  return new Promise<unknown>((resolve) => {
    lookup('receiver.example', options, (error, address) => resolve(error ?? address));
  });
}

describe('createGuardedLookup', () => {
  const good = { address: '93.184.216.34', family: 4 };
  const good6 = { address: '2606:4700::1111', family: 6 };

  it('gives public addresses, all or one', async () => {
    await expect(look([good, good6])).resolves.toEqual([good, good6]);
    await expect(look([good6, good], {})).resolves.toBe(good6.address);
    await expect(look([good6, good], { family: 4 })).resolves.toBe(good.address);
  });

  it('refuses all when one of them is not public, also of the family that was not asked for', async () => {
    await expect(look([good, { address: '10.0.0.1', family: 4 }])).resolves.toBeInstanceOf(AddressRefused);
    await expect(look([good, { address: '::1', family: 6 }], { family: 4 })).resolves.toBeInstanceOf(AddressRefused);
    await expect(look([])).resolves.toBeInstanceOf(AddressRefused);
  });

  it('passes on that a name does not exist', async () => {
    const missing = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    const lookup = createGuardedLookup((_host, callback) => callback(missing, []));
    await expect(new Promise((resolve) => lookup('x.example', { all: true }, resolve))).resolves.toBe(missing);
  });
});
