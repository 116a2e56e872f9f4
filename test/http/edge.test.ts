import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { GatewayError } from '../../src/errors.ts';
import { DEFAULT_EDGE_LIMITS, judgeEdge, type EdgeRequest, type RawRequest } from '../../src/http/edge.ts';

const HOST: readonly string[] = ['Host', 'pep.example'];

function request(difference: Partial<RawRequest> = {}): RawRequest {
  return {
    method: 'GET',
    url: '/a/fhir/Task/1',
    httpVersion: '1.1',
    rawHeaders: HOST,
    remoteAddress: '127.0.0.1',
    ...difference,
  };
}

function withHeaders(...rawHeaders: string[]): RawRequest {
  return request({ method: 'POST', rawHeaders: [...HOST, ...rawHeaders] });
}

/** Status and, when the connection must close, `close`. */
function verdict(raw: RawRequest): string {
  try {
    judgeEdge(raw);
    return 'passed';
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return `${String(error.status)} ${error.options.close === true ? 'close' : 'open'}`;
  }
}

describe('the edge', () => {
  it('hands on a request that can be read in one way', () => {
    const judged: EdgeRequest = judgeEdge(
      request({
        method: 'PUT',
        rawHeaders: [
          'HOST',
          'pep.example:7080',
          'Authorization',
          'Bearer x',
          'Content-Length',
          '12',
          'X-Forwarded-For',
          '1.2.3.4',
        ],
      }),
    );
    expect(judged).toMatchObject({
      method: 'PUT',
      target: '/a/fhir/Task/1',
      remoteAddress: '127.0.0.1',
      hasBody: true,
      contentLength: 12,
    });
    expect([...judged.headers]).toEqual([
      ['host', 'pep.example:7080'],
      ['authorization', 'Bearer x'],
      ['content-length', '12'],
      ['x-forwarded-for', '1.2.3.4'],
    ]);
  });

  it('knows a body by its framing', () => {
    expect(judgeEdge(withHeaders())).toMatchObject({ hasBody: false });
    expect(judgeEdge(withHeaders('Content-Length', '0'))).toMatchObject({ hasBody: false, contentLength: 0 });
    expect(judgeEdge(withHeaders('Transfer-Encoding', 'chunked'))).toMatchObject({ hasBody: true });
    expect(judgeEdge(request({ rawHeaders: [...HOST, 'Content-Length', '0'] }))).toMatchObject({ hasBody: false });
  });

  it('reads lists over several lines as one, and drops method overrides (M1)', () => {
    const { headers } = judgeEdge(
      withHeaders(
        'Accept',
        'text/html',
        'Accept',
        'application/fhir+json',
        'X-HTTP-Method-Override',
        'DELETE',
        'x-http-method',
        'PUT',
      ),
    );
    expect(headers.get('accept')).toBe('text/html, application/fhir+json');
    expect([...headers.keys()]).toEqual(['host', 'accept']);
  });

  it('keeps __proto__ a name like any other', () => {
    const { headers } = judgeEdge(withHeaders('__proto__'.replaceAll('_', '-'), 'x', 'constructor', 'y'));
    expect([...headers.keys()]).toEqual(['host', '--proto--', 'constructor']);
  });

  it.each<[string, string, readonly string[]]>([
    ['H7', '400 close', ['X_Tenant_Id', 'b']],
    ['H7', '400 close', ['x-tenant_id', 'b']],
    ['H7', '400 close', ['__proto__', 'x']],
    ['H8', '400 close', ['Authorization', 'Bearer a', 'authorization', 'Bearer a']],
    ['D4', '400 close', ['DPoP', 'a', 'dpop', 'b']],
    ['', '400 close', ['Host', 'pep.example']],
    ['', '400 close', ['Content-Type', 'application/json', 'Content-Type', 'application/json']],
    ['', '400 close', ['If-Match', 'W/"1"', 'If-Match', 'W/"2"']],
    ['', '400 close', ['If-None-Exist', 'a=b', 'If-None-Exist', 'a=b']],
    ['', '400 close', ['Idempotency-Key', 'a', 'Idempotency-Key', 'b']],
    ['H1', '400 close', ['Connection', 'keep-alive, x-upstream-authorization, x-request-id']],
    ['H1', '400 close', ['Connection', 'close, authorization']],
    ['H1', '400 close', ['Connection', 'close', 'Connection', 'authorization']],
    ['', '400 close', ['Upgrade', 'h2c']],
    ['', '400 close', ['Upgrade', 'h2c', 'Connection', 'Upgrade, HTTP2-Settings']],
    ['', '417 close', ['Expect', 'something']],
    ['H15', '400 close', ['Content-Length', '4', 'Transfer-Encoding', 'chunked']],
    ['H16', '400 close', ['Transfer-Encoding', 'xchunked']],
    ['H16', '400 close', ['Transfer-Encoding', 'chunked, identity']],
    ['H16', '400 close', ['Transfer-Encoding', 'gzip, chunked']],
    ['H16', '400 close', ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked']],
    ['H16', '400 close', ['Transfer-Encoding', 'chunked ']],
    ['H17', '400 close', ['Content-Length', '5', 'Content-Length', '6']],
    ['H17', '400 close', ['Content-Length', '5', 'Content-Length', '5']],
    ['H17', '400 close', ['Content-Length', '+5']],
    ['H17', '400 close', ['Content-Length', '-5']],
    ['H17', '400 close', ['Content-Length', '5, 5']],
    ['H17', '400 close', ['Content-Length', '0x10']],
    ['H17', '400 close', ['Content-Length', '05']],
    ['H17', '400 close', ['Content-Length', '']],
    ['H17', '400 close', ['Content-Length', '9'.repeat(17)]],
    ['H21', '400 close', ['X-Foo', 'a\rb']],
    ['H21', '400 close', ['X-Foo', 'a\u0000b']],
    ['', '400 close', ['X Foo', 'a']],
    ['', '400 close', ['', 'a']],
    ['H22', '431 close', Array.from({ length: 500 }, (_, index) => [`X-${String(index)}`, 'x']).flat()],
    ['H22', '431 close', ['X-Foo', 'x'.repeat(64 * 1024)]],
    // What must pass, one difference away.
    ['', 'passed', ['Authorization', 'Bearer a', 'DPoP', 'b']],
    ['', 'passed', ['Connection', 'Keep-Alive, close']],
    ['', 'passed', ['Expect', '100-Continue']],
    ['', 'passed', ['X-Foo', 'caf\u00e9\ta']],
    ['', 'passed', ['X-Forwarded-For', '1.2.3.4', 'X-Forwarded-For', '5.6.7.8']],
    ['', 'passed', Array.from({ length: 60 }, (_, index) => [`X-${String(index)}`, 'x']).flat()],
  ])('judges headers: %s %s %#', (_row, expected, headers) => {
    expect(verdict(withHeaders(...headers))).toBe(expected);
  });

  it.each<[string, string, Partial<RawRequest>]>([
    ['HTTP/1.0', '400 close', { httpVersion: '1.0' }],
    ['HTTP/0.9', '400 close', { httpVersion: '0.9' }],
    ['HTTP/2.0', '400 close', { httpVersion: '2.0' }],
    ['no Host', '400 close', { rawHeaders: [] }],
    ['an empty Host', '400 close', { rawHeaders: ['Host', ''] }],
    ['a list of Hosts', '400 close', { rawHeaders: ['Host', 'x, y'] }],
    ['a Host with a path', '400 close', { rawHeaders: ['Host', 'x/y'] }],
    ['a Host with a user', '400 close', { rawHeaders: ['Host', 'u@x'] }],
    ['a Host with a port past 65535', '400 close', { rawHeaders: ['Host', 'x:65536'] }],
    ['a Host with a port of five digits that is none', '400 close', { rawHeaders: ['Host', 'x:99999'] }],
    ['an IPv6 Host with a port past 65535', '400 close', { rawHeaders: ['Host', '[::1]:70000'] }],
    ['a Host with an empty port', '400 close', { rawHeaders: ['Host', 'x:'] }],
    ['a Host with port 0', '400 close', { rawHeaders: ['Host', 'x:0'] }],
    ['a Host with a signed port', '400 close', { rawHeaders: ['Host', 'x:+1'] }],
    ['a Host with a padded port', '400 close', { rawHeaders: ['Host', 'x:0443'] }],
    ['a Host with two ports', '400 close', { rawHeaders: ['Host', 'x:1:2'] }],
    ['P16 CONNECT', '405 close', { method: 'CONNECT', url: 'fhir:443' }],
    ['P16 OPTIONS *', '405 close', { method: 'OPTIONS', url: '*' }],
    ['M3 TRACE', '405 close', { method: 'TRACE' }],
    ['M4 get', '405 close', { method: 'get' }],
    ['M4 PATCHX', '405 close', { method: 'PATCHX' }],
    ['QUERY', '405 close', { method: 'QUERY' }],
    ['GET with a body', '400 close', { rawHeaders: [...HOST, 'Content-Length', '1'] }],
    ['HEAD with a body', '400 close', { method: 'HEAD', rawHeaders: [...HOST, 'Transfer-Encoding', 'chunked'] }],
    ['DELETE with a body', '400 close', { method: 'DELETE', rawHeaders: [...HOST, 'Content-Length', '1'] }],
    ['an IPv6 Host', 'passed', { rawHeaders: ['Host', '[::1]:7080'] }],
    ['a Host with the last port', 'passed', { rawHeaders: ['Host', 'x:65535'] }],
    ['a Host with the first port', 'passed', { rawHeaders: ['Host', 'x:1'] }],
    ['OPTIONS of a path, which is the path’s to answer', 'passed', { method: 'OPTIONS' }],
  ])('judges %s: %s', (_what, expected, difference) => {
    expect(verdict(request(difference))).toBe(expected);
  });

  it('names the methods that there are', () => {
    try {
      judgeEdge(request({ method: 'TRACE' }));
    } catch (error) {
      expect(error instanceof GatewayError && error.options.allow).toEqual(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
    }
    expect.assertions(1);
  });

  it('keeps to the limits that it is given', () => {
    const raw = withHeaders('X-Foo', 'x'.repeat(100));
    expect(() => judgeEdge(raw, { ...DEFAULT_EDGE_LIMITS, maxHeaderBytes: 100 })).toThrow(GatewayError);
    expect(() => judgeEdge(raw, { ...DEFAULT_EDGE_LIMITS, maxHeaders: 1 })).toThrow(GatewayError);
  });

  it('throws nothing but its refusals', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 5 }),
      fc.constantFrom('Host', 'host', 'Connection', 'Content-Length', '0', 'x'),
    );
    fc.assert(
      fc.property(text, text, text, fc.array(text, { maxLength: 9 }), (method, url, httpVersion, rawHeaders) => {
        const seen = verdict({ method, url, httpVersion, rawHeaders, remoteAddress: '' });
        const passable = verdict(request({ rawHeaders }));
        return [seen, passable].every((one) => /^(?:passed|4\d\d close)$/.test(one));
      }),
      { numRuns: 10_000 },
    );
  });
});

