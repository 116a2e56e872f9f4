/**
 * The whole gateway on real Nuts nodes: three organisations with a node each, the gateway that `npm start` runs, and the demo's transfer from
 * the offer to the end, with more refusals. `NUTS_NODE_BIN` names the nodes' binary (v5 or v6), `NUTS_NODE_B_BIN` another one for the
 * receiver. `NUTS_NODE_GOSSIP_MS` (300): how slowly nodes tell each other; their own default is 5000.
 */
import type { Player } from '../../../src/sandbox/scenario/cast.ts';
import { handoffActs } from '../../../src/sandbox/scenario/handoff.ts';
import { NOTE, offerActs, type Cast } from '../../../src/sandbox/scenario/offer.ts';
import { play } from '../../../src/sandbox/scenario/play.ts';
import { verifyAudit } from '../../../src/sandbox/scenario/verify.ts';
import { aftermathActs, NEVER_ASKED, patiently, preludeActs, refusalActs } from './acts.ts';
import { NoPrivateDelivery } from './organizations.ts';
import { withoutReceiversNode, withoutSendersNode } from './outages.ts';
import { playerOf } from './players.ts';
import { startRegion, type Region } from './region.ts';
import { createReport, type Report } from './report.ts';

const { NUTS_NODE_BIN, NUTS_NODE_B_BIN, NUTS_NODE_GOSSIP_MS = '300' } = process.env;
const HOSPITAL = 'ziekenhuis-oost';

const report = createReport((line) => console.log(line));

if (NUTS_NODE_BIN === undefined) report.skip('all', 'set NUTS_NODE_BIN');
else {
  let region: Region | undefined;
  try {
    region = await startRegion({
      binary: NUTS_NODE_BIN,
      binaryB: NUTS_NODE_B_BIN ?? NUTS_NODE_BIN,
      gossipMs: Number(NUTS_NODE_GOSSIP_MS),
    });
    await perform(region, report);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (error instanceof NoPrivateDelivery) report.skip('all', why);
    else report.fail('the region runs', why);
  } finally {
    if (region !== undefined && report.counts().failed > 0) report.line(`the end of the gateway's log:\n${await region.log(40)}`);
    await region?.close();
  }
}

const { passed, failed, skipped } = report.counts();
console.log(`${skipped === 0 ? '' : `${skipped} skipped; `}${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

async function perform(region: Region, on: Report): Promise<void> {
  const member = (id: string): Player => playerOf(region, region.member(id), HOSPITAL);
  const cast: Cast = {
    hospital: member(HOSPITAL),
    homeCare: member('thuiszorg-west'),
    nursingHome: member('zorghuis-noord'),
  };
  for (const { id, name, did } of [cast.hospital, cast.homeCare, cast.nursingHome])
    on.line(`--    ${name}: node ${region.member(id).generation}, ${did}`);
  const hospital = region.member(HOSPITAL);

  const acts = [
    ...preludeActs(region, cast),
    ...offerActs(cast),
    ...refusalActs(region, cast),
    ...handoffActs(cast),
    ...aftermathActs(cast),
  ];
  const { notes } = await play(patiently(acts, cast), on);
  const asked = hospital.fhir.requests().filter(({ target }) => target.includes(NEVER_ASKED));
  check(on, "what was refused was never asked of the hospital's FHIR server", asked.length === 0, JSON.stringify(asked));

  await withoutSendersNode(region, cast, notes.text(NOTE.task.homeCare), on);
  await withoutReceiversNode(region, cast, on);

  const { intact, lines } = await verifyAudit(region.auditDirectory);
  check(on, 'the audit journal is intact', intact, lines.join('\n'));
}

function check(on: Report, what: string, holds: boolean, why: string): void {
  if (holds) on.pass(what);
  else on.fail(what, why);
}
