import { destination as openDestination, pino, type DestinationStream, type Logger as PinoLogger } from 'pino';

/** Structured log, JSON lines on stdout. Never a token, a BSN or a resource body. */
export type Logger = PinoLogger;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Creates the process's logger. Field names: `level`, `time`, `module`, `msg`; tenant first where there is one. */
export function createLogger(level: LogLevel = 'info', destination?: NodeJS.WritableStream): Logger {
  return pino(
    {
      level,
      base: { product: 'sluis' },
      timestamp,
      formatters: { level: (label) => ({ level: label }) },
      // A last line of defence; nothing should hand these to the log in the first place.
      redact: {
        paths: ['authorization', '*.authorization', 'token', '*.token', 'access_token', '*.access_token'],
        censor: '[redacted]',
      },
    },
    destination ?? standardOutput(),
  );
}

let lastMs = Number.NaN;
let lastTime = '';

// Many lines share a millisecond; formatting one is dear.
function timestamp(): string {
  const ms = new Date().getTime();
  if (ms !== lastMs) {
    lastTime = `,"time":"${new Date(ms).toISOString()}"`;
    lastMs = ms;
  }
  return lastTime;
}

/** The lines of one turn of the event loop leave in one write: under load a write for each costs more than making it. */
function standardOutput(): DestinationStream & { flushSync(): void } {
  const output = openDestination({ fd: 1, sync: true });
  let lines = '';
  let scheduled = false;
  const flushSync = (): void => {
    scheduled = false;
    if (lines === '') return;
    const text = lines;
    lines = '';
    output.write(text);
  };
  process.once('exit', flushSync);
  return {
    write: (line) => {
      lines += line;
      if (scheduled) return;
      scheduled = true;
      setImmediate(flushSync);
    },
    // Called after a fatal line: the process may be gone before this turn ends.
    flushSync,
  };
}
