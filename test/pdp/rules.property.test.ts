import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Interaction } from '../../src/fhir/interaction.ts';
import { parseInteraction } from '../../src/fhir/parse-interaction.ts';
import { printInteraction } from '../../src/fhir/print-interaction.ts';
import { parseQuery, parseTarget } from '../../src/fhir/target.ts';
import { narrow } from '../../src/pdp/narrow.ts';
import { establishPatient, isFault } from '../../src/pdp/patient.ts';
import { matchRules } from '../../src/pdp/rules.ts';
import type { Rule } from '../../src/usecase/index.ts';

const MINE = 'Patient/mine';
const rule: Rule = {
  id: 'search',
  interaction: 'search-type',
  types: ['Observation'],
  patient: { from: 'parameter', parameters: ['patient', 'subject'], element: 'subject', is: [MINE] },
  parameters: {
    category: { equals: [['a', 'b'], ['c']] },
    status: { subsetOf: ['final', 'amended'], optional: true },
    identifier: { pattern: /good[0-9]/gy, optional: true },
    date: { any: true, optional: true },
  },
  includes: { match: 'subset', values: ['Observation:subject'], types: ['Patient'] },
  maxCount: 50,
};
const NARROWINGS = [{ parameter: '_tag', values: ['s|open'], element: 'meta.tag' }];

function read(target: string, form?: string): Interaction {
  const { segments, query } = parseTarget(target, 0);
  const method = form === undefined ? 'GET' : 'POST';
  return parseInteraction({ method, segments, query, version: 'R4', ...(form === undefined ? {} : { form: parseQuery(form) }) });
}
const search = (...pairs: readonly string[]) => read(`/Observation?${pairs.join('&')}`);
const GOOD = ['category=a,b', 'category=c', 'patient=mine'];
const code = (interaction: Interaction): string => {
  const match = matchRules([rule], interaction);
  return match.matched ? 'matched' : match.fault.code;
};
async function patient(interaction: Interaction, of: Rule = rule, body?: Parameters<typeof establishPatient>[1]['body']) {
  if (of.patient === undefined) throw new Error('no patient');
  const information = { read: () => Promise.resolve(body) };
  const found = await establishPatient(of.patient, { interaction, body, information, grant: () => Promise.resolve(undefined) });
  return isFault(found) ? found.code : found.reference;
}
const narrowed = (interaction: Interaction, narrowings = NARROWINGS) =>
  narrow(interaction, { version: 'R4', rule, patient: MINE, narrowings, maxCount: rule.maxCount });
function interactionOf(found: ReturnType<typeof narrow>): Interaction {
  if ('code' in found) throw new Error(found.code);
  return found.interaction;
}

const optional = fc.subarray([
  'status=final',
  'identifier=good1',
  'date=ge2020',
  '_count=500',
  '_include=Observation:subject',
  'subject=mine',
]);
const asked = optional.chain((more) => {
  const all = [...GOOD, ...more];
  return fc.shuffledSubarray(all, { minLength: all.length });
});

describe('a search that a rule lets in', () => {
  it('is let in whatever the order of its parameters, and of the values of one', () => {
    fc.assert(fc.property(asked, (pairs) => expect(code(search(...pairs))).toBe('matched')));
    expect(code(search('category=c', 'patient=mine', 'category=b,a'))).toBe('matched');
    expect(code(search('category=a', 'category=b', 'category=c', 'patient=mine'))).toBe('parameter_value_not_in_rule');
  });

  it('is not let in with one parameter more (E3)', () => {
    const more = fc.constantFrom(
      '_tag=x',
      'code=x',
      'code:not=x',
      'patient:not=mine',
      'patient:Patient=mine',
      '_has:AuditEvent:entity:agent=x',
      '_revinclude=Provenance:target',
      '_elements=id',
      '_summary=count',
      'subject:identifier=x',
      '_id=x',
    );
    fc.assert(fc.property(asked, more, (pairs, one) => expect(code(search(...pairs, one))).toBe('parameter_not_in_rule')));
  });

  it('is, narrowed, a request that is read back as the very same, by GET and by POST; narrowed again it stays so', () => {
    fc.assert(
      fc.property(asked, fc.boolean(), (pairs, isForm) => {
        const once = interactionOf(narrowed(isForm ? read('/Observation/_search', pairs.join('&')) : search(...pairs)));
        const printed = printInteraction(once);
        expect(read(`${printed.path}${printed.query === '' ? '' : `?${printed.query}`}`, printed.form)).toEqual(once);
        expect(interactionOf(narrowed(once))).toEqual(once);
      }),
    );
  });

  it.each([
    ['Q13: a target where the rule has none', '_include=Observation:subject:Patient', 'include_not_in_rule'],
    ['Q16: a question about what refers to it', '_has:Observation:subject:code=x', 'parameter_not_in_rule'],
    ['Q31: the opposite', 'status:not=final', 'parameter_not_in_rule'],
    ['Q42: what comes along', '_revinclude=Observation:subject', 'parameter_not_in_rule'],
    ['E6: a good part in a bad whole', 'identifier=xgood1x', 'parameter_value_not_in_rule'],
    ['E6: one good of two', 'identifier=good1,evil', 'parameter_value_not_in_rule'],
    ['E5: a value that is no value', 'status=final%22%2C%22x', 'parameter_value_not_in_rule'],
    ['a page of none', '_count=0', 'parameter_value_not_in_rule'],
  ])('%s is not', (_row, pair, fault) => {
    // Twice: an expression with `g` or `y` would answer differently.
    expect([code(search(...GOOD, pair)), code(search(...GOOD, pair))]).toEqual([fault, fault]);
  });
});

