import { describe, expect, it } from '@jest/globals';
import { settledFormat } from '../../src/pep/answer-format.ts';
import { GatewayError } from '../../src/errors.ts';

type Demands = Parameters<typeof settledFormat>[1];

const nothing: Demands = {
  reviews: [],
  filters: [],
  narrowings: [],
  redacted: [],
  proofs: [],
  requestHeaders: {},
  responseHeaders: {},
  attributes: {},
};

function settled(asked: Parameters<typeof settledFormat>[0], demands: Partial<Demands>): string {
  try {
    return settledFormat(asked, { ...nothing, ...demands });
  } catch (error) {
    if (error instanceof GatewayError) return `${error.code} ${error.options.reason ?? ''}`;
    throw error;
  }
}

describe('the format of a permitted answer', () => {
  it.each<[string, Partial<Demands>]>([
    ['nothing', {}],
    ['headers and attributes', { requestHeaders: { prefer: 'x' }, responseHeaders: { etag: null }, attributes: { a: 'b' } }],
  ])('is XML where the permit demands %s', (_what, demands) => {
    expect(settled('xml', demands)).toBe('xml');
    expect(settled('xml-first', demands)).toBe('xml');
  });

  it.each<[string, Partial<Demands>]>([
    ['a review', { reviews: [{ name: 'r', review: () => ({ outcome: 'pass' }) }] }],
    ['a filter', { filters: [{ name: 'f', keeps: () => true }] }],
    ['a narrowing', { narrowings: [{ parameter: 'status', element: 'status', values: ['final'] }] }],
    ['elements to redact', { redacted: ['Patient.name'] }],
    ['a proof', { proofs: [{ element: 'subject', values: ['Patient/1'] }] }],
    ['a bounded page', { maxCount: 10 }],
    ['an answer of the use case', { local: { name: 'l', answer: () => Promise.resolve(undefined) } }],
    ['a guard', { guard: { kind: 'changes', changes: { changed: ['*'] } } }],
  ])('is JSON, or nothing, where the permit demands %s', (_what, demands) => {
    expect(settled('xml', demands)).toBe('not_acceptable xml_not_possible');
    expect(settled('xml-first', demands)).toBe('json');
  });

  it('stays what it was for all others', () => {
    for (const format of ['json', 'raw'] as const) expect(settled(format, { redacted: ['Patient.name'] })).toBe(format);
  });
});
