/** Passwords that stand in files of their own: read once, when the configuration is, and told of in the place that names the file. */
import { readFileSync, statSync } from 'node:fs';
import { isSystemError } from '../../base/error.js';
import type { Findings } from './findings.js';
import type { Item } from './validate.js';

/** The longest a password's file may be. */
const FILE_BYTES_MAX = 4096;
/** Others may read the file. */
const OTHERS_READ = 0o004;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file', EACCES: 'a file that may not be read', EPERM: 'a file that may not be read', EISDIR: 'a directory', ENOTDIR: 'a path through something that is not a directory',
};

export class Secrets {
  readonly #texts = new Map<string, string>();

  /** The first line of the file a key names; undefined when that cannot be had, which has then been told. */
  read<T>(item: Item<T>, key: keyof T & string, findings: Findings): string | undefined {
    const path = item.values[key] as string | undefined;
    if (path === undefined) return undefined;
    const tell = (why: string, allowed: string): undefined =>
      void findings.error(item.at(key), [...item.steps, key], `${item.show(key)} (${why})`, allowed);
    try {
      const { size, mode } = statSync(path);
      if (size > FILE_BYTES_MAX) return tell(`${size} bytes`, `a file of at most ${FILE_BYTES_MAX} bytes`);
      const [line, ...rest] = readFileSync(path, 'utf8').split('\n');
      const text = line.replace(/\r$/, '');
      if (text === '') return tell('an empty first line', 'a file with the password in its first line');
      if (rest.some((other) => other.trim() !== '')) return tell('more than one line', 'a file with the password in one line');
      if (mode & OTHERS_READ) findings.warning(item.at(key), [...item.steps, key], `everybody on the box may read ${path}; take that away with chmod o-r`);
      this.#texts.set(path, text);
      return text;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return tell(`${REASONS[error.code] ?? 'a file that cannot be read'} (${error.code})`, 'a file that can be read');
    }
  }

  /** What a file held when it was read. */
  get(path: string | undefined): string | undefined {
    return path === undefined ? undefined : this.#texts.get(path);
  }
}
