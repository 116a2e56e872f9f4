import type { InboundRoute } from 'sluis/usecase';
import type { EOverdrachtConfig } from './config.ts';
import { taskKey } from './inbox.ts';

/**
 * The notification endpoint (facts §4.2): an empty POST that says only that something about a Task changed. It is kept, with the job that
 * will read the Task, and answered 202; whether the Task is known makes no difference that the sender could see. Five in a second are one
 * pending pull. The notification's token is checked by the gate and goes no further: the pull gets its own.
 */
export const notificationRoute: InboundRoute<EOverdrachtConfig> = {
  name: 'notification',
  role: 'receiver',
  path: 'notification/:taskId',
  parameters: { taskId: /^[A-Za-z0-9\-.]{1,64}$/ },
  body: 'empty',
  receive: async (message, _config, services) => {
    const taskId = message.params['taskId'];
    if (taskId === undefined) return;
    const { sender } = message;
    await services.transaction(async (unit) => {
      await unit.enqueue({
        name: 'pull',
        key: taskKey(sender, taskId),
        payload: { sender, taskId, receivedAt: unit.now.toISOString() },
      });
    });
  },
};
