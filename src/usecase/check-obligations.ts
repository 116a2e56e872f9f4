import { z } from 'zod';
import { isMemberOf } from '../fhir/choice.ts';
import { isResourceType } from '../fhir/version.ts';
import { isListing, type InteractionKind } from '../fhir/interaction.ts';
import { SHORTENING } from '../fhir/parameter-names.ts';
import type { Obligation } from './decision.ts';
import type { UseCase } from './definition.ts';
import type { Rule } from './rules.ts';

const text = z.string().min(1);
const texts = z.array(text).min(1);

/** What a use case may set or strip upstream, of what the gate would send anyway or leaves out. */
export const REQUEST_HEADERS: ReadonlySet<string> = new Set(['accept-language', 'cache-control', 'prefer']);
/** What it may set or strip of an answer. */
export const RESPONSE_HEADERS: ReadonlySet<string> = new Set([
  'content-language',
  'content-location',
  'etag',
  'last-modified',
  'location',
  'warning',
]);

const headers = (names: ReadonlySet<string>) =>
  z
    .record(
      z.string().refine((name) => names.has(name), `is not the use case’s; there are ${[...names].join(' ')}`),
      z.union([z.string().regex(/^[\t\x20-\x7e]*$/), z.null()], 'must be text, which sets, or null, which strips'),
    )
    .optional();

const element = z
  .string()
  .refine(
    (path) => !/^[A-Z]/.test(path) || isResourceTypeOfAny(path.split('.', 1)[0] ?? ''),
    'must begin with a resource type, exact case',
  )
  .regex(
    /^[A-Z][A-Za-z]*(?:\.(?!resourceType$)[a-z][A-Za-z0-9]*)+$/,
    'must be named from its type, as in Patient.name; a choice by its name, as in Observation.value, or with its type, as in Observation.valueString',
  );

function isResourceTypeOfAny(text: string): boolean {
  return isResourceType('STU3', text) || isResourceType('R4', text);
}

const changeable = z
  .string()
  .regex(
    /^(?:\*|meta\.(?:security|tag)|(?!(?:id|resourceType)$)[a-z][A-Za-z0-9]*)$/,
    'must be an element from the top but id, as status; a choice by its name, as value, or with its type, as valueQuantity; meta.security or meta.tag; or * for all',
  );
const stepped = z.string().regex(/^[a-z][A-Za-z0-9]*$/, 'must be an element from the top, as status');

// As closed as the rules themselves: a mistyped condition (`state` for `states`) would be none.
const SHAPES: Readonly<Record<Obligation['kind'], z.ZodType>> = {
  'guard-write': z.strictObject({ kind: text, guard: text }),
  'guard-changes': z.strictObject({
    kind: text,
    changed: z.array(changeable).min(1),
    states: z
      .array(z.strictObject({ element: stepped, steps: z.array(z.strictObject({ from: text, to: text })).min(1) }))
      .optional(),
  }),
  narrow: z.strictObject({ kind: text, parameter: text, values: texts, element: text }),
  filter: z.strictObject({ kind: text, filter: text }),
  redact: z.strictObject({ kind: text, elements: z.array(element).min(1) }),
  'max-count': z.strictObject({ kind: text, count: z.int().min(1) }),
  headers: z.strictObject({ kind: text, request: headers(REQUEST_HEADERS), response: headers(RESPONSE_HEADERS) }),
  'answer-locally': z.strictObject({ kind: text, answer: text }),
  review: z.strictObject({ kind: text, review: text }),
  audit: z.strictObject({ kind: text, attributes: z.record(text, z.string()) }),
};

export const OBLIGATION_KINDS: ReadonlySet<string> = new Set(Object.keys(SHAPES));

/** What is wrong with the shape of an obligation: its kind, an unknown field, a wrong value; with the field's name. */
export function obligationShapeFaults(obligation: { readonly kind: string }): readonly string[] {
  if (!OBLIGATION_KINDS.has(obligation.kind)) return [`${obligation.kind} is none; there are ${[...OBLIGATION_KINDS].join(' ')}`];
  const parsed = SHAPES[obligation.kind as Obligation['kind']].safeParse(obligation);
  if (parsed.success) return [];
  return parsed.error.issues.map(({ path, message, ...issue }) => {
    // Of a wrong key the issue that says why is one level down.
    const [why] = issue.code === 'invalid_key' ? issue.issues : [];
    return `${[obligation.kind, ...path].join('.')}: ${why?.message ?? message}`;
  });
}

