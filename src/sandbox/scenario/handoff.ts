import { DOSSIER } from '../dossier/index.ts';
import { USERS } from '../world/demo.ts';
import { identitySteps, tokenSteps } from './cast.ts';
import { itemUntil, negotiationWith, NOTE, status, transferUntil, type Cast } from './offer.ts';
import { at, insist, listAt, textAt, type Act } from './step.ts';

const NURSE = 'presentation of home care';
const NURSE_NORTH = 'presentation of nursing home';
const HANDOFF_TOKEN = 'hand-off token of home care';
const NOTICE_TOKEN = 'notice token of nursing home';

/** Assignment, hand-off, completion, and the end of all rights. */
export function handoffActs(cast: Cast): readonly Act[] {
  const { hospital, homeCare, nursingHome } = cast;
  return [
    {
      title: 'The hospital assigns the transfer to home care, and the other offer ends',
      steps: [
        ...identitySteps(nursingHome, USERS['zorghuis-noord'], NURSE_NORTH),
        hospital.ehr(`/eoverdracht/transfers/{${NOTE.transfer}}`, {
          method: 'GET',
          expect: 200,
          words: 'the state: which notice does the other one have?',
          check: ({ json }, notes) => {
            notes.set('notice of nursing home', textAt(negotiationWith(json, nursingHome), 'task', 'advanceNotice'));
          },
        }),
        ...tokenSteps(nursingHome, NOTICE_TOKEN, {
          custodian: hospital.did,
          path: '/{notice of nursing home}',
          identity: NURSE_NORTH,
        }),
        nursingHome.gate('/{notice of nursing home}', NOTICE_TOKEN, {
          method: 'GET',
          expect: 200,
          words: 'as long as its offer is open it reads the notice',
        }),
        hospital.ehr(`/eoverdracht/transfers/{${NOTE.transfer}}/assignment`, {
          method: 'POST',
          body: (notes) => ({
            negotiation: notes.text(NOTE.negotiation.homeCare),
            handoff: { composition: DOSSIER.nursingHandoff },
          }),
          expect: 200,
          words: 'home care it is, with the hand-off',
        }),
        nursingHome.gate('/{notice of nursing home}', NOTICE_TOKEN, {
          method: 'GET',
          expect: 403,
          words: 'the same token, a moment later: its right has ended',
        }),
        itemUntil(
          nursingHome,
          NOTE.item.nursingHome,
          'hears that its offer is over',
          ({ json }) => at(json, 'status') === 'cancelled',
        ),
        itemUntil(
          homeCare,
          NOTE.item.homeCare,
          'hears that the hand-off is there',
          ({ json }) => at(json, 'handoff') !== undefined,
        ),
      ],
    },
    {
      title: 'Home care reads the hand-off in its EHR',
      steps: [
        homeCare.ehr(`/eoverdracht/inbox/{${NOTE.item.homeCare}}/handoff`, {
          method: 'GET',
          headers: (notes) => ({ 'x-user-session': notes.text(NOTE.session) }),
          expect: 200,
          words: 'the whole hand-off as one Bundle',
          check: ({ json }) => {
            const types = listAt(json, 'entry').map((entry) => at(entry, 'resource', 'resourceType'));
            insist(
              types[0] === 'Composition' && types.includes('Patient') && types.includes('DocumentReference'),
              'the Bundle is not whole',
            );
          },
        }),
        homeCare.ehr(`/eoverdracht/inbox/{${NOTE.item.homeCare}}/binary/${idOf(DOSSIER.pdf)}`, {
          method: 'GET',
          headers: (notes) => ({ 'x-user-session': notes.text(NOTE.session) }),
          expect: 200,
          words: 'and the attached PDF',
          check: ({ bytes }) => insist(isPdf(bytes), 'it is no PDF'),
        }),
      ],
    },
    {
      title: 'The same at the gate, as other software would',
      steps: [
        ...tokenSteps(homeCare, 'hand-off token without user', { custodian: hospital.did, path: `/${DOSSIER.nursingHandoff}` }),
        homeCare.gate(`/${DOSSIER.nursingHandoff}/$document`, 'hand-off token without user', {
          method: 'GET',
          expect: 403,
          words: 'without a care worker in the token',
        }),
        ...identitySteps(homeCare, USERS['thuiszorg-west'], NURSE),
        ...tokenSteps(homeCare, HANDOFF_TOKEN, { custodian: hospital.did, path: `/${DOSSIER.nursingHandoff}`, identity: NURSE }),
        homeCare.gate(`/${DOSSIER.nursingHandoff}/$document`, HANDOFF_TOKEN, {
          method: 'GET',
          expect: 200,
          words: 'the document, with the care worker',
          check: ({ json }) => insist(at(json, 'type') === 'document', 'it is no document'),
        }),
        homeCare.gate(`/${DOSSIER.pdf}`, HANDOFF_TOKEN, {
          method: 'GET',
          headers: () => ({ accept: 'application/pdf' }),
          expect: 200,
          words: 'the attachment, raw',
          check: ({ bytes, headers }) =>
            insist(isPdf(bytes) && headers.get('content-type')?.startsWith('application/pdf') === true, 'it is no PDF'),
        }),
        homeCare.gate(`/${DOSSIER.outsideGrant}`, HANDOFF_TOKEN, {
          method: 'GET',
          expect: 403,
          words: 'of the same patient, but not in the hand-off',
        }),
      ],
    },
    {
      title: 'Home care has taken over, and the rights end',
      steps: [
        status(homeCare, NOTE.item.homeCare, { body: () => ({ status: 'completed' }), words: 'the hand-off is received' }),
        homeCare.gate(`/${DOSSIER.nursingHandoff}/$document`, HANDOFF_TOKEN, {
          method: 'GET',
          expect: 403,
          words: 'the same token, after completion',
        }),
        homeCare.gate(`/${DOSSIER.patient}`, HANDOFF_TOKEN, { method: 'GET', expect: 403, words: 'nothing medical any more' }),
        homeCare.gate(`/Task/{${NOTE.task.homeCare}}`, NOTE.taskToken, {
          method: 'GET',
          expect: 200,
          words: 'the Task stays readable',
          check: ({ json }) => insist(at(json, 'status') === 'completed', 'the Task is not completed'),
        }),
        transferUntil(
          hospital,
          'completed and closed: medical credentials revoked, all told',
          (json) => at(json, 'status') === 'completed' && at(json, 'settled') === true && medicalGrantsOver(json),
        ),
      ],
    },
    {
      title: 'Everything is on record',
      steps: [
        hospital.ehr('/audit', { method: 'GET', expect: 403, words: "the audit is not the EHR's to read" }),
        hospital.operator('/audit?outcome=denied', {
          method: 'GET',
          expect: 200,
          words: 'every denial, with its reason',
          check: ({ json }) => insist(listAt(json, 'items').length >= 5, 'there are too few entries'),
        }),
        hospital.operator(`/audit?patient=${encodeURIComponent(DOSSIER.patient)}`, {
          method: 'GET',
          expect: 200,
          words: 'and who saw what of this patient',
          check: ({ json }) => insist(listAt(json, 'items').length >= 3, 'there are too few entries'),
        }),
      ],
    },
  ];
}

function medicalGrantsOver(transfer: unknown): boolean {
  const grants = listAt(transfer, 'negotiations').flatMap((each) => listAt(each, 'grants'));
  return grants.filter((grant) => at(grant, 'kind') !== 'task').every((grant) => at(grant, 'revoked') === true);
}

function idOf(reference: string): string {
  return reference.split('/')[1] ?? '';
}

function isPdf(bytes: Uint8Array): boolean {
  return new TextDecoder('latin1').decode(bytes.subarray(0, 5)) === '%PDF-';
}
