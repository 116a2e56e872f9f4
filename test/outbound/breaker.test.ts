import { describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors.ts';
import { createBreaker } from '../../src/outbound/breaker.ts';
import { createStandingClock } from '../support/clock.ts';

function setUp() {
  const clock = createStandingClock();
  let calls = 0;
  const breaker = createBreaker({
    clock,
    failures: 3,
    openMs: 2_000,
    isFailure: (error) => !(error instanceof GatewayError && error.status < 500),
    refusal: (retryAfterSeconds) => new GatewayError('unavailable', 'open', { retryAfterSeconds }),
  });
  const fail = (error: Error = new Error('down')) =>
    breaker.run(() => ((calls += 1), Promise.reject(error))).catch((caught: unknown) => caught);
  const succeed = () => breaker.run(() => ((calls += 1), Promise.resolve('fine')));
  return { clock, breaker, fail, succeed, calls: () => calls };
}

describe('createBreaker', () => {
  it('opens after failures in a row and then answers without calling', async () => {
    const { breaker, fail, succeed, calls } = setUp();
    await fail();
    await fail();
    expect(breaker.state).toBe('closed');
    await fail();
    expect(breaker.state).toBe('open');
    await expect(succeed()).rejects.toMatchObject({ code: 'unavailable', options: { retryAfterSeconds: 2 } });
    expect(calls()).toBe(3);
  });

  it('does not count what is the caller’s own fault, and forgets failures after a success', async () => {
    const { breaker, fail, succeed } = setUp();
    for (let i = 0; i < 10; i += 1) await fail(new GatewayError('bad_request', 'yours'));
    expect(breaker.state).toBe('closed');
    await fail();
    await fail();
    await succeed();
    await fail();
    await fail();
    expect(breaker.state).toBe('closed');
  });

  it('lets one try after a while: success closes it, failure opens it again', async () => {
    const { clock, breaker, fail, succeed, calls } = setUp();
    for (let i = 0; i < 3; i += 1) await fail();
    clock.advance(2);
    expect(breaker.state).toBe('half-open');
    await fail();
    expect(breaker.state).toBe('open');
    await expect(succeed()).rejects.toMatchObject({ code: 'unavailable' });
    expect(calls()).toBe(4);
    clock.advance(2);
    await expect(succeed()).resolves.toBe('fine');
    expect(breaker.state).toBe('closed');
  });

  it('lets only one of many try, and another one when that never comes back', () => {
    const { clock, breaker } = setUp();
    for (let i = 0; i < 3; i += 1) breaker.failed();
    clock.advance(2);
    breaker.enter();
    expect(() => breaker.enter()).toThrow(GatewayError);
    clock.advance(2);
    expect(() => breaker.enter()).not.toThrow();
  });

  it('does not stay open when the clock is set back', () => {
    const { clock, breaker } = setUp();
    for (let i = 0; i < 3; i += 1) breaker.failed();
    clock.advance(-3600);
    expect(breaker.state).toBe('half-open');
  });
});
