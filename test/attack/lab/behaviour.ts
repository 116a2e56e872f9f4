import type { AccessRequest, Decision, PolicyInformation } from 'sluis/usecase';

/** What the use case `lab` does instead of permitting: set by a scenario, and set back by it. Whatever it returns goes to the gate as it is. */
export const behaviour: {
  decide: ((request: AccessRequest, information: PolicyInformation) => unknown) | undefined;
  keeps: (() => boolean) | undefined;
} = { decide: undefined, keeps: undefined };

/** As a use case without types would have it: the gate must check what it gets. */
export function decideAsTold(request: AccessRequest, information: PolicyInformation): Decision | undefined {
  return behaviour.decide?.(request, information) as Decision | undefined;
}
