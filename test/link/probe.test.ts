/** The probe says what works, and without privileges says what is missing and what to do. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Check } from '../../src/link/probe.js';
import { LOADER } from '../support/loader.js';
import { namespace, type Namespace } from './namespace.js';

const probing = suite('probe');
const NAMES = [
  'CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF', 'CAP_SYS_ADMIN', '/dev/net/tun', 'TAP and TUN offloads', 'packet socket with virtio-net header',
  'nf_tables owned table with ingress and egress', 'offload of established flows (BPF at tc hooks)',
];
const PROGRAM = `import('${new URL('../../src/link/probe.ts', import.meta.url).href}').then((m) => console.log(JSON.stringify(m.probe())))`;

/** Probes inside a namespace, where a device more does no harm. */
function probeIn(ns: Namespace, ...wrapper: string[]): Check[] {
  const checks = JSON.parse(ns.run(...wrapper, process.execPath, ...LOADER, '-e', PROGRAM)) as Check[];
  assert.equal(checks.map(({ name }) => name), NAMES);
  for (const { name, ok, advice } of checks) assert.is(advice === null, ok, name);
  return checks;
}

probing('with privileges every check runs for real, and nothing is left behind', () => {
  const ns = namespace();
  try {
    const failed = probeIn(ns).filter(({ ok }) => !ok).map(({ name }) => name);
    // Kernels differ in the last four; the first five are what root has.
    assert.equal(failed.filter((name) => NAMES.indexOf(name) < 5), []);
    assert.equal(ns.ipJson('link').map(({ ifname }) => ifname), ['lo']);
    assert.is(ns.run('nft', 'list', 'ruleset').trim(), '');
  } finally {
    ns.remove();
  }
});

probing('without privileges each failure comes with advice', () => {
  const ns = namespace();
  try {
    const failed = probeIn(ns, 'setpriv', '--bounding-set=-all', '--inh-caps=-all').filter(({ ok }) => !ok).map(({ name }) => name);
    assert.equal(failed, NAMES.filter((name) => name !== '/dev/net/tun'));
  } finally {
    ns.remove();
  }
});

probing.run();
