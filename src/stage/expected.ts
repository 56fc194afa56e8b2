/**
 * Expected flows: how an ALG comes to expect one (`Expecting`), and what becomes of it when it opens: `expected` is asked by `dnat`,
 * `sourceOfExpected` by `inspect`, `useExpectation` by `confirm`. Not stages of the path.
 *
 * An expected flow follows its control flow: with its ends (whoever stands for an end of the control flow towards the other stands for it here),
 * by its uplink and to its nexthops, so that both far ends see the addresses they know from the control flow. It is let in whatever
 * the uplink's filtering says: the inside has announced it.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import type { AlgHost, Conversation } from '../alg/alg.js';
import { EXPECTATIONS_REFUSED } from '../table/counters.js';
import { EXPECTED_CONTROL, EXPECTED_DIRECTION, EXPECTED_LEAVING, EXPECTED_MAPPING } from '../table/expectation.js';
import {
  CONTROL, CONTROL_SERIAL, FLAG_CHOSEN, FLAG_SHARED, FLAGS, GROUP_SHIFT, INWARD, MAPPING, ORIGINAL_TUPLE, REPLY_TUPLE, ROUTE, SERIAL, UPLINK,
} from '../table/flow.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { Tuple } from '../wire/tuple.js';
import { acquire, LIMITED, release } from './mapping.js';
import { leadsNowhere } from './route.js';
import type { Router } from './router.js';

/** Source ports below are a service's and stay as they are: FTP's data connections come from port 20 (RFC 959 §5.2). */
const SERVICES_END = 1024;

/** What ALGs expect by. */
export class Expecting implements AlgHost {
  private readonly r: Router;
  private readonly arriving = new Tuple();
  private readonly leaving = new Tuple();
  private readonly inside = new Tuple();

  constructor(r: Router) { this.r = r; }

  expect(c: Conversation, direction: number, port: number): number {
    const { r, arriving, leaving, inside } = this;
    const { words } = r.flows;
    const at = r.flows.at(c.flow);
    // The control flow's packets of that direction arrive as its tuple and leave as the inverse of the other one.
    arriving.load(words, at + (direction === 0 ? ORIGINAL_TUPLE : REPLY_TUPLE));
    inside.load(words, at + (direction === 0 ? REPLY_TUPLE : ORIGINAL_TUPLE));
    leaving.invert(inside);
    const isOwnEndpoint = inside.sourcePort === port;
    let mapping = NONE;
    let outside = port;
    if (isOwnEndpoint) {
      // The very endpoint the control flow comes from (TFTP): the far end knows it by the port it already has.
      outside = arriving.destinationPort;
      if (direction === 1 && words[at + MAPPING] !== NONE && (words[at + FLAGS] & FLAG_SHARED) === 0) {
        mapping = words[at + MAPPING];
        r.mappings.pool(mapping >>> 16).retain(mapping & 0xffff, words[at + UPLINK]);
      }
    } else if (arriving.d3 !== leaving.d3) {
      inside.d0 = arriving.s0; inside.d1 = arriving.s1; inside.d2 = arriving.s2; inside.d3 = arriving.s3;
      inside.ports = port << 16;
      mapping = this.map(inside, arriving.d3, words[at + UPLINK]);
      if (mapping < NONE) return NONE;
      if (mapping !== NONE) outside = mapping & 0xffff;
    }
    arriving.ports = outside;
    leaving.ports = port;
    const entry = r.expectations.make(arriving, leaving, c.flow, direction, mapping, r.tick, r.plan.timeouts.expectation);
    if (entry === NONE) {
      r.counters.addRouter(EXPECTATIONS_REFUSED, 1);
      if (mapping !== NONE) release(r, mapping, true);
      return NONE;
    }
    const old = c.remember(entry);
    if (old !== NONE) r.expectations.remove(old, c.flow);
    return outside;
  }

  /** A mapping of an inside endpoint on an external address; NONE: the address has none and the port stays; less: it cannot be had. */
  private map(inside: Tuple, external: number, uplink: number): number {
    const { r } = this;
    if (uplink !== NONE && r.natRules.externalOf(inside.s3, uplink) === external) return NONE;
    const owner = r.mappings.uplinkOf(external);
    if (owner === NONE) {
      // An address of port forwards only: the port itself, unless a forward has it for something else.
      const link = uplink === NONE ? NONE : r.uplinks[uplink].link;
      const isForwarded = link !== NONE && r.natRules.find(link, external, inside.protocol, inside.sourcePort)
        && (r.natRules.address !== inside.s3 || r.natRules.port !== inside.sourcePort);
      return isForwarded ? LIMITED : NONE;
    }
    const mapping = acquire(r, inside, r.uplinks[owner], external);
    return mapping === NONE ? LIMITED : mapping;
  }
}

