/**
 * The election against Debian's keepalived: version 3 and 2, by multicast and unicast, with its virtual MAC addresses and without, each side as master and as
 * backup. Two routers stand between two networks, a virtual router on each, in a sync group; a client's pings to a server go through whichever is master.
 *
 *   client 10.0.1.9 ──┬── switch ──┬── 10.0.1.2  weir        10.0.2.2 ──┬── switch ──── server 10.0.2.9
 *    default 10.0.1.1              └── 10.0.1.3  keepalived  10.0.2.3 ──┘                default 10.0.2.1
 *
 * tshark judges what weir sends, on the switch's ends of the cables.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import type { Capture } from '../../netns/kit/capture.js';
import { run } from '../../netns/kit/command.js';
import { Lab, type Cable, type Host } from '../../netns/kit/lab.js';
import { signal, type Process } from '../../netns/kit/process.js';
import { waitFor } from '../../netns/kit/wait.js';
import { Daemon, type Monitor } from '../../netns/kit/weir.js';
import { telling } from './telling.js';

const CLIENT = '10.0.1.9', SERVER = '10.0.2.9';
/** By network: our own, keepalived's own, the virtual address, its VRID. */
const NETWORKS = [
  { name: 'near', device: 'eth0', own: '10.0.1.2', other: '10.0.1.3', virtual: '10.0.1.1', id: 11 },
  { name: 'far', device: 'eth1', own: '10.0.2.2', other: '10.0.2.3', virtual: '10.0.2.1', id: 12 },
] as const;
const WAIT_MS = 20_000;
/** Pings are 20 ms apart. */
const PING_MS = 20;
const virtualMac = (id: number): string => `00:00:5e:00:01:${id.toString(16).padStart(2, '0')}`;

interface Form { version: 2 | 3; interval: string; password?: string; unicast?: boolean; vmac?: boolean; checksum?: 'pseudo-header' | 'plain' }

/** The two routers of one test, between the same client and server. */
class Pair {
  readonly lab: Lab;
  readonly client: Host;
  readonly server: Host;
  readonly weirHost: Host;
  readonly keepalivedHost: Host;
  readonly cables: Record<'near' | 'far', Cable>;
  daemon: Daemon | null = null;
  monitor: Monitor | null = null;
  #runs = 0;
  #keepalived: { process: Process; pidFile: string } | null = null;

  constructor() {
    this.lab = Lab.open('vrrp');
    const wall = this.lab.host('switch');
    this.client = this.lab.host('client');
    this.server = this.lab.host('server');
    this.weirHost = this.lab.host('weir');
    this.keepalivedHost = this.lab.host('keepalived');
    for (const { name } of NETWORKS) wall.bridge(name);
    const wire = (host: Host, device: string, network: 'near' | 'far', address?: string): Cable =>
      this.lab.cable(`${host.name}-${network}`, { host, device, ...(address === undefined ? {} : { address }) }, { host: wall, device: `${host.name}-${network}`.slice(0, 15), bridge: network }, { judged: true });
    wire(this.client, 'eth0', 'near', `${CLIENT}/24`);
    wire(this.server, 'eth0', 'far', `${SERVER}/24`);
    this.cables = { near: wire(this.weirHost, 'eth0', 'near'), far: wire(this.weirHost, 'eth1', 'far') };
    for (const { device, name, other } of NETWORKS) wire(this.keepalivedHost, device, name, `${other}/24`);
    this.client.ip('route', 'add', 'default', 'via', NETWORKS[0].virtual);
    this.server.ip('route', 'add', 'default', 'via', NETWORKS[1].virtual);
    this.keepalivedHost.sysctl({ 'net.ipv4.ip_forward': 1 });
  }

