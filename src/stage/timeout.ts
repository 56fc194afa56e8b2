/** How long a flow lives on from its last packet, by protocol and state. Seconds. */
import type { TimeoutsPlan } from '../base/plan.js';
import { STATE_MASK, STATE_NEW, TCP_CHALLENGED, TCP_ESTABLISHED, TCP_HALF_CLOSED, TCP_RESET, TCP_TIME_WAIT } from '../table/tcp-state.js';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.js';

export function timeoutOf(protocol: number, stateWord: number, timeouts: TimeoutsPlan): number {
  const state = stateWord & STATE_MASK;
  switch (protocol) {
    case PROTOCOL_TCP:
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
    case PROTOCOL_UDP: return state === STATE_NEW ? timeouts.udp : timeouts.udpReplied;
    case PROTOCOL_ICMP: return timeouts.icmp;
    default: return timeouts.other;
  }
}
