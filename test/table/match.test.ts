/** Compiled matches against a plain reading of what a match says, and ranges against a plain list. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { MatchPlan } from '../../src/base/plan.js';
import { MatchList } from '../../src/table/match.js';
import { RangeMap } from '../../src/table/range-map.js';
import { check } from '../support/oracle/property.js';

const LINKS = 3;

interface Question { link: number; out: number; protocol: number; source: number; destination: number; sourcePort: number; destinationPort: number }

/** What the words of a match mean, without any cleverness. */
function fits(match: MatchPlan, q: Question): boolean {
  const isIn = (texts: string[] | undefined, address: number): boolean => texts === undefined || texts.some((text) => {
    const [base, length] = text.split('/');
    const number = base.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
    const size = 2 ** (32 - Number(length));
    return Math.floor((address >>> 0) / size) === Math.floor(number / size);
  });
  const isPort = (ranges: MatchPlan['sourcePorts'], port: number): boolean => ranges === undefined || ranges.some(({ first, last }) => port >= first && port <= last);
  const hasPorts = q.protocol === 6 || q.protocol === 17;
  return (match.in === undefined || match.in.includes(q.link)) && (match.out === undefined || match.out.includes(q.out))
    && (match.protocols === undefined || match.protocols.includes(q.protocol)) && isIn(match.from, q.source) && isIn(match.to, q.destination)
    && (hasPorts ? isPort(match.sourcePorts, q.sourcePort) && isPort(match.destinationPorts, q.destinationPort)
      : match.sourcePorts === undefined && match.destinationPorts === undefined);
}

/** Few different addresses and ports, around the edges of the ranges, so that much matches. */
const octet = fc.constantFrom(0, 1, 10, 127, 128, 192, 254, 255);
const prefix = fc.tuple(octet, octet, fc.constantFrom(0, 1, 8, 9, 16, 24, 31, 32)).map(([a, b, length]) => {
  const word = length === 0 ? 0 : (((a << 24) | (b << 16) | (a << 8) | b) & (-1 << (32 - length))) >>> 0;
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}/${length}`;
});
const port = fc.constantFrom(0, 1, 79, 80, 81, 1023, 1024, 65_534, 65_535);
const range = fc.tuple(port, port).map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) }));
const some = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[] | undefined> => fc.option(fc.array(item, { minLength: 1, maxLength: 4 }), { nil: undefined, freq: 2 });
const protocol = fc.constantFrom(0, 1, 6, 17, 47, 255);
const link = fc.integer({ min: 0, max: LINKS - 1 });
const match: fc.Arbitrary<MatchPlan> = fc.record({
  in: some(link), out: some(link), from: some(prefix), to: some(prefix), protocols: some(protocol), sourcePorts: some(range), destinationPorts: some(range),
}).map((fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as MatchPlan);
const address = fc.tuple(octet, octet, octet, octet).map(([a, b, c, d]) => (a << 24) | (b << 16) | (c << 8) | d);
const question: fc.Arbitrary<Question> = fc.record({
  link, out: fc.integer({ min: -1, max: LINKS - 1 }), protocol, source: address, destination: address, sourcePort: port, destinationPort: port,
});

function all(list: MatchList, q: Question): number[] {
  const found: number[] = [];
  for (let at = 0; ; at++) {
    at = list.find(at, q.link, q.out, q.protocol, q.source, q.destination, (q.sourcePort << 16) | q.destinationPort);
    if (at < 0) return found;
    found.push(at);
  }
}

test('whatever the matches and the packet, those that fit are found, in order', () => {
  check(fc.property(fc.array(match, { maxLength: 70 }), fc.array(question, { minLength: 1, maxLength: 20 }), (matches, questions) => {
    const list = new MatchList(matches, LINKS);
    for (const q of questions) assert.equal(all(list, q), matches.flatMap((one, i) => (fits(one, q) ? [i] : [])));
  }), 200);
});

test('more matches than a block holds', () => {
  const matches = Array.from({ length: 2500 }, (_, i): MatchPlan => (i % 500 === 7 ? {} : { destinationPorts: [{ first: i, last: i }] }));
  const list = new MatchList(matches, LINKS);
  const ask = (destinationPort: number): number[] => all(list, { link: 0, out: 1, protocol: 6, source: 1, destination: 2, sourcePort: 3, destinationPort });
  assert.equal(ask(60_000), [7, 507, 1007, 1507, 2007]);
  for (const edge of [0, 31, 32, 1023, 1024, 1025, 2047, 2048, 2499]) assert.ok(ask(edge).includes(edge), `${edge}`);
});

test('a match with ten thousand prefixes among others', () => {
  const many = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 7}.${(i & 127) * 2}.0/24`);
  const list = new MatchList([{ protocols: [1] }, { from: many }, {}], LINKS);
  const ask = (source: number): number[] => all(list, { link: 0, out: -1, protocol: 17, source, destination: 2, sourcePort: 3, destinationPort: 4 });
  assert.equal(ask((10 << 24) | (5 << 16) | (4 << 8) | 9), [1, 2]);
  assert.equal(ask((10 << 24) | (5 << 16) | (5 << 8) | 9), [2]);
});

test('ranges: of those that overlap the earlier one counts', () => {
  const number = fc.constantFrom(0, 1, 2, 9, 10, 11, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fffe, 0xffff_ffff);
  const ranges = fc.array(fc.tuple(number, number, fc.nat(5)).map(([a, b, value]) => ({ first: Math.min(a, b), last: Math.max(a, b), value })), { maxLength: 12 });
  check(fc.property(ranges, fc.array(number, { minLength: 1 }), (list, asked) => {
    const map = new RangeMap(list);
    for (const one of asked) {
      const want = list.find(({ first, last }) => one >= first && one <= last)?.value ?? -1;
      assert.is(map.find(one), want);
      assert.is(map.find(one | 0), want, 'as int32');
    }
  }), 500);
});

test('ranges: neighbours with one value are one range', () => {
  assert.is(new RangeMap([{ first: 5, last: 9, value: 1 }, { first: 10, last: 20, value: 1 }, { first: 0, last: 4, value: 1 }]).size, 1);
  assert.is(new RangeMap([]).find(0), -1);
});

test.run();
