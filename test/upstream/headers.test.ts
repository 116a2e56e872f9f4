import { describe, expect, it } from '@jest/globals';
import { answerHeaders, upstreamHeaders } from '../../src/upstream/headers.ts';

const bases = { upstream: 'http://internal/fhir', public: 'https://gate.example/oost/fhir' };

describe('headers', () => {
  it('go upstream when they are on the list only', () => {
    const sent = upstreamHeaders({
      accept: 'a',
      'if-match': 'W/"1"',
      authorization: 'Bearer x',
      cookie: 'c',
      'x-forwarded-for': '1',
      dpop: 'd',
      host: 'h',
    });
    expect(sent).toEqual({ accept: 'a', 'if-match': 'W/"1"' });
  });

  it('come back when they are on the list only (X23), locations in our words', () => {
    const headers = answerHeaders(
      {
        'content-type': 'application/fhir+json',
        'content-length': '2',
        etag: 'W/"1"',
        'last-modified': 'x',
        location: 'http://internal/fhir/Task/1',
        'content-location': 'http://elsewhere/metadata',
        'set-cookie': ['a=b'],
        server: 'S',
        'x-powered-by': 'P',
        'access-control-allow-origin': '*',
        link: '<http://internal>',
      },
      bases,
    );
    expect(Object.fromEntries(headers)).toEqual({
      'content-type': 'application/fhir+json',
      'content-length': '2',
      etag: 'W/"1"',
      'last-modified': 'x',
      location: 'https://gate.example/oost/fhir/Task/1',
    });
  });

  it('name a resource as ours, whatever the server calls itself, and no other place', () => {
    const at = (location: string): unknown => answerHeaders({ location }, bases).get('location');
    expect(at('http://elsewhere:8080/r4/Task/1/_history/2')).toBe('https://gate.example/oost/fhir/Task/1/_history/2');
    expect([at('http://elsewhere/Task'), at('http://elsewhere/x?Task/1'), at('http://169.254.169.254/latest')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('have a tag also where the server names the version in Content-Location only', () => {
    const at = (path: string): unknown =>
      answerHeaders({ 'content-location': `http://elsewhere/fhir/Task/${path}` }, bases).get('etag');
    expect(at('1/_history/7')).toBe('W/"7"');
    expect([at('1'), at('1/_history/'), at('1/_history/7?a=b'), at('1/_history/"7')]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    const both = answerHeaders({ etag: 'W/"8"', 'content-location': 'http://elsewhere/fhir/Task/1/_history/7' }, bases);
    expect(both.get('etag')).toBe('W/"8"');
  });

  it.each([{ 'content-encoding': 'gzip' }, { 'content-type': ['a', 'b'] }, { etag: ['a', 'b'] }])(
    'that can be read in two ways fail: %j',
    (raw) => {
      expect(() => answerHeaders(raw, bases)).toThrow(expect.objectContaining({ code: 'upstream_failed' }));
    },
  );
});
