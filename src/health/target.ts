/** The names of targets, as reasons, listings and events call them. */
import type { ProbePlan } from '../base/plan.js';

const DNS_PORT = 53;

/** 'icmp 192.0.2.1', 'tcp www.example.net:443', a URL, 'script /usr/local/bin/ask'. */
export function targetName(probe: ProbePlan): string {
  switch (probe.kind) {
    case 'icmp':
    case 'arp': return `${probe.kind} ${probe.target}`;
    case 'udp': return `udp ${probe.target}:${probe.port}`;
    case 'tcp': return `tcp ${probe.host}:${probe.port}`;
    case 'http': return probe.url;
    case 'dns': return `dns ${probe.name} at ${probe.server}${probe.port === DNS_PORT ? '' : `:${probe.port}`}`;
    case 'script': return `script ${probe.command[0]}`;
  }
}

/** 'a', 'a and b', 'a, b and c'; of more than `most`, the first and how many there are besides. */
export function listNames(names: readonly string[], most: number): string {
  if (names.length > most) return `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`;
}
