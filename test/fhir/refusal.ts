import { GatewayError, type ErrorCode } from '../../src/errors.ts';

/** The code that a call is refused with; `'accepted'` when it is not. Anything thrown that is no GatewayError is a defect and goes on. */
export function refusal(call: () => unknown): ErrorCode | 'accepted' {
  try {
    call();
    return 'accepted';
  } catch (error) {
    if (error instanceof GatewayError) return error.code;
    throw error;
  }
}

/** The error that a call is refused with. */
export function refused(call: () => unknown): GatewayError {
  try {
    call();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('was not refused');
}
