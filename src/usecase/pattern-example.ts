/**
 * A text that a regular expression matches as a whole, made from its source: classes, `\d`, `\w`, `.`, quantifiers, and of alternatives the first. Undefined
 * for what is beyond that; what is returned was tried.
 */
export function exampleOf(pattern: RegExp): string | undefined {
  const whole = new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gmy]/g, ''));
  return [fromSource(pattern.source), 'x1', '1', '2020-01-01'].find((text) => whole.test(text));
}

const PIECE = /(\\d|\\w|\\.|\[[^\]]+\]|\(\?:|[()^$|]|.)(?:\{(\d+)(?:,\d*)?\}|[+*?])?/gsu;

function fromSource(source: string): string {
  let text = '';
  for (const [, piece = '', times] of source.matchAll(PIECE)) {
    if (piece === '|') break;
    text += oneOf(piece).repeat(times === undefined ? 1 : Number(times));
  }
  return text;
}

function oneOf(piece: string): string {
  if (piece === '\\d') return '1';
  if (piece === '\\w' || piece === '.') return 'a';
  if (piece.startsWith('\\')) return piece.slice(1);
  if (piece.startsWith('[')) return piece.startsWith('[\\d') ? '1' : piece.charAt(1) === '\\' ? piece.charAt(2) : piece.charAt(1);
  return piece === '(?:' || '()^$'.includes(piece) ? '' : piece;
}
