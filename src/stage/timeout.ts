/** How long a flow lives on from its last packet, by protocol and state. Seconds. */
import type { TimeoutsPlan } from '../base/plan.js';
import { STATE_MASK, STATE_NEW, TCP_CHALLENGED, TCP_ESTABLISHED, TCP_HALF_CLOSED, TCP_RESET, TCP_TIME_WAIT } from '../table/tcp-state.js';
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

/** What `timeoutOf` reads. */
export function timeoutTable(timeouts: TimeoutsPlan): Int32Array {
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
