import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';
import { tellParent } from './messages.ts';

// What the gateway is measured against: node:http in, undici out, and nothing in between. It judges nothing, logs nothing, records nothing.

const [origin = ''] = process.argv.slice(2);
const upstream = new Pool(origin, { connections: 64, pipelining: 1 });

const server = createServer((request, response) => {
  const { host: _host, connection: _connection, ...headers } = request.headers;
  upstream
    .request({ method: 'GET', path: request.url ?? '/', headers })
    .then((answer) => {
      const { connection: _theirs, 'keep-alive': _keepAlive, ...passed } = answer.headers;
      response.writeHead(answer.statusCode, passed);
      answer.body.pipe(response);
    })
    .catch(() => {
      request.socket.destroy();
    });
});
server.listen(0, '127.0.0.1', () => {
  tellParent({ type: 'ready', urls: { proxy: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}` } });
});
process.on('disconnect', () => process.exit(0));
