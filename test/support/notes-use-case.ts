import {
  defineUseCase,
  deny,
  permit,
  type AccessRequest,
  type Decision,
  type Obligation,
  type PolicyInformation,
  type UseCase,
} from '../../src/usecase/index.ts';

export const NOTES = 'notes-sender';
export const MESSAGES = 'notes-receiver';

/** What `receive` was given, for the tests. */
export const receivedMessages: { readonly sender: string; readonly id: string | undefined }[] = [];

/** A small use case for the gate's own tests: everything is permitted by a live grant of the ledger that names path and operation. */
export function notes(policy: { readonly decide: UseCase['decide'] | undefined }): UseCase {
  return defineUseCase({
    id: 'notes',
    title: 'Notes',
    parseConfig: (settings) => settings,
    roles: [
      {
        id: 'sender',
        purpose: NOTES,
        scopes: [],
        fhirVersion: 'STU3',
        rules: [
          {
            id: 'read',
            interaction: 'read',
            types: ['Task', 'Patient', 'Binary'],
            parameters: { _summary: { any: true, optional: true } },
          },
          { id: 'update', interaction: 'update', types: ['Task'] },
          { id: 'document', interaction: 'operation-instance', types: ['Composition'], operation: 'document' },
          { id: 'search', interaction: 'search-type', types: ['Patient'], parameters: { _id: { any: true, optional: true } } },
        ],
      },
      { id: 'receiver', purpose: MESSAGES, scopes: [], fhirVersion: 'STU3', rules: [] },
    ],
    decide: (request, config, information) =>
      policy.decide === undefined ? byGrant(request, information) : policy.decide(request, config, information),
    writes: [
      {
        name: 'status',
        judge: async ({ proposed, stored }) => {
          await Promise.resolve();
          if (proposed['status'] === stored['status']) return { outcome: 'unchanged' };
          if (proposed['status'] === 'refused') {
            return { outcome: 'rejected', code: 'unprocessable', reason: 'not_allowed', expression: ['Task.status'] };
          }
          return { outcome: 'write', resource: { ...stored, status: proposed['status'] ?? null } };
        },
        settle: () => Promise.resolve(),
      },
    ],
    reviews: [
      {
        name: 'secret',
        review: ({ body }) => {
          if (body['withhold'] === true) return { outcome: 'withhold', reason: 'marked' };
          if (body['throw'] === true) throw new Error('a bug');
          if (body['note'] === undefined) return { outcome: 'pass' };
          const { note: _note, ...rest } = body;
          return { outcome: 'replace', body: rest };
        },
      },
    ],
    inbound: [
      {
        name: 'notification',
        role: 'receiver',
        path: 'notification/:id',
        parameters: { id: /[A-Za-z0-9.-]{1,64}/ },
        body: 'empty',
        receive: ({ sender, params }) => {
          receivedMessages.push({ sender, id: params['id'] });
          return Promise.resolve();
        },
      },
    ],
  });
}

async function byGrant(request: AccessRequest, information: PolicyInformation): Promise<Decision> {
  const operation = request.action.kind === 'operation-instance' ? 'document' : request.action.kind;
  const grants = await information.grants(request.resource.path);
  const grant = grants.find((each) => each.resources.some((resource) => resource.operations.includes(operation)));
  // The state is left to the gate, which must look for itself.
  if (grant === undefined) return deny('no_grant');
  const obligations: Obligation[] = [];
  if (request.action.kind === 'update') obligations.push({ kind: 'guard-write', guard: 'status' });
  if (request.resource.type === 'Task') obligations.push({ kind: 'review', review: 'secret' });
  return permit('granted', { grantId: grant.id, obligations });
}
