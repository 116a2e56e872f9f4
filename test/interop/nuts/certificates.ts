/** Certificates with which two local nodes know each other: `createCertificates`. Made by `openssl`, valid for a day. */
import { execFile } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { mkdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificates {
  /** A name of this machine that is on loopback and not reserved (a node refuses `localhost` and addresses). */
  readonly host: string;
  readonly authorityFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** `undefined` when this machine has no `openssl`, or no name on loopback: the nodes then run without TLS. */
export async function createCertificates(directory: string): Promise<Certificates | undefined> {
  const host = hostname();
  const openssl = promisify(execFile);
  const file = (name: string): string => join(directory, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  try {
    const { address } = await lookup(host, { family: 4 });
    if (!address.startsWith('127.') || host === 'localhost') return undefined;
    await mkdir(directory, { recursive: true });
    await writeFile(file('extensions'), `subjectAltName=DNS:${host}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    const authority = ['-keyout', file('ca.key'), '-out', file('ca.pem'), '-subj', '/CN=Sluis interop test', '-days', '1'];
    await openssl('openssl', ['req', '-x509', ...key, ...authority]);
    await openssl('openssl', ['req', ...key, '-keyout', file('node.key'), '-out', file('node.csr'), '-subj', `/CN=${host}`]);
    const by = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '1', '-extfile', file('extensions')];
    await openssl('openssl', ['x509', '-req', '-in', file('node.csr'), ...by, '-out', file('node.pem')]);
  } catch {
    return undefined;
  }
  return { host, authorityFile: file('ca.pem'), certificateFile: file('node.pem'), keyFile: file('node.key') };
}
