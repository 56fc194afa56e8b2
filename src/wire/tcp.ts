/** TCP headers (RFC 9293 §3.1). */
import { delta16, update } from './checksum.js';

export const TCP_HEADER = 20;
export const TCP_CHECKSUM_OFFSET = 16;

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;
export const CWR = 128;

export function sequence(view: DataView, at: number): number { return view.getInt32(at + 4); }
export function acknowledgement(view: DataView, at: number): number { return view.getInt32(at + 8); }
export function dataOffset(view: DataView, at: number): number { return (view.getUint8(at + 12) >> 4) * 4; }
export function flags(view: DataView, at: number): number { return view.getUint8(at + 13); }

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_WINDOW_SCALE = 3;
const OPTION_MSS = 2;
const OPTION_MSS_LENGTH = 4;

/**
 * Lower the MSS a SYN states to `most`; never raise it, never add the option. Returns what it was, 0 when nothing has changed. With `isPartial`
 * the checksum does not cover the options yet and is left alone. The option may stand at an odd offset: its value then lies across two of
 * the checksum's words, and counts with its bytes swapped (RFC 1071 §2 (B)).
 */
export function clampMss(view: DataView, at: number, most: number, isPartial: boolean): number {
  const end = at + dataOffset(view, at);
  for (let i = at + TCP_HEADER; i < end;) {
    const option = view.getUint8(i);
    if (option === OPTION_END) return 0;
    if (option === OPTION_NOP) {
      i++;
      continue;
    }
    const length = i + 1 < end ? view.getUint8(i + 1) : 0;
    if (length < 2 || i + length > end) return 0;
    if (option === OPTION_MSS && length === OPTION_MSS_LENGTH) {
      const before = view.getUint16(i + 2);
      if (before <= most) return 0;
      writeMss(view, at, i + 2, most, isPartial);
      return before;
    }
    i += length;
  }
  return 0;
}

/** Write back the MSS that `clampMss` has lowered. */
export function restoreMss(view: DataView, at: number, before: number, isPartial: boolean): void {
  for (let i = at + TCP_HEADER; ;) {
    const option = view.getUint8(i);
    if (option === OPTION_MSS && view.getUint8(i + 1) === OPTION_MSS_LENGTH) {
      writeMss(view, at, i + 2, before, isPartial);
      return;
    }
    i += option === OPTION_NOP ? 1 : view.getUint8(i + 1);
  }
}

function writeMss(view: DataView, at: number, valueAt: number, value: number, isPartial: boolean): void {
  const before = view.getUint16(valueAt);
  view.setUint16(valueAt, value);
  if (isPartial) return;
  const delta = (valueAt - at) & 1 ? delta16(swap(before), swap(value)) : delta16(before, value);
  view.setUint16(at + TCP_CHECKSUM_OFFSET, update(view.getUint16(at + TCP_CHECKSUM_OFFSET), delta));
}

function swap(word: number): number { return ((word & 0xff) << 8) | (word >>> 8); }

/** The window scale a SYN offers (RFC 7323 §2.2), or -1 when it offers none. */
export function windowScale(view: DataView, at: number): number {
  const end = at + dataOffset(view, at);
  for (let option = at + TCP_HEADER; option < end;) {
    const kind = view.getUint8(option);
    if (kind === OPTION_END) return -1;
    if (kind === OPTION_NOP) {
      option++;
      continue;
    }
    if (option + 1 >= end) return -1;
    const length = view.getUint8(option + 1);
    if (length < 2 || option + length > end) return -1;
    if (kind === OPTION_WINDOW_SCALE) return length === 3 ? view.getUint8(option + 2) : -1;
    option += length;
  }
  return -1;
}

/** Write a header without options; the checksum field is left 0. */
export function writeTcp(view: DataView, at: number, ports: number, seq: number, ack: number, bits: number, window: number): void {
  view.setInt32(at, ports);
  view.setInt32(at + 4, seq);
  view.setInt32(at + 8, ack);
  view.setUint16(at + 12, 0x5000 | bits);
  view.setUint16(at + 14, window);
  view.setInt32(at + 16, 0);
}
