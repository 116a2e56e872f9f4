import { createFaultInjector, type FaultInjector } from '../faults.ts';

/** The header by which the control API's own calls to a simulated server are told apart from everybody else's. */
export const CONTROL_HEADER = 'x-sluis-sandbox-control';

/** An injector that lets the control API's own calls pass: what it is asked for must work while others meet misbehaviour. */
export function createNodeFaults(): FaultInjector {
  const faults = createFaultInjector();
  return {
    ...faults,
    handle: async (req, res, next) => {
      if (req.headers[CONTROL_HEADER] === undefined) await faults.handle(req, res, next);
      else await next();
    },
  };
}
