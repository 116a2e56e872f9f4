import { createFaultInjector, type FaultInjector } from '../faults.ts';

/** The header by which the control API's own calls to a simulated server are told apart from everybody else's. */
export const CONTROL_HEADER = 'x-sluis-sandbox-control';

/** An injector that also says what has come to it. */
export interface ObservedFaults extends FaultInjector {
  /** `METHOD target` of the calls so far, oldest first, each as soon as it arrives; of very many the newest. */
  calls(): readonly string[];
  /** The same, each once its work was done (or will never be), whether or not anybody was left to hear of it. */
  done(): readonly string[];
}

const MAX_CALLS = 10_000;

/** An injector that lets the control API's own calls pass: what it is asked for must work while others meet misbehaviour. */
export function createObservedFaults(): ObservedFaults {
  const faults = createFaultInjector();
  const calls: string[] = [];
  const done: string[] = [];
  const note = (list: string[], call: string): void => {
    if (list.length >= MAX_CALLS) list.splice(0, MAX_CALLS / 2);
    list.push(call);
  };
  return {
    ...faults,
    calls: () => calls,
    done: () => done,
    handle: async (req, res, next) => {
      if (req.headers[CONTROL_HEADER] !== undefined) {
        await next();
        return;
      }
      const call = `${req.method ?? ''} ${req.url ?? ''}`;
      note(calls, call);
      try {
        await faults.handle(req, res, next);
      } finally {
        note(done, call);
      }
    },
  };
}
