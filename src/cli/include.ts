/** Files that a foreign configuration includes: a path or a pattern, relative to the folder of the file it stands in. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { isSystemError } from '../base/error.js';

/** A pattern that means more is a mistake. */
const FILES_MAX = 1000;

/** A part of a path between slashes, with *, ? and [a-z]; a name that begins with a dot is meant by name only. */
function matcher(part: string): (name: string) => boolean {
  const source = part.replaceAll(/\[!?[^\]/]+\]|[\s\S]/g, (sign) => {
    if (sign === '*') return '.*';
    if (sign === '?') return '.';
    if (sign.length > 1) return sign.replace(/^\[!/, '[^').replaceAll('\\', '\\\\');
    return sign.replace(/[\\^$.|+()[\]{}]/, '\\$&');
  });
  let pattern: RegExp;
  try {
    pattern = new RegExp(`^${source}$`, 'su');
  } catch {
    return (name) => name === part;
  }
  return (name) => pattern.test(name) && (part.startsWith('.') || !name.startsWith('.'));
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Where a pattern leads, in the order of names. */
function paths(pattern: string): string[] {
  let found = [isAbsolute(pattern) ? '/' : '.'];
  for (const part of pattern.split('/').filter((one) => one !== '')) {
    const matches = /[*?[]/.test(part) ? matcher(part) : undefined;
    found = found.flatMap((folder) => (matches === undefined ? [join(folder, part)] : names(folder).filter(matches).map((name) => join(folder, name)))).slice(0, FILES_MAX + 1);
  }
  return found.filter(isFile);
}

/** A reader of what is included, which reads `bytes` in all. */
export function includeReader(bytes: number): (pattern: string, from: string) => { file: string; text: string }[] | string {
  let left = bytes;
  return (pattern, from) => {
    if (/[{}]/.test(pattern)) return 'braces in a pattern are not taken apart: include its files one by one';
    const found = paths(isAbsolute(pattern) ? pattern : join(dirname(from), pattern));
    if (found.length === 0) return 'there is no such file';
    if (found.length > FILES_MAX) return `more than ${FILES_MAX} files`;
    const read: { file: string; text: string }[] = [];
    for (const file of found) {
      try {
        const content = readFileSync(file);
        left -= content.length;
        if (left < 0) return `more than ${bytes} bytes in all`;
        read.push({ file, text: new TextDecoder('utf-8', { fatal: true }).decode(content) });
      } catch (error) {
        if (isSystemError(error)) return `${file} cannot be read (${error.code})`;
        return `${file} has bytes that are not UTF-8`;
      }
    }
    return read;
  };
}
