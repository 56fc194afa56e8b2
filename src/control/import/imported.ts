/** What all imports share: where things stand in the foreign file, what could not be taken from it, and what the command line adds to it. */
import { ConfigErrors } from '../../base/error.js';
import { Findings } from '../config/findings.js';

/** Counted from 1. */
export interface At { line: number; column: number }

/** Something of the foreign file that the configuration does not have. */
export interface LeftOut extends At {
  file: string;
  /** As written there. */
  what: string;
  why: string;
}

/** A link the foreign file cannot know, or knows by another device: `--link NAME=DEVICE[,ADDRESS/LENGTH…]`. */
export interface LinkOption { name: string; device: string; addresses: readonly string[] }

export interface ImportOptions { links: readonly LinkOption[] }

export interface Imported {
  /** The configuration, with comments. */
  yaml: string;
  /** In the order of the foreign file. */
  leftOut: readonly LeftOut[];
}

/** `file:line:col: left out: …: …`, one line. */
export function formatLeftOut({ file, line, column, what, why }: LeftOut): string {
  return `${file}:${line}:${column}: left out: ${what}: ${why}`;
}

/** Keeps what comes to light while a file is read: what has no counterpart, and what is no sense at all. */
export class Notes {
  readonly #file: string;
  readonly #findings = new Findings();
  readonly #leftOut: LeftOut[] = [];

  constructor(file: string) {
    this.#file = file;
  }

  leftOut(at: At, what: string, why: string): void {
    this.#leftOut.push({ file: this.#file, line: at.line, column: at.column, what, why });
  }

  /** `found` follows the word "found", `allowed` the word "allowed:". */
  error(at: At, found: string, allowed: string): void {
    this.#findings.error({ file: this.#file, fileIndex: 0, line: at.line, column: at.column }, [], found, allowed);
  }

  get errorCount(): number {
    return this.#findings.errorCount;
  }

  /** Throws every mistake at once, or gives what was left out. */
  finish(): LeftOut[] {
    if (this.#findings.failed) throw new ConfigErrors(this.#findings.errors(), []);
    return [...this.#leftOut].sort((a, b) => a.line - b.line || a.column - b.column);
  }
}

/** Words of one line (or of a whole text) with their places; a text in double quotes is one word. */
export interface Word extends At { text: string; quoted: boolean }
