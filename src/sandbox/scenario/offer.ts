import { randomUUID } from 'node:crypto';
import { DOSSIER } from '../dossier/index.ts';
import { TRANSFER_DATE, USERS } from '../world/demo.ts';
import { confirmation, tokenSteps, type Player } from './cast.ts';
import { at, insist, listAt, textAt, type Act, type Answer, type Notes, type Step } from './step.ts';

/** The organisations of the scenario. */
export interface Cast {
  /** Sends. */
  readonly hospital: Player;
  /** Is offered the patient and gets it. */
  readonly homeCare: Player;
  /** Is offered the patient and does not get it. */
  readonly nursingHome: Player;
}

/** What the hospital and the receivers call each other's things in the notes. */
export const NOTE = {
  transfer: 'transfer',
  task: { homeCare: 'task of home care', nursingHome: 'task of nursing home' },
  negotiation: { homeCare: 'negotiation of home care', nursingHome: 'negotiation of nursing home' },
  item: { homeCare: 'item of home care', nursingHome: 'item of nursing home' },
  session: 'user session of home care',
  taskToken: 'task token of home care',
  taskResource: 'task as read',
} as const;

const ALTERNATIVE_DATE = '2027-01-18';

/** Offer, notice, and a counter-proposal: until both receivers have accepted. */
export function offerActs(cast: Cast): readonly Act[] {
  const { hospital, homeCare, nursingHome } = cast;
  return [
    {
      title: 'The hospital looks for somebody to take over the care of a patient',
      steps: [
        hospital.ehr('/organizations?service=eOverdracht-receiver', {
          method: 'GET',
          expect: 200,
          words: 'who can receive a transfer?',
          check: ({ json }) => {
            const found = listAt(json, 'items').map((item) => at(item, 'organization'));
            for (const { did, name } of [homeCare, nursingHome])
              insist(found.includes(did), `${name} is not among the organisations found`);
          },
        }),
        hospital.ehr('/eoverdracht/transfers', {
          method: 'POST',
          body: () => ({ ...wish(cast), advanceNotice: { composition: DOSSIER.notAnonymousNotice } }),
          expect: 422,
          words: 'a notice that names the patient goes to nobody',
          check: ({ json }) => {
            insist(textAt(json, 'code') === 'not_anonymous', 'the reason is another one');
            insist(listAt(json, 'fields').length > 0, 'the places are not named');
          },
        }),
        hospital.ehr('/eoverdracht/transfers', {
          method: 'POST',
          headers: () => ({ 'idempotency-key': randomUUID() }),
          body: () => ({
            ...wish(cast),
            advanceNotice: { problems: DOSSIER.problems, interventions: DOSSIER.interventions },
          }),
          expect: 201,
          words: 'an anonymous notice is built and offered to two receivers',
          check: ({ json }, notes) => {
            notes.set(NOTE.transfer, textAt(json, 'id'));
            for (const who of ['homeCare', 'nursingHome'] as const) {
              const negotiation = negotiationWith(json, cast[who]);
              notes.set(NOTE.negotiation[who], textAt(negotiation, 'id'));
              notes.set(NOTE.task[who], textAt(negotiation, 'task', 'id'));
            }
          },
        }),
        firstSight(homeCare, 'homeCare'),
        firstSight(nursingHome, 'nursingHome'),
      ],
    },
    {
      title: 'Home care reads the notice: a care worker says who they are, on the page of their own node',
      steps: [
        homeCare.ehr(`/eoverdracht/inbox/{${NOTE.item.homeCare}}/advance-notice`, {
          method: 'GET',
          expect: 422,
          words: 'medical data is for people: which care worker?',
        }),
        homeCare.ehr('/user-sessions', {
          method: 'POST',
          body: () => ({ means: 'employeeid', user: USERS['thuiszorg-west'] }),
          expect: 201,
          words: 'a session for a care worker',
          check: ({ json }, notes) => {
            notes.set(NOTE.session, textAt(json, 'id'));
            notes.set('session url', textAt(json, 'url'));
          },
        }),
        ...confirmation(homeCare, 'session url'),
        homeCare.ehr(`/user-sessions/{${NOTE.session}}`, {
          method: 'GET',
          expect: 200,
          words: 'confirmed',
          check: ({ json }) => insist(textAt(json, 'status') === 'completed', 'the session is not completed'),
        }),
        homeCare.ehr(`/eoverdracht/inbox/{${NOTE.item.homeCare}}/advance-notice`, {
          method: 'GET',
          headers: (notes) => ({ 'x-user-session': notes.text(NOTE.session) }),
          expect: 200,
          words: 'the notice: problems and interventions, nobody named',
          check: (answer) => {
            insist(listAt(answer.json, 'entry').length > 5, 'the Bundle is not whole');
            insist(!new TextDecoder().decode(answer.bytes).includes('XXX_'), 'the notice names somebody');
          },
        }),
      ],
    },
    {
      title: 'At the gate of the hospital, as other software would: what a receiver may not',
      steps: [
        ...tokenSteps(homeCare, NOTE.taskToken, { custodian: hospital.did, path: `/Task/{${NOTE.task.homeCare}}` }),
        homeCare.gate(`/Task/{${NOTE.task.homeCare}}`, NOTE.taskToken, {
          method: 'GET',
          expect: 200,
          words: 'its own Task, no user needed',
          check: ({ json, headers }, notes) => {
            notes.set(NOTE.taskResource, json);
            notes.set('task etag', headers.get('etag') ?? '');
          },
        }),
        homeCare.gate(`/Task/{${NOTE.task.homeCare}}`, undefined, { method: 'GET', expect: 401, words: 'without a token' }),
        homeCare.gate(`/Task/{${NOTE.task.homeCare}}`, 'expired token', {
          method: 'GET',
          expect: 401,
          words: 'with a token of a minute ago',
        }),
        ...tokenSteps(nursingHome, 'task token of nursing home', {
          custodian: hospital.did,
          path: `/Task/{${NOTE.task.nursingHome}}`,
        }),
        nursingHome.gate(`/Task/{${NOTE.task.homeCare}}`, 'task token of nursing home', {
          method: 'GET',
          expect: 403,
          words: "another receiver's Task",
        }),
        homeCare.gate(`/Task?owner=${DOSSIER.organizations['thuiszorg-west']}`, NOTE.taskToken, {
          method: 'GET',
          expect: 403,
          words: 'nobody searches for Tasks, not even for their own',
        }),
        homeCare.gate(`/Task/{${NOTE.task.homeCare}}`, NOTE.taskToken, {
          method: 'PUT',
          headers: () => ({ 'content-type': 'application/fhir+json' }),
          body: (notes) => withOwner(notes.get(NOTE.taskResource), nursingHome),
          expect: 422,
          words: 'an answer that changes the owner as well',
        }),
        homeCare.gate(`/${DOSSIER.nursingHandoff}`, NOTE.taskToken, {
          method: 'GET',
          expect: 403,
          words: 'the hand-off, before it is assigned',
        }),
      ],
    },
    {
      title: 'The receivers answer',
      steps: [
        status(nursingHome, NOTE.item.nursingHome, {
          body: () => ({ status: 'on-hold', alternativeDate: ALTERNATIVE_DATE, reason: 'Op de gevraagde datum is geen plaats.' }),
          words: 'proposes another date',
        }),
        transferUntil(
          hospital,
          'the proposal has come in',
          (json) => at(negotiationWith(json, nursingHome), 'status') === 'on-hold',
        ),
        hospital.ehr(`/eoverdracht/transfers/{${NOTE.transfer}}/negotiations/{${NOTE.negotiation.nursingHome}}/answer`, {
          method: 'POST',
          body: () => ({ answer: 'agree' }),
          expect: 200,
          words: 'agrees: a new notice with that date',
        }),
        itemUntil(
          nursingHome,
          NOTE.item.nursingHome,
          'asked again, with the new date',
          ({ json }) => at(json, 'status') === 'requested',
        ),
        status(nursingHome, NOTE.item.nursingHome, { body: () => ({ status: 'accepted' }), words: 'accepts' }),
        status(homeCare, NOTE.item.homeCare, { body: () => ({ status: 'accepted' }), words: 'accepts too' }),
        transferUntil(hospital, 'both have accepted', (json) =>
          [homeCare, nursingHome].every((who) => at(negotiationWith(json, who), 'status') === 'accepted'),
        ),
      ],
    },
  ];
}

