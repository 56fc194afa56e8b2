/**
 * What weir changes on the box it runs on, and the way back.
 *
 * Every change is a record that says how to undo it. It is written to the journal before it is made, so that after a
 * crash, even a kill -9, the next start knows what was left:
 *
 *     want ──► record in journal ──► change ──► … run … ──► undo, newest first ──► record out of journal
 *                                                  └─ kill -9 ─► next start reads the journal: the records are its own now,
 *                                                                with the values from before the first run
 *
 * Undoing is careful: a value is put back only while it still is what weir set; what is gone already counts as undone; an
 * error is collected and the rest goes on. Things that vanish with weir's own file descriptors (devices it made, with
 * their addresses and routes, and the nf_tables table) need no record.
 *
 * Without its journal weir still knows its own: bridges carry the alias `weir`, rules and routes the protocol number 87.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSystemError, type SystemError } from '../base/error.js';
import type { LinkPlan } from '../base/plan.js';
import { Silence, TABLE_PREFIX } from './nftables.js';
import { TrafficControl, type Hook } from './traffic-control.js';
import { Rtnetlink, type DeviceInfo, type RouteChange, type RuleInfo } from './rtnetlink.js';

/** Marks the bridges weir made. */
export const ALIAS = 'weir';
/** Marks the routes and rules weir made (`ip route`, `ip rule` show it as `proto 87`). */
export const PROTOCOL = 87;

/** One undoable change. `was` is the value from before weir's first run, `set` the one weir gave it. */
type Change =
  | { kind: 'bridge'; netns: string | null; device: string }
  | { kind: 'up'; netns: string | null; device: string }
  | { kind: 'mtu'; netns: string | null; device: string; was: number; set: number }
  | { kind: 'master'; netns: string | null; device: string; was: string | null; set: string }
  | { kind: 'devconf'; netns: string | null; device: string; setting: number; was: number; set: number }
  | { kind: 'address'; netns: string | null; device: string; address: string; prefixLength: number }
  | { kind: 'route'; netns: string | null; device: string; route: Omit<RouteChange, 'ifindex'> }
  | { kind: 'clsact'; netns: string | null; device: string }
  | { kind: 'filter'; netns: string | null; device: string; hook: Hook }
  | { kind: 'rule'; netns: string | null; rule: RuleInfo };

interface Entry {
  /** Link that made the change; null = found in the journal and not claimed yet, or shared by links. */
  owner: string | null;
  /** Made or claimed in this run. */
  claimed: boolean;
  change: Change;
}

interface Journal { version: 1; changes: Change[] }

/** What two changes have in common when they are about the same thing. */
function identity(change: Change): string {
  switch (change.kind) {
    case 'rule':
      return JSON.stringify([change.kind, change.netns, change.rule]);
    case 'route':
      return JSON.stringify([change.kind, change.netns, change.device, change.route]);
    case 'address':
      return JSON.stringify([change.kind, change.netns, change.device, change.address, change.prefixLength]);
    case 'devconf':
      return JSON.stringify([change.kind, change.netns, change.device, change.setting]);
    case 'filter':
      return JSON.stringify([change.kind, change.netns, change.device, change.hook]);
    default:
      return JSON.stringify([change.kind, change.netns, change.device]);
  }
}

function codeOf(error: unknown): string | null {
  return isSystemError(error) ? error.code : null;
}

/** Path of a namespace by its name; null = the process's own. */
export function netnsPath(name: string | undefined): string | null {
  if (name === undefined) return null;
  return name.includes('/') ? name : `/run/netns/${name}`;
}

export interface HostOptions {
  /** File that outlives a crash but not a reboot (/run/weir/NAME.journal). One per running daemon. */
  journalPath: string;
  /** All links of the plan: a host link gives the box the addresses and prefixes of the others. */
  links: readonly LinkPlan[];
  /** Addresses the box binds to so that its packets leave by an uplink of its choice (UplinkPlan.pin); on the first link to the box. */
  pins?: readonly string[];
  /** The nf_tables table's name; unique in its namespace. Absent = weir-PID. */
  table?: string;
}

export class Host {
  /** What was wrong with the journal, for the log. */
  readonly problems: string[] = [];
  readonly links: readonly LinkPlan[];
  private readonly pins: readonly string[];
  private readonly journalPath: string;
  private readonly table: string;
  private readonly sockets = new Map<string, Rtnetlink>();
  private readonly controls = new Map<string, TrafficControl>();
  private readonly silences = new Map<string, Silence>();
  private entries: Entry[] = [];

