/**
 * One direction of a TCP control flow whose text is edited on its way: the map between the sequence numbers of who sends and of who receives.
 *
 * Theory of operation. An edit replaces `old` bytes the sender has sent from sequence `start` on by `new` bytes of text. It is kept, text
 * and all, until the receiver has acknowledged it, so that whatever the sender sends again is edited again to the very same bytes, however
 * it is cut this time: a segment that touches an edit carries all of its text. Acknowledged edits melt into `base`, the bytes the receiver has
 * had more (or fewer) than the sender sent. Any number of edits may follow each other; EDITS of them may be unacknowledged at a time.
 *
 *   sender    ....PORT 192,168,0,4,200,13\r\n....RETR      forward():  s → s + base + (new - old of every edit before s)
 *                      |<--- old ------->|
 *   receiver  ....PORT 198,51,100,7,4,210\r\n....RETR      backward(): the other way, for acknowledgements and SACK edges
 *                      |<--- new -------->|
 *
 * A number within an edit has no counterpart. An acknowledgement there counts for nothing of it, a SACK block is shrunk to what lies outside:
 * the sender never believes that bytes have arrived which have not. Bytes sent again from before the end of an edit that is forgotten are
 * trimmed (`firstUnsettled`): the receiver has them, and there is no text left to give it the same ones again.
 *
 * Held bytes. A piece of text that may have to be edited is cut off by the end of its segment. Its bytes are kept here and what came before
 * them is sent on alone. To the map they are an edit to nothing at the end of the stream: the receiver's acknowledgement of all before them,
 * translated, acknowledges them too. That is needed, for a sender with Nagle's algorithm (RFC 9293 §3.7.4) sends the rest only then; and
 * it is safe, for the next byte of the sender, which decides what the text becomes, stays the sender's to repeat: the segment that bears it
 * brings the whole text along, and does so again whenever it is sent again, until the receiver has acknowledged it. A segment with
 * nothing left to send goes on empty, one byte before the receiver's next: the receiver answers it at once (RFC 9293 §3.10.7.4).
 * The bytes are bounded by TEXT_BYTES; no timer is needed and no packet is made up.
 */

/** Edits in flight per direction; more wait at the sender. */
const EDITS = 8;
/** Longest text edited or held. */
export const TEXT_BYTES = 96;

/** What a number of the receiver stands for. */
export const ACKNOWLEDGED = 0;
export const LEFT_EDGE = 1;
export const RIGHT_EDGE = 2;
export type Meaning = typeof ACKNOWLEDGED | typeof LEFT_EDGE | typeof RIGHT_EDGE;

export class EditedStream {
  /** The sender's next number we have not seen yet; true once it is known. */
  next = 0;
  isKnown = false;
  /** The sender's number of its first byte. */
  origin = 0;
  /** Bytes the receiver has had more than the sender sent, before the first edit kept. */
  base = 0;
  /** Edits kept, oldest first. */
  count = 0;
  /** Bytes before `next` that are held back. */
  held = 0;
  /** It was carried on elsewhere until now: what comes next may begin ahead of what was told of it. */
  isResumed = false;
  /** The sender's number behind the last edit forgotten, while `isSettled`. */
  private settled = 0;
  private isSettled = false;
  private readonly starts = new Int32Array(EDITS);
  private readonly olds = new Int32Array(EDITS);
  private readonly news = new Int32Array(EDITS);
  /** Bytes of `old` that were held: acknowledged to the sender before the receiver has had them. */
  private readonly owned = new Int32Array(EDITS);
  private readonly texts = new Uint8Array(EDITS * TEXT_BYTES);

  reset(): void {
    this.isKnown = false;
    this.base = 0;
    this.count = 0;
    this.held = 0;
    this.isSettled = false;
    this.isResumed = false;
  }

  /** The sender's first byte has this number: a new connection. */
  begin(origin: number): void {
    this.reset();
    this.origin = origin;
    this.next = origin;
    this.isKnown = true;
  }

  /** True while numbers have to be translated. */
  get isShifted(): boolean { return this.base !== 0 || this.count > 0 || this.held > 0; }

  /** Room for one more edit; the one the held bytes will need is counted. */
  get hasRoom(): boolean { return this.count < EDITS; }

  /**
   * From now on the `old` bytes up to `end` are `length` bytes of `text`. They come after every edit there is, and begin with the held bytes
   * if there are any, which are held no longer.
   */
  edit(end: number, old: number, text: Uint8Array, length: number): void {
    const i = this.count++;
    this.starts[i] = end - old;
    this.olds[i] = old;
    this.news[i] = length;
    this.owned[i] = this.held;
    for (let at = 0; at < length; at++) this.texts[i * TEXT_BYTES + at] = text[at];
    this.held = 0;
  }

