const FORM =
  /^([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]{1,9})?)?(?:Z|[+ -]([0-9]{2}):([0-9]{2}))?)?)?)?$/;
const PLUS_AS_BLANK = /T[^ ]* /;

/**
 * What is wrong with a date of a search, without its prefix; undefined when nothing is. The words hold nothing of the value.
 *
 * A date, to the year, month or day, or a date-time to the minute at least (search.html, "date"), that is in the calendar and on the clock: a
 * server reads 30 February as 1 March, as nothing, or refuses it. 24:00 is none, second 60 is one (datatypes.html, "dateTime", "instant").
 */
export function dateFault(value: string): string | undefined {
  const parts = FORM.exec(value);
  if (parts === null) return 'must be a date such as 2026, 2026-11 or 2026-11-24, or a date-time such as 2026-11-24T10:00:00Z';
  // In a query and in a form a bare plus is a blank.
  if (PLUS_AS_BLANK.test(value))
    return 'has a blank before its time zone; a plus must be written as %2B: 2026-11-24T10:00:00%2B01:00';
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0, zoneHour = 0, zoneMinute = 0] = parts
    .slice(1)
    .map((part: string | undefined) => (part === undefined ? undefined : Number(part)));
  if (year === 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month))
    return 'names a day that is not in the calendar';
  if (hour > 23 || minute > 59 || second > 60) return 'names a time that is not on the clock; it must be 00:00:00 to 23:59:60';
  if (zoneMinute > 59 || zoneHour * 60 + zoneMinute > LAST_ZONE_MINUTES)
    return 'names a time zone that there is not; it must be Z or -14:00 to +14:00';
  return undefined;
}

const LAST_ZONE_MINUTES = 14 * 60;

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
