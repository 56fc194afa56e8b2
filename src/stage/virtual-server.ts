/**
 * Virtual servers on the path: `serve` gives a new flow its real server, `passesBy` finds where the answer would pass us by, `enlist` and
 * `discharge` count it, `mustBegin` says of a known one that it is to be begun anew. Asked by `dnat`, `snat`, `confirm` and `track`. Not stages of the path.
 *
 * Place in dnat's order: what an ALG expects, then virtual servers, then port forwards and 1:1 rules, then mappings. On any link, from outside and inside: who
 * asks for a virtual address gets its server, and its answers bear the virtual address, for the flow's two tuples say so. What is sent to another port of a
 * virtual address is for the router itself, as with any address of its own. What a real server opens of its own accord is nothing to do with any of this.
 *
 * The flow remembers its server in INWARD (table/flow.ts). Begun anew, with a server scheduled anew, is
 *   - a TCP flow that is over, by a SYN that uses its ports again: its old server may be drained or gone, and shares would follow the clients' ports;
 *   - a flow of any other protocol whose server was lost, by the client's next packet, so that nobody sticks to the dead;
 *   - every packet, where the virtual server schedules packets by themselves: then a client's packets have a flow for each server they went to.
 *
 * Nobody takes it: NO_SERVER, answered at once. In the middle of a TCP connection: MIDSTREAM, for which server it was with nobody knows.
 *
 * Cost: per new flow one look into a Map and the scheduler's pick; per packet of a flow that has a server two counters; per packet of any other flow one
 * comparison of a word that lies beside those it writes anyway.
 */
import type { RealServer } from '../balance/virtual-server.js';
import type { VirtualServerPlan } from '../base/plan.js';
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { SERVER_IN_BYTES, SERVER_IN_PACKETS, SERVER_OUT_BYTES, SERVER_OUT_PACKETS, UPLINK_RX_PACKETS, VIRTUAL_REFUSED } from '../table/counters.js';
import { CONTROL, FLAG_REMEMBERED, FLAG_REPLICA, FLAGS, GENERATION, INWARD, inwardOf, ORIGINAL_TUPLE, REPLY_TUPLE, servedBy, STATE, UPLINK } from '../table/flow.js';
import { reopens, STATE_MASK, TCP_CHALLENGED, TCP_ESTABLISHED } from '../table/tcp-state.js';
import * as ip from '../wire/ipv4.js';
import { NONE } from '../wire/packet.js';
import type { Packet } from '../wire/packet.js';
import { ACK, RST, SYN } from '../wire/tcp.js';
import { arrivalUplink } from './route.js';
import type { Router } from './router.js';
import { timeoutOf } from './timeout.js';

/** A new flow to a virtual server: its destination becomes a real one. 0 for every other flow as well; INWARD tells them apart. */
export function serve(p: Packet, r: Router): Verdict {
  const { virtualServers, flows } = r;
  const { tuple } = p;
  const number = virtualServers.addresses.find(tuple.d3, p.protocol, tuple.ports & 0xffff);
  if (number === NONE) return 0;
  if (p.protocol === ip.PROTOCOL_TCP && (p.tcpFlags & (SYN | ACK | RST)) !== SYN) return r.plan.tcpMidstream === 'drop' ? V.MIDSTREAM_SILENT : V.MIDSTREAM;
  const one = virtualServers.list[number];
  const server = virtualServers.choose(one, tuple, flows.hash(tuple));
  if (server === null) {
    r.counters.addVirtualServer(number, VIRTUAL_REFUSED, 1);
    return V.NO_SERVER;
  }
  if (one.onePacket && joins(p, r, server)) return 0;
  const at = flows.at(p.flow);
  flows.words[at + INWARD] = inwardOf(server.index);
  // Asked while the packet still says which of the link's uplinks it came in by.
  if (r.links[p.link].uplinks.length > 0) flows.words[at + UPLINK] = arrivalUplink(p, r).index;
  p.rewriteDestination(server.address, server.portFor(tuple.ports & 0xffff));
  return 0;
}

/** A packet scheduled by itself: does its client have a flow to this server already? Then it is that one's, and no longer new. */
function joins(p: Packet, r: Router, server: RealServer): boolean {
  const { flows } = r;
  const flow = flows.findServed(p.tuple, inwardOf(server.index));
  if (flow === NONE) return false;
  const { words } = flows;
  const at = flows.at(flow);
  p.flow = flow;
  p.isNew = false;
  flows.refresh(flow, r.tick, timeoutOf(p.protocol, words[at + STATE], r.timeouts));
  flows.account(flow, 0, p.end - p.ipAt);
  r.virtualServers.give(server);
  countPacket(p, r, at, server.index);
  // As `track` counts those of other known flows.
  const uplink = words[at + UPLINK];
  if (uplink !== NONE && r.uplinks[uplink].link === p.link) {
    r.counters.countUplinkPacket(uplink, UPLINK_RX_PACKETS, p.end - p.ipAt);
  }
  return true;
}

/** A packet from whoever opened a flow that has a server: true when it opens another one instead. What is in its way has been ended then. */
export function mustBegin(p: Packet, r: Router, at: number): boolean {
  const { words } = r.flows;
  // One that an ALG expected follows its control flow.
  if (words[at + CONTROL] !== NONE) return false;
  if (p.protocol === ip.PROTOCOL_TCP) {
    if (!reopens(words[at + STATE], p.tcpFlags)) return false;
    r.flows.remove(p.flow);
    return true;
  }
  const server = servedBy(words[at + INWARD]);
  if (words[at + GENERATION] !== r.epoch && r.virtualServers.servers[server].isLost) {
    r.fates.letGo(p.flow);
    return true;
  }
  // With the table full it stays with the server it has had, rather than being refused.
  return r.virtualServers.isOnePacket(server) && r.flows.hasRoom;
}

