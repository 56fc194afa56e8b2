/**
 * What rules look at, compiled: the first of many matches that fits a packet. Used by filter rules and by no-NAT exceptions.
 *
 * Theory of operation (bit vectors, after Lakshman and Stiliadis 1998). Every value a field may have belongs to a set of matches it fits: a
 * bitmap with one bit a match, in the rules' order. For addresses and ports the values are cut into ranges within which the set is the same, and a
 * RangeMap tells which one; for links and protocols there is a table. The matches that fit a packet are the AND of its seven sets, and
 * its lowest bit is the first of them:
 *
 *     protocol & in & out & source & destination & source port & destination port
 *
 * Matches are taken in blocks of at most BLOCK, each with sets of its own, so that memory grows with their number and not with its square.
 *
 * Cost per block: four binary searches, and one AND of seven words for 32 matches until a bit is left. Nothing is allocated by a search.
 */
import type { MatchPlan, PortRangePlan } from '../base/plan.js';
import { maskOf, parsePrefix } from '../wire/address.js';
import * as ip from '../wire/ipv4.js';
import { RangeMap } from './range-map.js';
import type { Range } from './range-map.js';

const NONE = -1;

/** Matches of a block; a multiple of 32. */
const BLOCK = 1024;
const PROTOCOLS = 256;
const ADDRESS_END = 2 ** 32;
const PORT_END = 65_536;

export class MatchList {
  private readonly blocks: readonly Block[];
  readonly isEmpty: boolean;

  /** @param matches in order of precedence. */
  constructor(matches: readonly MatchPlan[], linkCount: number) {
    this.isEmpty = matches.length === 0;
    const blocks: Block[] = [];
    for (let from = 0; from < matches.length; from += BLOCK) blocks.push(new Block(matches.slice(from, from + BLOCK), linkCount));
    this.blocks = blocks;
  }

  /**
   * Place of the first match from place `from` on, or NONE. Links are indexes; `out` may be NONE, which no match that names an out link
   * fits. Addresses are int32, ports source << 16 | destination.
   */
  find(from: number, link: number, out: number, protocol: number, source: number, destination: number, ports: number): number {
    const { blocks } = this;
    let start = from % BLOCK;
    for (let i = (from - start) / BLOCK; i < blocks.length; i++) {
      const place = blocks[i].find(start, link, out, protocol, source, destination, ports);
      if (place !== NONE) return i * BLOCK + place;
      start = 0;
    }
    return NONE;
  }
}

/** The sets of up to BLOCK matches. */
class Block {
  /** Words of a set. */
  private readonly words: number;
  private readonly source: Field;
  private readonly destination: Field;
  private readonly sourcePorts: Field;
  private readonly destinationPorts: Field;
  /** Sets by protocol, by link it comes in by, and by link it leaves by; the last of these is for packets that leave by none. */
  private readonly protocols: Int32Array;
  private readonly ins: Int32Array;
  private readonly outs: Int32Array;
  private readonly linkCount: number;

  constructor(matches: readonly MatchPlan[], linkCount: number) {
    this.words = Math.ceil(matches.length / 32);
    this.linkCount = linkCount;
    this.source = new Field(matches.map((match) => match.from?.map(addresses)), ADDRESS_END);
    this.destination = new Field(matches.map((match) => match.to?.map(addresses)), ADDRESS_END);
    this.sourcePorts = new Field(matches.map((match) => match.sourcePorts), PORT_END);
    this.destinationPorts = new Field(matches.map((match) => match.destinationPorts), PORT_END);
    this.protocols = this.table(PROTOCOLS, matches, fitsProtocol);
    this.ins = this.table(linkCount, matches, (match, link) => match.in === undefined || match.in.includes(link));
    this.outs = this.table(linkCount + 1, matches, (match, link) => match.out === undefined || match.out.includes(link));
  }

