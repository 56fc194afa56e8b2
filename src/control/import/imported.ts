/** What all imports share: where things stand in the foreign file, what of it is otherwise or absent here, and what the command line adds to it. */
import { ConfigErrors } from '../../base/error.js';
import { Findings } from '../config/findings.js';
import type { Source } from '../config/parse.js';
import type { Entry } from './yaml.js';

/** Counted from 1; line 0 = of no line: the file as a whole, or the command line. `file` = of a file that was included. */
export interface At { line: number; column: number; file?: string }

/** Of the command line. */
export const NOWHERE: At = { line: 0, column: 0 };

/**
 * Something of the foreign file that the configuration does not have (left out) or has in another way (changed), or that the configuration needs
 * and the file does not say (guessed).
 */
export type RemarkKind = 'left out' | 'changed' | 'guessed';
export interface Remark extends At {
  file: string;
  kind: RemarkKind;
  /** As written there. */
  what: string;
  /** Why, and what to do instead. */
  why: string;
}

/** A link the foreign file cannot know, or knows by another device: `--link NAME=DEVICE[,ADDRESS/LENGTH…]`. */
export interface LinkOption { name: string; device: string; addresses: readonly string[] }
/** What a firewall mark stands for: `--mark NUMBER=LISTEN[,LISTEN…]`. */
export interface MarkOption { mark: number; listens: readonly string[] }

export interface ImportOptions {
  links: readonly LinkOption[];
  marks?: readonly MarkOption[];
  /** Where what leaves for the internet is sent to: `--gateway ADDRESS`. */
  gateway?: string;
  /** The configuration the result is to be a drop-in of: its files. Absent = the result stands alone. */
  into?: readonly Source[];
  /** Which of several boxes' lines count: `--instance NAME`. */
  instance?: string;
  /** The files a pattern means that stands in the file `from`, by their names' order, or why there is none. Absent = nothing is read but the file itself. */
  include?: (pattern: string, from: string) => readonly { file: string; text: string }[] | string;
}

export interface Imported {
  /** The configuration, with comments; sound, with that of `into`. */
  yaml: string;
  /** In the order of the foreign file. */
  remarks: readonly Remark[];
}

/** What an import makes of a file, before the configuration's own checks have seen it. */
export interface Draft { head: readonly string[]; sections: Entry[] }

/** `file:line:col: left out: …: …`, one line. */
export function formatRemark({ file, line, column, kind, what, why }: Remark): string {
  return `${line > 0 ? `${file}:${line}:${column}` : file}: ${kind}: ${what}: ${why}`;
}

/** Keeps what comes to light while a file is read: what is left out, changed or guessed, and what is no sense at all. */
export class Notes {
  readonly #file: string;
  readonly #findings = new Findings();
  readonly #remarks: Remark[] = [];
  /** What has been said: a thing that is used twice is read twice. */
  readonly #said = new Set<string>();

  constructor(file: string) {
    this.#file = file;
  }

  leftOut(at: At, what: string, why: string): void {
    this.#remark('left out', at, what, why);
  }

  changed(at: At, what: string, why: string): void {
    this.#remark('changed', at, what, why);
  }

  guessed(at: At, what: string, why: string): void {
    this.#remark('guessed', at, what, why);
  }

  #remark(kind: RemarkKind, at: At, what: string, why: string): void {
    const { line, column, file = this.#file } = at;
    if (this.#isNew(at, what, why)) this.#remarks.push({ file, line, column, kind, what, why });
  }

  /** `found` follows the word "found", `allowed` the word "allowed:". */
  error(at: At, found: string, allowed: string): void {
    const { line, column, file = this.#file } = at;
    if (this.#isNew(at, found, allowed)) this.#findings.error({ file, fileIndex: 0, line, column }, [], found, allowed);
  }

  #isNew({ line, column, file }: At, what: string, why: string): boolean {
    const key = `${file ?? ''}:${line}:${column} ${what} ${why}`;
    if (this.#said.has(key)) return false;
    this.#said.add(key);
    return true;
  }

  get errorCount(): number {
    return this.#findings.errorCount;
  }

  /** Throws every mistake at once, if there is one. */
  check(): void {
    if (this.#findings.failed) throw new ConfigErrors(this.#findings.errors(), []);
  }

  /** The file's own first, then those of the files it includes. */
  remarks(): Remark[] {
    const files = [this.#file, ...this.#remarks.map(({ file }) => file)];
    return [...this.#remarks].sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column);
  }
}

/** Words of one line (or of a whole text) with their places; a text in double quotes is one word. */
export interface Word extends At { text: string; quoted: boolean }
