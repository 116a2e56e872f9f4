import type { ApiRoute, InboundRoute, Job } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';

/** What the role `receiver` adds to the use case: the notification endpoint, the inbox, the pull. */
export const receiverInbound: readonly InboundRoute<EOverdrachtConfig>[] = [];
export const receiverRoutes: readonly ApiRoute<EOverdrachtConfig>[] = [];
export const receiverJobs: readonly Job<EOverdrachtConfig>[] = [];
