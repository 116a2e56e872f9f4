import type { AuditEntry } from './entry.ts';

/** Where entries go. The journal is the one in production. */
export interface AuditSink {
  /**
   * Resolves once the entry is durable. Rejects with `GatewayError('audit_unavailable')` when it cannot be:
   * no audit, no data.
   */
  record(entry: AuditEntry): Promise<void>;
}