function wish({ homeCare, nursingHome }: Cast): object {
  return {
    patient: DOSSIER.patient,
    transferDate: TRANSFER_DATE,
    receivers: [{ organization: homeCare.did }, { organization: nursingHome.did }],
  };
}

/** The negotiation with somebody, in a transfer. */
export function negotiationWith(transfer: unknown, { did }: Player): unknown {
  return listAt(transfer, 'negotiations').find((each) => at(each, 'organization') === did);
}

/** The receiver finds the offer in its inbox: notified by the hospital's gateway, pulled by its own. */
function firstSight(receiver: Player, who: 'homeCare' | 'nursingHome'): Step {
  const mine = (json: unknown, notes: Notes): unknown =>
    listAt(json, 'items').find((item) => at(item, 'task', 'id') === notes.get(NOTE.task[who]));
  return receiver.ehr('/eoverdracht/inbox', {
    method: 'GET',
    expect: 200,
    words: 'the offer is in its inbox',
    until: ({ json }, notes) => mine(json, notes) !== undefined,
    check: ({ json }, notes) => {
      const item = mine(json, notes);
      insist(at(item, 'status') === 'requested', 'the item is not requested');
      notes.set(NOTE.item[who], textAt(item, 'id'));
    },
  });
}

/** An answer of a receiver through its EHR. */
export function status(receiver: Player, item: string, request: Pick<Step, 'words'> & { readonly body: () => object }): Step {
  return receiver.ehr(`/eoverdracht/inbox/{${item}}/status`, { ...request, method: 'POST', expect: 200 });
}

/** The receiver's EHR looks until its gateway has seen what the hospital changed. */
export function itemUntil(receiver: Player, item: string, words: string, until: (answer: Answer) => boolean): Step {
  return receiver.ehr(`/eoverdracht/inbox/{${item}}`, { method: 'GET', expect: 200, words, until });
}

/** The hospital's EHR looks until its gateway has done what had to follow. */
export function transferUntil(hospital: Player, words: string, until: (transfer: unknown) => boolean): Step {
  return hospital.ehr(`/eoverdracht/transfers/{${NOTE.transfer}}`, {
    method: 'GET',
    expect: 200,
    words,
    until: ({ json }) => until(json),
  });
}

function withOwner(task: unknown, { did, name }: Player): object {
  return {
    ...(typeof task === 'object' && task !== null ? task : {}),
    status: 'accepted',
    owner: { identifier: { system: 'http://nuts.nl', value: did }, display: name },
  };
}
