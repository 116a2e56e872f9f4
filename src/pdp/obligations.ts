import { isListing, isWrite, type Interaction } from '../fhir/interaction.ts';
import { SHORTENING } from '../fhir/parameter-names.ts';
import { OBLIGATION_KINDS, obligationShapeFaults, REQUEST_HEADERS, RESPONSE_HEADERS } from '../usecase/check-obligations.ts';
import type { ChangeGuard, Narrowing, Obligation } from '../usecase/decision.ts';
import type { Filter, LocalAnswer, UseCase } from '../usecase/definition.ts';
import type { GuardedWrite, Review } from '../usecase/workflow.ts';
import type { RuleFault } from './rules.ts';

/** By what a write is held: the use case's code, or the changes that it declares. */
export type Guard =
  { readonly kind: 'code'; readonly write: GuardedWrite<unknown> } | { readonly kind: 'changes'; readonly changes: ChangeGuard };

/** The obligations of a permit, resolved: each can be kept, and they do not contradict each other. */
export interface Obliged {
  readonly guard?: Guard;
  readonly reviews: readonly Review<unknown>[];
  readonly filters: readonly Filter<unknown>[];
  readonly narrowings: readonly Narrowing[];
  readonly redacted: readonly string[];
  readonly maxCount?: number;
  readonly requestHeaders: Readonly<Record<string, string | null>>;
  readonly responseHeaders: Readonly<Record<string, string | null>>;
  readonly local?: LocalAnswer<unknown>;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Resolves the obligations of a permit. @returns a fault when one is unknown, cannot be kept for this interaction, or contradicts another */
export function resolveObligations(
  useCase: UseCase,
  interaction: Interaction,
  obligations: readonly Obligation[],
): Obliged | RuleFault {
  let guard: Guard | undefined;
  let local: LocalAnswer<unknown> | undefined;
  let maxCount: number | undefined;
  const reviews: Review<unknown>[] = [];
  const filters: Filter<unknown>[] = [];
  const narrowings: Narrowing[] = [];
  const redacted: string[] = [];
  let requestHeaders: Readonly<Record<string, string | null>> = {};
  let responseHeaders: Readonly<Record<string, string | null>> = {};
  let attributes: Readonly<Record<string, string>> = {};
  for (const obligation of obligations) {
    // What a use case returns is checked again: types hold at compile time only.
    if (!OBLIGATION_KINDS.has(obligation.kind))
      return { code: 'obligation_unknown', text: `${obligation.kind} is no obligation` };
    switch (obligation.kind) {
      case 'guard-write': {
        const write = useCase.writes?.find(({ name }) => name === obligation.guard);
        if (write === undefined) return unknown('write', obligation.guard);
        // Two guards would be two verdicts on one write.
        if (guard !== undefined) return conflict('two guards');
        guard = { kind: 'code', write };
        break;
      }
      case 'guard-changes':
        if (guard !== undefined) return conflict('two guards');
        if (obligationShapeFaults(obligation).length > 0) return misshapen(obligation);
        guard = { kind: 'changes', changes: obligation };
        break;
      case 'narrow': {
        const other = narrowings.find(({ parameter }) => parameter === obligation.parameter);
        if (other !== undefined && JSON.stringify(other.values) !== JSON.stringify(obligation.values))
          return conflict(`two narrowings of ${obligation.parameter}`);
        if (!Array.isArray(obligation.values) || obligation.values.length === 0) return conflict('a narrowing to nothing');
        if (other === undefined) narrowings.push(obligation);
        break;
      }
      case 'filter': {
        const filter = useCase.filters?.find(({ name }) => name === obligation.filter);
        if (filter === undefined) return unknown('filter', obligation.filter);
        filters.push(filter);
        break;
      }
      case 'redact':
        // What names no element would redact nothing.
        if (obligationShapeFaults(obligation).length > 0) return misshapen(obligation);
        redacted.push(...obligation.elements);
        break;
      case 'max-count':
        if (!(obligation.count >= 1)) return conflict('a page of none');
        maxCount = Math.min(maxCount ?? Infinity, obligation.count);
        break;
      case 'headers': {
        const request = merged(requestHeaders, obligation.request, REQUEST_HEADERS);
        const response = merged(responseHeaders, obligation.response, RESPONSE_HEADERS);
        if (request === undefined || response === undefined)
          return conflict('a header that is not the use case’s, or is set twice');
        requestHeaders = request;
        responseHeaders = response;
        break;
      }
      case 'answer-locally': {
        const answer = useCase.answers?.find(({ name }) => name === obligation.answer);
        if (answer === undefined) return unknown('answer', obligation.answer);
        if (local !== undefined) return conflict('two local answers');
        local = answer;
        break;
      }
      case 'review': {
        const review = useCase.reviews?.find(({ name }) => name === obligation.review);
        if (review === undefined) return unknown('review', obligation.review);
        reviews.push(review);
        break;
      }
      case 'audit':
        attributes = { ...attributes, ...obligation.attributes };
        break;
    }
  }
  const unfit = fitFault(interaction, { guard, local, narrowings, filters, reviews, redacted, requestHeaders, responseHeaders });
  if (unfit !== undefined) return unfit;
  return {
    ...(guard === undefined ? {} : { guard }),
    ...(local === undefined ? {} : { local }),
    ...(maxCount === undefined ? {} : { maxCount }),
    reviews,
    filters,
    narrowings,
    redacted,
    requestHeaders,
    responseHeaders,
    attributes,
  };
}

interface Fitting {
  readonly guard: Guard | undefined;
  readonly local: LocalAnswer<unknown> | undefined;
  readonly narrowings: readonly unknown[];
  readonly filters: readonly unknown[];
  readonly reviews: readonly unknown[];
  readonly redacted: readonly unknown[];
  readonly requestHeaders: object;
  readonly responseHeaders: object;
}

/** An obligation that could not be kept would be a promise without effect. */
function fitFault(interaction: Interaction, fitting: Fitting): RuleFault | undefined {
  const { guard, local, narrowings, filters, reviews, redacted } = fitting;
  const { kind } = interaction;
  const isChange = kind === 'update' || kind === 'patch';
  // What changes something goes up only under a guard: nothing of the caller's bytes is passed on unjudged.
  if (isChange && guard === undefined) return { code: 'write_without_guard', text: `${kind} needs a guard` };
  if (!isChange && guard !== undefined)
    return { code: 'obligation_unfit', text: `a guard is for update and patch, not for ${kind}` };
  if (kind === 'patch' && guard?.kind === 'code')
    return { code: 'obligation_unfit', text: 'guard-write is for update, not for patch' };
  if ((kind === 'patch' || kind === 'conditional-patch') && interaction.format !== 'json-patch')
    return { code: 'patch_format_not_carried_out', text: 'of the ways to write a patch the gate carries out JSON Patch' };
  if (isWrite(interaction)) {
    if (local !== undefined || narrowings.length > 0 || filters.length > 0)
      return { code: 'obligation_unfit', text: `what is for reads does not fit ${kind}` };
  }
  if (filters.length > 0 && !isListing(kind)) return { code: 'obligation_unfit', text: `a filter is for lists, not for ${kind}` };
  const isOperation = 'operation' in interaction;
  // What was written comes back as its own read has it, or not at all.
  const isAnswered = !isWrite(interaction) || isOperation || guard?.kind === 'code';
  if (!isAnswered && (redacted.length > 0 || reviews.length > 0))
    return {
      code: 'obligation_unfit',
      text: `${kind} answers with nothing of its own: redact and review are for the rule of its read`,
    };
  if (!isAnswered && kind !== 'bundle' && !isEmpty(fitting.responseHeaders))
    return { code: 'obligation_unfit', text: `the headers of the answer to ${kind} are the gate’s` };
  if (isWrite(interaction) && !isOperation && !isEmpty(fitting.requestHeaders))
    return { code: 'obligation_unfit', text: `what goes up of ${kind} has the gate’s own headers` };
  // Attack cases Q25, Q50.
  if (filters.length > 0 && 'parameters' in interaction && interaction.parameters.some(({ key }) => SHORTENING.has(key)))
    return { code: 'obligation_unfit', text: 'a filter needs all elements: no _elements and no _summary' };
  if ('type' in interaction && interaction.type === 'Binary' && (filters.length > 0 || redacted.length > 0))
    return { code: 'obligation_unfit', text: 'nobody looks inside a Binary' };
  return undefined;
}

function isEmpty(headers: object): boolean {
  return Object.keys(headers).length === 0;
}

function merged(
  into: Readonly<Record<string, string | null>>,
  more: Readonly<Record<string, string | null>> | undefined,
  allowed: ReadonlySet<string>,
): Readonly<Record<string, string | null>> | undefined {
  if (more === undefined) return into;
  for (const name of Object.keys(more)) {
    const value = more[name];
    if (!allowed.has(name) || (Object.hasOwn(into, name) && into[name] !== value)) return undefined;
    if (typeof value === 'string' ? !/^[\t\x20-\x7e]*$/.test(value) : value !== null) return undefined;
  }
  return { ...into, ...more };
}

function misshapen(obligation: Obligation): RuleFault {
  return { code: 'obligation_unfit', text: obligationShapeFaults(obligation).join('; ') };
}

function unknown(what: string, name: string): RuleFault {
  return { code: 'obligation_unknown', text: `the use case has no ${what} ${name}` };
}

function conflict(text: string): RuleFault {
  return { code: 'obligations_conflict', text };
}
