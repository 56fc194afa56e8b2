/** Links go down and come up with the reason a person would give. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Host } from '../../src/link/host.js';
import { hostEvents } from '../../src/link/host-events.js';
import { openLink } from '../../src/link/registry.js';
import { plan } from './holder.js';
import { directory, namespace, until } from './namespace.js';

const events = suite('host events');

events('raw, bridged tap and tun: carrier, down, gone', async () => {
  const ns = namespace();
  ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
  ns.ip('link', 'add', 'port', 'type', 'veth', 'peer', 'name', 'wire');
  ns.ip('link', 'add', 'br0', 'type', 'bridge');
  ns.ip('link', 'set', 'port', 'master', 'br0', 'up');
  ns.ip('link', 'set', 'far', 'up');
  const links = [
    plan({ index: 0, name: 'wan', type: 'raw', device: 'near', netns: ns.name }),
    plan({ index: 1, name: 'lan', type: 'tap', device: 'weir-lan', netns: ns.name, bridge: 'br0' }),
    plan({ index: 2, name: 'host', type: 'tun', device: 'weir0', netns: ns.name, peer: '100.64.0.2', addresses: [{ address: '100.64.0.1', prefixLength: 30 }] }),
  ];
  const host = new Host({ journalPath: `${directory()}/journal`, links, table: `weir-test-${process.pid}` });
  const opened = links.map((link) => openLink(link, host));
  const reasons: (string | null | undefined)[] = [undefined, undefined, undefined];
  const watch = hostEvents(host, opened, (index, isUp, reason) => {
    assert.is(isUp, reason === null);
    reasons[index] = reason;
  });
  const becomes = (index: number, reason: string | null): Promise<void> => until(`link ${index}: ${reason ?? 'up'} (is ${reasons[index]})`, () => reasons[index] === reason);
  try {
    assert.ok(reasons.every((reason) => reason !== undefined), 'every link has a state from the start');
    await becomes(0, null);
    await becomes(1, 'no other port of bridge br0 has carrier');
    await becomes(2, null);
    ns.ip('link', 'set', 'wire', 'up');
    await becomes(1, null);
    ns.ip('link', 'set', 'far', 'down');
    await becomes(0, 'no carrier');
    ns.ip('link', 'set', 'near', 'down');
    await becomes(0, 'device down');
    ns.ip('link', 'set', 'near', 'up');
    ns.ip('link', 'set', 'far', 'up');
    await becomes(0, null);
    ns.ip('link', 'set', 'wire', 'down');
    await becomes(1, 'no other port of bridge br0 has carrier');
    ns.ip('link', 'set', 'br0', 'down');
    await becomes(1, 'bridge br0 is down');
    ns.ip('link', 'set', 'br0', 'up');
    await becomes(1, 'no other port of bridge br0 has carrier');
    // With no other port the box itself is the neighbour, once it has an address there.
    ns.ip('link', 'del', 'port');
    ns.ip('addr', 'add', '10.4.0.1/24', 'dev', 'br0');
    await becomes(1, null);
    ns.ip('link', 'del', 'near');
    await becomes(0, 'device gone');
  } finally {
    watch.close();
    for (const link of opened) link.close();
    host.close();
    ns.remove();
  }
});

events('a watch does not keep the process alive, and closing one inside its callback is safe', async () => {
  const ns = namespace();
  ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
  const links = [plan({ name: 'wan', type: 'raw', device: 'near', netns: ns.name })];
  const host = new Host({ journalPath: `${directory()}/journal`, links, table: `weir-test-${process.pid}` });
  const opened = links.map((link) => openLink(link, host));
  let calls = 0;
  const watch = hostEvents(host, opened, () => {
    if (++calls === 2) watch.close();
  });
  try {
    ns.ip('link', 'set', 'far', 'up');
    await until('the second call', () => calls === 2);
    ns.ip('link', 'set', 'far', 'down');
  } finally {
    for (const link of opened) link.close();
    host.close();
    ns.remove();
  }
});

events.run();