  /** The receiver's number of a byte of the sender; of one within an edit or held, that of the text's first byte. */
  forward(seq: number): number {
    let delta = this.base;
    for (let i = 0; i < this.count; i++) {
      const into = (seq - this.starts[i]) | 0;
      if (into <= 0) return (seq + delta) | 0;
      if (into < this.olds[i]) return (this.starts[i] + delta) | 0;
      delta += this.news[i] - this.olds[i];
    }
    if (this.held > 0) {
      const into = (seq - this.next + this.held) | 0;
      if (into > 0) delta -= Math.min(into, this.held);
    }
    return (seq + delta) | 0;
  }

  /** The sender's number of what the receiver means. */
  backward(seq: number, meaning: Meaning): number {
    let delta = this.base;
    for (let i = 0; i < this.count; i++) {
      const start = this.starts[i];
      const into = (seq - start - delta) | 0;
      if (into < 0) return (seq - delta) | 0;
      if (into < this.news[i]) {
        if (meaning === ACKNOWLEDGED) return (start + this.owned[i]) | 0;
        return meaning === LEFT_EDGE && into > 0 ? (start + this.olds[i]) | 0 : start;
      }
      delta += this.news[i] - this.olds[i];
    }
    if (this.held > 0 && meaning !== RIGHT_EDGE && ((seq - delta - this.next + this.held) | 0) >= 0) delta -= this.held;
    return (seq - delta) | 0;
  }

  /** The receiver has acknowledged everything before this number of its own: edits before it are done with. */
  acknowledge(seq: number): void {
    // What has not been sent cannot have been acknowledged; one more than the bytes is the FIN.
    if (this.count === 0 || ((seq - this.forward(this.next)) | 0) > 1) return;
    let done = 0;
    let { base } = this;
    while (done < this.count && ((seq - this.starts[done] - base - this.news[done]) | 0) >= 0) {
      base += this.news[done] - this.olds[done];
      done++;
    }
    this.melt(done, base);
  }

  /** The first edits are done with: they are in `base` now. */
  private melt(done: number, base: number): void {
    if (done === 0) return;
    this.settled = (this.starts[done - 1] + this.olds[done - 1]) | 0;
    this.isSettled = true;
    this.base = base;
    this.count -= done;
    this.starts.copyWithin(0, done);
    this.olds.copyWithin(0, done);
    this.news.copyWithin(0, done);
    this.owned.copyWithin(0, done);
    this.texts.copyWithin(0, done * TEXT_BYTES);
  }

  /** Everything before this number of the sender's has been had by the receiver. */
  private settle(seq: number): void {
    let done = 0;
    let { base } = this;
    while (done < this.count && ((seq - this.starts[done] - this.olds[done]) | 0) >= 0) {
      base += this.news[done] - this.olds[done];
      done++;
    }
    this.melt(done, base);
  }

  /**
   * What another instance has carried of this direction: whoever has heard more of the sender knows what it has become, whoever has heard more of the
   * receiver what is done with. True when it is as the other says now.
   */
  merge(from: EditedStream): boolean {
    if (!from.isKnown) return false;
    const isOther = this.isKnown && from.origin !== this.origin;
    if (isOther && this.isShifted) return false;
    const isAhead = !this.isKnown || isOther || ((from.next - this.next) | 0) > 0;
    if (!isAhead) {
      if (from.isSettled) this.settle(from.settled);
      return false;
    }
    const hadSettled = this.isKnown && !isOther && this.isSettled;
    const { settled } = this;
    this.copy(from);
    this.isResumed = true;
    if (hadSettled) this.settle(settled);
    return true;
  }

  private copy(from: EditedStream): void {
    this.next = from.next;
    this.isKnown = from.isKnown;
    this.origin = from.origin;
    this.base = from.base;
    this.count = from.count;
    this.held = from.held;
    this.settled = from.settled;
    this.isSettled = from.isSettled;
    this.starts.set(from.starts);
    this.olds.set(from.olds);
    this.news.set(from.news);
    this.owned.set(from.owned);
    this.texts.set(from.texts);
  }

  /** Its bytes up to `seq` were lost between two instances: read on there, with nothing held. */
  skipTo(seq: number): void {
    this.next = seq;
    this.held = 0;
  }

  /** Write all there is to know, edits with their texts, from `at` on; where it ends. 230 words at most. */
  store(words: Int32Array, at: number): number {
    words[at] = (this.isKnown ? 1 : 0) | (this.isSettled ? 2 : 0) | (this.count << 8);
    words[at + 1] = this.next;
    words[at + 2] = this.origin;
    words[at + 3] = this.base;
    words[at + 4] = this.held;
    words[at + 5] = this.settled;
    let to = at + 6;
    for (let i = 0; i < this.count; i++) {
      words[to] = this.starts[i];
      words[to + 1] = this.olds[i];
      words[to + 2] = this.news[i];
      words[to + 3] = this.owned[i];
      to = storeText(words, to + 4, this.texts, i * TEXT_BYTES, this.news[i]);
    }
    return to;
  }

