// THE contract: all that a use case may import, under the name `sluis/usecase`.
export * from './access.ts';
export * from './decision.ts';
export * from './definition.ts';
export * from './rules.ts';
export * from './subject.ts';
export * from './workflow.ts';
export { GatewayError, type ErrorCode, type FieldProblem } from '../errors.ts';
export type { Interaction } from '../fhir/interaction.ts';
export { isJsonObject, parseJsonObject, printJson, type JsonObject, type JsonValue } from '../fhir/json.ts';
export {
  parseReference,
  printReference,
  references,
  type FoundReference,
  type LocalReference,
  type Reference,
} from '../fhir/reference.ts';
export { z } from 'zod';
