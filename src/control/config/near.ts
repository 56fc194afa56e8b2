/**
 * Guesses which of the known names a mistyped one was meant to be: the nearest by insertions, deletions, replacements
 * and swaps of neighbours, when it is near enough to be a slip of the finger.
 */

/** Edits between two words, counted up to `limit`; anything farther is limit + 1. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let best = Math.min(previous[column] + 1, current[column - 1] + 1, previous[column - 1] + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) best = Math.min(best, before[column - 2] + 1);
      current.push(best);
    }
    before = previous;
    previous = current;
  }
  return Math.min(previous[b.length], limit + 1);
}

/** The candidate `word` was probably meant to be, or undefined when none is near. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const lower = word.toLowerCase();
  // A third of the letters may be wrong: more, and the guess would be as good as any other.
  let limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  for (const candidate of candidates) {
    const edits = distance(lower, candidate.toLowerCase(), limit);
    if (edits > limit) continue;
    best = candidate;
    limit = edits - 1;
    if (limit < 0) break;
  }
  return best;
}

/** Names shown in one line: all of a few, the first of many. */
const NAMES_SHOWN = 20;

/** 'a', 'a or b', 'a, b or c', 'a, b, c, … (1,000 in all)'. */
export function oneOf(names: readonly string[]): string {
  if (names.length > NAMES_SHOWN) return `${names.slice(0, NAMES_SHOWN).join(', ')}, … (${names.length} in all)`;
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} or ${names[names.length - 1]}`;
}

/** The same with "and". */
export function and(names: readonly string[]): string {
  return oneOf(names).replace(' or ', ' and ');
}

/** 'did you mean x?' when a known name is near, otherwise nothing. */
export function suggestion(word: string, candidates: Iterable<string>): string {
  const guess = nearest(word, candidates);
  return guess === undefined ? '' : `did you mean ${guess}?`;
}

/** The same in parentheses, to stand behind a word. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const text = suggestion(word, candidates);
  return text === '' ? '' : ` (${text})`;
}
