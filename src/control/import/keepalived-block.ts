/**
 * The statements of one block of a keepalived.conf. Each is asked for by the part that makes something of it; what nobody has asked for in the end
 * is told, with the reason where there is a known one, so that no word is lost.
 */
import type { Notes } from './imported.js';
import { textOf, wholeTextOf, type Statement } from './keepalived-parse.js';

/** What becomes of a word that has no key: it says nothing here (a comment tells why), or it is left out. */
export interface Reason { becomes: 'nothing' | 'left out'; why: string }
export type Reasons = readonly (readonly [words: string | RegExp, becomes: Reason['becomes'], why: string])[];

const UNKNOWN: Reason = { becomes: 'left out', why: 'no such word is known here' };

/** The reason that is given for a word: words stand in one text, with spaces between them. */
export function reasonFor(reasons: Reasons, word: string): Reason {
  const found = reasons.find(([words]) => (typeof words === 'string' ? words.split(/\s+/).includes(word) : words.test(word)));
  return found === undefined ? UNKNOWN : { becomes: found[1], why: found[2] };
}

/** '1.5' seconds to 1s500ms. */
export function duration(seconds: number): string {
  const ms = Math.round(seconds * 1000);
  const [whole, rest] = [Math.floor(ms / 1000), ms % 1000];
  return whole > 0 || rest === 0 ? `${whole}s${rest === 0 ? '' : `${rest}ms`}` : `${rest}ms`;
}

const ON: readonly string[] = ['on', 'true', 'yes'];
const OFF: readonly string[] = ['off', 'false', 'no'];

export class Block {
  readonly #notes: Notes;
  readonly #open: Set<Statement>;
  /** What is said of words that have no key and need none. */
  readonly comments: string[] = [];

  constructor(statements: readonly Statement[], notes: Notes) {
    this.#open = new Set(statements);
    this.#notes = notes;
  }

  /** Every statement by one of these words, in their order; they count as taken. */
  all(...words: readonly string[]): Statement[] {
    const found = [...this.#open].filter(({ word }) => words.includes(word));
    for (const statement of found) this.#open.delete(statement);
    return found;
  }

  /** The last of them, which is the one that counts; those before it are told. */
  take(...words: readonly string[]): Statement | undefined {
    const found = this.all(...words);
    const last = found.pop();
    for (const statement of found) this.#notes.leftOut(statement, textOf(statement), `line ${last!.line} says it again, and the last one counts`);
    return last;
  }

  /** A word that is there or not, or says on or off. */
  isOn(...words: readonly string[]): boolean | undefined {
    const statement = this.take(...words);
    if (statement === undefined) return undefined;
    const text = statement.values[0]?.text.toLowerCase();
    if (text === undefined || ON.includes(text)) return true;
    if (OFF.includes(text)) return false;
    this.#notes.error(statement.values[0], `${statement.word} ${text}`, [...ON, ...OFF].join(', '));
    return undefined;
  }

  /** The first value of a word, where it has one. */
  text(...words: readonly string[]): string | undefined {
    const statement = this.take(...words);
    if (statement === undefined) return undefined;
    if (statement.values.length === 0) this.#notes.error(statement, `${statement.word} with nothing behind it`, 'a value');
    return statement.values[0]?.text;
  }

  /** A number behind a word; seconds may have a fraction. */
  number(word: string, least: number, most: number, isTime = false): { value: number; statement: Statement } | undefined {
    const statement = this.take(word);
    if (statement === undefined) return undefined;
    const text = statement.values[0]?.text ?? '';
    const value = (isTime ? /^\d{1,9}(?:\.\d{0,6})?$/ : /^\d{1,9}$/).test(text) ? Number(text) : NaN;
    if (value >= least && value <= most) return { value, statement };
    this.#notes.error(statement.values[0] ?? statement, `${word} ${text === '' ? 'with nothing behind it' : text}`, `${least} to ${most}`);
    return undefined;
  }

  /** Tell what nobody has asked for. `of` = whose it is. */
  finish(reasons: Reasons, of: string): void {
    for (const statement of this.#open) {
      const { becomes, why } = reasonFor(reasons, statement.word);
      if (becomes === 'nothing') this.comments.push(`${wholeTextOf(statement)}: ${why}`);
      else this.#notes.leftOut(statement, `${textOf(statement)}${of === '' ? '' : ` of ${of}`}`, why);
    }
    this.#open.clear();
  }
}
