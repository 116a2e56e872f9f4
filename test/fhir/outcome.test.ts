import { describe, expect, it } from '@jest/globals';
import { ERROR_CODES, type ErrorCode } from '../../src/errors.ts';
import { issueCodeOf, operationOutcome } from '../../src/fhir/outcome.ts';

describe('an OperationOutcome', () => {
  it('has one issue, in our own words', () => {
    expect(operationOutcome({ issueCode: 'forbidden', text: 'access_denied', diagnostics: 'abc', version: 'STU3' })).toEqual({
      resourceType: 'OperationOutcome',
      issue: [{ severity: 'error', code: 'forbidden', details: { text: 'access_denied' }, diagnostics: 'abc' }],
    });
    expect(
      operationOutcome({ issueCode: 'business-rule', expression: ['Task.owner'], version: 'R4' }).issue[0]?.expression,
    ).toEqual(['Task.owner']);
  });

  it.each<[ErrorCode, string]>([
    ['token_missing', 'login'],
    ['token_invalid', 'login'],
    ['forbidden', 'forbidden'],
    ['invalid_target', 'invalid'],
    ['invalid_body', 'structure'],
    ['unprocessable', 'business-rule'],
    ['conflict', 'conflict'],
    ['unsupported_media_type', 'not-supported'],
    ['not_acceptable', 'not-supported'],
    ['too_many_requests', 'throttled'],
    ['node_unavailable', 'transient'],
    ['upstream_failed', 'exception'],
    ['upstream_timeout', 'timeout'],
  ])('says %s as %s', (code, issueCode) => {
    expect(issueCodeOf(code)).toBe(issueCode);
  });

  it('has a code for every error', () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) expect(typeof issueCodeOf(code)).toBe('string');
  });
});
