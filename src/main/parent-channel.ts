import { z } from 'zod';

// The sandbox runs the gateway as a child process and reaches into it over the process's own channel: it moves the clock and makes keys and grants.
// A gateway that was started in any other way, or in production, has no such door.

const resource = z.strictObject({
  path: z.string().startsWith('/'),
  operations: z.array(z.string()).min(1),
  userContext: z.boolean(),
  assuranceLevel: z.enum(['low', 'substantial', 'high']).exactOptional(),
});

const message = z.discriminatedUnion('type', [
  z.strictObject({ id: z.int(), type: z.literal('begin'), clockOffsetMs: z.number() }),
  z.strictObject({ id: z.int(), type: z.literal('advance-clock'), seconds: z.number() }),
  z.strictObject({
    id: z.int(),
    type: z.literal('create-api-key'),
    tenant: z.string().exactOptional(),
    role: z.enum(['ehr', 'operator']),
  }),
  z.strictObject({
    id: z.int(),
    type: z.literal('open-grant'),
    tenant: z.string(),
    grant: z.strictObject({
      requester: z.string(),
      purpose: z.string(),
      resources: z.array(resource).min(1),
      kind: z.string(),
      recordId: z.string(),
      patient: z.string().exactOptional(),
      expiresAt: z.iso.datetime().exactOptional(),
      credentialId: z.string().exactOptional(),
    }),
  }),
]);

export type ParentMessage = z.infer<typeof message>;

/** What the parent may ask of a gateway that runs. */
export type ParentRequest = Exclude<ParentMessage, { readonly type: 'begin' }>;

export interface ParentChannel {
  /** Waits for the parent's word to begin; the answer to it is the gateway's `ready`. */
  begin(): Promise<{ readonly clockOffsetMs: number }>;
  /** Answers the parent's requests from now on. */
  serve(handle: (request: ParentRequest) => Promise<unknown>): void;
  ready(addresses: { readonly public: string; readonly internal: string }): void;
}

/** The channel to a parent process; undefined when there is none. */
export function openParentChannel(): ParentChannel | undefined {
  if (process.send === undefined) return undefined;
  const send = (value: object): void => {
    process.send?.(value);
  };
  let handle: ((request: ParentRequest) => Promise<unknown>) | undefined;
  let begun: (settings: { readonly clockOffsetMs: number }) => void = () => undefined;
  const beginning = new Promise<{ readonly clockOffsetMs: number }>((resolve) => {
    begun = resolve;
  });

  const answer = async (received: unknown): Promise<void> => {
    const parsed = message.safeParse(received);
    if (!parsed.success) {
      send({ type: 'failed', message: 'the message is not one that the gateway knows' });
      return;
    }
    const { data } = parsed;
    try {
      if (data.type === 'begin') {
        begun(data);
        send({ id: data.id, type: 'done', result: null });
        return;
      }
      if (handle === undefined) throw new Error('the gateway is not ready');
      send({ id: data.id, type: 'done', result: (await handle(data)) ?? null });
    } catch (error) {
      send({ id: data.id, type: 'failed', message: error instanceof Error ? error.message : String(error) });
    }
  };
  process.on('message', (received) => void answer(received));
  // A parent that was killed cannot end us: without it nobody would, and the ports would stay taken.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  return {
    begin: () => beginning,
    serve: (handler) => {
      handle = handler;
    },
    ready: (addresses) => send({ type: 'ready', ...addresses }),
  };
}