describe('the patient of a search', () => {
  it('is one, whatever the name, in query and form together (Q36, Q43)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('patient', 'subject'),
        fc.constantFrom(
          'other',
          'Patient/other',
          'mine,other',
          'Group/mine',
          'Patient/mine/_history/1',
          'https://x.example/Patient/mine',
        ),
        fc.boolean(),
        async (key, value, isForm) => {
          const pair = `${key}=${value}`;
          const interaction = isForm ? read(`/Observation/_search?${GOOD.join('&')}`, pair) : search(...GOOD, pair);
          expect(await patient(interaction)).toBe('patient_ambiguous');
        },
      ),
    );
    expect(await patient(search('patient=other'))).toBe('patient_not_in_rule');
    expect(await patient(search('subject=Patient/mine', 'patient=mine'))).toBe(MINE);
  });

  it('is not absent on both sides (T34)', async () => {
    expect(await patient(search('category=c'))).toBe('patient_not_named');
  });
});

describe('what narrows', () => {
  it.each(['_tag=other', '_tag:not=s|open', '_tag=s|open,s|other', '_tag:missing=true'])(
    'is not the caller’s to say: %s (Q38)',
    (pair) => {
      expect(narrowed(search(...GOOD, pair))).toMatchObject({ code: 'narrowing_conflict' });
    },
  );

  it('is of as many as the rule has, however large a number is asked for (Q29)', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 51n, max: 10n ** 400n }), (asked) => {
        expect(interactionOf(narrowed(search(...GOOD, `_count=${String(asked)}`), []))).toEqual(
          interactionOf(narrowed(search(...GOOD, '_count=50'), [])),
        );
      }),
    );
  });

  it('has no pages where a request has none', () => {
    expect(narrowed(read('/Observation/1'), [])).toMatchObject({ code: 'obligation_unfit' });
    expect(narrowed({ kind: 'update', type: 'Observation', id: '1' }, [])).toMatchObject({ code: 'obligation_unfit' });
    expect(interactionOf(narrowed(read('/Observation/1/_history'), []))).toEqual(read('/Observation/1/_history?_count=50'));
  });
});

describe('the patient of what is written or stored', () => {
  const of = { ...rule, patient: { from: 'body', element: 'subject', is: [MINE] } } as const;
  const about = (more: object) =>
    JSON.parse(JSON.stringify({ resourceType: 'Observation', subject: { reference: MINE }, ...more })) as never;
  const create: Interaction = { kind: 'create', type: 'Observation' };

  it('is the one that is named, and the only one', async () => {
    expect(await patient(create, of, about({}))).toBe(MINE);
    expect(await patient(create, of, about({ performer: [{ reference: 'Practitioner/1' }] }))).toBe(MINE);
  });

  it.each<[string, object]>([
    ['a list', { subject: [{ reference: MINE }] }],
    ['two of a list', { subject: [{ reference: MINE }, { reference: 'Patient/other' }] }],
    ['an identifier only', { subject: { identifier: { system: 's', value: 'v' } } }],
    ['a contained patient', { subject: { reference: '#p' }, contained: [{ resourceType: 'Patient', id: 'p' }] }],
    ['another in an extension', { extension: [{ url: 'x', valueReference: { reference: 'Patient/other' } }] }],
    [
      'another in what is contained',
      { contained: [{ resourceType: 'Basic', id: 'b', subject: { reference: 'Patient/other' } }] },
    ],
    ['another as focus', { focus: [{ reference: 'Patient/other' }] }],
    ['a search for another', { focus: [{ reference: 'Patient?identifier=x' }] }],
    ['another by its URL', { focus: [{ reference: 'https://fhir.example/Patient/other' }] }],
    ['another by a path from the root', { focus: [{ reference: '/Patient/other' }] }],
  ])('is none with %s (C13)', async (_what, more) => {
    expect(await patient(create, of, about(more))).toBe('patient_not_named');
  });
});
