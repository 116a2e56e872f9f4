import { defineUseCase, type Role } from 'sluis/usecase';
import { senderRoutes } from './api.ts';
import codes from './codes.json' with { type: 'json' };
import { parseConfig } from './config.ts';
import { receiverInbound, receiverJobs, receiverRoutes } from './inbox-plug.ts';
import { notifyJob, RECEIVER_SERVICE } from './notify-job.ts';
import { decide } from './policy.ts';
import { reviews } from './reviews.ts';
import { settleJob } from './settle-job.ts';
import { sweepJob } from './sweep-job.ts';
import { taskWrite } from './task-write.ts';
import { PURPOSE } from './transfer.ts';

/** How a read may be shortened; reviews see to it that nothing is shown by it. */
const SHOWN = { _summary: { any: true, optional: true }, _elements: { any: true, optional: true } } as const;

/** The sender: others read its Tasks and documents, and answer by PUT of the Task (facts §5.7). */
const sender: Role = {
  id: 'sender',
  purpose: PURPOSE,
  scopes: [PURPOSE],
  fhirVersion: 'STU3',
  // `allowSelf` is the tenant's setting: the policy judges (facts §6.3).
  judgesSelf: true,
  rules: [
    { id: 'task-read', title: 'A Task of a transfer', interaction: 'read', types: ['Task'], parameters: SHOWN },
    { id: 'task-update', title: 'The receiver’s answer', interaction: 'update', types: ['Task'] },
    {
      id: 'document-read',
      title: 'What a message or hand-off is made of',
      interaction: 'read',
      types: ['Composition', ...codes.resourceTypes],
      parameters: SHOWN,
    },
    {
      id: 'document',
      title: 'The whole message or hand-off',
      interaction: 'operation-instance',
      types: ['Composition'],
      operation: 'document',
    },
  ],
};

/** The receiver: is notified, and gives no access to FHIR (facts §6.6). */
const receiver: Role = { id: 'receiver', purpose: RECEIVER_SERVICE, scopes: [RECEIVER_SERVICE], fhirVersion: 'STU3', rules: [] };

/** eOverdracht: the transfer of a patient from one care organisation to another (Nuts Bolt, V1). */
export default defineUseCase({
  id: 'eoverdracht',
  title: 'eOverdracht',
  roles: [sender, receiver],
  parseConfig,
  decide,
  writes: [taskWrite],
  reviews,
  inbound: receiverInbound,
  api: [...senderRoutes, ...receiverRoutes],
  jobs: [settleJob, notifyJob, sweepJob, ...receiverJobs],
});
