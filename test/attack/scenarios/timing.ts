import { insist, same, type Scenario } from '../run/scenario.ts';
import { ask, give } from './ask.ts';

const ROUNDS = 150;

/** What must not be told by how long it takes, or by a letter of the answer. */
export const timingScenarios: readonly Scenario[] = [
  {
    id: 'X27',
    title: 'what is another’s and what does not exist are refused alike, in words and in time',
    run: async ({ bench }) => {
      const token = give(bench);
      const pairs = [
        ['/Patient/other', '/Patient/absent'],
        ['/Observation/other-1', '/Observation/absent-1'],
        ['/Observation?patient=other', '/Observation?patient=absent'],
      ] as const;
      for (const [there, absent] of pairs) {
        const times: Readonly<Record<string, number[]>> = { [there]: [], [absent]: [] };
        const words = new Set<string>();
        for (let round = 0; round < ROUNDS; round += 1) {
          for (const path of round % 2 === 0 ? [there, absent] : [absent, there]) {
            const startedMs = performance.now();
            const answer = await ask(bench, { path, token });
            times[path]?.push(performance.now() - startedMs);
            const id = answer.headers.find(([name]) => name === 'x-request-id')?.[1] ?? '';
            const headers = answer.headers.filter(([name]) => !['date', 'x-request-id'].includes(name)).join('\n');
            words.add(`${answer.status}\n${headers}\n${answer.body.toString().replaceAll(id, '')}`);
          }
        }
        same(words.size, 1, `different answers to ${there} and ${absent}`);
        const [one, other] = [median(times[there] ?? []), median(times[absent] ?? [])];
        insist(
          Math.abs(one - other) < Math.max(1, 0.5 * Math.min(one, other)),
          `${there} takes ${one} ms, ${absent} ${other} ms`,
        );
      }
    },
  },
];

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
