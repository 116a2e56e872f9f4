import { insist, same, type Scenario } from '../run/scenario.ts';
import { ask, give } from './ask.ts';

const ROUNDS = 150;
const ATTEMPTS = 5;

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
        const words = new Set<string>();
        const time = async (path: string): Promise<number> => {
          const startedMs = performance.now();
          const answer = await ask(bench, { path, token });
          const tookMs = performance.now() - startedMs;
          const id = answer.headers.find(([name]) => name === 'x-request-id')?.[1] ?? '';
          const headers = answer.headers.filter(([name]) => !['date', 'x-request-id'].includes(name)).join('\n');
          words.add(`${answer.status}\n${headers}\n${answer.body.toString().replaceAll(id, '')}`);
          return tookMs;
        };
        // A look-up on one side shows in every attempt, noise of the machine does not: one in which they are alike is enough.
        const seen: string[] = [];
        while (seen.length < ATTEMPTS) {
          const { difference, quicker } = await compare(
            () => time(there),
            () => time(absent),
          );
          if (Math.abs(difference) < Math.max(1, 0.5 * quicker)) break;
          seen.push(`${difference.toFixed(2)} ms of ${quicker.toFixed(2)} ms`);
        }
        same(words.size, 1, `different answers to ${there} and ${absent}`);
        insist(seen.length < ATTEMPTS, `${there} takes longer than ${absent}: ${seen.join(', ')}`);
      }
    },
  },
];

/** Both in each round, in turns the first. @returns the median of how much longer the one takes within a round, and the median of the quicker, in ms */
async function compare(
  one: () => Promise<number>,
  other: () => Promise<number>,
): Promise<{ readonly difference: number; readonly quicker: number }> {
  const ones: number[] = [];
  const others: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    if (round % 2 === 0) ones.push(await one());
    others.push(await other());
    if (round % 2 === 1) ones.push(await one());
  }
  return {
    difference: median(ones.map((ms, round) => ms - (others[round] ?? 0))),
    quicker: Math.min(median(ones), median(others)),
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
