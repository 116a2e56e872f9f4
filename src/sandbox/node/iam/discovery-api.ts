/** Discovery over HTTP: the client's API, and the list as the server gives it to other nodes. */
import { z } from 'zod';

import type { NodeContext } from '../context.ts';
import { empty, json, parseBody, type Call, type Route } from '../http.ts';
import { sorted } from '../json.ts';
import { NodeProblem } from '../problem.ts';
import { matchesQuery, register, registrationsOf, serviceNamed, unregister } from './discovery.ts';
import { claimsOf } from './exchange.ts';
import { subjectNamed } from './subject.ts';

const activateRequest = z.looseObject({ registrationParameters: z.record(z.string(), z.unknown()).nullish() });

export function discoveryRoutes(context: NodeContext): Route[] {
  const base = '/internal/discovery/v1';
  const service = (call: Call): string => serviceNamed(context, call.params['service'] ?? '').id;
  const subject = (call: Call): string => subjectNamed(context, call.params['subject'] ?? '').id;
  return [
    { method: 'GET', path: base, operation: 'GetServices', handle: () => json(context.discovery) },
    {
      method: 'GET',
      path: `${base}/:service`,
      operation: 'SearchPresentations',
      handle: (call) => {
        const { id, presentation_definition: definition } = serviceNamed(context, call.params['service'] ?? '');
        const found = registrationsOf(context, id).filter((registration) => matchesQuery(registration, call.query));
        return json(
          found.map(({ did, chosen, parameters, presentation, timestamp }) =>
            sorted({
              credential_subject_id: did,
              fields: claimsOf(definition, chosen),
              id: `${did}#${timestamp}`,
              registrationParameters: parameters,
              vp: presentation,
            }),
          ),
        );
      },
    },
    {
      method: 'POST',
      path: `${base}/:service/:subject`,
      operation: 'ActivateServiceForSubject',
      handle: async (call) => {
        const { registrationParameters } = parseBody(call, activateRequest);
        await register(context, service(call), subject(call), registrationParameters ?? {});
        return empty(200);
      },
    },
    {
      method: 'GET',
      path: `${base}/:service/:subject`,
      operation: 'GetServiceActivation',
      handle: (call) => {
        const [id, owner] = [service(call), subject(call)];
        const found = registrationsOf(context, id).filter(
          (registration) => registration.node === context.store.name && registration.subject === owner,
        );
        if (found.length === 0) return json({ activated: false });
        return json({ activated: true, status: 'active', vp: found.map(({ presentation }) => presentation) });
      },
    },
    {
      method: 'DELETE',
      path: `${base}/:service/:subject`,
      operation: 'DeactivateServiceForSubject',
      handle: (call) => {
        unregister(context, service(call), subject(call));
        return empty(200);
      },
    },
    {
      method: 'GET',
      path: '/discovery/:service',
      operation: 'GetPresentations',
      handle: (call) => {
        const id = service(call);
        const since = Number(call.query.get('timestamp') ?? '0');
        const all = registrationsOf(context, id);
        const entries = all
          .filter(({ timestamp }) => timestamp > since)
          .map(({ timestamp, presentation }) => [String(timestamp), presentation] as const);
        const last = all.at(-1)?.timestamp ?? 0;
        return json({ entries: Object.fromEntries(entries), seed: last === 0 ? '' : `sandbox-${id}`, timestamp: last });
      },
    },
    {
      method: 'POST',
      path: '/discovery/:service',
      operation: 'RegisterPresentation',
      handle: () => {
        // Simulated nodes register in the network that they share.
        throw new NodeProblem(400, 'invalid JWT', true);
      },
    },
  ];
}
