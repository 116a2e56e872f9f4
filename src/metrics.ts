import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** What a person should look at (docs/operations.md, "Alarms"); the values of the label `kind`. */
export const ALARM_KINDS = [
  'answer_withheld',
  'answer_unproved',
  'filter_failed',
  'upstream_other_resource',
  'xml_cut_off',
  'dead_job',
] as const;
export type AlarmKind = (typeof ALARM_KINDS)[number];

/** The one registry of counters and histograms. Labels come from closed sets: a tenant id, a status, an outcome; never a path or an id. */
export interface Metrics {
  readonly registry: Registry;
  readonly requests: Counter<'tenant' | 'outcome' | 'status'>;
  readonly requestSeconds: Histogram<'outcome'>;
  readonly introspections: Counter<'tenant' | 'result'>;
  readonly auditRecords: Counter<'phase'>;
  readonly jobs: Counter<'use_case' | 'job' | 'result'>;
  readonly apiRequests: Counter<'operation' | 'status'>;
  readonly alarms: Counter<'tenant' | 'kind'>;
  readonly inFlight: Gauge;
}

/** Creates the registry, with the process's own metrics when `withDefaults`. */
export function createMetrics(withDefaults = true): Metrics {
  const registry = new Registry();
  if (withDefaults) collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    requests: new Counter({
      name: 'sluis_requests_total',
      help: 'Requests on the public listener',
      labelNames: ['tenant', 'outcome', 'status'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'sluis_request_seconds',
      help: 'Time from the first byte of a request to the last byte of its answer',
      labelNames: ['outcome'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    introspections: new Counter({
      name: 'sluis_introspections_total',
      help: 'Token introspections, by result (cached, active, inactive, failed)',
      labelNames: ['tenant', 'result'],
      registers,
    }),
    auditRecords: new Counter({
      name: 'sluis_audit_records_total',
      help: 'Durable audit records',
      labelNames: ['phase'],
      registers,
    }),
    jobs: new Counter({
      name: 'sluis_jobs_total',
      help: 'Attempts of jobs, by result (done, retry, failed, dead)',
      labelNames: ['use_case', 'job', 'result'],
      registers,
    }),
    apiRequests: new Counter({
      name: 'sluis_api_requests_total',
      help: 'Requests on the API of the internal listener',
      labelNames: ['operation', 'status'],
      registers,
    }),
    alarms: new Counter({
      name: 'sluis_alarms_total',
      help: `What a person should look at, by kind (${ALARM_KINDS.join(', ')})`,
      labelNames: ['tenant', 'kind'],
      registers,
    }),
    inFlight: new Gauge({ name: 'sluis_requests_in_flight', help: 'Requests being handled on the public listener', registers }),
  };
}
