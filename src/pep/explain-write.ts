import { parseIfMatch } from '../fhir/etag.ts';
import { isWrite, type Interaction } from '../fhir/interaction.ts';
import type { PermitVerdict } from '../pdp/decide.ts';
import { parametersOf } from '../pdp/rules.ts';
import type { Conditional } from './conditional.ts';
import type { Ended } from './explain-ending.ts';
import type { Trace } from './explain-trace.ts';
import type { ExplainedStage } from './explanation.ts';
import type { Decided, Permitted } from './stages.ts';

type Facts = NonNullable<ExplainedStage['facts']>;

/** The request that is sent in the end: of a conditional write what it comes to; undefined where it comes to nothing. */
export function finalOf(trace: Trace): Permitted | undefined {
  const [first] = trace.judged;
  if (first?.stage !== 'permitted') return undefined;
  if (!('criteria' in first.verdict.interaction)) return first;
  const comes = comesTo(trace);
  return comes?.stage === 'permitted' ? comes : undefined;
}

/** What is held against a permitted write, and how that came out. @param prefer what `Prefer` would come to */
export function describeWrite(trace: Trace, { verdict }: Permitted, ended: Ended, prefer: Facts): readonly ExplainedStage[] {
  const { interaction } = verdict;
  switch (interaction.kind) {
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return describeConditional(trace, interaction, ended, prefer);
    case 'update':
    case 'patch':
    case 'delete':
      return [writeStage({ ...guardFacts(verdict), ...heldAgainst(trace, verdict, ended), ...prefer }, ended)];
    case 'create':
      return [writeStage(prefer, ended)];
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
      return isWrite(interaction) && ended.how !== 'stopped' ? [writeStage({ sentOnce: true }, ended)] : [];
    case 'bundle':
    case 'read':
    case 'vread':
    case 'history-instance':
    case 'history-type':
    case 'history-system':
    case 'search-type':
    case 'search-system':
    case 'search-compartment':
    case 'capabilities':
    case 'options':
      return [];
  }
}

function guardFacts({ guard }: PermitVerdict): Facts {
  if (guard === undefined) return {};
  if (guard.kind === 'code') return { guard: guard.write.name };
  const steps = (guard.changes.states ?? []).flatMap(({ element, steps: each }) =>
    each.map(({ from, to }) => `${element} from ${from} to ${to}`),
  );
  return { guard: `may change ${guard.changes.changed.join(' ')}`, ...(steps.length === 0 ? {} : { steps }) };
}

/** What is known of a change that would be sent. */
function heldAgainst({ asked }: Trace, { interaction }: PermitVerdict, { how }: Ended): Facts {
  if (how === 'stopped') return {};
  const wanted = asked?.addressed.received.headers.get('if-match');
  return {
    stored: 'it is there, and the caller’s to change',
    ...(wanted === undefined ? {} : { ifMatch: `version ${parseIfMatch(wanted)} is the stored one` }),
    ...(interaction.kind === 'delete'
      ? {}
      : { change: how === 'sent' ? 'the guard takes it' : 'there is none: it is so already' }),
  };
}

function describeConditional(trace: Trace, conditional: Conditional, ended: Ended, prefer: Facts): readonly ExplainedStage[] {
  const search = trace.judged.find(isSearch);
  if (search === undefined) {
    // Who may not create is not searched for; and a search that fails, or that the role does not have, is where it stops.
    const stage = ended.how === 'stopped' && ended.code === 'criteria_denied' ? 'search' : 'write';
    return [stageOf(stage, {}, ended)];
  }
  const { rule, proofs, interaction } = search.verdict;
  const facts: Facts = {
    rule: rule.id,
    proofs: proofs.map(({ element, values }) => `${element} is ${values.join(' or ')}`),
    parameters: parametersOf(interaction).map(({ key }) => key),
  };
  const comes = comesTo(trace);
  if (comes === undefined && ended.how === 'stopped' && ended.outcome === 'failed') return [stageOf('search', facts, ended)];
  const what = comesToOf(conditional, trace.part !== undefined, comes, ended);
  const guarded = comes?.stage === 'permitted' ? { ...guardFacts(comes.verdict), ...prefer } : {};
  return [
    { stage: 'search', outcome: 'passed', facts },
    writeStage({ ...(what === undefined ? {} : { comesTo: what }), ...guarded }, ended),
  ];
}

function isSearch(decided: Decided): decided is Permitted {
  return (
    decided.stage === 'permitted' && decided.verdict.interaction.kind === 'search-type' && decided.verdict.local === undefined
  );
}

/** What was judged after the search: the write that the conditional one comes to. */
function comesTo({ judged }: Trace): Decided | undefined {
  const at = judged.findIndex(isSearch);
  const next = at === -1 ? undefined : judged[at + 1];
  return next !== undefined && isWrite(next.authenticated.interaction) ? next : undefined;
}

function comesToOf({ kind }: Conditional, isEntry: boolean, comes: Decided | undefined, ended: Ended): string | undefined {
  const becomes: Interaction['kind'] | undefined = comes?.authenticated.interaction.kind;
  if (becomes === 'create')
    return isEntry && kind === 'conditional-create' ? 'create, unless one matches' : 'create: none matches';
  if (becomes !== undefined) return `${becomes} of the one that matches`;
  if (ended.how !== 'answered') return undefined;
  return kind === 'conditional-create' ? 'nothing: one matches already' : 'nothing: none matches';
}

function writeStage(facts: Facts, ended: Ended): ExplainedStage {
  return stageOf('write', facts, ended);
}

/** A stage that passed, or that is where it ends. */
export function stageOf(stage: ExplainedStage['stage'], facts: Facts, ended: Ended): ExplainedStage {
  const all: Facts = { ...facts, ...(ended.how === 'stopped' && ended.places !== undefined ? { places: ended.places } : {}) };
  const told = Object.keys(all).length === 0 ? {} : { facts: all };
  if (ended.how !== 'stopped') return { stage, outcome: 'passed', ...told };
  const { code, text } = ended;
  return { stage, outcome: 'stopped', code, ...(text === undefined ? {} : { text }), ...told };
}
