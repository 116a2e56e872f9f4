import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deny, permit, type AccessRequest } from '../../../src/usecase/index.ts';
import { loadUseCases } from '../../../src/usecase/load.ts';
import { fuzzQuietly } from '../fuzz/fuzz.ts';
import { behaviour } from '../lab/behaviour.ts';
import type { Bench } from '../run/bench.ts';
import { insist, same, type Scenario } from '../run/scenario.ts';
import { headerOf } from '../run/wire.ts';
import { headersOf } from '../run/run-case.ts';
import { ask, give, outcomeOf, statusOf } from './ask.ts';

const MINE = { path: '/Patient/mine' };
type Told = NonNullable<typeof behaviour.decide>;

/** What `lab` is asked while it does as told; nothing of it may reach the FHIR server unless it is a permit. */
async function told(bench: Bench, decide: Told, expected: number, what: string): Promise<void> {
  behaviour.decide = decide;
  await bench.clear();
  try {
    const answer = await ask(bench, { ...MINE, token: give(bench, { scope: 'lab' }) });
    same(answer.status, expected, what);
    const sent = (await bench.received()).filter((each) => !headersOf(each).has('x-sluis-lookup'));
    same(sent.length, expected === 200 ? 1 : 0, `requests upstream (${what})`);
    same((await outcomeOf(bench, answer))?.status, expected, `the record (${what})`);
  } finally {
    behaviour.decide = undefined;
  }
}