/** Withdraw what a control flow expects. */
export function withdraw(r: Router, c: Conversation): void {
  for (let i = 0; i < c.expectations; i++) {
    const entry = c.expectation(i);
    if (entry !== NONE) r.expectations.remove(entry, c.flow);
  }
}

/** A new flow that is expected goes where its control flow's packets go. True when it is. */
export function expected(p: Packet, r: Router): boolean {
  const { expectations, flows } = r;
  const entry = expectations.find(p.tuple);
  if (entry === NONE) return false;
  const entryAt = expectations.at(entry);
  const { words } = flows;
  const at = flows.at(p.flow);
  const control = expectations.words[entryAt + EXPECTED_CONTROL];
  const controlAt = flows.at(control);
  // Its uplink may have gone: then nothing is expected any more, least of all by another uplink with an address of this one.
  if (!r.fates.outlives(control)) return false;
  const address = expectations.words[entryAt + EXPECTED_LEAVING + 7];
  const port = expectations.words[entryAt + EXPECTED_LEAVING + 8] & 0xffff;
  if (address !== p.tuple.d3) {
    const uplink = words[controlAt + UPLINK];
    if (uplink !== NONE && r.uplinks[uplink].link === p.link) words[at + UPLINK] = uplink;
    // What comes in by another uplink is not for this one's address.
    else if (r.links[p.link].uplinks.length > 0) return false;
    else p.hairpin = uplink;
    words[at + INWARD] = expectations.words[entryAt + EXPECTED_MAPPING];
    p.rewriteDestination(address, port);
  }
  p.expected = entry;
  // It is its control flow's server's as well. That then keeps the port open by its tuples alone.
  if (words[controlAt + INWARD] < NONE) words[at + INWARD] = words[controlAt + INWARD];
  words[at + CONTROL] = control;
  words[at + CONTROL_SERIAL] = words[controlAt + SERIAL];
  const direction = expectations.words[entryAt + EXPECTED_DIRECTION];
  const back = words[controlAt + ROUTE + 1 - direction];
  // One whose answers have no way now is for `route` to refuse, as any that comes in by an uplink that is down.
  words[at + ROUTE] = leadsNowhere(r, back) ? NONE : words[controlAt + ROUTE + direction];
  words[at + ROUTE + 1] = back;
  words[at + FLAGS] |= words[controlAt + FLAGS] & (FLAG_CHOSEN | (-1 << GROUP_SHIFT));
  return true;
}

/**
 * The source of an expected flow that a server inside opens: the address its client knows it by. Flows of clients inside, and what turns back
 * inside, get theirs from `snat`.
 */
export function sourceOfExpected(p: Packet, r: Router): Verdict {
  const { words } = r.expectations;
  const entryAt = r.expectations.at(p.expected);
  const external = words[entryAt + EXPECTED_LEAVING + 3];
  const at = r.flows.at(p.flow);
  const isServed = r.flows.words[at + INWARD] < NONE;
  if (words[entryAt + EXPECTED_DIRECTION] === 0 || external === p.tuple.s3 || (p.uplink === NONE && !isServed)) return 0;
  const port = p.tuple.sourcePort;
  r.flows.words[at + UPLINK] = p.uplink;
  const owner = r.mappings.uplinkOf(external);
  if (isServed || port < SERVICES_END || owner === NONE || r.natRules.externalOf(p.tuple.s3, p.uplink) === external) {
    p.rewriteSource(external, port);
    return 0;
  }
  const mapping = acquire(r, p.tuple, r.uplinks[owner], external);
  if (mapping === LIMITED) return V.SOURCE_PORTS;
  if (mapping === NONE) return V.NO_PORT;
  p.mapping = mapping;
  r.flows.words[at + MAPPING] = mapping;
  p.rewriteSource(external, mapping & 0xffff);
  return 0;
}

/** The expected flow has been confirmed, and holds its mapping itself. */
export function useExpectation(p: Packet, r: Router): void {
  const mapping = r.expectations.take(p.expected);
  p.expected = NONE;
  if (mapping !== NONE) release(r, mapping, true);
}
