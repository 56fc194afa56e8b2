/** Numbers and times for people, and the table that aligns them. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatBytes, formatCount, formatDuration, formatEndpoint, formatLatency, formatPart, formatPlural, formatRate, formatShare, formatTime } from '../../src/cli/format.js';
import { wantsColor } from '../../src/cli/io.js';
import { formatTable, left, right, Table } from '../../src/cli/table.js';

test('counts have their thousands apart', () => {
  const rows: [number, string][] = [[0, '0'], [999, '999'], [1000, '1,000'], [123456, '123,456'], [1234567, '1,234,567'], [Number.MAX_SAFE_INTEGER, '9,007,199,254,740,991']];
  for (const [count, text] of rows) assert.is(formatCount(count), text);
  assert.is(formatPlural(1, 'flow'), '1 flow');
  assert.is(formatPlural(0, 'flow'), '0 flows');
  assert.is(formatPlural(2000, 'flow'), '2,000 flows');
});

test('bytes have three digits and the unit that fits, also where rounding reaches the next one', () => {
  const rows: [number, string][] = [
    [0, '0 B'], [999, '999 B'], [1000, '1.00 kB'], [1500, '1.50 kB'], [9994, '9.99 kB'], [9995, '10.0 kB'], [99_949, '99.9 kB'], [99_950, '100 kB'],
    [999_499, '999 kB'], [999_500, '1.00 MB'], [123_456_789_012, '123 GB'], [1e15, '1.00 PB'], [Number.MAX_SAFE_INTEGER, '9.01 PB'],
  ];
  for (const [bytes, text] of rows) assert.is(formatBytes(bytes), text, String(bytes));
});

test('durations show two units, and a clock that went back shows nothing strange', () => {
  const rows: [number, string][] = [
    [-5000, '0 ms'], [0, '0 ms'], [999.9, '999 ms'], [1000, '1 s'], [59_999, '59 s'], [60_000, '1m 00s'], [65_000, '1m 05s'],
    [3_599_999, '59m 59s'], [3_600_000, '1h 00m'], [11_220_000, '3h 07m'], [86_400_000, '1d 00h'], [10 * 86_400_000 + 7_200_000, '10d 02h'],
  ];
  for (const [ms, text] of rows) assert.is(formatDuration(ms), text, String(ms));
});

test('shares, endpoints and times', () => {
  assert.is(formatShare(0.7493), '74.9 %');
  assert.is(formatPart(1, 3), '33.3 %');
  assert.is(formatPart(0, 0), '0.0 %');
  assert.is(formatEndpoint('10.0.0.1', 80), '10.0.0.1:80');
  assert.is(formatEndpoint('10.0.0.1', 0), '10.0.0.1');
  assert.is(formatEndpoint('2001:db8::1', 80), '[2001:db8::1]:80');
  assert.is(formatEndpoint('2001:db8::1', 0), '2001:db8::1');
  assert.is(formatTime(new Date(2026, 0, 31, 9, 5, 7, 42).getTime()), '2026-01-31 09:05:07.042');
});

interface Row { name: string; count: number }
const columns = [left<Row>('NAME', (row) => row.name, (row) => (row.count > 9 ? 'bad' : null)), right<Row>('COUNT', (row) => String(row.count)), left<Row>('NOTE', (row) => (row.count > 9 ? 'many' : null))];

test('words stand left, numbers right, no line ends in blanks', () => {
  assert.is(formatTable(columns, [{ name: 'a', count: 5 }, { name: 'longest', count: 123456 }], false),
    'NAME      COUNT  NOTE\n'
    + 'a             5  -\n'
    + 'longest  123456  many\n');
});

test('colours do not shift a column', () => {
  const colored = formatTable(columns, [{ name: 'a', count: 10 }, { name: 'bb', count: 1 }], true);
  assert.ok(colored.includes('\u001b[31ma\u001b[0m'));
  // eslint-disable-next-line no-control-regex -- this is what colours are made of
  assert.is(colored.replace(/\u001b\[\d+m/g, ''), formatTable(columns, [{ name: 'a', count: 10 }, { name: 'bb', count: 1 }], false));
});

test('a table fed in portions has one heading and only ever grows wider', () => {
  const table = new Table(columns, false);
  const first = table.lines([{ name: 'abcdef', count: 1 }]);
  const second = table.lines([{ name: 'a', count: 1 }]);
  assert.is(first + second, formatTable(columns, [{ name: 'abcdef', count: 1 }, { name: 'a', count: 1 }], false));
});

test('what a cell contains cannot steer the terminal', () => {
  const text = formatTable(columns, [{ name: 'a\u001b[2Jb\nc\u009b', count: 1 }], false);
  assert.is(text.split('\n').length, 3);
  assert.ok(text.includes('a?[2Jb?c?'));
});

test('colours are for terminals, and for people who have not refused them', () => {
  assert.is(wantsColor(true, {}), true);
  assert.is(wantsColor(false, {}), false);
  assert.is(wantsColor(true, { NO_COLOR: '1' }), false);
  assert.is(wantsColor(true, { NO_COLOR: '' }), true);
  assert.is(wantsColor(true, { TERM: 'dumb' }), false);
});

test('rates and round trips have three digits at most and their unit', () => {
  for (const [bps, text] of [[0, '0 bit/s'], [999, '999 bit/s'], [1000, '1.00 kbit/s'], [12_345_678, '12.3 Mbit/s'], [999_600_000, '1.00 Gbit/s'], [4e15, '4000 Tbit/s']] as const) assert.is(formatRate(bps), text);
  for (const [ms, text] of [[0, '0.00 ms'], [0.834, '0.83 ms'], [9.996, '10.0 ms'], [12.44, '12.4 ms'], [99.96, '100 ms'], [340.2, '340 ms'], [999.6, '1.00 s'], [2500, '2.50 s']] as const) assert.is(formatLatency(ms), text);
});

test.run();
