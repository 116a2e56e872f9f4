import type { Sandbox } from '../../src/sandbox/control/sandbox.ts';
import { until } from '../support/until.ts';

/** Which calls to a server of a tenant. */
export interface CallPoint {
  readonly target: 'node' | 'fhir' | 'receiver';
  readonly tenant: string;
  readonly method: string;
  /** A part of the request target. */
  readonly path: string;
}

/** What comes to a server, from the moment of `watchCalls`. */
export interface WatchedCalls {
  /** Holds the next call that comes: its work is done when `release` is called, whoever is still there to hear of it. */
  hold(): { readonly release: () => void };
  /** Waits until a call has come. */
  arrived(): Promise<void>;
  /** Waits until a call's work was done. */
  worked(): Promise<void>;
  /** How many calls' work was done. */
  readonly done: () => number;
}

/** Watches the calls to a server of the sandbox, which runs in this process: what is held depends on no time. */
export function watchCalls(sandbox: Sandbox, { target, tenant, method, path }: CallPoint): WatchedCalls {
  const faults = sandbox.world.organizations.find(({ id }) => id === tenant)?.tenant?.faults[target];
  if (faults === undefined) throw new Error(`no tenant ${tenant}`);
  const count = (calls: readonly string[]): number =>
    calls.filter((call) => call.startsWith(`${method} `) && call.includes(path)).length;
  const [callsBefore, doneBefore] = [count(faults.calls()), count(faults.done())];
  const done = (): number => count(faults.done()) - doneBefore;
  return {
    hold: () => {
      const over = Promise.withResolvers<undefined>();
      const usual = faults.handle;
      faults.handle = (req, res, next) => {
        if (req.method !== method || req.url?.includes(path) !== true) return usual(req, res, next);
        faults.handle = usual;
        return usual(req, res, async () => {
          await over.promise;
          await next();
        });
      };
      return {
        release: () => {
          faults.handle = usual;
          over.resolve(undefined);
        },
      };
    },
    arrived: () => until(() => count(faults.calls()) > callsBefore),
    worked: () => until(() => done() > 0),
    done,
  };
}
