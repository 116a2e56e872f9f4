/**
 * The gate with tokens of generation v2 that a real node issued, plain and bound to a key (DPoP), and with proofs that the node makes.
 * `NUTS_NODE_BIN` names the binary of a v6 node.
 */
import { verifyAudit } from '../../../src/sandbox/scenario/verify.ts';
import { bearerToken, boundToken, proofFor, tokenAnswer, type BoundToken } from '../../contract/nuts/v2/web-nodes.ts';
import { string } from '../../contract/nuts/peer-pair.ts';
import { generationOf } from '../nuts/node-process.ts';
import { createReport, type Report } from './report.ts';
import { startWebRegion, type WebRegion } from './web-region.ts';

const { NUTS_NODE_BIN } = process.env;
const SCOPE = 'chart';

const report = createReport((line) => console.log(line));

if (NUTS_NODE_BIN === undefined) report.skip('all', 'set NUTS_NODE_BIN');
else if ((await generationOf(NUTS_NODE_BIN)) === 'v5') report.skip('all', 'a v5 node has generation v1 only');
else {
  let region: WebRegion | undefined;
  try {
    region = await startWebRegion(NUTS_NODE_BIN);
    await perform(region, report);
  } catch (error) {
    report.fail('the region runs', error instanceof Error ? error.message : String(error));
  } finally {
    if (region !== undefined && report.counts().failed > 0) report.line(`the end of the gateway's log:\n${await region.log(40)}`);
    await region?.close();
  }
}