/** A policy that misbehaves, and what is built around policies. */
export const engineScenarios: readonly Scenario[] = [
  {
    id: 'E1',
    title: 'a policy that throws, rejects, returns nothing or nonsense, or never settles, denies',
    run: async ({ bench }) => {
      await told(bench, () => permit('good'), 200, 'permits');
      const bad: readonly (readonly [string, Told])[] = [
        [
          'throws',
          () => {
            throw new Error('x');
          },
        ],
        [
          'throws a text',
          () => {
            throw 'x' as unknown as Error;
          },
        ],
        ['rejects', () => Promise.reject(new Error('x'))],
        ['undefined', () => undefined],
        ['null', () => null],
        ['true', () => true],
        ['a text', () => 'permit'],
        ['no obligations', () => ({ effect: 'permit', reason: { code: 'x' } })],
        ['no reason', () => ({ effect: 'permit', obligations: [] })],
        ['another word', () => ({ effect: 'Permit', reason: { code: 'x' }, obligations: [] })],
        ['an unknown obligation', () => ({ ...permit('x'), obligations: [{ kind: 'be-careful' }] })],
        ['an obligation that is none', () => ({ ...permit('x'), obligations: ['redact'] })],
        ['a grant that is not there', () => permit('x', { grantId: 'none' })],
        ['never settles', () => new Promise(() => undefined)],
      ];
      for (const [what, decide] of bad) await told(bench, decide, 403, what);
    },
  },
  {
    id: 'E3',
    title: 'what no rule and no role matches is denied',
    run: async ({ bench }) => {
      for (const scope of ['nobody', 'chart2', 'char', 'CHART', '', 'chart lab', 'lab chart'])
        same(await statusOf(bench, { ...MINE, token: give(bench, { scope }) }), 403, `scope "${scope}"`);
      for (const path of ['/Observation/mine-1', '/Patient?_id=mine', '/metadata', '/Patient/mine/_history'])
        same(await statusOf(bench, { path, token: give(bench, { scope: 'lab' }) }), 403, path);
    },
  },
  {
    id: 'E4',
    title: 'of two that judge, a denial wins, and is on record with its reason',
    run: async ({ bench }) => {
      behaviour.decide = () => deny('lab_says_no', 'for a reason');
      try {
        const answer = await ask(bench, { ...MINE, token: give(bench, { scope: 'lab' }) });
        same(answer.status, 403, 'the rule permits, the code denies');
        insist(!answer.body.includes('lab_says_no') && !answer.body.includes('for a reason'), 'the caller learns why');
        same((await outcomeOf(bench, answer))?.reason, 'lab_says_no', 'the record');
      } finally {
        behaviour.decide = undefined;
      }
      behaviour.decide = () => permit('generous');
      same(
        await statusOf(bench, { path: '/Patient/other', token: give(bench, { scope: 'lab' }) }),
        403,
        'the code permits, no rule does',
      );
      behaviour.decide = undefined;
    },
  },
  {
    id: 'E5',
    title: 'a claim is data: what looks like syntax in it stays a text',
    run: async ({ bench }) => {
      const names = [
        '","criteria":"Patient',
        "'; DROP TABLE grant; --",
        '${jndi:ldap://x}',
        '{{7*7}}',
        '</script>',
        '%00',
        '__proto__',
      ];
      const broken = give(bench, { scope: 'lab', organization_name: '\r\nX: y' });
      same(await statusOf(bench, { ...MINE, token: broken }), 403, 'a name of two lines is no name');
      for (const name of names) {
        const seen: AccessRequest[] = [];
        behaviour.decide = (request) => {
          seen.push(request);
          return permit('x');
        };
        const answer = await ask(bench, { ...MINE, token: give(bench, { scope: 'lab', organization_name: name }) });
        behaviour.decide = undefined;
        same(answer.status, 200, name);
        same(seen[0]?.subject.organization.name, name, 'what the policy sees');
        const [intent] = await bench.recordsOf(headerOf(answer, 'x-request-id') ?? '');
        same(intent?.requester, { id: 'did:web:c.example', name }, 'what is on record');
        insist(!headerOf(answer, 'x') && !answer.body.includes(name), 'it comes back');
      }
    },
  },
  {
    id: 'E6',
    title: 'ids, scopes and claims are compared whole',
    run: async ({ bench }) => {
      const token = give(bench);
      for (const id of ['mine2', 'min', 'xmine', 'mine.', 'MINE', 'mine-1'])
        same(await statusOf(bench, { path: `/Patient/${id}`, token }), 403, id);
      for (const ward of ['ICUxx', ' ICU', 'icu', 'I CU', 'TOOLONG', 'ICU\nX'])
        same(await statusOf(bench, { ...MINE, token: give(bench, { scope: 'lab', ward }) }), 403, ward);
      for (const iss of ['https://node.example/oauth2/a2', 'https://node.example/oauth2', 'x https://node.example/oauth2/a'])
        same(await statusOf(bench, { ...MINE, token: give(bench, { iss }) }), 401, iss);
    },
  },
  {
    id: 'E7',
    title: 'a use case that cannot be loaded, or settings that it refuses, keep a gateway from starting; one that runs goes on',
    run: async (stage) => {
      const parent = mkdtempSync(join(tmpdir(), 'sluis-broken-'));
      try {
        const sources = {
          syntax: 'export default {',
          throws: "throw new Error('x');",
          nothing: 'export const x = 1;',
          renamed:
            "export default { id: 'other', title: 'x', roles: [{ id: 'r', purpose: 'p' }], parseConfig: () => 1, decide: () => 1 };",
          roleless: "export default { id: 'roleless', title: 'x', roles: [], parseConfig: () => 1, decide: () => 1 };",
        };
        for (const [name, source] of Object.entries(sources)) {
          const folder = join(parent, name);
          mkdirSync(folder);
          writeFileSync(join(folder, 'index.js'), source);
          insist(await fails(loadUseCases([folder])), `${name} is loaded`);
        }
        const settings = (useCases: object) => stage.ownBench({ tenant: { useCases } });
        insist(await fails(settings({ chart: { nonsense: 1 } })), 'settings that the use case refuses');
        insist(await fails(settings({ nowhere: {} })), 'a use case that there is not');
      } finally {
        rmSync(parent, { recursive: true, force: true });
      }
      same(await statusOf(stage.bench, { ...MINE, token: give(stage.bench) }), 200, 'the gateway that runs');
    },
  },
  {
    id: 'E9',
    title: 'a policy that changes what it was given changes nothing',
    run: async ({ bench }) => {
      const attempts: readonly (readonly [string, (request: AccessRequest) => unknown])[] = [
        ['the id', (request) => Object.assign(request.action, { id: 'other' })],
        ['the request', (request) => Object.assign(request, { action: { kind: 'read', type: 'Patient', id: 'other' } })],
        ['the path', (request) => Object.assign(request.resource, { path: '/Patient/other', id: 'other' })],
        ['a definition', (request) => Object.defineProperty(request.action, 'id', { value: 'other' })],
        [
          'the parameters',
          (request) =>
            'parameters' in request.action ? (request.action.parameters as unknown[]).push({ key: '_include' }) : undefined,
        ],
        ['the subject', (request) => Object.assign(request.subject.organization, { id: 'did:web:d.example' })],
        ['the time', (request) => request.context.now.setFullYear(1990)],
      ];
      for (const [what, change] of attempts) {
        behaviour.decide = (request) => {
          try {
            change(request);
          } catch {
            // Frozen: it goes on as if it had worked.
          }
          return permit('x');
        };
        await bench.clear();
        const answer = await ask(bench, { ...MINE, token: give(bench, { scope: 'lab' }) });
        behaviour.decide = undefined;
        same(answer.status, 200, what);
        const sent = (await bench.received()).filter((each) => !headersOf(each).has('x-sluis-lookup'));
        same(
          sent.map(({ method, target }) => `${method} ${target}`),
          ['GET /Patient/mine'],
          what,
        );
        const [intent] = await bench.recordsOf(headerOf(answer, 'x-request-id') ?? '');
        same(intent?.requester?.id, 'did:web:c.example', `the record (${what})`);
      }
    },
  },
  {
    id: 'E10',
    title: 'a policy is given no token, no socket and no address; what it looks up is marked and on record',
    run: async ({ bench }) => {
      const token = give(bench, { scope: 'lab' });
      let seen = '';
      behaviour.decide = async (request, information) => {
        seen = JSON.stringify([request, Object.keys(information)]);
        await information.read('Observation', 'mine-1');
        return permit('x');
      };
      await bench.clear();
      const answer = await ask(bench, { ...MINE, token });
      behaviour.decide = undefined;
      same(answer.status, 200, 'a look-up and a permit');
      for (const secret of [token, '127.0.0.1', 'authorization', 'http://'])
        insist(!seen.includes(secret), `the policy sees ${secret}`);
      const lookUps = (await bench.received()).filter((each) => headersOf(each).get('x-sluis-lookup') === '1');
      same(
        lookUps.map(({ target }) => target),
        ['/Observation/mine-1'],
        'look-ups upstream',
      );
      const parts = (await bench.recordsOf(headerOf(answer, 'x-request-id') ?? '')).filter(({ part }) => part !== undefined);
      insist(
        parts.some((part) => JSON.stringify(part).includes('Observation/mine-1')),
        'the look-up is not on record',
      );
    },
  },
  {
    id: 'E11',
    title: 'a grant that is pending, ended, past its end, another’s or for something else permits nothing',
    run: async ({ bench }) => {
      const token = give(bench, { scope: 'lab-granted' });
      const asked = { ...MINE, token };
      same(await statusOf(bench, asked), 403, 'no grant');
      const open = async (change: Readonly<Record<string, unknown>> = {}, live = true): Promise<string> => {
        const id = `grant-${Math.random().toString(36).slice(2)}`;
        const resources = [{ path: '/Patient/mine', operations: ['read'], userContext: false }];
        const grant = {
          id,
          tenant: 'a',
          useCase: 'lab',
          requester: 'did:web:c.example',
          purpose: 'lab-granted',
          kind: 'x',
          recordId: id,
          resources,
          ...change,
        };
        await bench.gateway.database.transaction(async (tx) => {
          await bench.gateway.ledger.open(tx, grant, bench.clock.now());
          if (live) await bench.gateway.ledger.makeLive(tx, 'a', id, bench.clock.now());
        });
        return id;
      };
      const soon = new Date(bench.clock.now().getTime() + 1_000);
      await open({}, false);
      await open({ requester: 'did:web:d.example' });
      await open({ purpose: 'lab' });
      await open({ resources: [{ path: '/Patient/mine', operations: ['update'], userContext: false }] });
      await open({ resources: [{ path: '/Patient/mine2', operations: ['read'], userContext: false }] });
      await open({ resources: [{ path: '/Patient', operations: ['read'], userContext: false }] });
      await open({ tenant: 'b' }, false);
      bench.clock.advance(1);
      same(await statusOf(bench, asked), 403, 'grants that do not fit');
      await open({ expiresAt: soon });
      bench.clock.advance(2);
      same(await statusOf(bench, asked), 403, 'a grant past its end');
      const good = await open();
      bench.clock.advance(1);
      same(await statusOf(bench, asked), 200, 'a live grant');
      await bench.gateway.database.transaction((tx) =>
        bench.gateway.ledger.end(tx, { tenant: 'a', id: good }, 'test', bench.clock.now()),
      );
      same(await statusOf(bench, asked), 403, 'the moment after its end');
    },
  },
  {
    id: 'E13',
    title: 'what goes up, parsed again, is what was judged: over mutants of every kind of request',
    run: async () => {
      const { findings, sent } = await fuzzQuietly({ count: 2_000, seed: 13 });
      same(findings, [], 'findings');
      insist(sent > 100, `only ${sent} requests went up`);
    },
  },
  {
    id: 'C12',
    title: 'a state goes its steps and no others, and nothing else changes with it',
    run: async ({ bench }) => {
      const token = give(bench, { scope: 'lab-task' });
      const stored = (status: string) => ({
        resourceType: 'Task',
        id: '1',
        meta: { versionId: '4' },
        status,
        intent: 'order',
        owner: { reference: 'Organization/1' },
      });
      const put = async (from: string, change: object): Promise<number> => {
        bench.script.upstream({ status: 200, headers: { etag: 'W/"4"' }, json: stored(from), for: 'GET /Task/1' });
        const { meta: _version, ...task } = stored(from);
        return statusOf(bench, {
          method: 'PUT',
          path: '/Task/1',
          token,
          headers: ['If-Match: W/"4"'],
          json: { ...task, ...change },
        });
      };
      try {
        const wrong: readonly (readonly [string, object])[] = [
          ['completed', { status: 'requested' }],
          ['requested', { status: 'completed' }],
          ['accepted', { status: 'requested' }],
          ['requested', { status: 'ready' }],
          ['requested', { status: 'accepted', owner: { reference: 'Organization/2' } }],
          ['requested', { status: 'accepted', for: { reference: 'Patient/other' } }],
          ['requested', { owner: { reference: 'Organization/2' } }],
          ['requested', { status: ['accepted'] }],
        ];
        for (const [from, change] of wrong) {
          await bench.clear();
          insist([400, 403, 409, 422].includes(await put(from, change)), `${from} with ${JSON.stringify(change)} is taken`);
          same((await bench.received()).filter(({ method }) => method === 'PUT').length, 0, 'writes upstream');
        }
      } finally {
        bench.script.upstream(undefined);
        await bench.script.heal();
      }
    },
  },
  {
    id: 'C9',
    title: 'labels that carry a decision are not the caller’s to set or to drop',
    run: async ({ bench }) => {
      const token = give(bench);
      const tags = { security: [{ system: 'http://x', code: 'R' }], tag: [{ system: 'http://t', code: 'a' }] };
      const base = {
        resourceType: 'Observation',
        id: 'mine-15',
        status: 'final',
        code: { text: 'x' },
        subject: { reference: 'Patient/mine' },
      };
      bench.script.upstream({
        status: 200,
        headers: { etag: 'W/"4"' },
        json: { ...base, meta: { versionId: '4', ...tags } },
        for: 'GET /Observation/mine-15',
      });
      try {
        for (const meta of [
          {},
          { security: [] },
          { tag: tags.tag },
          { ...tags, tag: [{ system: 'http://t', code: 'b' }] },
          { ...tags, security: [...tags.security, { code: 'V' }] },
        ]) {
          await bench.clear();
          const status = await statusOf(bench, {
            method: 'PUT',
            path: '/Observation/mine-15',
            token,
            headers: ['If-Match: W/"4"'],
            json: { ...base, note: [{ text: 'new' }], meta },
          });
          const sent = (await bench.received()).filter(({ method }) => method === 'PUT');
          // Refused, or sent on with the labels that are stored.
          if (sent.length === 0) insist([403, 409, 422].includes(status), `${JSON.stringify(meta)} is ${status}`);
          else {
            const { meta: up } = JSON.parse(String(sent[0]?.body)) as { readonly meta?: typeof tags };
            same([up?.security, up?.tag], [tags.security, tags.tag], `the labels with ${JSON.stringify(meta)}`);
          }
        }
      } finally {
        bench.script.upstream(undefined);
        await bench.script.heal();
      }
    },
  },
  {
    id: 'X15',
    title: 'elements that a role may not see do not leave, wherever they stand, and the resource says so',
    run: async ({ bench }) => {
      const performer = [{ reference: 'Practitioner/1', display: 'LEAK-DISPLAY', identifier: { value: 'LEAK-IDENTIFIER' } }];
      const body = await narrowed(bench, [
        observation('mine-1', { performer, text: { status: 'generated', div: '<div>LEAK-TEXT</div>' } }),
      ]);
      insist(!/LEAK-/.test(body), 'what is redacted leaves');
      insist(
        body.includes('SUBSETTED') && body.includes('Practitioner/1'),
        'the rest is not there, or does not say that it is a part',
      );
    },
  },
  {
    id: 'X16',
    title: 'what has a label that the role does not see stays, with the total; a filter that throws keeps all',
    run: async ({ bench }) => {
      const hidden = ['R', 'V', '42CFR'].map((code, index) =>
        observation(`mine-${index + 2}`, { meta: { security: [{ code }] } }),
      );
      const body = await narrowed(bench, [observation('mine-1'), ...hidden]);
      insist(body.includes('mine-1') && !/mine-[234]/.test(body), 'the wrong entries leave');
      insist(!body.includes('"total"'), 'the total tells how many there are');
      behaviour.keeps = () => {
        throw new Error('x');
      };
      try {
        insist(!(await narrowed(bench, [observation('mine-1')], 502)).includes('mine-1'), 'a filter that throws lets through');
      } finally {
        behaviour.keeps = undefined;
      }
    },
  },
];

async function fails(work: Promise<unknown>): Promise<boolean> {
  return work.then(
    () => false,
    () => true,
  );
}

function observation(id: string, more: object = {}): object {
  return {
    resourceType: 'Observation',
    id,
    status: 'final',
    code: { text: 'x' },
    subject: { reference: 'Patient/mine' },
    ...more,
  };
}

/** The answer to a search of the role `narrowed` when the server answers these. */
async function narrowed(bench: Bench, resources: readonly object[], right = 200): Promise<string> {
  const url = 'http://127.0.0.1/fhir/Observation?patient=Patient/mine&_count=50';
  const entry = resources.map((resource) => ({ resource, search: { mode: 'match' } }));
  const json = { resourceType: 'Bundle', type: 'searchset', total: resources.length, link: [{ relation: 'self', url }], entry };
  bench.script.upstream({ status: 200, headers: {}, json });
  try {
    const answer = await ask(bench, { path: '/Observation?patient=mine', token: give(bench, { scope: 'lab-narrowed' }) });
    insist(answer.status === right || (right === 502 && answer.status === 500), `answered ${answer.status}`);
    return answer.body.toString();
  } finally {
    bench.script.upstream(undefined);
  }
}