/** Count a packet as its server's, before anything in it is translated. */
export function countPacket(p: Packet, r: Router, at: number, server: number): void {
  countServed(r, at, server, p.direction, 1, p.end - p.ipAt);
}

/** Count what a direction of a flow has brought as its server's. */
export function countServed(r: Router, at: number, server: number, direction: number, packets: number, bytes: number): void {
  const { words } = r.flows;
  // A flow that an ALG expected may have been opened by the server.
  const source = at + (direction === 0 ? ORIGINAL_TUPLE : REPLY_TUPLE) + 3;
  const isIn = words[at + CONTROL] === NONE ? direction === 0 : words[source] !== r.virtualServers.servers[server].address;
  r.counters.addServer(server, isIn ? SERVER_IN_PACKETS : SERVER_OUT_PACKETS, packets);
  r.counters.addServer(server, isIn ? SERVER_IN_BYTES : SERVER_OUT_BYTES, bytes);
}

/** The TCP state of a flow that has a server has changed. */
export function countState(r: Router, server: number, before: number, after: number): void {
  const isActive = isWorking(ip.PROTOCOL_TCP, after);
  if (isWorking(ip.PROTOCOL_TCP, before) !== isActive) r.virtualServers.move(r.virtualServers.servers[server], isActive);
}

/** A new flow has been confirmed: it counts for its server, and its client comes back to it. */
export function enlist(p: Packet, r: Router): void {
  const { words } = r.flows;
  const at = r.flows.at(p.flow);
  const index = servedBy(words[at + INWARD]);
  if (index === NONE) return;
  const { virtualServers } = r;
  const server = virtualServers.servers[index];
  virtualServers.open(server, isWorking(p.protocol, words[at + STATE]));
  const isIn = words[at + ORIGINAL_TUPLE + 3] !== server.address || words[at + CONTROL] === NONE;
  r.counters.addServer(index, isIn ? SERVER_IN_PACKETS : SERVER_OUT_PACKETS, 1);
  r.counters.addServer(index, isIn ? SERVER_IN_BYTES : SERVER_OUT_BYTES, p.end - p.ipAt);
  if (words[at + CONTROL] !== NONE) return;
  virtualServers.give(server);
  remember(r, at, server);
}

/** A flow's client comes back to its server. */
function remember(r: Router, at: number, server: RealServer): void {
  const { words } = r.flows;
  const { virtualServers } = r;
  const one = virtualServers.list[server.virtualServer];
  if (one.owner === NONE || server === one.sorry) return;
  const isHeld = virtualServers.persistence.hold(one.owner, words[at], words[at + 1], words[at + 2], words[at + 3], one.maskLength, server.index);
  if (isHeld) words[at + FLAGS] |= FLAG_REMEMBERED;
}

/** A flow that came from another instance counts for its server, and its client comes back to it; that it was given to it was counted there. */
export function enlistReplica(r: Router, at: number): void {
  const { words } = r.flows;
  const { virtualServers } = r;
  const server = virtualServers.servers[servedBy(words[at + INWARD])];
  virtualServers.open(server, isWorking(words[at + 9], words[at + STATE]));
  if (words[at + CONTROL] === NONE) remember(r, at, server);
}

/** A flow has ended: its server has one less. */
export function discharge(r: Router, flow: number): void {
  const { words } = r.flows;
  const at = r.flows.at(flow);
  const index = servedBy(words[at + INWARD]);
  if (index === NONE) return;
  const { virtualServers } = r;
  const server = virtualServers.servers[index];
  virtualServers.close(server, isWorking(words[at + 9], words[at + STATE]));
  if ((words[at + FLAGS] & FLAG_REMEMBERED) === 0) return;
  const one = virtualServers.list[server.virtualServer];
  const { persistence } = virtualServers;
  const entry = persistence.drop(one.owner, words[at], words[at + 1], words[at + 2], words[at + 3], one.maskLength, r.tick, one.timeout);
  if (entry === NONE || r.journal === null || r.replicas === null || (words[at + FLAGS] & FLAG_REPLICA) !== 0 || persistence.server(entry) === NONE) return;
  r.replicas.tellPersistence(one.owner, persistence.server(entry), persistence.words, persistence.at(entry), one.maskLength, one.timeout, r.journal);
}

/** What the virtual server of a flow says about its source. */
export function serverPolicy(p: Packet, r: Router): VirtualServerPlan['snat'] {
  const { servers, list } = r.virtualServers;
  return list[servers[servedBy(r.flows.words[r.flows.at(p.flow) + INWARD])].virtualServer].snat;
}

/** True when the server's answer would not come by here: its client is itself, on its own network, or behind the gateway by which the server is reached. */
export function passesBy(p: Packet, r: Router): boolean {
  const link = r.links[p.outLink];
  const client = p.tuple.s3;
  const server = p.tuple.d3;
  if (client === server) return true;
  for (const { address, mask } of link.addresses) if (((address ^ client) & mask) === 0 && ((address ^ server) & mask) === 0) return true;
  if (p.next3 === server) return false;
  if (p.next3 === client) return true;
  const number = r.fib.lookup(client);
  return number !== NONE && r.routes[number].link === p.outLink && r.routes[number].via === p.next3;
}

/** True for what counts as active: TCP that is established, of the rest whatever lives. */
function isWorking(protocol: number, word: number): boolean {
  if (protocol !== ip.PROTOCOL_TCP) return true;
  const state = word & STATE_MASK;
  return state === TCP_ESTABLISHED || state === TCP_CHALLENGED;
}
