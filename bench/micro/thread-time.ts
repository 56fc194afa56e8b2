/**
 * Where the time of this process's main thread goes: what it had of a CPU, and how long it stood in line for one. A turn that took long because
 * somebody else had the CPU is told from one that was held up by our own doing.
 */
import { openSync, readFileSync, readSync } from 'node:fs';
import { native } from '../../src/link/native.js';

const SPACE = 32;
const DIGIT_ZERO = 48;

/** How often the calling thread has given its CPU up of itself: it slept, or waited for a lock or a page. */
export function sleeps(): number {
  return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync('/proc/thread-self/status', 'latin1'))?.[1]);
}

export class ThreadTime {
  private readonly fd = openSync('/proc/self/schedstat', 'r');
  private readonly bytes = Buffer.alloc(128);

  /** What it has had of a CPU, milliseconds: neither what it stood in line nor what the hypervisor took is in it. */
  cpuMs(): number { return native().threadCpuMs(); }

  /** In line for a CPU, milliseconds. The file holds three numbers: nanoseconds on a CPU, nanoseconds in line for one, times it got one. */
  inLineMs(): number {
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
