import { connect } from 'node:net';
import { eventually, insist, same, type Scenario } from '../run/scenario.ts';
import { exchange, headerOf } from '../run/wire.ts';
import { ask, give, outcomeOf, statusOf } from './ask.ts';

const MINE = { path: '/Patient/mine' };
const PATIENT = { resourceType: 'Patient', id: 'mine' };

/** Time, memory and places. */
export const resourceScenarios: readonly Scenario[] = [
  {
    id: 'S2',
    title: 'a head and a body that trickle are cut off',
    aside: true,
    run: async (stage) => {
      const bench = await stage.ownBench();
      const head = `POST /a/fhir/Observation/_search HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${give(bench)}\r\n`;
      const whole = `${head}Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n`;
      const [slowHead, slowBody] = await Promise.all([
        trickle(bench.address, head, 'X-A: b\r\n'),
        trickle(bench.address, whole, '1\r\na\r\n'),
      ]);
      // The limits are 10 s and 30 s; what the runtime would allow by itself is a minute and five.
      insist(slowHead.seconds < 40, `a head may take ${slowHead.seconds} s`);
      insist(/^HTTP\/1\.1 408 /.test(slowHead.text), `a slow head: ${slowHead.text.slice(0, 40)}`);
      insist(slowBody.seconds < 120, `a body may take ${slowBody.seconds} s`);
      insist(/^HTTP\/1\.1 4\d\d /.test(slowBody.text), `a slow body: ${slowBody.text.slice(0, 40)}`);
    },
  },
  {
    id: 'S5',
    title: 'when the caller goes, the request upstream ends, and that is on record',
    run: async ({ bench }) => {
      const over = Promise.withResolvers<undefined>();
      bench.script.upstream({ status: 200, headers: {}, until: over.promise, json: PATIENT });
      try {
        const before = (await bench.journal.all()).length;
        await bench.clear();
        const socket = connect(bench.address);
        socket.write(`GET /a/fhir/Patient/mine HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${give(bench)}\r\n\r\n`);
        await eventually(async () => (await bench.received()).length > 0, 'the request upstream');
        socket.destroy();
        const ended = async () => (await bench.journal.all()).slice(before).find(({ phase }) => phase === 'outcome');
        // Before its server has answered.
        await eventually(async () => (await ended()) !== undefined, 'the outcome');
        const outcome = await ended();
        same([outcome?.status, outcome?.outcome], [0, 'failed'], 'the outcome');
      } finally {
        over.resolve(undefined);
        bench.script.upstream(undefined);
        await bench.script.heal();
      }
    },
  },
  {
    id: 'S8',
    title: 'deep, wide and long JSON is refused or read within a moment',
    run: async ({ bench }) => {
      const token = give(bench);
      const bodies: readonly (readonly [string, readonly number[]])[] = [
        [`{"resourceType":"Observation","x":${'['.repeat(100_000)}`, [400]],
        [`{"resourceType":"Observation","x":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`, [400, 413]],
        [
          `{"resourceType":"Observation",${Array.from({ length: 20_000 }, (_each, index) => `"k${index}":1`).join(',')}}`,
          [400, 403],
        ],
        [`{"resourceType":"Observation","x":"${'x'.repeat(10_000_000)}"}`, [413]],
        [`{"resourceType":"Observation","x":${'9'.repeat(200_000)}}`, [400, 403]],
      ];
      for (const [body, right] of bodies) {
        const spent = processorTime();
        const head = `POST /a/fhir/Observation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/fhir+json\r\n`;
        const { answers } = await exchange(bench.address, [Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)]);
        insist(right.includes(answers[0]?.status ?? 0), `${body.slice(0, 60)}… is ${answers[0]?.status ?? 'not answered'}`);
        insist(spent() < MOMENT_MS, `${body.slice(0, 60)}… takes long`);
      }
    },
  },
  {
    id: 'S9',
    title: 'input made for slow patterns is judged as fast as any other',
    run: async ({ bench }) => {
      const token = give(bench);
      const long = (text: string): string => text.repeat(Math.ceil(3_000 / text.length)).slice(0, 3_000);
      const targets = [
        `/Observation?patient=mine&date=${long('2020-01-01T')}`,
        `/Observation?patient=mine&code=x${long('%5C%5C')}%5C`,
        `/Observation?patient=${long('a.')}`,
        `/Observation?patient=${long('https://a/')}`,
        `/Observation?patient=mine&_sort=${long('-a,')}`,
        `/Observation?patient=mine&_elements=${long('a.')}`,
        `/Observation?patient=mine&${long('a.')}=1`,
        `/Observation?patient=mine&${long('_has:')}=1`,
        `/Patient/${long('a-')}`,
      ];
      for (const path of targets) {
        const spent = processorTime();
        const status = await statusOf(bench, { path, token });
        insist(status >= 400 && status < 500, `${path.slice(0, 50)} is ${status}`);
        insist(spent() < MOMENT_MS, `${path.slice(0, 50)} takes long`);
      }
      const headers = [`Accept: ${long('a/b;q=0.1,')}`, `If-None-Match: ${long('W/"a",')}`, `Prefer: ${long('a=b;')}`];
      for (const header of headers) {
        const spent = processorTime();
        await statusOf(bench, { ...MINE, token, headers: [header] });
        insist(spent() < MOMENT_MS, `${header.slice(0, 30)} takes long`);
      }
    },
  },
  {
    id: 'S13',
    title: 'one tenant’s hanging FHIR server takes places of its own only',
    run: async (stage) => {
      const bench = await stage.ownBench({ tenant: { limits: { concurrentRequests: 3 } } });
      const token = give(bench);
      const over = Promise.withResolvers<undefined>();
      bench.script.upstream({ status: 200, headers: {}, until: over.promise, json: PATIENT, tenant: 'a' });
      let refused = 0;
      const hanging = Array.from({ length: 12 }, async () => {
        const answer = await ask(bench, { ...MINE, token });
        if (answer.status !== 200) refused += 1;
        return answer;
      });
      await eventually(() => refused === 9, 'those without a place are refused');
      same(
        await statusOf(bench, { ...MINE, tenant: 'b', token: give(bench, { iss: 'https://node.example/oauth2/b' }) }),
        200,
        'b',
      );
      over.resolve(undefined);
      const answers = await Promise.all(hanging);
      for (const answer of answers) {
        if (answer.status === 200) continue;
        insist([429, 503].includes(answer.status), `${answer.status}`);
        insist(headerOf(answer, 'retry-after') !== undefined, 'no Retry-After');
      }
      same(answers.filter(({ status }) => status === 200).length, 3, 'those that had a place');
    },
  },
  {
    id: 'S15',
    title: 'a next link that leads to itself is one page for one request',
    run: async ({ bench }) => {
      const token = give(bench);
      const self = 'http://127.0.0.1/fhir/Observation?patient=Patient/mine&_count=50';
      const base = bench.fhir.get('a')?.url ?? '';
      const link = [
        { relation: 'self', url: self },
        { relation: 'next', url: `${base}?_getpages=again&_getpagesoffset=0&_count=50` },
      ];
      bench.script.upstream({ status: 200, headers: {}, json: { resourceType: 'Bundle', type: 'searchset', link } });
      await bench.clear();
      let path: string | undefined = '/Observation?patient=mine';
      for (let page = 0; page < 5 && path !== undefined; page += 1) {
        const answer = await ask(bench, { path, token });
        path = /"relation":"next","url":"https:\/\/gate\.example\/a\/fhir([^"]+)"/.exec(answer.body.toString())?.[1];
        same((await bench.received()).length, page + 1, 'requests upstream');
      }
      bench.script.upstream(undefined);
    },
  },
  {
    id: 'S16',
    title: 'labels of metrics come from closed sets, whatever is asked',
    run: async ({ bench }) => {
      const token = give(bench);
      const mark = 'cardinality';
      for (let index = 0; index < 20; index += 1) {
        await statusOf(bench, { path: `/Patient/${mark}-${index}`, token });
        await statusOf(bench, { path: `/Patient/mine?${mark}${index}=1`, token });
        await statusOf(bench, { tenant: `${mark}-${index}`, path: '/Patient/1' });
        await exchange(bench.address, [Buffer.from(`M${index} /a/fhir/${mark} HTTP/1.1\r\nHost: x\r\n\r\n`)]);
      }
      const text = await bench.gateway.metrics.registry.metrics();
      insist(!text.includes(mark), 'a label holds what a caller wrote');
      insist(text.split('\n').length < 2_000, 'too many series');
    },
  },
  {
    id: 'S17',
    title: 'an audit that cannot be written stops new work: 503, nothing goes out',
    run: async (stage) => {
      const bench = await stage.ownBench();
      const token = give(bench);
      same(await statusOf(bench, { ...MINE, token }), 200, 'before');
      await bench.breakAudit();
      const answer = await ask(bench, { ...MINE, token });
      same(answer.status, 503, 'once the audit is closed');
      insist(!answer.body.includes('"Patient"'), 'the resource leaves without a record');
      same(await statusOf(bench, { path: '/Patient/other', token }), 503, 'a denial cannot be recorded either');
    },
  },
  {
    id: 'S12',
    title: 'HTTP/2 is not spoken: neither by knowledge, nor by upgrade',
    run: async ({ bench }) => {
      const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');
      const direct = await exchange(bench.address, [preface], { answers: Infinity });
      insist(direct.closed, 'the connection stays open');
      insist(
        direct.answers.every(({ status }) => status === 400),
        'an answer to the preface that is none',
      );
      const { status } = await ask(bench, {
        ...MINE,
        token: give(bench),
        headers: ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'],
      });
      same(status, 400, 'an upgrade');
    },
  },
  {
    id: 'X20',
    title: 'an answer without end is cut, and is on record as not whole',
    run: async (stage) => {
      const bench = await stage.ownBench({ fhir: { timeoutMs: 1_000 } });
      bench.script.upstream({ status: 200, headers: {}, json: PATIENT, until: new Promise(() => undefined) });
      const answer = await ask(bench, { ...MINE, token: give(bench) });
      same(answer.status, 504, 'a silent server');
      same((await outcomeOf(bench, answer))?.outcome, 'failed', 'the record');
    },
  },
];

/** Of the processor: more than ten times what any of it takes, far less than a pattern that goes back over its input again and again. */
const MOMENT_MS = 5_000;

/** What this process, gate and all, has worked since, in ms: a machine that stands still or does other things does not count. */
function processorTime(): () => number {
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  };
}

interface Trickled {
  readonly seconds: number;
  readonly text: string;
}

/** Sends the beginning, and then a piece each second, until the other side ends. */
function trickle(to: { readonly host: string; readonly port: number }, start: string, piece: string): Promise<Trickled> {
  return new Promise((resolve) => {
    const startedMs = performance.now();
    const socket = connect(to);
    let text = '';
    socket.write(start);
    const timer = setInterval(() => socket.write(piece), 1_000);
    const done = (): void => {
      clearInterval(timer);
      socket.destroy();
      resolve({ seconds: (performance.now() - startedMs) / 1000, text });
    };
    socket.on('data', (chunk) => (text += String(chunk)));
    socket.on('end', done);
    socket.on('close', done);
    socket.on('error', () => undefined);
  });
}