// The runtime's own parser stands before the edge: together they must refuse these bytes, whichever of the two does it.
describe('the edge behind node:http, on a raw socket', () => {
  let server: Server;
  let port = 0;

  beforeAll(async () => {
    server = createServer({ maxHeaderSize: 64 * 1024, requireHostHeader: false }, (incoming, answer) => {
      const { method = '', url = '', httpVersion, rawHeaders } = incoming;
      const seen = verdict({ method, url, httpVersion, rawHeaders, remoteAddress: '' });
      answer.writeHead(seen === 'passed' ? 200 : Number(seen.slice(0, 3)), { Connection: 'close' }).end();
    });
    server.on('checkExpectation', (_incoming, answer) => answer.writeHead(417, { Connection: 'close' }).end());
    // The parser may find its fault after the handler has answered: then the socket has had its one answer.
    server.on('clientError', (_error, socket: Socket) => {
      if (socket.bytesWritten === 0) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
      else socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (typeof address === 'object' && address !== null) port = address.port;
  });

  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  /** The status lines of everything that came back until the server closed. */
  function send(bytes: string): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      let received = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
      socket.setTimeout(20_000, () => socket.destroy(new Error(`no end after ${received}`)));
      socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
      });
      socket.on('close', () => {
        resolve([...received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status = '']) => status));
      });
    });
  }

  const line = 'POST /a/fhir/Observation/_search HTTP/1.1\r\nHost: pep.example\r\n';
  it.each<[string, string]>([
    [
      'H15',
      `${line}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /a/fhir/Patient/other HTTP/1.1\r\nX: y\r\n\r\n`,
    ],
    ['H16', `${line}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['H16', `${line}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ['H16', `${line}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ['H16', `${line}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['H17', `${line}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef`],
    ['H17', `${line}Content-Length: +5\r\n\r\nabcde`],
    ['H17', `${line}Content-Length: 5, 5\r\n\r\nabcde`],
    ['H18', 'GET /a/fhir/Task/1 HTTP/1.1\nHost: pep.example\n\n'],
    ['H18', 'GET /a/fhir/Task/1 HTTP/1.1\r\nHost: pep.example\r\nX-Foo: a\r\n b\r\n\r\n'],
    ['H18', 'GET /a/fhir/Task/1 HTTP/1.1\r\nHost : pep.example\r\n\r\n'],
    ['', 'GET /a/fhir/Task/1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['', 'GET /a/fhir/Task/1 HTTP/1.1\r\n\r\n'],
    ['', 'GET /a/fhir/Task/1 HTTP/1.0\r\nHost: a\r\n\r\n'],
    ['', 'GET /a/fhir/Task/1 HTTP/2.0\r\nHost: a\r\n\r\n'],
    ['M4', 'get /a/fhir/Task/1 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ])('refuses %s %# once and closes', async (_row, bytes) => {
    expect(await send(bytes)).toEqual(['400']);
  });

  it('answers what is well-formed', async () => {
    expect(await send('GET /a/fhir/Task/1 HTTP/1.1\r\nHost: pep.example\r\nAuthorization: Bearer x\r\n\r\n')).toEqual(['200']);
    expect(await send(`${line}Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n`)).toEqual(['200']);
  });
});
