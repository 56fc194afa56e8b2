/**
 * TCP seen from the middle (after RFC 9293 §3.3.2; timers at or above the floors of RFC 5382 REQ-5). A segment that has been
 * let through moves the state; nothing is inferred from timers.
 *
 *   NEW --SYN--> OPENING --SYN from the other side--> ANSWERED --ACK--> ESTABLISHED
 *                    ^                                                       | FIN
 *                    |                                                   HALF_CLOSED   (data still flows the other way)
 *                    |                                                       | FIN from the other side
 *                    +------------SYN--------------- TIME_WAIT <-------------+
 *                    +------------SYN--------------- RESET  <----RST---- any
 *   NEW --ACK, then ACK from the other side--> ESTABLISHED    (picked up in its middle)
 *
 * Which sides have sent SYN and FIN is kept in bits beside the state, so that a simultaneous open (both sides send a SYN) and a
 * half-close are ordinary walks through the graph.
 */
import { ACK, FIN, RST, SYN } from '../wire/tcp.js';

/** The state of a flow, four bits; the first ones are of protocols that have no state of their own. */
export const STATE_NEW = 0;
export const STATE_REPLIED = 1;
export const TCP_OPENING = 2;
export const TCP_ANSWERED = 3;
export const TCP_ESTABLISHED = 4;
export const TCP_HALF_CLOSED = 5;
export const TCP_TIME_WAIT = 6;
export const TCP_RESET = 7;

export const STATE_NAMES: readonly string[] = ['new', 'replied', 'opening', 'answered', 'established', 'half-closed', 'time-wait', 'reset'];

export const STATE_MASK = 15;
/** FIN seen from ORIGINAL; shifted left by the direction. */
export const FIN_SEEN = 16;
/** SYN seen from ORIGINAL; shifted left by the direction. */
export const SYN_SEEN = 64;

/** True for states in which a new SYN from the opener starts the flow over (TIME-WAIT reuse, RFC 9293 §3.6.1, and after a reset). */
export function isOver(word: number): boolean {
  const state = word & STATE_MASK;
  return state === TCP_TIME_WAIT || state === TCP_RESET;
}

/** State word after a segment with these flags in this direction (0 ORIGINAL, 1 REPLY). */
export function nextTcp(word: number, flags: number, direction: number): number {
  const state = word & STATE_MASK;
  if (flags & RST) return (word & ~STATE_MASK) | TCP_RESET;
  if (flags & SYN) {
    if (state === STATE_NEW || (isOver(word) && direction === 0 && !(flags & ACK))) return TCP_OPENING | (SYN_SEEN << direction);
    const next = word | (SYN_SEEN << direction);
    const both = (next & SYN_SEEN) !== 0 && (next & (SYN_SEEN << 1)) !== 0;
    return state === TCP_OPENING && both ? (next & ~STATE_MASK) | TCP_ANSWERED : next;
  }
  let next = word;
  // A connection picked up in its middle is believed once the other side, too, takes it for one.
  if ((state === TCP_ANSWERED || (state === STATE_NEW && direction === 1)) && flags & ACK) next = (next & ~STATE_MASK) | TCP_ESTABLISHED;
  if (flags & FIN) {
    next |= FIN_SEEN << direction;
    const both = (next & FIN_SEEN) !== 0 && (next & (FIN_SEEN << 1)) !== 0;
    const now = next & STATE_MASK;
    if (now === TCP_ESTABLISHED || now === TCP_ANSWERED || now === TCP_HALF_CLOSED) {
      next = (next & ~STATE_MASK) | (both ? TCP_TIME_WAIT : TCP_HALF_CLOSED);
    }
  }
  return next;
}
