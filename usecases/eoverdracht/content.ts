import { z } from 'sluis/usecase';
import { SECTION_NAMES } from './composition.ts';

const reference = z.string().regex(/^\/?[A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64}$/, 'a reference such as Condition/1');
const references = z.array(reference).max(200);

/** References to one of the types that the profile has in that place (facts §3.2). */
function referencesTo(...types: readonly string[]) {
  const pattern = new RegExp(`^/?(?:${types.join('|')})/[A-Za-z0-9\\-.]{1,64}$`);
  return z.array(z.string().regex(pattern, `a reference to ${types.join(' or ')}`)).max(200);
}

const problems = referencesTo('Condition').min(1);
const interventions = referencesTo('Procedure').min(1);
const payers = referencesTo('Coverage');
const composition = z.strictObject({
  composition: z.string().regex(/^\/?Composition\/[A-Za-z0-9\-.]{1,64}$/, 'a reference such as Composition/1'),
});

/** `name` is how the Task shows the receiver; without one the node is asked. */
const receiver = z.object({ organization: z.string().min(1), name: z.string().min(1).optional() });

const optionalSections = Object.fromEntries(SECTION_NAMES.map((name) => [name, references.optional()]));

/** A notice: one that the EHR made, or references from which one is built. */
export const noticeContent = z.union([
  composition,
  z.strictObject({
    problems,
    interventions,
    diagnoses: referencesTo('Condition').optional(),
    payers: payers.optional(),
    medicalHistory: references.optional(),
    alerts: references.optional(),
    freedomRestriction: references.optional(),
    nutrition: references.optional(),
    excretion: references.optional(),
    author: reference.optional(),
  }),
]);

/** A hand-off: one that the EHR made, or references from which one is built (facts §3.2: what the profile demands is demanded here). */
export const handoffContent = z.union([
  composition,
  z.strictObject({
    ...optionalSections,
    problems,
    interventions,
    payers: payers.min(1),
    /** A Practitioner and one or more PractitionerRoles. */
    practitioners: referencesTo('Practitioner', 'PractitionerRole').min(1),
    author: reference.optional(),
  }),
]);

export const createBody = z.object({
  patient: z.string().regex(/^\/?Patient\/[A-Za-z0-9\-.]{1,64}$/, 'a reference such as Patient/1'),
  transferDate: z.iso.date(),
  advanceNotice: noticeContent.optional(),
  receivers: z.array(receiver).max(50).optional(),
  handoff: handoffContent.optional(),
});

export const receiversBody = z.union([z.object({ receivers: z.array(receiver).min(1).max(50) }), receiver]);

export const assignmentBody = z.object({ negotiation: z.string().min(1), handoff: handoffContent });

export const handoffBody = z.object({ handoff: handoffContent });

export const answerBody = z.union([
  z.object({
    answer: z.literal('agree'),
    /** Default: the date that the receiver proposed. */
    transferDate: z.iso.date().optional(),
    /** Needed when the notice was made by the EHR; else it is built again with the new date. */
    advanceNotice: noticeContent.optional(),
  }),
  z.object({ answer: z.literal('refuse') }),
]);

export type NoticeContent = z.infer<typeof noticeContent>;
export type HandoffContent = z.infer<typeof handoffContent>;