  /** Become what `store` has written, of which nothing is at or after `end`; where it ends, or -1: that was never written by `store`. */
  load(words: Int32Array, at: number, end: number): number {
    this.reset();
    if (at + 6 > end) return -1;
    const count = words[at] >>> 8;
    this.held = words[at + 4];
    // The edit that held bytes will need has its place kept.
    if (count > EDITS || !isLength(this.held) || (this.held > 0 && count === EDITS)) return -1;
    this.isKnown = (words[at] & 1) !== 0;
    this.isSettled = (words[at] & 2) !== 0;
    this.next = words[at + 1];
    this.origin = words[at + 2];
    this.base = words[at + 3];
    this.settled = words[at + 5];
    let from = at + 6;
    for (let i = 0; i < count; i++) {
      if (from + 4 > end) return -1;
      this.starts[i] = words[from];
      this.olds[i] = words[from + 1];
      this.news[i] = words[from + 2];
      this.owned[i] = words[from + 3];
      if (!isLength(this.olds[i]) || !isLength(this.news[i]) || !isLength(this.owned[i])) return -1;
      from = loadText(words, from + 4, end, this.texts, i * TEXT_BYTES, this.news[i]);
      if (from < 0) return -1;
    }
    this.count = count;
    return from;
  }

  /** Of the bytes from `from` on the first that may be sent on again. */
  firstUnsettled(from: number): number {
    // Long past, its number would be ahead again.
    if (this.isSettled && ((this.next - this.settled) | 0) > 0x3fffffff) this.isSettled = false;
    return this.isSettled && ((this.settled - from) | 0) > 0 ? this.settled : from;
  }

  /**
   * Write the bytes [from, to) of the sender as the receiver is to have them at `at`: `bytes` holds them from `bytesAt` on. Returns the length;
   * with `at` negative nothing is written. `ends`: nothing of the sender comes after them.
   */
  write(bytes: Uint8Array, bytesAt: number, from: number, to: number, ends: boolean, at: number): number {
    const length = (to - from) | 0;
    let written = 0;
    let done = 0;
    for (let i = 0; i < this.count; i++) {
      const start = (this.starts[i] - from) | 0;
      const end = start + this.olds[i];
      if (!this.touches(i, start, end, length, ends)) continue;
      written += copy(bytes, bytesAt + done, start - done, at < 0 ? at : at + written);
      if (at >= 0) for (let j = 0; j < this.news[i]; j++) bytes[at + written + j] = this.texts[i * TEXT_BYTES + j];
      written += this.news[i];
      done = end;
    }
    return written + copy(bytes, bytesAt + done, length - done, at < 0 ? at : at + written);
  }

  /** True when the bytes [from, to) cannot be sent on as they are. */
  isTouched(from: number, to: number, ends: boolean): boolean {
    for (let i = 0; i < this.count; i++) {
      const start = (this.starts[i] - from) | 0;
      if (this.touches(i, start, start + this.olds[i], (to - from) | 0, ends)) return true;
    }
    return false;
  }

  /** The receiver's number of the first byte `write` gives for a segment from `from` on. */
  firstOf(from: number, to: number, ends: boolean): number {
    for (let i = 0; i < this.count; i++) {
      const start = (this.starts[i] - from) | 0;
      const end = start + this.olds[i];
      if (end === 0 && this.touches(i, start, end, (to - from) | 0, ends)) return this.forward(this.starts[i]);
    }
    return this.forward(from);
  }

  /** Whether a segment of `length` bytes touches edit i, given relative to the segment's first byte. An edit that was held to its last byte goes with the FIN that ended the wait. */
  private touches(i: number, start: number, end: number, length: number, ends: boolean): boolean {
    return (start < length && end > 0) || (end === 0 && this.owned[i] === this.olds[i] && (ends || length > 0));
  }
}

function isLength(bytes: number): boolean { return bytes >= 0 && bytes <= TEXT_BYTES; }

/** Text in whole words; where they end. */
export function storeText(words: Int32Array, at: number, text: Uint8Array, from: number, length: number): number {
  const end = at + ((length + 3) >> 2);
  words.fill(0, at, end);
  for (let i = 0; i < length; i++) words[at + (i >> 2)] |= text[from + i] << ((i & 3) * 8);
  return end;
}

/** The same back; -1 when it would pass `end`. */
export function loadText(words: Int32Array, at: number, end: number, text: Uint8Array, to: number, length: number): number {
  const after = at + ((length + 3) >> 2);
  if (after > end) return -1;
  for (let i = 0; i < length; i++) text[to + i] = words[at + (i >> 2)] >>> ((i & 3) * 8);
  return after;
}

function copy(bytes: Uint8Array, from: number, length: number, to: number): number {
  if (length <= 0) return 0;
  if (to >= 0) bytes.copyWithin(to, from, from + length);
  return length;
}
