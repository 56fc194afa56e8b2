/**
 * TCP seen from the middle (after RFC 9293 §3.3.2; timers at or above the floors of RFC 5382 REQ-5). A segment that has been
 * let through moves the state; nothing is inferred from timers. Which segments may move it is for table/tcp-window.ts to say.
 *
 *   NEW --SYN--> OPENING --SYN from the other side--> ANSWERED --ACK--> ESTABLISHED
 *                    ^                                                       | FIN
 *                    |                                                   HALF_CLOSED   (data still flows the other way)
 *                    |                                                       | FIN from the other side
 *                    +------SYN of either side------ TIME_WAIT <-------------+
 *                    +------SYN of either side------ RESET  <---exact RST--- any
 *
 *   NEW --ACK, then ACK from the other side--> ESTABLISHED    (picked up in its middle)
 *
 *   ANSWERED, ESTABLISHED, HALF_CLOSED --RST that may be a forgery--> CHALLENGED --segment in sequence--> what it was
 *                                                                         +--------exact RST-----------> RESET
 *   RESET --segments in sequence from both sides--> what it was           (RFC 7857 §2.2: it was a forgery after all)
 *
 * A reset whose number is not the very next its receiver expects is answered by a challenge ACK (RFC 5961 §3.2), and what was reset for good
 * speaks no more: so who goes on speaking has not been reset. Meanwhile the flow is kept for the closing timer, 4 minutes.
 *
 * A flow may run over two instances, of which each hears one direction (docs/decisions/0008-shared-state.md): `mergeTcp` puts together what the two know. An
 * opener's ACK that no answer has been seen before is remembered for that (HEARD), and how often the flow has begun anew is counted (ROUND).
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
export const TCP_CHALLENGED = 8;

export const STATE_NAMES: readonly string[] = ['new', 'replied', 'opening', 'answered', 'established', 'half-closed', 'time-wait', 'reset', 'challenged'];

export const STATE_MASK = 15;
/** FIN seen from ORIGINAL; shifted left by the direction. */
export const FIN_SEEN = 16;
/** SYN seen from ORIGINAL; shifted left by the direction. */
export const SYN_SEEN = 64;
/** ORIGINAL has spoken since the reset, or has acknowledged an answer nobody has seen here; shifted left by the direction. */
export const HEARD = 256;
/** How often the flow has begun anew, eight bits that run round. */
const ROUND_SHIFT = 16;
const ROUND_MASK = 0xff0000;

const BOTH_FINS = FIN_SEEN | (FIN_SEEN << 1);
const BOTH_SYNS = SYN_SEEN | (SYN_SEEN << 1);
const BOTH_HEARD = HEARD | (HEARD << 1);

/** By the lower six flag bits: 1 = no sender combines them so (RFC 9293 §3.10.7: every segment but the first and a reset bears an ACK). */
const ILLEGAL = Uint8Array.from({ length: 64 }, (_, flags) => {
  switch (flags & (SYN | FIN | RST | ACK)) {
    case SYN: case SYN | ACK: case ACK: case FIN | ACK: case RST: case RST | ACK: return 0;
    default: return 1;
  }
});

/** True for flags no TCP sends together: SYN with FIN or RST, FIN with RST, FIN without ACK, none at all. */
export function isIllegal(flags: number): boolean { return ILLEGAL[flags & 63] === 1; }

/** True for states in which a new SYN starts the flow over (TIME-WAIT reuse, RFC 9293 §3.6.1, and after a reset). */
export function isOver(word: number): boolean {
  const state = word & STATE_MASK;
  return state === TCP_TIME_WAIT || state === TCP_RESET;
}

/** True for a segment that starts the flow over. */
export function reopens(word: number, flags: number): boolean {
  return (flags & (SYN | ACK | RST)) === SYN && isOver(word);
}

/** State word after a reset that may be a forgery. */
export function challengedTcp(word: number): number {
  const state = word & STATE_MASK;
  return state === TCP_ANSWERED || state === TCP_ESTABLISHED || state === TCP_HALF_CLOSED ? (word & ~STATE_MASK) | TCP_CHALLENGED : word;
}

