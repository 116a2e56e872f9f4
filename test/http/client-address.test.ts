import { describe, expect, it } from '@jest/globals';
import { createTrustedProxies } from '../../src/http/client-address.ts';

const proxies = createTrustedProxies(['10.0.0.0/8', '192.0.2.1', '2001:db8::/32']);

describe('the address of a caller', () => {
  it('is that of the connection, whatever is written, when no proxy is trusted (H2)', () => {
    const none = createTrustedProxies([]);
    expect(none.clientAddress('198.51.100.7', '127.0.0.1')).toBe('198.51.100.7');
    expect(none.clientAddress('198.51.100.7', undefined)).toBe('198.51.100.7');
  });

  it('is that of the connection when that is no trusted proxy (H2)', () => {
    expect(proxies.clientAddress('198.51.100.7', '127.0.0.1')).toBe('198.51.100.7');
    expect(proxies.clientAddress('', '127.0.0.1')).toBe('');
  });

  it('is what the last trusted proxy saw, never what stands to the left of it (H2)', () => {
    expect(proxies.clientAddress('10.1.2.3', '198.51.100.7')).toBe('198.51.100.7');
    expect(proxies.clientAddress('10.1.2.3', '127.0.0.1, 198.51.100.7')).toBe('198.51.100.7');
    expect(proxies.clientAddress('10.1.2.3', '127.0.0.1, 198.51.100.7, 10.9.9.9, 192.0.2.1')).toBe('198.51.100.7');
    expect(proxies.clientAddress('2001:db8::1', '2001:db9::7')).toBe('2001:db9::7');
  });

  it('is the left-most hop when all are trusted, and the peer’s own when nothing was forwarded', () => {
    expect(proxies.clientAddress('10.1.2.3', '10.0.0.5, 10.0.0.6')).toBe('10.0.0.5');
    expect(proxies.clientAddress('10.1.2.3', undefined)).toBe('10.1.2.3');
  });

  it.each(['', 'unknown', '198.51.100.7:443', '198.51.100.7, nonsense', '"198.51.100.7"', '198.51.100.7;for=127.0.0.1'])(
    'is the proxy’s when the hop that counts is no address: %j',
    (written) => {
      expect(proxies.clientAddress('10.1.2.3', written)).toBe('10.1.2.3');
    },
  );

  it('finds a trusted IPv4 proxy that a dual-stack socket shows as IPv6', () => {
    expect(proxies.clientAddress('::ffff:10.1.2.3', '198.51.100.7')).toBe('198.51.100.7');
  });
});
