/** Who wrote a record: a hash of the instance's name, in STAMP_BYTES little-endian bytes before the record itself. */
import { hashText } from '../base/hash.js';

export const STAMP_BYTES = 4;

export function stampOf(instance: string): number { return hashText(instance, 0) | 0; }

export function putStamp(bytes: Uint8Array, stamp: number): void {
  for (let i = 0; i < STAMP_BYTES; i++) bytes[i] = stamp >>> (8 * i);
}

/** The stamp of a value as the store has it; null when it is too short to have one. */
export function readStamp(value: Uint8Array): number | null {
  return value.length < STAMP_BYTES ? null : value[0] | (value[1] << 8) | (value[2] << 16) | (value[3] << 24);
}