/** State word after a segment with these flags in this direction (0 ORIGINAL, 1 REPLY) that is known to be the flow's. */
export function nextTcp(word: number, flags: number, direction: number): number {
  const state = word & STATE_MASK;
  if (flags & RST) return (word & ~(STATE_MASK | BOTH_HEARD)) | TCP_RESET;
  if (flags & SYN) {
    if (state === STATE_NEW || reopens(word, flags)) return TCP_OPENING | (SYN_SEEN << direction);
    const next = word | (SYN_SEEN << direction);
    return state === TCP_OPENING && (next & BOTH_SYNS) === BOTH_SYNS ? (next & ~STATE_MASK) | TCP_ANSWERED : next;
  }
  let next = word;
  if (flags & ACK) {
    if (state === TCP_CHALLENGED) {
      next = revived(next);
    } else if (state === TCP_RESET) {
      next |= HEARD << direction;
      if ((next & BOTH_HEARD) === BOTH_HEARD && mayRevive(next)) next = revived(next);
    } else if (state === TCP_OPENING) {
      next |= HEARD << direction;
    } else if (state === TCP_ANSWERED || (state === STATE_NEW && direction === 1)) {
      // A connection picked up in its middle is believed once the other side, too, takes it for one.
      next = (next & ~(STATE_MASK | BOTH_HEARD)) | TCP_ESTABLISHED;
    }
  }
  if (flags & FIN) {
    next |= FIN_SEEN << direction;
    const now = next & STATE_MASK;
    if (now === TCP_ESTABLISHED || now === TCP_ANSWERED || now === TCP_HALF_CLOSED) next = closed(next);
  }
  return next;
}

/** State word of a flow that begins anew with a segment. */
export function reopenedTcp(word: number, flags: number, direction: number): number { return followingTcp(word, nextTcp(word, flags, direction)); }

/** State word of a flow that takes the place of one with the same tuple. */
export function followingTcp(before: number, word: number): number { return (word & ~ROUND_MASK) | ((before + (1 << ROUND_SHIFT)) & ROUND_MASK); }

/** How far a connection has gone, by state: of two that know of it who knows more is right. A reset may have been a forgery, and counts as what is over. */
const PROGRESS = Uint8Array.from([0, 0, 1, 2, 3, 4, 5, 5, 3]);

/** State word of a connection of which `own` is known here and `theirs` elsewhere. */
export function mergeTcp(own: number, theirs: number): number {
  const later = (((theirs >>> ROUND_SHIFT) - (own >>> ROUND_SHIFT)) << 24) >> 24;
  if (later !== 0) return later > 0 ? theirs : own;
  const state = theirs & STATE_MASK;
  const further = PROGRESS[state] > PROGRESS[own & STATE_MASK] ? theirs : own;
  let merged = (further & ~BOTH_HEARD) | ((own | theirs) & (BOTH_FINS | BOTH_SYNS));
  switch (merged & STATE_MASK) {
    case TCP_RESET: return merged | (further & BOTH_HEARD);
    case TCP_OPENING:
      merged |= (own | theirs) & BOTH_HEARD;
      if ((merged & BOTH_SYNS) !== BOTH_SYNS) return merged;
      merged = (merged & ~STATE_MASK) | TCP_ANSWERED;
  }
  if ((merged & STATE_MASK) === TCP_ANSWERED && ((own | theirs) & BOTH_HEARD) !== 0) merged = (merged & ~(STATE_MASK | BOTH_HEARD)) | TCP_ESTABLISHED;
  const now = merged & STATE_MASK;
  return (merged & BOTH_FINS) !== 0 && (now === TCP_ESTABLISHED || now === TCP_ANSWERED || now === TCP_HALF_CLOSED) ? closed(merged) : merged;
}

/** State word of a connection that was opening when it was last told of, and turns out to be under way: as one picked up in its middle. */
export function pickedUpTcp(word: number): number { return word & ~(STATE_MASK | BOTH_SYNS | BOTH_HEARD); }

/** One that was never open has nothing to go back to. */
function mayRevive(word: number): boolean {
  const syns = word & BOTH_SYNS;
  return syns === BOTH_SYNS || syns === 0;
}

function revived(word: number): number {
  const open = (word & ~(STATE_MASK | BOTH_HEARD)) | TCP_ESTABLISHED;
  return (word & BOTH_FINS) === 0 ? open : closed(open);
}

/** As far closed as its FINs say. */
function closed(word: number): number {
  return (word & ~STATE_MASK) | ((word & BOTH_FINS) === BOTH_FINS ? TCP_TIME_WAIT : TCP_HALF_CLOSED);
}
