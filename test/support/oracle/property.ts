/**
 * Runs a property. A failure prints its seed and path; `SEED=n npx tsx test/….test.ts` runs everything with that seed again. Property tests
 * that draw many bytes draw a seed instead and fill with `bytesOf`, so that a case stays small enough to shrink and to print.
 */
import fc from 'fast-check';
import { Random } from '../../../src/base/random.js';

const seed = process.env['SEED'] === undefined ? Math.floor(Math.random() * 0x7fffffff) : Number(process.env['SEED']);

export function check<T>(property: fc.IRawProperty<T, false>, numRuns: number): void {
  fc.assert(property, { numRuns, seed, includeErrorInReport: true });
}

/** Bytes that follow from a seed. */
export function bytesOf(byteSeed: number, length: number): Uint8Array {
  const random = new Random(byteSeed);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.below(256);
  return bytes;
}

/** 16-bit words with the two zeroes of one's complement more often than chance would bring them. */
export const word16 = fc.oneof(fc.constantFrom(0, 0xffff, 1, 0xfffe, 0x8000), fc.integer({ min: 0, max: 0xffff }));

/** 32-bit words, signed as addresses are, with the same corners in either half. */
export const word32 = fc.tuple(word16, word16).map(([high, low]) => (high << 16) | low);

export const anySeed = fc.integer({ min: 1, max: 0x7fffffff });
