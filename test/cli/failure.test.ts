/** What people are told when something fails, and the capabilities behind a denied call. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { SystemError } from '../../src/base/error.js';
import { CliFailure, endingOf } from '../../src/cli/failure.js';
import { explainPermission, neededCapabilities, parseCapabilities } from '../../src/cli/privilege.js';

const denied = (syscall: string, path?: string): SystemError => Object.assign(new Error('Operation not permitted'), { code: 'EPERM', errno: -1, syscall, ...(path === undefined ? {} : { path }) });

test('capabilities are read from a status file', () => {
  assert.is(parseCapabilities('Name:\tnode\nCapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\n'), 0x1ffffffffffn);
  assert.is(parseCapabilities('CapEff:\t0000000000003000\n'), 0x3000n);
  assert.is(parseCapabilities('Name:\tnode\n'), null);
});

test('each call is known by the capabilities it needs', () => {
  const rows: [syscall: string, path: string | undefined, needed: string[]][] = [
    ['ioctl TUNSETIFF', undefined, ['CAP_NET_ADMIN']],
    ['open', '/dev/net/tun', ['CAP_NET_ADMIN']],
    ['socket AF_PACKET', undefined, ['CAP_NET_RAW', 'CAP_NET_ADMIN']],
    ['socket', undefined, ['CAP_NET_RAW', 'CAP_NET_ADMIN']],
    ['setns', '/run/netns/lab', ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN']],
    ['netlink RTM_NEWLINK', undefined, ['CAP_NET_ADMIN']],
    ['setsockopt PACKET_VNET_HDR', undefined, ['CAP_NET_RAW', 'CAP_NET_ADMIN']],
    ['socket AF_NETLINK', undefined, ['CAP_NET_ADMIN']],
    ['bind', undefined, ['CAP_NET_RAW', 'CAP_NET_ADMIN']],
    ['listen', undefined, ['CAP_NET_BIND_SERVICE']],
    ['mkdir', '/run/weir', []],
    ['listen', '/run/weir/weir.sock', []],
    ['open', '/etc/weir/weir.yaml', []],
  ];
  for (const [syscall, path, needed] of rows) assert.equal(neededCapabilities(syscall, path), needed, syscall);
});

test('advice names what this process lacks, and looks elsewhere when it lacks nothing', () => {
  assert.match(explainPermission(denied('socket AF_PACKET'), 0n).join('\n'), /^missing: CAP_NET_RAW and CAP_NET_ADMIN\n.*AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN/);
  assert.match(explainPermission(denied('socket AF_PACKET'), 1n << 12n).join('\n'), /^missing: CAP_NET_RAW\n/);
  assert.match(explainPermission(denied('socket AF_PACKET'), 0x3000n).join('\n'), /something else forbids it: a user namespace, a container/);
  assert.match(explainPermission(denied('open', '/dev/net/tun'), 0x3000n).join('\n'), /--device \/dev\/net\/tun/);
  assert.match(explainPermission(denied('ioctl TUNSETIFF'), null).join('\n'), /^missing: CAP_NET_ADMIN\n/);
  assert.equal(explainPermission(denied('mkdir', '/run/weir'), 0n), ['run it as root, or give this user the right to /run/weir']);
});

test('errors of each kind end as they should', () => {
  assert.equal(endingOf(new CliFailure(69, 'one\ntwo')), { exitCode: 69, lines: ['weir: one', '  two'] });
  const node = Object.assign(new Error("ENOENT: no such file or directory, open '/x y'"), { code: 'ENOENT', errno: -2, syscall: 'open', path: '/x y' });
  assert.equal(endingOf(node), { exitCode: 71, lines: ['weir: no such file or directory (ENOENT, open /x y)'] });
  const addon = Object.assign(new Error('ENODEV: if_nametoindex: no device eth7'), { code: 'ENODEV', errno: -19, syscall: 'if_nametoindex' });
  assert.equal(endingOf(addon).lines, ['weir: no device eth7 (ENODEV, if_nametoindex)']);
  const bare = Object.assign(new Error('ENODEV: if_nametoindex'), { code: 'ENODEV', errno: -19, syscall: 'if_nametoindex' });
  assert.equal(endingOf(bare).lines, ['weir: no such device (ENODEV, if_nametoindex)']);
  const busy = Object.assign(new Error('another weir (pid 7) already listens on /run/weir/weir.sock; stop it first, or set control.socket to another path'), { code: 'EADDRINUSE', errno: -98, syscall: 'listen', path: '/run/weir/weir.sock' });
  assert.equal(endingOf(busy).lines, ['weir: another weir (pid 7) already listens on /run/weir/weir.sock; stop it first, or set control.socket to another path (EADDRINUSE, listen /run/weir/weir.sock)']);
  assert.is(endingOf(denied('ioctl TUNSETIFF')).exitCode, 77);
  assert.is(endingOf(new TypeError('oops')).exitCode, 1);
  assert.ok(endingOf(new TypeError('oops')).lines.some((line) => /^\s+at /.test(line)), 'a mistake of ours shows where');
  assert.is(endingOf('a string').exitCode, 1);
});

test.run();
