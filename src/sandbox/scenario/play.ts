import { setTimeout as delay } from 'node:timers/promises';
import { send } from './send.ts';
import { createNotes, Unexpected, type Act, type Answer, type Notes, type Step } from './step.ts';
import type { Stage } from './print.ts';

/** How a scenario went. */
export interface Outcome {
  readonly requests: number;
  /** Of them, those that had to be refused and were. */
  readonly refused: number;
  /** One line per step that did not go as it must. */
  readonly problems: readonly string[];
  readonly notes: Notes;
}

const REPEAT_FOR_MS = 60_000;
const REPEAT_AFTER_MS = 150;

/** Plays acts in order and prints each request as it is answered. A step that goes wrong does not end the scenario. */
export async function play(acts: readonly Act[], stage: Stage): Promise<Outcome> {
  const notes = createNotes();
  const problems: string[] = [];
  let requests = 0;
  let refused = 0;
  for (const act of acts) {
    stage.act(act.title);
    for (const step of act.steps) {
      const { answer, url, problem } = await perform(step, notes);
      requests += 1;
      if (problem === undefined && step.expect >= 400) refused += 1;
      if (problem !== undefined) problems.push(`${step.method} ${stage.path(url)}: ${problem}`);
      stage.step(step, {
        url,
        ...(answer === undefined ? {} : { status: answer.status }),
        ...(problem === undefined ? {} : { problem }),
      });
    }
  }
  return { requests, refused, problems, notes };
}

interface Performed {
  readonly url: string;
  readonly answer?: Answer;
  readonly problem?: string;
}

async function perform(step: Step, notes: Notes): Promise<Performed> {
  let url = '';
  let answer: Answer | undefined;
  try {
    url = step.url(notes);
    answer = await patiently(step, notes);
    if (answer.status !== step.expect)
      return { url, answer, problem: `expected ${step.expect}, got ${answer.status}${said(answer)}` };
    step.check?.(answer, notes);
    return { url, answer };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { url, ...(answer === undefined ? {} : { answer }), problem };
  }
}

/** The answer, or the first one that is as it is waited for. @throws Unexpected when none was within the time */
async function patiently(step: Step, notes: Notes): Promise<Answer> {
  const { until } = step;
  const signal = AbortSignal.timeout(REPEAT_FOR_MS);
  for (;;) {
    const answer = await send(step, notes);
    if (until === undefined || answer.status !== step.expect || until(answer, notes)) return answer;
    if (signal.aborted) throw new Unexpected(`it did not come about within ${REPEAT_FOR_MS / 1000} s`);
    await delay(REPEAT_AFTER_MS);
  }
}

function said({ bytes }: Answer): string {
  const text = new TextDecoder().decode(bytes.subarray(0, 500)).trim();
  return text === '' ? '' : `: ${text}`;
}
