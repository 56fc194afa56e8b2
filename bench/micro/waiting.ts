/**
 * How long this process's main thread has stood in line for a CPU since it started, from the scheduler's books. A turn that took long because
 * somebody else had the CPU is told from one that was held up by our own doing.
 */
import { openSync, readSync } from 'node:fs';

const SPACE = 32;
const DIGIT_ZERO = 48;

export class Waiting {
  private readonly fd = openSync('/proc/self/schedstat', 'r');
  private readonly bytes = Buffer.alloc(128);

  /** Milliseconds. The file holds three numbers: nanoseconds on a CPU, nanoseconds in line for one, times it got one. */
  totalMs(): number {
    const length = readSync(this.fd, this.bytes, 0, this.bytes.length, 0);
    let nanoseconds = 0;
    let field = 0;
    for (let i = 0; i < length && field < 2; i++) {
      const byte = this.bytes[i];
      if (byte === SPACE) field++;
      else if (field === 1) nanoseconds = nanoseconds * 10 + (byte - DIGIT_ZERO);
    }
    return nanoseconds / 1e6;
  }
}
