/** The machine a run was made on, as far as it matters to its figures. */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

export interface Machine {
  cpu: string;
  cpus: number;
  memoryGib: number;
  isVirtual: boolean;
  kernel: string;
  node: string;
  v8: string;
}

export function machine(): Machine {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  return {
    cpu: cpus()[0]?.model ?? 'unknown', cpus: cpus().length, memoryGib: Math.round(totalmem() / 2 ** 30),
    isVirtual: /^flags\s*:.*\bhypervisor\b/m.test(info), kernel: release(), node: process.versions.node, v8: process.versions.v8,
  };
}

export function describe(machine: Machine): string {
  const { cpu, cpus: count, memoryGib, isVirtual, kernel, node, v8 } = machine;
  return `${cpu}, ${count} ${isVirtual ? 'virtual ' : ''}CPUs, ${memoryGib} GiB of memory; Linux ${kernel}; Node ${node} (V8 ${v8})`;
}
