import type { ApiRoute, InboundRoute, Job } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { answerJob } from './inbox-answer.ts';
import { inboxRoutes } from './inbox-api.ts';
import { notificationRoute } from './notification.ts';
import { pullJob, reconcileJob } from './pull-job.ts';

/** What the role `receiver` adds to the use case: the notification endpoint, the inbox, the pull and the answer. */
export const receiverInbound: readonly InboundRoute<EOverdrachtConfig>[] = [notificationRoute];
export const receiverRoutes: readonly ApiRoute<EOverdrachtConfig>[] = inboxRoutes;
export const receiverJobs: readonly Job<EOverdrachtConfig>[] = [pullJob, answerJob, reconcileJob];
