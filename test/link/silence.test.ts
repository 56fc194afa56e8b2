/** The silence rule: the host's stack on a raw device is deaf and mute while weir has it, and only so long. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { KIND_PACKET } from '../../src/link/batch.js';
import { native } from '../../src/link/native.js';
import { Silence } from '../../src/link/nftables.js';
import { arpRequest, bench, echo, ethernet, isArpReply } from './frames.js';
import { directory, namespace, until, type Namespace } from './namespace.js';
import { holder, plan } from './holder.js';

const silence = suite('silence');
const HOST = '10.9.0.1';
const PEER = '10.9.0.2';

/** A host with an address of its own on `near`, and a peer on the other end of the cable. */
function pair(): { host: Namespace; peer: Namespace; remove(): void } {
  const host = namespace();
  const peer = namespace();
  host.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far', 'netns', peer.name);
  host.ip('addr', 'add', `${HOST}/24`, 'dev', 'near');
  host.ip('link', 'set', 'near', 'up');
  peer.ip('addr', 'add', `${PEER}/24`, 'dev', 'far');
  peer.ip('link', 'set', 'far', 'up');
  return { host, peer, remove: () => { host.remove(); peer.remove(); } };
}

const answers = (from: Namespace, to: string): boolean => from.code('ping', '-c', '1', '-W', '1', to) === 0;
const tables = (ns: Namespace): string => ns.run('nft', 'list', 'ruleset');

silence('the host neither answers nor sends, while a packet socket sees and sends everything', () => {
  const { host, peer, remove } = pair();
  const rule = new Silence('weir-test', host.path);
  const b = bench();
  const device = native().openPacket({ name: 'near', netns: host.path, offload: true, bufferBytes: 1 << 20, promiscuous: false });
  try {
    assert.ok(answers(peer, HOST), 'before, the host answers');
    const silenced = rule.silence('near');
    assert.equal(silenced.refused, []);
    assert.match(tables(host), /hook ingress device "near".*policy drop/);
    assert.match(tables(host), /hook egress device "near".*policy drop/);
    b.io.attach(0, device.fd, KIND_PACKET, device.vnet);

    assert.not.ok(answers(peer, HOST), 'the host is deaf');
    const request = b.receiveUntil(({ frame }) => frame.readUInt16BE(12) === 0x0800 && frame[23] === 1 && frame[34] === 8);
    assert.ok(request.length > 0, 'the packet socket saw the echo request');

    const before = Number(peer.ipJson('-s', 'link', 'show', 'far').map((link) => ((link.stats64 as Record<string, Record<string, number>>).rx.packets))[0]);
    assert.not.ok(answers(host, PEER), 'the host is mute');
    const after = Number(peer.ipJson('-s', 'link', 'show', 'far').map((link) => ((link.stats64 as Record<string, Record<string, number>>).rx.packets))[0]);
    assert.is(after, before, 'nothing of the host reached the wire');

    const mac = String(host.ipJson('link', 'show', 'near')[0].address);
    const peerMac = String(peer.ipJson('link', 'show', 'far')[0].address);
    b.stage(0, 0, arpRequest(mac, '10.9.0.9', PEER));
    b.stage(1, 0, ethernet(peerMac, mac, 0x0800, echo('10.9.0.9', PEER, 1)));
    assert.is(b.io.flush(2), 0);
    b.receiveUntil(({ frame }) => isArpReply(frame, PEER));

    silenced.end();
    assert.ok(answers(peer, HOST), 'afterwards, the host answers again');
    rule.close();
    assert.is(tables(host).trim(), '');
  } finally {
    rule.close();
    b.close();
    native().closeFd(device.fd);
    remove();
  }
});

silence('other processes cannot take the table away', () => {
  const ns = namespace();
  const rule = new Silence('weir-test', ns.path);
  try {
    ns.ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
    rule.silence('near');
    assert.is.not(ns.code('nft', 'delete', 'table', 'netdev', 'weir-test'), 0);
    ns.code('nft', 'flush', 'ruleset');
    assert.match(tables(ns), /weir-test/);
  } finally {
    rule.close();
    ns.remove();
  }
});

silence('a device that another instance has taken over is not taken twice', () => {
  const ns = namespace();
  const [first, second] = [new Silence('weir-1', ns.path), new Silence('weir-2', ns.path)];
  try {
    for (const name of ['near', 'near2']) ns.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `far-${name}`);
    first.silence('near');
    const taken = (error: Error & { code?: string }): boolean => error.code === 'EBUSY' && error.message.includes(`device 'near' is taken over already, by another weir (nf_tables table weir-1)`);
    assert.throws(() => second.silence('near'), taken);
    second.silence('near2');
    assert.throws(() => second.silence('near'), taken);
    first.close();
    assert.equal(second.silence('near').refused, [], 'with its owner the claim is gone');
  } finally {
    first.close();
    second.close();
    ns.remove();
  }
});

silence('a kill -9 ends the silence', async () => {
  const { host, peer, remove } = pair();
  const child = holder(host, { journalPath: `${directory()}/journal`, links: [plan({ name: 'wan', type: 'raw', device: 'near', addresses: [{ address: HOST, prefixLength: 24 }] })] });
  try {
    await until('the link is open', () => child.lines().includes('ready'));
    assert.not.ok(answers(peer, HOST));
    child.kill();
    await until('the process is gone', () => child.ended());
    await until('the table is gone', () => tables(host).trim() === '');
    assert.ok(answers(peer, HOST));
  } finally {
    child.kill();
    remove();
  }
});

silence.run();