const WRITES: ReadonlySet<InteractionKind> = new Set([
  'create',
  'update',
  'patch',
  'delete',
  'bundle',
  'conditional-create',
  'conditional-update',
  'conditional-patch',
  'conditional-delete',
]);

/** What is wrong with the obligations of a rule: what they name is not there, or they cannot be kept on its interaction. */
export function obligationFaults(
  rule: Rule,
  useCase: Pick<UseCase, 'writes' | 'reviews' | 'filters' | 'answers'>,
): readonly string[] {
  const { interaction } = rule;
  const obligations = rule.obligations ?? [];
  const isByCode = obligations.some(({ kind }) => kind === 'guard-write');
  const faults: string[] = [];
  const insist = (holds: boolean, fault: string): void => {
    if (!holds) faults.push(`obligations: ${fault}`);
  };
  const insistOn = (among: readonly { readonly name: string }[] | undefined, what: string, name: string): void => {
    insist(among?.some((each) => each.name === name) === true, `the use case has no ${what} ${name}`);
  };
  // What was written comes back as its own read has it, or not at all.
  const insistOnAnswer = (kind: Obligation['kind']): void => {
    insist(
      !WRITES.has(interaction) || isByCode,
      `${kind} is for what a rule answers; put it on the rule for the read, not for ${interaction}`,
    );
  };
  for (const obligation of obligations) {
    const misshapen = obligationShapeFaults(obligation);
    for (const fault of misshapen) insist(false, fault);
    if (misshapen.length > 0) continue;
    switch (obligation.kind) {
      case 'guard-write':
        insist(interaction === 'update', `guard-write is for update, not for ${interaction}`);
        insistOn(useCase.writes, 'write', obligation.guard);
        break;
      case 'guard-changes':
        insist(
          interaction === 'update' || interaction === 'patch',
          `guard-changes is for update and patch, not for ${interaction}`,
        );
        for (const { element: of } of obligation.states ?? [])
          insist(mayStep(obligation.changed, of), `guard-changes.states: ${of} has steps and is not among changed`);
        break;
      case 'narrow':
        insist(interaction.startsWith('search-'), `narrow is for searches, not for ${interaction}`);
        break;
      case 'filter':
        insist(isListing(interaction), `filter is for searches and histories, not for ${interaction}`);
        insistOn(useCase.filters, 'filter', obligation.filter);
        break;
      case 'redact':
        insistOnAnswer('redact');
        insist(!rule.types.includes('Binary'), 'nobody looks inside a Binary');
        break;
      case 'review':
        insistOnAnswer('review');
        insistOn(useCase.reviews, 'review', obligation.review);
        break;
      case 'headers':
        insist(
          obligation.request === undefined || !WRITES.has(interaction),
          `headers.request are the gate’s own on ${interaction}`,
        );
        if (obligation.response !== undefined && interaction !== 'bundle') insistOnAnswer('headers');
        break;
      case 'max-count':
        insist(isListing(interaction), `${interaction} has no pages`);
        break;
      case 'answer-locally':
        insist(!WRITES.has(interaction), `answer-locally is for reads, not for ${interaction}`);
        insistOn(useCase.answers, 'answer', obligation.answer);
        break;
      case 'audit':
        break;
    }
  }
  return [...faults, ...takenAwayFaults(rule)];
}

/** A step of what may not change is never taken. */
function mayStep(changed: readonly string[], element: string): boolean {
  return changed.some((each) => each === '*' || isMemberOf(each, element) || isMemberOf(element, each));
}

/** What is proved on an answer, or filtered by, must be in it: with these it never matches (attack cases Q25, Q50). */
function takenAwayFaults({ patient, narrow, obligations, parameters, interaction }: Rule): readonly string[] {
  const isProved = patient?.from === 'look-up' || patient?.from === 'parameter';
  const reasons = [
    ...(isProved && !WRITES.has(interaction) ? ['patient.element'] : []),
    ...(narrow === undefined || narrow.length === 0 ? [] : ['narrow']),
    ...['narrow', 'filter'].filter((kind) => obligations?.some((each) => each.kind === kind) === true),
  ];
  const [reason] = reasons;
  if (reason === undefined) return [];
  return [...SHORTENING]
    .filter((key) => parameters !== undefined && Object.hasOwn(parameters, key))
    .map(
      (key) => `parameters.${key}: is always denied beside ${reason}, which needs all elements: leave out the one or the other`,
    );
}
