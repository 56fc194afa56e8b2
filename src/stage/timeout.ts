/**
 * How long a flow lives on from its last packet, by protocol and state. Seconds.
 *
 * When the flow table runs short, what is over, or has not been answered, is kept for less from then on: the whole of its time while ROOMY of the table is taken, beyond
 * that by the fourth power of the part that is still free, LEAST_S when nothing is. (What came before keeps the time it was given, so in plain proportion the table would
 * be full before the first ones leave; the fourth power has room for five times what the whole times have room for.) So a box on which connections come and go fast, or that is flooded, goes on taking new ones, and
 * what has been answered and goes on is never cut short for it. TCP's windows (table/tcp-window.ts) count as well: a flow without one is not offloaded.
 */
import type { TimeoutsPlan } from '../base/plan.js';
import { STATE_MASK, STATE_NEW, TCP_ANSWERED, TCP_CHALLENGED, TCP_ESTABLISHED, TCP_HALF_CLOSED, TCP_OPENING, TCP_RESET, TCP_TIME_WAIT } from '../table/tcp-state.js';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.js';

/** A row of the table has a place for every state. */
const ROW = STATE_MASK + 1;
const TCP_ROW = 0;
const UDP_ROW = ROW;
const ICMP_ROW = 2 * ROW;
const OTHER_ROW = 3 * ROW;

/** Asked for every packet: one load. */
export function timeoutOf(protocol: number, stateWord: number, table: Int32Array): number {
  const row = protocol === PROTOCOL_TCP ? TCP_ROW : protocol === PROTOCOL_UDP ? UDP_ROW : protocol === PROTOCOL_ICMP ? ICMP_ROW : OTHER_ROW;
  return table[row + (stateWord & STATE_MASK)];
}

/** Part of the table that may be taken before anything is kept for less. */
const ROOMY = 0.6;
const STEEPNESS = 4;
const LEAST_S = 2;

/** Places in the table of states in which a flow is over or unanswered. */
const BRIEF_TCP: readonly number[] = [STATE_NEW, TCP_OPENING, TCP_ANSWERED, TCP_TIME_WAIT, TCP_RESET].map((state) => TCP_ROW + state);
const BRIEF_REST: readonly number[] = [UDP_ROW, ICMP_ROW, OTHER_ROW].map((row) => row + STATE_NEW);

export class Timeouts {
  /** What `timeoutOf` reads. */
  readonly table: Int32Array;
  private readonly whole: Int32Array;

  constructor(timeouts: TimeoutsPlan) {
    this.whole = timeoutTable(timeouts);
    this.table = this.whole.slice();
  }

  /** Tell it now and then which parts of flows and of windows are taken, 0 … 1. Returns how many percent of their time some are kept for less now. */
  press(flows: number, windows: number): number {
    const rest = left(flows);
    const tcp = Math.min(rest, left(windows));
    for (const at of BRIEF_REST) this.table[at] = shortened(this.whole[at], rest);
    for (const at of BRIEF_TCP) this.table[at] = shortened(this.whole[at], tcp);
    return Math.round((1 - tcp) * 100);
  }
}

/** Part of its time that is kept what is brief, with so much taken. */
function left(taken: number): number { return taken <= ROOMY ? 1 : Math.max(0, (1 - taken) / (1 - ROOMY)) ** STEEPNESS; }

function shortened(seconds: number, part: number): number { return Math.max(Math.min(seconds, LEAST_S), Math.floor(seconds * part)); }

function timeoutTable(timeouts: TimeoutsPlan): Int32Array {
  const table = new Int32Array(4 * ROW);
  for (let state = 0; state < ROW; state++) {
    table[TCP_ROW + state] = tcpTimeout(state, timeouts);
    table[UDP_ROW + state] = state === STATE_NEW ? timeouts.udp : timeouts.udpReplied;
    table[ICMP_ROW + state] = timeouts.icmp;
    table[OTHER_ROW + state] = timeouts.other;
  }
  return table;
}

function tcpTimeout(state: number, timeouts: TimeoutsPlan): number {
  switch (state) {
    case TCP_ESTABLISHED: return timeouts.tcpEstablished;
    // RFC 9293 §3.6: one side may go on sending for as long as it likes; RFC 7857 §2.1 lets the closing timer be its own.
    case TCP_HALF_CLOSED:
    // RFC 7857 §2.2: a reset, and one that may be a forgery, is kept for 4 minutes.
    case TCP_CHALLENGED:
    case TCP_RESET: return timeouts.tcpClosing;
    case TCP_TIME_WAIT: return timeouts.tcpTimeWait;
    default: return timeouts.tcpOpening;
  }
}
