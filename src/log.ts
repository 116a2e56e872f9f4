import { pino, type Logger as PinoLogger } from 'pino';

/** Structured log, JSON lines on stdout. Never a token, a BSN or a resource body. */
export type Logger = PinoLogger;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Creates the process's logger. Field names: `level`, `time`, `module`, `msg`; tenant first where there is one. */
export function createLogger(level: LogLevel = 'info', destination?: NodeJS.WritableStream): Logger {
  return pino(
    {
      level,
      base: { product: 'sluis' },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      // A last line of defence; nothing should hand these to the log in the first place.
      redact: {
        paths: ['authorization', '*.authorization', 'token', '*.token', 'access_token', '*.access_token'],
        censor: '[redacted]',
      },
    },
    destination ?? process.stdout,
  );
}
