/**
 * What to do about a permission the kernel denied: which capability the call needs, which of those this process lacks, and how to
 * get it. Capabilities are read from /proc/self/status, so the advice is about this very process.
 */
import { readFileSync } from 'node:fs';
import type { SystemError } from '../base/error.js';

/** Bit numbers of the capabilities weir can need (linux/capability.h). */
const CAPABILITIES = { CAP_NET_BIND_SERVICE: 10, CAP_NET_ADMIN: 12, CAP_NET_RAW: 13, CAP_SYS_ADMIN: 21 } as const;
type Capability = keyof typeof CAPABILITIES;

/** The effective capabilities in the text of a process's status file, or null when it does not tell. */
export function parseCapabilities(status: string): bigint | null {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(status);
  return match === null ? null : BigInt(`0x${match[1]}`);
}

function effectiveCapabilities(): bigint | null {
  try {
    return parseCapabilities(readFileSync('/proc/self/status', 'utf8'));
  } catch {
    // Without /proc nothing is known, and the advice names all that the call needs.
    return null;
  }
}

/** The capabilities a denied call needs; none when it is a matter of a file's owner and mode. */
export function neededCapabilities(syscall: string, path: string | undefined): Capability[] {
  if (/setns|netns|unshare/i.test(syscall) || path?.startsWith('/run/netns/') === true) return ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN'];
  // A packet socket is bound by `bind`; what Node binds to a port fails in `listen`.
  if (/AF_PACKET|packet|^bind/i.test(syscall)) return ['CAP_NET_RAW', 'CAP_NET_ADMIN'];
  if (syscall === 'listen' && path === undefined) return ['CAP_NET_BIND_SERVICE'];
  if (path?.startsWith('/dev/net/') === true || /ioctl|TUN|netlink|RTM_|NFT_|nf_tables|setsockopt|sendmsg|sendto/i.test(syscall)) return ['CAP_NET_ADMIN'];
  if (syscall.startsWith('socket')) return ['CAP_NET_RAW', 'CAP_NET_ADMIN'];
  return [];
}

/** Lines of advice for a permission error; `effective` is this process's own unless a test says otherwise. */
export function explainPermission(error: SystemError, effective: bigint | null = effectiveCapabilities()): string[] {
  const needed = neededCapabilities(error.syscall, error.path);
  if (needed.length === 0) {
    return error.path === undefined
      ? ['run it as root']
      : [`run it as root, or give this user the right to ${error.path}`];
  }
  const missing = needed.filter((name) => effective === null || (effective >> BigInt(CAPABILITIES[name]) & 1n) === 0n);
  if (missing.length === 0) {
    return [
      `the process holds ${needed.join(' and ')}, so something else forbids it: a user namespace, a container's seccomp or device rules, or a security module`,
      ...(error.path === '/dev/net/tun' ? ['in a container, hand the device in: --device /dev/net/tun'] : []),
    ];
  }
  const ambient = needed.map((name) => `+${name.slice('CAP_'.length).toLowerCase()}`).join(',');
  return [
    `missing: ${missing.join(' and ')}`,
    `run it as root, or give it the privilege: AmbientCapabilities=${needed.join(' ')} in its systemd unit,`,
    `or setpriv --inh-caps ${ambient} --ambient-caps ${ambient} weir …; weir doctor tells what else is missing`,
  ];
}
