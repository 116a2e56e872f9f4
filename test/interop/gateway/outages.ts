/** What happens while a real node does not run, and when it runs again: `withoutSendersNode`, `withoutReceiversNode`. */
import { DOSSIER } from '../../../src/sandbox/dossier/index.ts';
import type { Cast } from '../../../src/sandbox/scenario/offer.ts';
import { play } from '../../../src/sandbox/scenario/play.ts';
import { at, insist, listAt, textAt, type Act } from '../../../src/sandbox/scenario/step.ts';
import { TRANSFER_DATE } from '../../../src/sandbox/world/demo.ts';
import { eventually } from '../../contract/nuts/peer-pair.ts';
import { freshTokenActs, stoppedNodeActs } from './acts.ts';
import type { Region } from './region.ts';
import type { Report } from './report.ts';

const RECOVERY_MS = 90_000;

/** A token that nobody has introspected yet is neither good nor bad while the custodian's node is down, and good again afterwards. */
export async function withoutSendersNode(region: Region, cast: Cast, task: string, on: Report): Promise<void> {
  const hospital = region.member(cast.hospital.id);
  const { notes } = await play(freshTokenActs(cast, task), on);
  const token = notes.text('fresh token');
  await hospital.stop();
  try {
    await play(stoppedNodeActs(region, cast, task, token), on);
  } finally {
    await hospital.restart();
  }
  await recovery(on, 'the node runs again, and the same token works', async () => {
    const url = `${region.public}/${hospital.id}/fhir/Task/${task}`;
    const { status } = await fetch(url, { headers: { authorization: `Bearer ${token}`, accept: 'application/fhir+json' } });
    insist(status === 200, `the same request is answered with ${status}`);
  });
}

/** An offer is made although the receiver's node is down; credential and notification arrive once it runs. */
export async function withoutReceiversNode(region: Region, cast: Cast, on: Report): Promise<void> {
  const { hospital, nursingHome } = cast;
  const member = region.member(nursingHome.id);
  await member.stop();
  let task: string;
  try {
    const { notes } = await play(offerOf(cast), on);
    task = notes.text('task');
  } finally {
    await member.restart();
  }
  await recovery(on, `the receiver's node runs again, and the offer is in the inbox of ${nursingHome.name}`, async () => {
    const url = `${region.internal}/api/v1/tenants/${nursingHome.id}/eoverdracht/inbox`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${member.apiKey}` } });
    const json: unknown = await answer.json();
    const item = listAt(json, 'items').find((each) => at(each, 'task', 'id') === task);
    insist(at(item, 'status') === 'requested', `the offer of ${hospital.name} is not there`);
  });
}

function offerOf({ hospital, nursingHome }: Cast): readonly Act[] {
  return [
    {
      title: "The receiver's node does not run",
      steps: [
        hospital.ehr('/eoverdracht/transfers', {
          method: 'POST',
          body: () => ({
            patient: DOSSIER.patient,
            transferDate: TRANSFER_DATE,
            receivers: [{ organization: nursingHome.did }],
            advanceNotice: { problems: DOSSIER.problems, interventions: DOSSIER.interventions },
          }),
          expect: 201,
          words: 'an offer all the same',
          check: ({ json }, notes) => {
            notes.set('transfer', textAt(json, 'id'));
            notes.set('task', textAt(json, 'negotiations', 0, 'task', 'id'));
          },
        }),
        hospital.ehr('/eoverdracht/transfers/{transfer}', {
          method: 'GET',
          expect: 200,
          words: 'offered, and the notification has yet to be delivered',
          check: ({ json }) =>
            insist(at(json, 'negotiations', 0, 'notification', 'state') === 'pending', 'the notification is not pending'),
        }),
      ],
    },
  ];
}

async function recovery(on: Report, what: string, attempt: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  try {
    await eventually(attempt, RECOVERY_MS);
    on.pass(`${what}, after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  } catch (error) {
    on.fail(what, error instanceof Error ? error.message : String(error));
  }
}
