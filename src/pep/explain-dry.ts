import { GatewayError } from '../errors.ts';
import { createMetrics } from '../metrics.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Authenticator } from '../token/authenticate.ts';
import type { Upstream } from '../upstream/forward.ts';
import type { GateOptions } from './enforce.ts';

/** How a request ends that is permitted, held against everything, and would now be sent. */
export const NOT_SENT = 'not_sent';

/** Instead of sending it. It ends a request as a failure would, so that nothing can go on as if there were an answer. */
export function notSent(): GatewayError {
  return new GatewayError('internal', 'it would be sent now', { reason: NOT_SENT });
}

/**
 * A gate's options of which nothing comes: it looks up what the gate would look up before it sends something, and sends nothing. There is no proof of possession
 * to ask for, no limit to count against, nobody to alarm, and nothing follows.
 */
export function createDry(options: GateOptions): (tenant: Tenant) => Omit<GateOptions, 'watch'> {
  const { authenticator } = options;
  const who: Authenticator = {
    authenticate: (tenant, { authorization }, fresh) => authenticator.identify(tenant, authorization ?? '', fresh),
    identify: (tenant, authorization, fresh) => authenticator.identify(tenant, authorization, fresh),
  };
  const silent = { logger: options.logger.child({}, { level: 'silent' }), metrics: createMetrics(false) };
  return (tenant) => ({
    ...options,
    ...silent,
    tenants: { all: [tenant], get: (id) => (id === tenant.id ? tenant : undefined) },
    authenticator: who,
    admission: { enter: () => () => undefined },
    upstream: (of) => lookingOnly(options.upstream(of)),
    effects: {
      intend: () => Promise.reject(notSent()),
      // Only of a write that has happened before, or changes nothing: there is nothing to follow.
      settled: () => Promise.resolve(),
      unknown: () => Promise.resolve(),
    },
    // For a message of another party, which code of a use case takes.
    services: () => {
      throw notSent();
    },
    // Records are the watch's; nothing else records anything.
    audit: { record: () => Promise.reject(new GatewayError('internal', 'an explanation is no access')) },
  });
}

/** Reads for a judgement, and searches by the criteria of a conditional write; all else ends here. */
function lookingOnly(upstream: Upstream): Upstream {
  return {
    bases: upstream.bases,
    store: {
      read: (type, id) => upstream.store.read(type, id),
      put: () => Promise.reject(notSent()),
    },
    forward: (request) => {
      const { method, path, headers } = request;
      const isSearch = method === 'GET' || (method === 'POST' && path.endsWith('/_search'));
      return isSearch && headers['x-sluis-lookup'] === '1' ? upstream.forward(request) : Promise.reject(notSent());
    },
    read: () => Promise.reject(notSent()),
    close: () => Promise.resolve(),
  };
}
