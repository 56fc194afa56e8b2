/** CPU time, from the kernel's own books. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Clock ticks of /proc are always hundredths of a second towards user space. */
const TICKS_PER_SECOND = 100;

/**
 * CPU-seconds the whole machine has been busy since it started: everything but idle and waiting for devices. It holds what no process
 * is charged for (packets forwarded in interrupts), so it is the one measure that is the same for a router in the kernel and for one
 * in a process.
 */
export function busySeconds(): number {
  const [, user, nice, system, , , interrupts, softInterrupts, stolen] = /^cpu\s.*$/m.exec(readFileSync('/proc/stat', 'utf8'))![0].split(/\s+/).map(Number);
  return (user + nice + system + interrupts + softInterrupts + stolen) / TICKS_PER_SECOND;
}

/** CPU-seconds a process and its threads have used. */
export function processSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number);
  return (fields[11] + fields[12]) / TICKS_PER_SECOND;
}

export const CPU_COUNT = cpus().length;