  /** Takes over what an earlier run left in the journal. */
  constructor(options: HostOptions) {
    this.journalPath = options.journalPath;
    this.links = options.links;
    this.pins = options.pins ?? [];
    this.table = options.table ?? `${TABLE_PREFIX}${process.pid}`;
    this.entries = this.readJournal().map((change) => ({ owner: null, claimed: false, change }));
  }

  // ---- the journal ----

  private readJournal(): Change[] {
    let text: string;
    try {
      text = readFileSync(this.journalPath, 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }
    try {
      const journal = JSON.parse(text) as Journal;
      if (journal.version === 1 && Array.isArray(journal.changes)) return journal.changes;
      this.problems.push(`${this.journalPath} is of another version and was set aside: what an earlier run changed is not undone`);
    } catch {
      this.problems.push(`${this.journalPath} cannot be read and was set aside: what an earlier run changed is not undone`);
    }
    renameSync(this.journalPath, `${this.journalPath}.unread`);
    return [];
  }

  /** Replaces the file as a whole, so that a crash leaves the old or the new one, never half of one. */
  private writeJournal(): void {
    if (this.entries.length === 0) {
      rmSync(this.journalPath, { force: true });
      return;
    }
    const journal: Journal = { version: 1, changes: this.entries.map((entry) => entry.change) };
    mkdirSync(dirname(this.journalPath), { recursive: true });
    writeFileSync(`${this.journalPath}.new`, `${JSON.stringify(journal)}\n`, { mode: 0o600 });
    renameSync(`${this.journalPath}.new`, this.journalPath);
  }

  private find(change: Change): Entry | undefined {
    const wanted = identity(change);
    return this.entries.find((entry) => identity(entry.change) === wanted);
  }

  /**
   * Record a change, then make it. One that is on record from an earlier run is claimed: the value from before stays the
   * one to go back to. `apply` returns false when the thing was there before us, so that it is not ours to undo.
   */
  private make(owner: string | null, change: Change, apply: () => boolean): void {
    const known = this.find(change);
    const entry: Entry = known ?? { owner, claimed: true, change };
    if (known !== undefined) {
      known.owner = owner;
      known.claimed = true;
      if ('set' in known.change && 'set' in change) known.change.set = change.set;
    } else {
      this.entries.push(entry);
    }
    this.writeJournal();
    let ours: boolean;
    try {
      ours = apply();
    } catch (error) {
      if (known === undefined) this.forget(entry);
      throw error;
    }
    if (!ours && known === undefined) this.forget(entry);
  }

  private forget(entry: Entry): void {
    this.entries = this.entries.filter((other) => other !== entry);
    this.writeJournal();
  }

  // ---- the ways in ----

  /** rtnetlink in a namespace (a path; null = our own), one socket each for the life of this object. */
  rtnetlink(netns: string | null): Rtnetlink {
    const key = netns ?? '';
    let socket = this.sockets.get(key);
    if (socket === undefined) {
      socket = new Rtnetlink(netns ?? undefined);
      this.sockets.set(key, socket);
    }
    return socket;
  }

  /** tc hooks in a namespace, by a socket for the life of this object. */
  private trafficControl(netns: string | null): TrafficControl {
    const key = netns ?? '';
    let control = this.controls.get(key);
    if (control === undefined) {
      control = new TrafficControl(netns ?? undefined);
      this.controls.set(key, control);
    }
    return control;
  }

  /** The table that keeps the host's stack silent on raw devices of a namespace. Not journalled: it ends with the process. */
  silence(netns: string | null): Silence {
    const key = netns ?? '';
    let silence = this.silences.get(key);
    if (silence === undefined) {
      silence = new Silence(this.table, netns ?? undefined);
      this.silences.set(key, silence);
    }
    return silence;
  }

  // ---- changes ----

  private device(netns: string | null, name: string): DeviceInfo {
    const device = this.rtnetlink(netns).findDevice(name);
    if (device === null) throw Object.assign(new Error(`ENODEV: no such device '${name}'`), { code: 'ENODEV', errno: -19, syscall: 'RTM_GETLINK' });
    return device;
  }

  /** A bridge of that name, made and brought up if there is none. It is shared by links and lives until close(). */
  bridge(netns: string | null, name: string): DeviceInfo {
    const rtnetlink = this.rtnetlink(netns);
    const found = rtnetlink.findDevice(name);
    if (found !== null && found.kind !== 'bridge') {
      throw Object.assign(new Error(`EEXIST: device '${name}' is not a bridge but ${found.kind ?? 'a plain device'}`),
        { code: 'EEXIST', errno: -17, syscall: `RTM_NEWLINK bridge ${name}` });
    }
    if (found === null || found.alias === ALIAS) {
      this.make(null, { kind: 'bridge', netns, device: name }, () => {
        if (found !== null) return true;
        rtnetlink.createBridge(name);
        const made = this.device(netns, name);
        rtnetlink.setAlias(made.ifindex, ALIAS);
        this.quietIpv6(netns, made.ifindex);
        rtnetlink.setUp(made.ifindex, true);
        return true;
      });
    }
    const bridge = this.device(netns, name);
    if (!bridge.up) this.setUp(null, netns, name);
    return bridge;
  }

  /** Hosts without IPv6 have nothing to quieten. */
  quietIpv6(netns: string | null, ifindex: number): void {
    try {
      this.rtnetlink(netns).silenceIpv6(ifindex);
    } catch (error) {
      if (!['EAFNOSUPPORT', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL'].includes(codeOf(error) ?? '')) throw error;
    }
  }

  setUp(owner: string | null, netns: string | null, name: string): void {
    const change: Change = { kind: 'up', netns, device: name };
    const device = this.device(netns, name);
    if (device.up && this.find(change) === undefined) return;
    this.make(owner, change, () => {
      this.rtnetlink(netns).setUp(device.ifindex, true);
      return true;
    });
  }

  setMtu(owner: string, netns: string | null, name: string, mtu: number): void {
    const device = this.device(netns, name);
    const change: Change = { kind: 'mtu', netns, device: name, was: device.mtu, set: mtu };
    if (device.mtu === mtu && this.find(change) === undefined) return;
    this.make(owner, change, () => {
      this.rtnetlink(netns).setMtu(device.ifindex, mtu);
      return true;
    });
  }

  /** Make a device a port of a bridge. */
  setMaster(owner: string, netns: string | null, name: string, bridge: DeviceInfo): void {
    const rtnetlink = this.rtnetlink(netns);
    const device = this.device(netns, name);
    const before = device.master === null ? null : rtnetlink.devices().find((other) => other.ifindex === device.master)?.name ?? null;
    const change: Change = { kind: 'master', netns, device: name, was: before, set: bridge.name };
    if (before === bridge.name && this.find(change) === undefined) return;
    this.make(owner, change, () => {
      rtnetlink.setMaster(device.ifindex, bridge.ifindex);
      return true;
    });
  }

  setDevconf(owner: string | null, netns: string | null, name: string, setting: number, value: number): void {
    const rtnetlink = this.rtnetlink(netns);
    const device = this.device(netns, name);
    const before = rtnetlink.devconf(device.ifindex, setting) ?? 0;
    const change: Change = { kind: 'devconf', netns, device: name, setting, was: before, set: value };
    if (before === value && this.find(change) === undefined) return;
    this.make(owner, change, () => {
      rtnetlink.setDevconf(device.ifindex, setting, value);
      return true;
    });
  }

  addAddress(owner: string, netns: string | null, name: string, address: string, prefixLength: number): void {
    const device = this.device(netns, name);
    this.make(owner, { kind: 'address', netns, device: name, address, prefixLength },
      () => this.unlessThere(() => this.rtnetlink(netns).addAddress(device.ifindex, address, prefixLength)));
  }

  addRoute(owner: string, netns: string | null, name: string, route: Omit<RouteChange, 'ifindex'>): void {
    const device = this.device(netns, name);
    this.make(owner, { kind: 'route', netns, device: name, route },
      () => this.unlessThere(() => this.rtnetlink(netns).addRoute({ ...route, ifindex: device.ifindex })));
  }

  addRule(owner: string, netns: string | null, rule: RuleInfo): void {
    this.make(owner, { kind: 'rule', netns, rule }, () => {
      // One that is there with our number is ours, whether or not a journal tells.
      this.unlessThere(() => this.rtnetlink(netns).addRule(rule));
      return this.rtnetlink(netns).findRule(rule) !== null;
    });
  }

  /** Have a BPF program look at every IPv4 packet at a hook of the device. */
  addFilter(owner: string, netns: string | null, name: string, hook: Hook, program: number): void {
    const device = this.device(netns, name);
    const control = this.trafficControl(netns);
    this.make(owner, { kind: 'clsact', netns, device: name }, () => this.unlessThere(() => control.addClsact(device.ifindex)));
    this.make(owner, { kind: 'filter', netns, device: name, hook }, () => {
      control.setFilter(device.ifindex, hook, program);
      return true;
    });
  }

  /** Pinned addresses that belong on a link: the first one with the box behind it has them all, as the data plane knows but one such link. */
  pinsOn(link: LinkPlan): readonly string[] {
    return this.links.find(({ type, peer }) => type === 'tun' && peer !== undefined)?.index === link.index ? this.pins : [];
  }

  private unlessThere(add: () => void): boolean {
    try {
      add();
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    }
  }

  // ---- the way back ----

  private undoOne(change: Change): void {
    const rtnetlink = this.rtnetlink(change.netns);
    if (change.kind === 'rule') {
      rtnetlink.deleteRule(change.rule);
      return;
    }
    const device = rtnetlink.findDevice(change.device);
    if (device === null) return;
    switch (change.kind) {
      case 'bridge':
        if (device.kind === 'bridge' && device.alias === ALIAS) rtnetlink.deleteDevice(device.ifindex);
        return;
      case 'up':
        rtnetlink.setUp(device.ifindex, false);
        return;
      case 'mtu':
        if (device.mtu === change.set) rtnetlink.setMtu(device.ifindex, change.was);
        return;
      case 'master': {
        const now = device.master === null ? null : rtnetlink.devices().find((other) => other.ifindex === device.master)?.name ?? null;
        const before = change.was === null ? null : rtnetlink.findDevice(change.was);
        if (now === change.set) rtnetlink.setMaster(device.ifindex, before?.ifindex ?? null);
        return;
      }
      case 'devconf':
        if (rtnetlink.devconf(device.ifindex, change.setting) === change.set) rtnetlink.setDevconf(device.ifindex, change.setting, change.was);
        return;
      case 'clsact': {
        // It may have got other owners' filters meanwhile: then it is theirs now.
        const control = this.trafficControl(change.netns);
        if (!control.hasFilters(device.ifindex)) control.deleteClsact(device.ifindex);
        return;
      }
      case 'filter':
        this.trafficControl(change.netns).deleteFilter(device.ifindex, change.hook);
        return;
      case 'address':
        rtnetlink.deleteAddress(device.ifindex, change.address, change.prefixLength);
        return;
      case 'route':
        rtnetlink.deleteRoute({ ...change.route, ifindex: device.ifindex });
        return;
      default:
        change satisfies never;
    }
  }

  private undo(which: (entry: Entry) => boolean): SystemError[] {
    const errors: SystemError[] = [];
    for (const entry of this.entries.filter(which).reverse()) {
      try {
        this.undoOne(entry.change);
      } catch (error) {
        if (!isSystemError(error)) throw error;
        // Gone already: the namespace (ENOENT on open), the rule (ENOENT), the route (ESRCH), the address, the device.
        if (!['ENOENT', 'ESRCH', 'EADDRNOTAVAIL', 'ENODEV', 'ENXIO'].includes(error.code)) {
          errors.push(error);
          continue;
        }
      }
      this.entries = this.entries.filter((other) => other !== entry);
    }
    this.writeJournal();
    return errors;
  }

  /** Undo what one link changed. Returns what could not be undone; that stays in the journal. */
  undoOf(owner: string): SystemError[] {
    return this.undo((entry) => entry.owner === owner);
  }

  /** Undo what an earlier run left and this one has no use for. Call when all links are open. */
  undoUnclaimed(): SystemError[] {
    return this.undo((entry) => !entry.claimed);
  }

  /** Undo everything that is still on record and let go of the box. */
  close(): SystemError[] {
    const errors = this.undo(() => true);
    for (const silence of this.silences.values()) silence.close();
    for (const socket of this.sockets.values()) socket.close();
    for (const control of this.controls.values()) control.close();
    this.controls.clear();
    this.silences.clear();
    this.sockets.clear();
    return errors;
  }
}