const { passed, failed, skipped } = report.counts();
console.log(`${skipped === 0 ? '' : `${skipped} skipped; `}${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

async function perform(region: WebRegion, on: Report): Promise<void> {
  const { nodes, gate, fhir } = region;
  const url = (path: string): string => `${gate}/fhir${path}`;
  const permitted: string[] = [];

  /** One request; a 200 must have reached the FHIR server, everything else must not. */
  const ask = async (
    what: string,
    status: number,
    path: string,
    headers: Record<string, string>,
    method = 'GET',
  ): Promise<void> => {
    const reply = await fetch(url(path), { method, headers, signal: AbortSignal.timeout(10_000) });
    const body = await reply.text();
    if (reply.status === 200) permitted.push(`${method} ${path}`);
    const scheme = reply.status === 401 && reply.headers.get('www-authenticate') === null ? '; no WWW-Authenticate' : '';
    if (reply.status === status && scheme === '') on.pass(`${what}: ${status}`);
    else on.fail(`${what}: ${status}`, `${reply.status}${scheme}: ${body.slice(0, 300)}`);
  };
  const bound = async (): Promise<BoundToken> => {
    const answer = await tokenAnswer(nodes, { scope: SCOPE });
    return { token: string(answer['access_token']), kid: string(answer['dpop_kid']) };
  };
  const dpop = (token: string, proof: string): Record<string, string> => ({ authorization: `DPoP ${token}`, dpop: proof });
  const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

  on.act('A bearer token');
  const plain = await bearerToken(nodes, SCOPE);
  await ask('reads the patient', 200, '/Patient/mine', bearer(plain));
  await ask('and searches', 200, '/Observation?patient=Patient/mine', bearer(plain));
  await ask('another patient is denied', 403, '/Patient/other', bearer(plain));
  await ask('a token for a scope that the gate does not know', 403, '/Patient/mine', bearer(await bearerToken(nodes, 'care')));
  await ask('under the scheme DPoP it is refused', 401, '/Patient/mine', { authorization: `DPoP ${plain}` });

  on.act('A token that is bound to a key');
  const first = await bound();
  const proof = await proofFor(nodes, first, 'GET', url('/Patient/mine'));
  await ask("with the node's proof it reads", 200, '/Patient/mine', dpop(first.token, proof));
  await ask('the same proof again is refused', 401, '/Patient/mine', dpop(first.token, proof));
  const next = await proofFor(nodes, first, 'GET', url('/Patient/mine'));
  await ask('a new proof holds', 200, '/Patient/mine', dpop(first.token, next));
  await ask('as a bearer token it is refused', 401, '/Patient/mine', bearer(first.token));
  const unused = await proofFor(nodes, first, 'GET', url('/Patient/mine'));
  await ask('also with a proof beside it', 401, '/Patient/mine', { ...bearer(first.token), dpop: unused });
  await ask('without a proof', 401, '/Patient/mine', { authorization: `DPoP ${first.token}` });
  const elsewhere = await proofFor(nodes, first, 'GET', url('/Patient/other'));
  await ask('with a proof for another path', 401, '/Patient/mine', dpop(first.token, elsewhere));
  const post = await proofFor(nodes, first, 'POST', url('/Patient/mine'));
  await ask('with a proof for another method', 401, '/Patient/mine', dpop(first.token, post));
  const otherToken = await bound();
  const otherProof = await proofFor(nodes, otherToken, 'GET', url('/Patient/mine'));
  await ask('with a proof for another token', 401, '/Patient/mine', dpop(first.token, otherProof));
  const search = await proofFor(nodes, first, 'GET', url('/Observation'));
  await ask('a query is no part of what is proved', 200, '/Observation?patient=Patient/mine', dpop(first.token, search));
  const denied = await proofFor(nodes, first, 'GET', url('/Patient/other'));
  await ask('another patient is denied', 403, '/Patient/other', dpop(first.token, denied));

  on.act('Tokens of others');
  const ownServer = { ...nodes, a: nodes.b };
  await ask(
    "a token of the other subject's server, of the same node",
    401,
    '/Patient/mine',
    bearer(await bearerToken(ownServer, SCOPE)),
  );
  const foreign = await boundToken({ ...ownServer });
  const foreignProof = await proofFor(nodes, foreign, 'GET', url('/Patient/mine'));
  await ask('a bound one of it', 401, '/Patient/mine', dpop(foreign.token, foreignProof));
  await ask('a token of nobody', 401, '/Patient/mine', bearer('A'.repeat(43)));

  on.act('The node goes, and comes again without what it had in memory');
  await region.stopNode();
  await ask('without it nobody can tell', 503, '/Patient/mine', bearer(plain));
  await region.startNode();
  await untilAnswered(url('/Patient/mine'), bearer(plain));
  await ask('it has forgotten the token', 401, '/Patient/mine', bearer(plain));
  const again = await bound();
  const late = await proofFor(nodes, again, 'GET', url('/Patient/mine'));
  await ask('and gives new ones', 200, '/Patient/mine', dpop(again.token, late));

  const seen = fhir.requests().filter(({ rawHeaders }) => !rawHeaders.some((each) => each.toLowerCase() === 'x-sluis-lookup'));
  const targets = seen.map(({ method, target }) => `${method} ${target}`);
  if (targets.length === permitted.length) on.pass('the FHIR server saw what was permitted, and nothing else');
  else on.fail('the FHIR server saw what was permitted, and nothing else', `${permitted.join(', ')}\nsaw ${targets.join(', ')}`);
  const leaked = JSON.stringify(seen).includes(plain) || JSON.stringify(seen).includes(first.token);
  if (leaked) on.fail('no token went to the FHIR server', 'one did');
  else on.pass('no token went to the FHIR server');
  const { intact, lines } = await verifyAudit(region.auditDirectory);
  if (intact) on.pass('the audit journal is intact');
  else on.fail('the audit journal is intact', lines.join('\n'));
}

/** The gate's breaker may be open for a moment after the node is there again. */
async function untilAnswered(url: string, headers: Record<string, string>): Promise<void> {
  const until = performance.now() + 60_000;
  while (performance.now() < until) {
    if ((await fetch(url, { headers, signal: AbortSignal.timeout(10_000) })).status !== 503) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