  async startWeir(form: Form, priority: number): Promise<void> {
    const { version, interval, password, unicast = false, checksum = 'pseudo-header' } = form;
    const name = `weir${++this.#runs}`;
    const file = join(this.lab.directory, `${name}-base.yaml`);
    writeFileSync(file, stringify({
      links: Object.fromEntries(NETWORKS.map(({ name: link, device, own }) => [link, { type: 'raw', device, addresses: [`${own}/24`] }])),
      vrrp: Object.fromEntries(NETWORKS.map(({ name: link, id, virtual, other }) => [link, {
        link, id, version, priority, interval, addresses: [virtual], syncGroup: 'both', checksum, ...(password === undefined ? {} : { password }), ...(unicast ? { peers: [other] } : {}),
      }])),
    }));
    this.daemon = new Daemon(this.weirHost, file, {}, name);
    await this.daemon.start();
    this.monitor = await this.daemon.monitor();
  }

  /** Waits until both of weir's virtual routers were last told to be in this state. */
  async weirIs(state: 'master' | 'backup'): Promise<void> {
    try {
      await waitFor(() => NETWORKS.every(({ name }) => this.monitor!.events.filter(({ event, subject }) => /^vrrp\.(master|backup|init)$/.test(event) && subject === name).pop()?.event === `vrrp.${state}`),
        WAIT_MS, `weir to be ${state}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.monitor!.story}\n${this.keepalivedLog()}`, { cause: error });
    }
  }

  startKeepalived(form: Form, priority: number): void {
    const run = ++this.#runs;
    const at = (name: string): string => join(this.lab.directory, `keepalived${run}.${name}`);
    const { version, interval, password, unicast = false, vmac = false } = form;
    const seconds = interval.endsWith('ms') ? Number.parseInt(interval, 10) / 1000 : Number.parseInt(interval, 10);
    writeFileSync(at('conf'), [
      `global_defs { vrrp_version ${version}`, '  vrrp_garp_master_repeat 2', '  vrrp_garp_master_delay 1', '}',
      `vrrp_sync_group both { group { ${NETWORKS.map(({ name }) => name).join(' ')} } }`,
      ...NETWORKS.map(({ name, device, other, own, virtual, id }) => [
        `vrrp_instance ${name} {`, `  interface ${device}`, '  state BACKUP', `  virtual_router_id ${id}`, `  priority ${priority}`, `  advert_int ${seconds}`,
        ...(vmac ? [`  use_vmac vr${id}`] : []),
        ...(password === undefined ? [] : [`  authentication { auth_type PASS`, `    auth_pass ${password}`, '  }']),
        ...(unicast ? [`  unicast_src_ip ${other}`, `  unicast_peer { ${own} }`] : []),
        `  virtual_ipaddress { ${virtual}/24 }`, '}',
      ].join('\n')),
    ].join('\n'));
    const process = this.keepalivedHost.spawn('keepalived', ['keepalived', '--dont-fork', '--log-console', '--vrrp', '--use-file', at('conf'), '--pid', at('pid'), '--vrrp_pid', at('vrrp'), '--checkers_pid', at('check')]);
    this.#keepalived = { process, pidFile: at('vrrp') };
  }

