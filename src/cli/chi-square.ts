/**
 * Pearson's chi-square test: how likely counts as far from the expected ones as these are, if chance alone made the difference. The tail of the
 * distribution is the regularised upper incomplete gamma function Q(degrees / 2, statistic / 2): its series for small arguments, its
 * continued fraction for large ones.
 */

export interface ChiSquare { statistic: number; degreesOfFreedom: number; pValue: number }

/** Terms after which either expansion has long converged for any statistic that matters. */
const TERMS_MAX = 1000;
const PRECISION = 1e-14;
/** In place of a denominator of 0 in the continued fraction. */
const TINY = 1e-300;

/** ln Γ(a) for a whole or half number: Γ(1) = 1, Γ(1/2) = √π, Γ(a + 1) = a Γ(a). */
function logGamma(a: number): number {
  let sum = Number.isInteger(a) ? 0 : Math.log(Math.PI) / 2;
  for (let x = Number.isInteger(a) ? 1 : 0.5; x < a; x++) sum += Math.log(x);
  return sum;
}

/** The probability that a chi-square variable of so many degrees is at least `statistic`. */
export function chiSquareTail(statistic: number, degreesOfFreedom: number): number {
  if (statistic <= 0 || degreesOfFreedom === 0) return 1;
  if (statistic === Infinity) return 0;
  const a = degreesOfFreedom / 2;
  const x = statistic / 2;
  const scale = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; n < TERMS_MAX && term > sum * PRECISION; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return Math.max(0, 1 - sum * scale);
  }
  // Lentz's method.
  let b = x + 1 - a;
  let c = 1 / TINY;
  let d = 1 / b;
  let fraction = d;
  for (let n = 1; n < TERMS_MAX; n++) {
    const numerator = -n * (n - a);
    b += 2;
    d = 1 / (numerator * d + b || TINY);
    c = b + numerator / c || TINY;
    fraction *= c * d;
    if (Math.abs(c * d - 1) < PRECISION) break;
  }
  return scale * fraction;
}

/** Compare counts with what their weights ask for. Something counted where nothing is expected can be no chance. */
export function chiSquare(counts: readonly number[], weights: readonly number[]): ChiSquare {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  let statistic = 0;
  let cells = 0;
  counts.forEach((count, i) => {
    const expected = whole === 0 ? 0 : (total * weights[i]) / whole;
    if (expected > 0) {
      statistic += (count - expected) ** 2 / expected;
      cells++;
    } else if (count > 0) statistic = Infinity;
  });
  const degreesOfFreedom = Math.max(0, cells - 1);
  return { statistic, degreesOfFreedom, pValue: statistic === Infinity ? 0 : chiSquareTail(statistic, degreesOfFreedom) };
}