  find(from: number, link: number, out: number, protocol: number, source: number, destination: number, ports: number): number {
    const { words } = this;
    const protocols = this.protocols, protocolAt = protocol * words;
    const ins = this.ins, inAt = link * words;
    const outs = this.outs, outAt = (out === NONE ? this.linkCount : out) * words;
    const sources = this.source.sets, sourceAt = this.source.setOf(source);
    const destinations = this.destination.sets, destinationAt = this.destination.setOf(destination);
    const sourcePorts = this.sourcePorts.sets, sourcePortAt = this.sourcePorts.setOf(ports >>> 16);
    const destinationPorts = this.destinationPorts.sets, destinationPortAt = this.destinationPorts.setOf(ports & 0xffff);
    for (let w = from >>> 5, mask = -1 << (from & 31); w < words; w++, mask = -1) {
      const fits = mask & destinations[destinationAt + w] & sources[sourceAt + w] & destinationPorts[destinationPortAt + w] & sourcePorts[sourcePortAt + w]
        & ins[inAt + w] & outs[outAt + w] & protocols[protocolAt + w];
      if (fits !== 0) return w * 32 + (31 - Math.clz32(fits & -fits));
    }
    return NONE;
  }

  /** A set for each of `count` values. */
  private table(count: number, matches: readonly MatchPlan[], fits: (match: MatchPlan, value: number) => boolean): Int32Array {
    const sets = new Int32Array(count * this.words);
    matches.forEach((match, i) => {
      for (let value = 0; value < count; value++) if (fits(match, value)) sets[value * this.words + (i >>> 5)] |= 1 << (i & 31);
    });
    return sets;
  }
}

/** A field with many values: which set of matches each of them has. */
class Field {
  /** First word in `sets` of the set of each range of values. */
  private readonly ranges: RangeMap;
  readonly sets: Int32Array;

  /** @param wanted by match, the values that fit it; undefined = all. @param end first number that is no value. */
  constructor(wanted: readonly (readonly PortRangePlan[] | undefined)[], end: number) {
    const words = Math.ceil(wanted.length / 32);
    const bounds = [...new Set([0, end, ...wanted.flatMap((list) => list?.flatMap(({ first, last }) => [first, last + 1]) ?? [])])].sort((a, b) => a - b);
    const place = new Map(bounds.map((bound, i) => [bound, i]));
    const everywhere = new Int32Array(words);
    const sets = bounds.slice(1).map(() => new Int32Array(words));
    wanted.forEach((list, i) => {
      if (list === undefined) everywhere[i >>> 5] |= 1 << (i & 31);
      for (const { first, last } of list ?? []) {
        for (let at = place.get(first) as number; at < (place.get(last + 1) as number); at++) sets[at][i >>> 5] |= 1 << (i & 31);
      }
    });
    // Many ranges have the same set: a list of 10,000 prefixes has but two.
    const distinct = new Map<string, number>();
    const kept: Int32Array[] = [];
    const ranges = sets.map((set, i): Range => {
      for (let w = 0; w < words; w++) set[w] |= everywhere[w];
      const key = set.join();
      let at = distinct.get(key);
      if (at === undefined) {
        at = kept.push(set) - 1;
        distinct.set(key, at);
      }
      return { first: bounds[i], last: bounds[i + 1] - 1, value: at * words };
    });
    this.ranges = new RangeMap(ranges);
    this.sets = new Int32Array(kept.length * words);
    kept.forEach((set, i) => this.sets.set(set, i * words));
  }

  /** First word of a value's set. */
  setOf(value: number): number { return this.ranges.find(value); }
}

/** What names ports fits only protocols that have them. */
function fitsProtocol(match: MatchPlan, protocol: number): boolean {
  const hasPorts = protocol === ip.PROTOCOL_TCP || protocol === ip.PROTOCOL_UDP;
  if (!hasPorts && (match.sourcePorts !== undefined || match.destinationPorts !== undefined)) return false;
  return match.protocols === undefined || match.protocols.includes(protocol);
}

/** The addresses of a prefix, as unsigned numbers. */
function addresses(text: string): PortRangePlan {
  const { prefix, prefixLength } = parsePrefix(text);
  return { first: prefix >>> 0, last: (prefix | ~maskOf(prefixLength)) >>> 0 };
}