  keepalivedLog(): string { return this.#keepalived === null ? '' : `${this.#keepalived.process.output()}${this.#keepalived.process.errors()}`; }

  async keepalivedIs(state: 'MASTER' | 'BACKUP'): Promise<void> {
    try {
      await waitFor(() => NETWORKS.every(({ name }) => [...this.keepalivedLog().matchAll(new RegExp(`\\(${name}\\) Entering (\\w+) STATE`, 'g'))].pop()?.[1] === state), WAIT_MS, `keepalived to be ${state}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.keepalivedLog()}\n${this.monitor?.story}`, { cause: error });
    }
  }

  /** Without a word, and its machine with it. */
  async killKeepalived(): Promise<void> {
    const { process, pidFile } = this.#keepalived!;
    for (const { device } of NETWORKS) this.keepalivedHost.ip('link', 'set', device, 'down');
    signal(process.pid, 'SIGKILL');
    signal(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
    await process.exited;
    for (const { device, virtual } of NETWORKS) await this.keepalivedHost.run(['ip', 'address', 'del', `${virtual}/24`, 'dev', device], { check: false });
  }

  reviveKeepalived(): void { for (const { device } of NETWORKS) this.keepalivedHost.ip('link', 'set', device, 'up'); }

  async stopKeepalived(): Promise<void> {
    await this.#keepalived?.process.stop();
    this.#keepalived = null;
  }

  async end(): Promise<void> {
    await this.stopKeepalived();
    if (this.daemon?.process?.exit === null) await this.daemon.stop();
    this.daemon = null;
  }

  /** Pings from the client to the server, and back, go through. */
  async passes(): Promise<void> {
    for (const [from, to] of [[this.client, SERVER], [this.server, CLIENT]] as const) {
      await waitFor(async () => (await from.ping(to, 3)).received === 3, WAIT_MS, `${from.name} to reach ${to}`);
    }
  }

  /** Pings all the time, until stopped: how many were sent, and how many answered. */
  pings(): { stop(): Promise<{ sent: number; received: number }> } {
    const started = this.client.spawn('pings', ['ping', '-n', '-i', String(PING_MS / 1000), SERVER]);
    return {
      stop: async () => {
        await started.stop('SIGINT');
        const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(started.output())!;
        return { sent: Number(sent), received: Number(received) };
      },
    };
  }

  /** The MAC address a host has learned for an address. */
  macOf(host: Host, address: string): string | undefined {
    return (JSON.parse(host.ip('-j', 'neigh', 'show', address) || '[]') as { lladdr?: string }[])[0]?.lladdr;
  }

  get weirMacs(): Record<string, string> {
    return Object.fromEntries(NETWORKS.map(({ name, device }) => [name, (JSON.parse(this.weirHost.ip('-j', 'link', 'show', device)) as { address: string }[])[0].address]));
  }
}

/** Fields of the frames of a recording that match. */
async function fields(file: string, filter: string, ...names: string[]): Promise<string[][]> {
  const { stdout } = await run(['tshark', '-n', '-r', file, '-Y', filter, '-T', 'fields', ...names.flatMap((name) => ['-e', name])], { timeoutMs: 60_000 });
  return stdout.split('\n').filter((line) => line !== '').map((line) => line.split('\t'));
}

/** What weir's adverts are held to, and that no frame shows a virtual address with its real MAC address. */
async function judge(pair: Pair, wires: readonly Capture[], form: Form): Promise<void> {
  const files = await Promise.all(wires.map((wire) => wire.stop()));
  for (const [i, { name, own, virtual, id }] of NETWORKS.entries()) {
    const real = pair.weirMacs[name];
    const adverts = await fields(files[i], `vrrp && ip.src == ${own}`, 'eth.src', 'ip.ttl', 'vrrp.checksum.status', 'vrrp.virt_rtr_id', 'vrrp.ip_addr', 'ip.dst', '_ws.expert');
    assert.ok(adverts.length > 0, `adverts on ${name}`);
    for (const [mac, ttl, sum, virtualRouter, address, destination, complaint] of adverts) {
      assert.equal([mac, ttl, virtualRouter, address], [form.unicast ? real : virtualMac(id), '255', String(id), virtual]);
      assert.is(destination, form.unicast ? NETWORKS[i].other : '224.0.0.18');
      assert.equal([sum, complaint ?? ''], ['1', ''], 'tshark has nothing to say against it');
    }
    assert.equal(await fields(files[i], `eth.src == ${real} && (arp.src.proto_ipv4 == ${virtual} || ip.src == ${virtual})`, 'frame.number', '_ws.col.Info'), [], `the real MAC address with ${virtual}`);
    assert.equal(await fields(files[i], `arp.src.hw_mac == ${real} && arp.src.proto_ipv4 == ${virtual}`, 'frame.number', '_ws.col.Info'), []);
  }
}

const record = (pair: Pair): Promise<Capture[]> => Promise.all(NETWORKS.map(({ name }) => pair.cables[name].capture()));

const vrrp = suite<{ pair: Pair }>('vrrp: keepalived');
vrrp.before(telling(async (context) => { context.pair = new Pair(); }));
vrrp.after.each(async ({ pair }) => { await pair.end(); });
vrrp.after((context) => context.pair?.lab.close());

// conforms: vrrp-interop vrrp-checksum vrrp-virtual-mac
vrrp('version 3: keepalived is master, dies, and comes back; a client’s pings go on', async ({ pair }) => {
  const form: Form = { version: 3, interval: '100ms' };
  const wires = await record(pair);
  pair.startKeepalived(form, 150);
  await pair.keepalivedIs('MASTER');
  await pair.startWeir(form, 100);
  await pair.weirIs('backup');
  await pair.passes();
  const pings = pair.pings();
  await pair.killKeepalived();
  await pair.weirIs('master');
  await pair.passes();
  assert.is(pair.macOf(pair.client, NETWORKS[0].virtual), virtualMac(11), 'announced');
  assert.is((await pair.client.ping(NETWORKS[0].virtual, 3)).received, 3, 'and it answers for its address');
  pair.reviveKeepalived();
  pair.startKeepalived(form, 150);
  await pair.keepalivedIs('MASTER');
  await pair.weirIs('backup');
  await pair.passes();
  const { sent, received } = await pings.stop();
  assert.ok(received > 0 && received <= sent, `${received} of ${sent} pings answered`);
  await judge(pair, wires, form);
});

// conforms: vrrp-interop vrrp-resign vrrp-virtual-mac
vrrp('version 3, keepalived with virtual MAC addresses: weir is master, and ends with a word', async ({ pair }) => {
  const form: Form = { version: 3, interval: '100ms', vmac: true };
  const wires = await record(pair);
  await pair.startWeir(form, 200);
  await pair.weirIs('master');
  pair.startKeepalived(form, 100);
  await pair.keepalivedIs('BACKUP');
  await pair.passes();
  assert.is(pair.macOf(pair.client, NETWORKS[0].virtual), virtualMac(11));
  await pair.daemon!.stop();
  await pair.keepalivedIs('MASTER');
  await pair.passes();
  assert.is(pair.macOf(pair.client, NETWORKS[0].virtual), virtualMac(11), 'nobody has had to learn anything');
  for (const [i, { own }] of NETWORKS.entries()) assert.ok((await fields(wires[i].file, `vrrp.prio == 0 && ip.src == ${own}`, 'frame.number')).length >= 1, 'it has resigned');
  await judge(pair, wires, form);
});

// conforms: vrrp-interop
vrrp('version 3 to peers: weir takes over from a worse keepalived, which follows; and weir follows it, though it would sum otherwise itself', async ({ pair }) => {
  const form: Form = { version: 3, interval: '100ms', unicast: true };
  const wires = await record(pair);
  pair.startKeepalived(form, 100);
  await pair.keepalivedIs('MASTER');
  await pair.startWeir(form, 150);
  await pair.weirIs('master');
  await pair.keepalivedIs('BACKUP');
  await pair.passes();
  await pair.daemon!.stop();
  await pair.keepalivedIs('MASTER');
  await judge(pair, wires, form);
  await pair.startWeir({ ...form, checksum: 'plain' }, 50);
  await pair.weirIs('backup');
  await pair.stopKeepalived();
  await pair.weirIs('master');
  await pair.passes();
});

// conforms: vrrp-interop vrrp-resign
vrrp('version 2 with a password: as master and as backup', async ({ pair }) => {
  const form: Form = { version: 2, interval: '1s', password: 'sesame' };
  const wires = await record(pair);
  pair.startKeepalived(form, 100);
  await pair.startWeir(form, 150);
  await pair.weirIs('master');
  await pair.keepalivedIs('BACKUP');
  await pair.passes();
  await pair.daemon!.stop();
  await pair.keepalivedIs('MASTER');
  await pair.startWeir(form, 50);
  await pair.weirIs('backup');
  await pair.stopKeepalived();
  await pair.weirIs('master');
  await pair.passes();
  await judge(pair, wires, form);
});

vrrp.run();
