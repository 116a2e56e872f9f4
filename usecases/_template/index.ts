import { defineUseCase, type Role } from 'sluis/usecase';
import { parseConfig } from './config.ts';
import { decide } from './policy.ts';

/** The one side of this exchange that gives data: others read observations that were granted to them, one by one. */
const holder: Role = {
  id: 'holder',
  // What a token must be for to come here. Exactly one role of all loaded use cases may claim it.
  purpose: 'template-holder',
  scopes: ['template-holder'],
  fhirVersion: 'STU3',
  // What may be asked at all. Whatever no line matches is denied before `decide` is called.
  rules: [{ id: 'observation-read', interaction: 'read', types: ['Observation'] }],
};

/** Copy me: a use case that lets an organisation read what was granted to it. */
export default defineUseCase({
  // The folder's name.
  id: 'template',
  title: 'Read by grant',
  roles: [holder],
  parseConfig,
  decide,
});
