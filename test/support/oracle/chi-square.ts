/**
 * Pearson's chi-square test: how likely counts are at least as far from their shares as these, were they drawn by those shares. Tests of a split
 * take their bound from here: with ALPHA a right split fails one run in a million, and one that is off by a few points fails nearly always.
 */
import * as assert from 'uvu/assert';

export const ALPHA = 1e-6;

/** Sum of (found - wanted)² / wanted. Shares need not add up to 1; a share of 0 allows no count. */
export function statistic(counts: readonly number[], shares: readonly number[]): number {
  const drawn = counts.reduce((sum, count) => sum + count, 0);
  const whole = shares.reduce((sum, share) => sum + share, 0);
  return counts.reduce((sum, count, i) => {
    if (shares[i] === 0) return count === 0 ? sum : Infinity;
    const wanted = (drawn * shares[i]) / whole;
    return sum + (count - wanted) ** 2 / wanted;
  }, 0);
}

/** Upper tail of the chi-square distribution: Q(k / 2, x / 2), by the recurrence from one or two degrees of freedom upward. */
export function tail(x: number, degrees: number): number {
  if (x === Infinity) return 0;
  const half = x / 2;
  let q = degrees % 2 === 0 ? Math.exp(-half) : complementaryError(Math.sqrt(half));
  // Q(a + 1, h) = Q(a, h) + hᵃ e⁻ʰ / Γ(a + 1), begun at a = 1 or at a = 1/2.
  let term = degrees % 2 === 0 ? half * Math.exp(-half) : 2 * Math.sqrt(half / Math.PI) * Math.exp(-half);
  for (let a = degrees % 2 === 0 ? 1 : 0.5; a < degrees / 2; a++) {
    q += term;
    term *= half / (a + 1);
  }
  return q;
}

/** How likely counts are to be at least as far from these shares, drawn by them. */
export function likelihood(counts: readonly number[], shares: readonly number[]): number {
  const degrees = shares.filter((share) => share > 0).length - 1;
  const x = statistic(counts, shares);
  return degrees === 0 ? (x === 0 ? 1 : 0) : tail(x, degrees);
}

/** The counts may have been drawn by these shares. */
export function isDrawnBy(counts: readonly number[], shares: readonly number[], says = ''): void {
  const p = likelihood(counts, shares);
  assert.ok(p >= ALPHA, `${says} ${counts.join(':')} where ${shares.join(':')} was wanted: chi-square ${statistic(counts, shares).toFixed(1)}, p = ${p.toExponential(1)}`);
}

/** erfc(z) for z ≥ 0: the series of erf near 0, a continued fraction further out (Abramowitz and Stegun 7.1.6, 7.1.14). */
function complementaryError(z: number): number {
  if (z < 2) {
    let term = z, sum = z;
    for (let n = 1; n < 60; n++) sum += (term *= (2 * z * z) / (2 * n + 1));
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction);
}
