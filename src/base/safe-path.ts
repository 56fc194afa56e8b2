/**
 * Whether a program may be run for somebody with rights: what stands at a path may have been written only by those who have a say. The file it leads to and
 * all directories above must belong to root or to weir's own user and must not be writable by their group or by others. What was judged is what is to be
 * run: the path without symbolic links, which is what comes back.
 */
import type { Stats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

const S_ISVTX = 0o1000;
const WRITABLE_BY_OTHERS = 0o022;

export interface JudgedPath {
  /** The path itself, symbolic links followed. */
  real: string;
  /** Why what stands there may have been written by somebody who must not have a say; null = it cannot. */
  why: string | null;
}

/** What is wrong with the owner or the mode of one step of a path, or null. */
function unsafeStep(path: string, found: Stats, isAncestor: boolean): string | null {
  const own = process.geteuid?.() ?? 0;
  if (found.uid !== 0 && found.uid !== own) return `${path} belongs to user ${found.uid}; it must belong to root${own === 0 ? '' : ` or user ${own}`}`;
  // In a directory with the sticky bit others can add files, but neither remove nor rename ours.
  if (isAncestor && (found.mode & S_ISVTX) !== 0) return null;
  if ((found.mode & WRITABLE_BY_OTHERS) === 0) return null;
  return `${path} may be written by ${(found.mode & 0o002) === 0 ? 'its group' : 'everybody'} (mode ${(found.mode & 0o7777).toString(8)}); chmod go-w makes it right`;
}

/** Rejects with the system's error when there is nothing at the path, or it may not be looked at. */
export async function judgePath(path: string): Promise<JudgedPath> {
  const real = await realpath(path);
  for (let step = real; ; step = dirname(step)) {
    const why = unsafeStep(step, await stat(step), step !== real);
    if (why !== null || step === dirname(step)) return { real, why };
  }
}
