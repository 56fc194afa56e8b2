/**
 * What reading a configuration brings to light: every error and every warning, each with its place, kept until all of
 * it has been read and then told at once in the order of files and lines.
 */
import type { ConfigError, ConfigWarning } from '../../base/error.js';

/** Where a key or a value stands. */
export interface Place {
  file: string;
  /** Position of the file in the order files are read: the main file, then its drop-ins. */
  fileIndex: number;
  /** Both count from 1; 0 = the file as a whole. */
  line: number;
  column: number;
}

/** A path's step: a key, or the index of a list's item. */
export type Step = string | number;

/** 'links.lan.addresses[0]'; a key that could be misread stands in quotes. */
export function formatPath(steps: readonly Step[]): string {
  let text = '';
  for (const step of steps) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += (text === '' ? '' : '.') + (/^[A-Za-z0-9_-]+$/.test(step) ? step : JSON.stringify(step));
  }
  return text;
}

function inOrder<T extends { place: Place }>(found: readonly T[]): T[] {
  return [...found].sort((a, b) =>
    a.place.fileIndex - b.place.fileIndex || a.place.line - b.place.line || a.place.column - b.place.column);
}

export class Findings {
  readonly #errors: { place: Place; error: ConfigError }[] = [];
  readonly #warnings: { place: Place; warning: ConfigWarning }[] = [];

  /** `found` follows the word "found", `allowed` the word "allowed:". */
  error(place: Place, path: readonly Step[], found: string, allowed: string): void {
    const { file, line, column } = place;
    this.#errors.push({ place, error: { file, line, column, path: formatPath(path), found, allowed } });
  }

  warning(place: Place, path: readonly Step[], message: string): void {
    const { file, line, column } = place;
    this.#warnings.push({ place, warning: { file, line, column, path: formatPath(path), message } });
  }

  get failed(): boolean {
    return this.#errors.length > 0;
  }

  get errorCount(): number {
    return this.#errors.length;
  }

  errors(): ConfigError[] {
    return inOrder(this.#errors).map((entry) => entry.error);
  }

  warnings(): ConfigWarning[] {
    return inOrder(this.#warnings).map((entry) => entry.warning);
  }
}
