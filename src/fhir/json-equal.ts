import { isJsonArray, isJsonObject, JsonNumber, type JsonValue } from './json.ts';

/**
 * Whether two values are the same, whatever the order of members. Numbers `by-text`: `1.0` is not `1.00` (datatypes.html#decimal: precision has meaning);
 * `by-value`: it is (RFC 6902 §4.6).
 */
export function equalJson(one: JsonValue | undefined, other: JsonValue | undefined, numbers: 'by-text' | 'by-value'): boolean {
  if (one === other) return true;
  const [oneText, otherText] = [numberText(one), numberText(other)];
  if (oneText !== undefined || otherText !== undefined) {
    if (oneText === undefined || otherText === undefined) return false;
    return oneText === otherText || (numbers === 'by-value' && sameNumber(oneText, otherText));
  }
  if (isJsonArray(one))
    return (
      isJsonArray(other) && one.length === other.length && one.every((each, index) => equalJson(each, other[index], numbers))
    );
  if (!isJsonObject(one) || !isJsonObject(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && equalJson(one[name], other[name], numbers))
  );
}

function numberText(value: JsonValue | undefined): string | undefined {
  return value instanceof JsonNumber ? value.text : typeof value === 'number' ? String(value) : undefined;
}

/** In decimals, because 0.1 and 0.10000000000000000001 are one number in JavaScript only. */
function sameNumber(one: string, other: string): boolean {
  return canonical(one) === canonical(other);
}

function canonical(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  const scale = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return `${sign}${significant}e${scale.toString()}`;
}
