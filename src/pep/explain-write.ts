import { parseIfMatch } from '../fhir/etag.ts';
import { prefersRepresentation } from '../fhir/prefer.ts';
import type { Interaction } from '../fhir/interaction.ts';
import type { PermitVerdict, Verdict } from '../pdp/decide.ts';
import { parametersOf } from '../pdp/rules.ts';
import type { Conditional } from './conditional.ts';
import type { ExplainedStage } from './explanation.ts';

type Facts = NonNullable<ExplainedStage['facts']>;

export interface WriteQuestion {
  /** The verdict on the write itself. */
  readonly verdict: PermitVerdict;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  /** Judges another request of the same caller. */
  readonly ask: (interaction: Interaction) => Promise<Verdict>;
}

/**
 * What can be said of a permitted write before it is carried out. Of what is stored nothing is read for it, and no search is made: what goes by either is
 * named under `notJudged`.
 */
export async function explainWrite(question: WriteQuestion): Promise<readonly ExplainedStage[]> {
  const { interaction } = question.verdict;
  switch (interaction.kind) {
    case 'conditional-create':
    case 'conditional-update':
    case 'conditional-patch':
    case 'conditional-delete':
      return explainConditional(question, interaction);
    case 'update':
    case 'patch':
    case 'delete':
      return [await explainChange(question, interaction)];
    case 'create':
      return [passed({ ...(await preference(question)), notJudged: [LABELS, REFERRED] })];
    case 'bundle':
      return [passed({ notJudged: ['its entries: each is judged as if it came alone, so explain each alone'] })];
    case 'operation-instance':
    case 'operation-type':
    case 'operation-system':
      return interaction.method === 'POST' ? [passed({ sentOnce: true, notJudged: ['what it answers'] })] : [];
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

const LABELS = 'whether it brings labels (meta.security, meta.tag), which are the custodian’s';
const REFERRED = 'whether the caller may read what it refers to anew';

async function explainChange(
  question: WriteQuestion,
  interaction: Extract<Interaction, { readonly kind: 'update' | 'patch' | 'delete' }>,
): Promise<ExplainedStage> {
  const { verdict, headers } = question;
  const { rule, guard } = verdict;
  const wanted = headers.get('if-match');
  if (rule.ifMatch === 'required' && wanted === undefined) {
    const text = `${rule.id} wants the version that is meant: If-Match is missing`;
    return { stage: 'write', outcome: 'stopped', code: 'precondition_required', text };
  }
  const { kind, type, id } = interaction;
  const states = guard?.kind === 'changes' ? (guard.changes.states ?? []) : [];
  const steps = states.flatMap(({ element, steps: each }) => each.map(({ from, to }) => `${element} from ${from} to ${to}`));
  return passed({
    ...(wanted === undefined ? {} : { ifMatch: `version ${parseIfMatch(wanted)} is compared with the stored one` }),
    ...(guard === undefined
      ? {}
      : { guard: guard.kind === 'code' ? guard.write.name : `may change ${guard.changes.changed.join(' ')}` }),
    ...(steps.length === 0 ? {} : { steps }),
    ...(kind === 'delete' ? {} : await preference(question, { kind: 'read', type, id, parameters: [], head: false })),
    notJudged: [
      'whether it is there, in which version, and about whom',
      ...(kind === 'delete' ? [] : ['what the guard makes of the change', REFERRED]),
    ],
  });
}

/** As the gate carries it out (`conditional.ts`), up to the search. */
async function explainConditional(question: WriteQuestion, conditional: Conditional): Promise<readonly ExplainedStage[]> {
  const { kind, type, criteria } = conditional;
  if (kind === 'conditional-create') {
    const creating = await question.ask({ kind: 'create', type });
    if (creating.effect === 'deny')
      return [stopped('write', creating.reason.code, `the create: ${creating.reason.text ?? 'is denied'}`)];
  }
  let denial: Verdict | undefined;
  for (const via of ['query', 'form'] as const) {
    const search = await question.ask({ kind: 'search-type', type, parameters: criteria, head: false, via });
    if (search.effect === 'permit' && search.local === undefined) {
      const { rule, proofs, interaction } = search;
      const found = {
        rule: rule.id,
        proofs: proofs.map(({ element, values }) => `${element} is ${values.join(' or ')}`),
        parameters: parametersOf(interaction).map(({ key }) => key),
      };
      return [{ stage: 'search', outcome: 'passed', facts: found }, passed({ comesTo: OUTCOMES[kind], notJudged: COMES_TO })];
    }
    denial ??= search;
  }
  const text = denial?.effect === 'deny' ? (denial.reason.text ?? denial.reason.code) : 'it is answered by the use case';
  return [stopped('search', 'criteria_denied', `the search by its criteria: ${text}`)];
}

const COMES_TO = ['what the search finds; the write that it comes to is judged then, as if it had come alone: explain that too'];
const OUTCOMES: Readonly<Record<Conditional['kind'], readonly string[]>> = {
  'conditional-create': ['nothing where one matches', 'create where none does', '412 where several do'],
  'conditional-update': ['update of the one that matches', 'create where none does', '412 where several do'],
  'conditional-patch': ['patch of the one that matches', '404 where none does', '412 where several do'],
  'conditional-delete': ['delete of the one that matches', '204 where none does', '412 where several do'],
};

/** What `Prefer: return=representation` would come to. */
async function preference({ headers, ask }: WriteQuestion, read?: Interaction): Promise<Facts> {
  if (!prefersRepresentation(headers.get('prefer'))) return {};
  if (read === undefined) return { prefer: 'what was written comes back where the caller may read it' };
  const reading = await ask(read);
  if (reading.effect === 'permit' && reading.local === undefined)
    return { prefer: `what was written comes back as ${reading.rule.id} has it` };
  return { prefer: 'the answer has no body: the caller may not read what was written' };
}

function passed(facts: Facts): ExplainedStage {
  return { stage: 'write', outcome: 'passed', facts };
}

function stopped(stage: 'search' | 'write', code: string, text: string): ExplainedStage {
  return { stage, outcome: 'stopped', code, text };
}
