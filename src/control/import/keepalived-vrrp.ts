/**
 * vrrp_instance, vrrp_sync_group and vrrp_script of a keepalived.conf as virtual routers. One election there may move addresses of several devices;
 * here each link has its own, tied to the others by a sync group. What a script says is tracked by a virtual server that is checked by it.
 */
import { formatIpv4 } from '../../wire/address.js';
import { contains, looksLikeIpv6, readAddress, readPrefix, reserved, type Prefix } from '../config/ip.js';
import type { Notes, Word } from './imported.js';
import { Block, duration, type Reasons } from './keepalived-block.js';
import { readTrackedScript } from './keepalived-check.js';
import { textOf, type Statement } from './keepalived-parse.js';
import { IPV6 } from './lvs.js';
import { prefixesOf, type Link } from './surroundings.js';
import { nameOf, type Entry, type Flow } from './yaml.js';

export const EVENTS = 'every executable file in hooks.directory is run on every event';
const MAIL = `a program in hooks.directory can send mail: ${EVENTS}`;
const PRIORITY_MAX = 254;
const INTERVAL_MAX_SECONDS = 255;
const DELAY_MAX_SECONDS = 1000;
const COUNT_MAX = 20;
const AGAIN_MAX_SECONDS = 60;
const REFRESH_MAX_SECONDS = 86_400;
const PASSWORD_BYTES = 8;

/** Words of a vrrp_instance that have no key. */
const REASONS: Reasons = [
  [/^notify(?:_master|_backup|_fault|_stop|_deleted|_down)?$/, 'left out', `${EVENTS}: vrrp.master, vrrp.backup and vrrp.init`],
  ['notify_priority_changes notify_master_rx_lower_pri', 'left out', 'nothing runs then; weir vrrp and the metrics have the priority'],
  ['smtp_alert', 'left out', MAIL],
  ['use_vmac_addr use_ipvlan vrf', 'left out', 'a virtual router\'s addresses are on its link, with its virtual MAC address'],
  ['vmac_xmit_base', 'nothing', 'with peers adverts leave from the link\'s own MAC address.'],
  ['track_src_ip', 'nothing', 'nobody takes the link\'s own address from it.'],
  ['unicast_fault_no_peer', 'left out', 'without peers adverts go by multicast'],
  ['check_unicast_src', 'nothing', 'with peers adverts are taken from these alone.'],
  ['unicast_ttl', 'left out', 'adverts are sent with a TTL of 255, and nothing less is taken'],
  ['mcast_dst_ip', 'left out', 'adverts go to 224.0.0.18'],
  ['old_unicast_checksum', 'left out', 'a keepalived before 1.3.7 speaks version 2, or by multicast'],
  ['down_timer_adverts', 'left out', 'three, as the RFC has it'],
  ['skip_check_adv_addr', 'nothing', 'addresses that differ are told of, and the advert counts.'],
  ['track_process track_file track_bfd', 'left out', 'a virtual server or an uplink that is checked by script can be tracked: track: [{ name: …, weight: … }]'],
  ['dont_track_primary', 'left out', 'a virtual router\'s own link always counts'],
  ['lvs_sync_daemon_interface lvs_sync_daemon', 'left out', 'flows are shared through a Redis server: share: { store: redis, redis: { url: … } }'],
  ['virtual_routes virtual_rules', 'left out', 'routes: { …: { to: …, via: … } } are there always, on both boxes'],
  ['garp_master_refresh_repeat garp_extra_if', 'left out', 'one for each address at each refresh, on the link that has it'],
  ['garp_lower_prio_delay garp_lower_prio_repeat lower_prio_no_advert', 'left out', 'a master of lower priority is answered by an advert, and each address is announced once more'],
  ['higher_prio_send_advert', 'nothing', 'who had the lower priority announces nothing after it has stepped back.'],
  ['promote_secondaries kernel_rx_buf_size linkbeat_use_polling', 'nothing', 'addresses and links are weir\'s own.'],
  ['native_ipv6', 'left out', IPV6],
  ['debug', 'nothing', 'control.logLevel says how much is logged.'],
];

/** What global_defs say for all instances. */
export interface VrrpDefaults {
  version: number | undefined; isStrict: boolean | undefined;
  count: number | undefined; againSeconds: number | undefined; refreshSeconds: number | undefined;
  scriptUser: string | undefined;
}

interface Virtual { address: number; prefixLength: number | undefined; device: string; isExcluded: boolean; statement: Statement }
interface Track { statement: Statement; name: string; weight: number; isScript: boolean }
export interface Instance {
  statement: Statement; name: string; block: Block; device: string; addresses: Virtual[]; own: number | undefined; peers: number[]; tracks: Track[]; group: string | undefined; comments: string[];
}

/** An IPv4 address that can be a host's, or why it is none. */
function readHost(text: string): number | string {
  if (looksLikeIpv6(text)) return IPV6;
  const address = readAddress(text);
  return address === undefined ? 'not an IPv4 address' : reserved(address) ?? address;
}

export class Elections {
  readonly #notes: Notes;
  readonly #defaults: VrrpDefaults;
  readonly instances: Instance[] = [];
  readonly #scripts = new Map<string, Statement>();
  readonly #used = new Set<string>();
  /** Virtual servers that stand for scripts, by the script's name: undefined = it was left out. */
  readonly #standIns = new Map<string, string | undefined>();

  constructor(statements: readonly Statement[], defaults: VrrpDefaults, notes: Notes) {
    this.#notes = notes;
    this.#defaults = defaults;
    for (const statement of statements) {
      const name = statement.values[0]?.text;
      if (statement.word === 'vrrp_script' && name !== undefined) {
        if (this.#scripts.has(name)) notes.leftOut(statement, textOf(statement), `line ${this.#scripts.get(name)!.line} has a script of that name`);
        else this.#scripts.set(name, statement);
      } else if (statement.word === 'vrrp_instance') {
        this.#instance(statement);
      } else if (statement.word === 'vrrp_script') {
        notes.error(statement, 'vrrp_script without a name', 'vrrp_script NAME { … }');
      }
    }
    for (const statement of statements) if (statement.word === 'vrrp_sync_group') this.#group(statement);
    for (const { tracks } of this.instances) for (const { isScript, name } of tracks) if (isScript) this.#used.add(name);
    for (const [name, statement] of this.#scripts) if (!this.#used.has(name)) notes.leftOut(statement, textOf(statement), 'nothing tracks it');
  }

  /** Devices in the order in which the file names them. */
  get devices(): string[] {
    return [...new Set(this.instances.flatMap(({ device, addresses, tracks }) => [device, ...addresses.map((one) => one.device), ...tracks.flatMap(({ isScript, name }) => (isScript ? [] : [name]))]))];
  }

  #instance(statement: Statement): void {
    const what = textOf(statement);
    const name = statement.values[0]?.text;
    if (name === undefined || statement.block === undefined) return this.#notes.error(statement, what, 'vrrp_instance NAME { … }');
    if (this.instances.some((one) => one.name === name)) return this.#notes.leftOut(statement, what, 'there is one of that name already');
    const block = new Block(statement.block, this.#notes);
    const device = block.text('interface', 'dont_use_interface');
    if (device === undefined) return this.#notes.leftOut(statement, what, 'it names no interface');
    if (!/^[^/:%\s]{1,15}$/.test(device)) return this.#notes.leftOut(statement, what, `${device} is no name of a device`);
    const addresses = [...this.#addresses(block, 'virtual_ipaddress', device), ...this.#addresses(block, 'virtual_ipaddress_excluded', device)];
    if (addresses.length === 0) return this.#notes.leftOut(statement, what, 'it has no address that could be taken');
    const own = this.#host(block.take('unicast_src_ip'));
    const source = block.take('mcast_src_ip');
    const multicast = this.#host(source);
    if (own !== undefined && multicast !== undefined) this.#notes.leftOut(source!, textOf(source!), 'unicast_src_ip says where adverts come from');
    const peers = block.all('unicast_peer').flatMap(({ block: lines = [] }) => lines.flatMap((line): number[] => {
      const peer = readHost(line.word);
      if (typeof peer === 'string') this.#notes.leftOut(line, `${textOf(line)} of unicast_peer`, peer);
      else if (line.values.length > 0) this.#notes.leftOut(line, `${line.values.map(({ text }) => text).join(' ')} of ${line.word}`, 'adverts are sent with a TTL of 255, and nothing less is taken');
      return typeof peer === 'string' ? [] : [peer];
    }));
    const tracks = this.#tracks(block);
    this.instances.push({ statement, name, block, device, addresses, own: own ?? multicast, peers: [...new Set(peers)], tracks, group: undefined, comments: [] });
  }

  #host(statement: Statement | undefined): number | undefined {
    if (statement === undefined) return undefined;
    const read = readHost(statement.values[0]?.text ?? '');
    if (typeof read !== 'string') return read;
    this.#notes.leftOut(statement, textOf(statement), read);
    return undefined;
  }

  #addresses(block: Block, word: string, device: string): Virtual[] {
    const isExcluded = word === 'virtual_ipaddress_excluded';
    return block.all(word).flatMap(({ block: lines = [] }) => lines.flatMap((line): Virtual[] => {
      const [host, length, ...rest] = line.word.split('/');
      const what = `${textOf(line)} of ${word}`;
      const leave = (why: string): [] => {
        this.#notes.leftOut(line, what, why);
        return [];
      };
      const address = readHost(host);
      if (typeof address === 'string') return leave(address);
      if (rest.length > 0 || (length !== undefined && readPrefix(`${host}/${length}`) === undefined)) return leave('a prefix has a length of 0 to 32');
      let at = device;
      const others: Word[] = [];
      for (let index = 0; index < line.values.length; index++) {
        const value = line.values[index];
        if (value.text === 'dev' && line.values[index + 1] !== undefined) at = line.values[++index].text;
        else others.push(value);
      }
      if (!/^[^/:%\s]{1,15}$/.test(at)) return leave(`${at} is no name of a device`);
      if (others.length > 0) this.#notes.leftOut(line, `${others.map(({ text }) => text).join(' ')} of ${line.word}`, 'an address has its link and the length of its prefix');
      // Those of another link are in none of its adverts, as keepalived has it.
      if (isExcluded && at === device) this.#notes.changed(line, what, 'all addresses are in the adverts: a keepalived on the other side is to have them in virtual_ipaddress, too, or to skip_check_adv_addr');
      return [{ address, prefixLength: length === undefined ? undefined : Number(length), device: at, isExcluded, statement: line }];
    }));
  }

  #tracks(block: Block): Track[] {
    return (['track_interface', 'track_script'] as const).flatMap((word) => block.all(word).flatMap(({ block: lines = [] }) => lines.flatMap((line): Track[] => {
      const isScript = word === 'track_script';
      const what = `${textOf(line)} of ${word}`;
      const script = isScript ? this.#scripts.get(line.word) : undefined;
      const own = line.values.findIndex(({ text }) => text === 'weight');
      const defined = script?.block?.find((statement) => statement.word === 'weight');
      const weightText = own >= 0 ? line.values[own + 1]?.text : defined?.values[0]?.text;
      const reversed = [...line.values, ...(defined?.values ?? [])].some(({ text }) => text === 'reverse');
      if (isScript && script === undefined) {
        this.#notes.leftOut(line, what, 'the file has no vrrp_script of that name');
        return [];
      }
      if (reversed) {
        this.#notes.leftOut(line, what, 'reverse: nothing is better off for what is down');
        return [];
      }
      const weight = weightText === undefined ? 0 : /^[+-]?\d{1,3}$/.test(weightText) ? Number(weightText) : NaN;
      if (!(Math.abs(weight) <= PRIORITY_MAX)) {
        this.#notes.error(line, what, `a weight of -${PRIORITY_MAX} to ${PRIORITY_MAX}`);
        return [];
      }
      const rest = line.values.filter((_, index) => own < 0 || (index !== own && index !== own + 1)).filter(({ text }) => !['noreverse', 'no_reverse'].includes(text));
      if (rest.length > 0) this.#notes.leftOut(line, `${rest.map(({ text }) => text).join(' ')} of ${what}`, 'what is tracked has a name and a weight');
      return [{ statement: line, name: line.word, weight, isScript }];
    })));
  }

  #group(statement: Statement): void {
    const what = textOf(statement);
    const name = statement.values[0]?.text;
    if (name === undefined || statement.block === undefined) return this.#notes.error(statement, what, 'vrrp_sync_group NAME { … }');
    const block = new Block(statement.block, this.#notes);
    const names = block.all('group').flatMap(({ block: lines = [] }) => lines.flatMap((line) => [{ line, name: line.word }, ...line.values.map(({ text }) => ({ line, name: text }))]));
    const members = names.flatMap(({ line, name: member }): Instance[] => {
      const instance = this.instances.find((one) => one.name === member);
      if (instance !== undefined && instance.group === undefined) return [instance];
      this.#notes.leftOut(line, `${member} of ${what}`, instance === undefined ? 'no vrrp_instance of that name was taken' : `it is in ${instance.group} already`);
      return [];
    });
    const tracks = this.#tracks(block);
    const weighing = ['global_tracking', 'sync_group_tracking_weight'].filter((word) => block.isOn(word) === true);
    const isWeighted = weighing.length > 0;
    block.finish(REASONS, what);
    if (members.length === 0) return this.#notes.leftOut(statement, what, 'none of its members was taken');
    for (const member of new Set(members)) {
      member.group = name;
      // keepalived takes the weights off what members of a group track by script, so that they do not pull apart.
      const own = member.tracks.map((track) => (track.isScript && !isWeighted && track.weight !== 0 ? { ...track, weight: 0 } : track));
      for (const { name: script, statement: line } of own.filter((track, index) => track.weight !== member.tracks[index].weight)) {
        this.#notes.changed(line, `the weight of ${script} for ${member.name}`, 'keepalived takes it as 0 in a vrrp_sync_group: while it is down, none of the group is master');
      }
      member.tracks = [...own, ...tracks];
      member.comments.push(`${what}${isWeighted ? `, with the weights of what is tracked (${weighing.join(', ')})` : ''}${block.comments.length === 0 ? '' : `: ${block.comments.join(' ')}`}`);
    }
  }

  /** Virtual servers that stand for what is tracked by script, each on a port of the router's own address `own` towards the box, `peer`. */
  standIns(own: string, peer: string, taken: Set<string>): Entry[] {
    let port = 0;
    return [...this.#scripts].flatMap(([name, statement]): Entry[] => {
      if (!this.#used.has(name)) return [];
      const block = new Block(statement.block ?? [], this.#notes);
      const check = readTrackedScript(block, statement, this.#defaults.scriptUser, this.#notes);
      block.take('weight');
      block.finish(REASONS, textOf(statement));
      if (check === undefined) return [];
      const key = nameOf(name, 'script', taken);
      this.#standIns.set(name, key);
      port++;
      return [{
        key, source: { ...placeOf(statement), what: textOf(statement) },
        comments: ['Nobody is served here: it is up while the script says so, and that is tracked.', ...block.comments],
        value: [
          { key: 'listen', value: `${own}:${port}/tcp` },
          { key: 'check', value: check },
          { key: 'realServers', value: { box: { address: peer } } },
        ],
      }];
    });
  }

  get needsStandIns(): boolean {
    return this.#used.size > 0;
  }

  /** The virtual routers. `linkOf` finds the link that has a device; `routers` are the router's own addresses. */
  entries(linkOf: (device: string) => Link | undefined, routers: ReadonlySet<string>): Entry[] {
    const names = new Set<string>();
    const groups = new Set<string>();
    const groupNames = new Map<string, string>();
    const holders = new Map<number, string>();
    const own = new Map<string, string>();
    return this.instances.flatMap((instance): Entry[] => {
      const { statement, name, block, device, tracks } = instance;
      const what = textOf(statement);
      const link = linkOf(device);
      if (link === undefined) {
        this.#notes.leftOut(statement, what, `no link is on ${device}: say one with --link NAME=${device},ADDRESS/LENGTH`);
        return [];
      }
      const addresses = instance.addresses.filter(({ address, statement: line }) => {
        const holder = holders.get(address);
        const isOwn = routers.has(formatIpv4(address));
        if (holder !== undefined || isOwn) this.#notes.leftOut(line, textOf(line), isOwn ? 'it is an address of the router\'s own, which nobody is elected for' : `${holder} has that address`);
        else holders.set(address, name);
        return holder === undefined && !isOwn;
      });
      if (addresses.length === 0) {
        this.#notes.leftOut(statement, what, 'it has no address that could be taken');
        return [];
      }
      const byDevice = new Map<string, Virtual[]>();
      for (const one of addresses) byDevice.set(one.device, [...(byDevice.get(one.device) ?? []), one]);
      const isAlone = this.instances.filter(({ group }) => group === instance.group).length === 1 && byDevice.size === 1;
      const wished = instance.group ?? (byDevice.size > 1 || !byDevice.has(device) ? name : undefined);
      let syncGroup: string | undefined;
      if (wished !== undefined && !isAlone) {
        const key = instance.group === undefined ? `instance ${name}` : `group ${wished}`;
        syncGroup = groupNames.get(key) ?? nameOf(wished, 'group', groups);
        groupNames.set(key, syncGroup);
      }
      const common = this.#common(instance, link);
      if (common === undefined) return [];
      const { keys, comments } = common;
      const track = this.#track(instance, tracks, linkOf, link);
      const given = keys['priority'] as number | undefined;
      const wanted = track.bonus === 0 ? given : (given ?? 100) + track.bonus;
      const priority = wanted === undefined ? undefined : Math.min(PRIORITY_MAX, wanted);
      if (wanted !== undefined && wanted > PRIORITY_MAX) this.#notes.changed(statement, `a priority of ${wanted} with all weights of ${what}`, `the highest is ${PRIORITY_MAX}, so it is that`);
      block.finish(REASONS, name);
      const said = [...comments, ...instance.comments, ...track.comments, ...block.comments];
      if (instance.group !== undefined && isAlone) said.push(`Alone in ${instance.group}, so there is nothing to keep in step.`);
      return [...byDevice].flatMap(([at, virtual]): Entry[] => {
        const other = linkOf(at);
        if (other === undefined) {
          for (const { statement: line } of virtual) this.#notes.leftOut(line, textOf(line), `no link is on ${at}: say one with --link NAME=${at},ADDRESS/LENGTH`);
          return [];
        }
        const id = keys['id'] as number;
        const clash = own.get(`${other.name} ${id}`);
        if (clash !== undefined) {
          for (const { statement: line } of virtual) this.#notes.leftOut(line, textOf(line), `${clash} is virtual router ${id} on ${at} already, and each has a number of its own there`);
          return [];
        }
        own.set(`${other.name} ${id}`, name);
        if (at !== device) {
          for (const { statement: line, isExcluded } of virtual) {
            this.#notes.changed(line, textOf(line), `each link has an election of its own, so ${at} gets one with the same number; they are one syncGroup, and end alike`
              + (isExcluded ? '' : '. A keepalived on the other side takes no adverts with fewer addresses than it has: there it is to be in virtual_ipaddress_excluded'));
          }
        }
        const value: Record<string, Flow | undefined> = {
          link: other.name, ...keys, ...(at === device ? {} : { peers: undefined }), priority,
          addresses: virtual.map(({ address, prefixLength }) => `${formatIpv4(address)}${prefixLength === undefined ? '' : `/${prefixLength}`}`),
          track: track.list.length === 0 ? undefined : track.list, syncGroup,
        };
        const filled = Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Record<string, Flow>;
        return [{ key: nameOf(at === device ? name : `${name}-${at}`, 'router', names), source: { ...placeOf(statement), what }, comments: at === device ? said : [], value: filled }];
      });
    });
  }

  /** What is the same on all links of an instance. */
  #common(instance: Instance, link: Link): { keys: Record<string, Flow | undefined>; comments: string[] } | undefined {
    const { block, statement, name } = instance;
    const comments: string[] = [];
    const id = block.number('virtual_router_id', 1, 255)?.value;
    if (id === undefined) {
      if (statement.block?.some(({ word }) => word === 'virtual_router_id') !== true) this.#notes.error(statement, `${textOf(statement)} without virtual_router_id`, 'virtual_router_id NUMBER');
      return undefined;
    }
    const state = block.take('state');
    if (state !== undefined) comments.push(`${textOf(state)}: whoever has the highest priority becomes master.`);
    const ownVersion = block.number('version', 2, 3)?.value;
    const version = ownVersion ?? this.#defaults.version ?? 2;
    if (ownVersion !== undefined && this.#defaults.version !== undefined) comments.push(`version ${ownVersion}: its own word on it.`);
    const advert = block.number('advert_int', 0.01, INTERVAL_MAX_SECONDS, true);
    const wantedPriority = block.number('priority', 1, 255);
    let priority = wantedPriority?.value;
    if (priority === PRIORITY_MAX + 1) {
      this.#notes.changed(wantedPriority!.statement, textOf(wantedPriority!.statement), `that is for addresses which are a box's own, so it is ${PRIORITY_MAX}`);
      priority = PRIORITY_MAX;
    }
    const plain = block.isOn('v3_checksum_as_v2');
    if (plain !== undefined && (version === 2 || !plain)) comments.push(`v3_checksum_as_v2${plain ? ': version 2 has one way only.' : ' off.'}`);
    const strict = block.isOn('strict_mode') ?? this.#defaults.isStrict;
    const accept = block.isOn('accept');
    const noAccept = block.isOn('no_accept');
    const stances = Object.entries({ accept, no_accept: noAccept, strict_mode: strict }).flatMap(([word, is]) => (is === undefined ? [] : [`${word}${is ? '' : ' off'}`]));
    if (stances.length > 1) comments.push(`${stances.join(', ')}: together they say what accept says here.`);
    const preempt = this.#preempt(block, state, comments);
    const mac = block.take('use_vmac');
    if (mac !== undefined && mac.values.length > 0) comments.push(`${textOf(mac)}: there is no device of that name.`);
    const { own, peers } = instance;
    const first = prefixesOf([link])[0]?.address;
    const ownText = own === undefined ? undefined : formatIpv4(own);
    if (own !== undefined && first !== own) this.#notes.changed(statement, `${ownText} as the source of adverts of ${name}`, `it is the first address of ${link.name}${first === undefined ? '' : `, ${formatIpv4(first)}`}`);
    else if (own !== undefined) comments.push(`${ownText}, the source of adverts, is the first address of ${link.name}.`);
    const ours = new Set(prefixesOf([link]).map(({ address }) => address));
    const virtual = new Set(instance.addresses.map(({ address }) => address));
    const others = peers.filter((peer) => {
      const why = ours.has(peer) ? 'that is this box itself' : virtual.has(peer) ? 'that address moves' : undefined;
      if (why !== undefined) this.#notes.leftOut(statement, `${formatIpv4(peer)} of unicast_peer of ${name}`, why);
      return why === undefined;
    });
    return {
      comments,
      keys: {
        id, version, priority, addresses: undefined, interval: advert === undefined ? undefined : this.#interval(advert, version),
        ...preempt, peers: others.length === 0 ? undefined : others.map(formatIpv4), checksum: plain === true && version === 3 ? 'plain' : undefined,
        virtualMac: mac !== undefined, accept: noAccept === true ? false : accept ?? (strict === true ? false : undefined),
        password: this.#password(block, version, comments), announcements: this.#announcements(block),
      },
    };
  }

  #interval(advert: { value: number; statement: Statement }, version: number): string {
    const { value, statement } = advert;
    const fit = version === 2 ? Math.max(1, Math.round(value)) : Math.min(40.95, Math.max(0.01, Math.round(value * 100) / 100));
    if (Math.abs(fit - value) > 1e-9) {
      this.#notes.changed(statement, textOf(statement), version === 2 ? `version 2 knows whole seconds, so it is ${fit} s` : `version 3 knows hundredths of a second up to 40.95, so it is ${fit} s`);
    }
    return duration(fit);
  }

  #preempt(block: Block, state: Statement | undefined, comments: string[]): { preempt?: boolean; preemptDelay?: string } {
    const stays = block.isOn('nopreempt');
    const takes = block.isOn('preempt');
    if (stays !== undefined && takes !== undefined) comments.push('preempt beside nopreempt: nopreempt counts.');
    const delay = block.number('preempt_delay', 0, DELAY_MAX_SECONDS, true);
    if (stays === true && state?.values[0]?.text === 'MASTER') {
      // What the file says is told, not what keepalived makes of it in silence.
      comments.push('nopreempt beside state MASTER: keepalived takes no notice of it, and so it is left out.');
      this.#notes.leftOut(state, 'nopreempt beside state MASTER', 'keepalived takes no notice of it there: preempt: false, if it was meant');
    } else if (stays === true) {
      if (delay !== undefined) this.#notes.leftOut(delay.statement, textOf(delay.statement), 'with nopreempt nothing is taken over from a living master, so nothing is delayed');
      return { preempt: false };
    }
    return { ...(takes === undefined && stays === undefined ? {} : { preempt: true }), ...(delay === undefined ? {} : { preemptDelay: duration(delay.value) }) };
  }

  #password(block: Block, version: number, comments: string[]): string | undefined {
    let password: string | undefined;
    for (const authentication of block.all('authentication')) {
      const inner = new Block(authentication.block ?? [], this.#notes);
      const type = inner.take('auth_type');
      const pass = inner.take('auth_pass');
      inner.finish([], 'authentication');
      if (type !== undefined) comments.push(`${textOf(type)}: the password is sent in the clear.`);
      const why = version === 3 ? 'version 3 has no passwords' : type?.values[0]?.text === 'AH' ? 'there is no authentication but by a password (auth_type PASS)' : undefined;
      const text = pass?.values[0]?.text;
      if (why !== undefined) this.#notes.leftOut(authentication, textOf(authentication), why);
      else if (text === undefined || text === '' || /\p{Cc}/u.test(text)) this.#notes.leftOut(authentication, textOf(authentication), 'it has no auth_pass that could be one');
      else password = text;
      if (password !== undefined && Buffer.byteLength(password) > PASSWORD_BYTES) {
        while (Buffer.byteLength(password) > PASSWORD_BYTES) password = [...password].slice(0, -1).join('');
        this.#notes.changed(pass!, 'auth_pass', `a password has ${PASSWORD_BYTES} bytes at most, and keepalived takes the first ${PASSWORD_BYTES} of it`);
      }
    }
    return password;
  }

  #announcements(block: Block): Flow | undefined {
    const within = (word: string, most: number, isTime: boolean, unit: string): number | undefined => {
      const read = block.number(word, 0, 1_000_000, isTime);
      if (read === undefined || read.value <= most) return read?.value;
      this.#notes.changed(read.statement, textOf(read.statement), `at most ${most}${unit}, so it is that`);
      return most;
    };
    const { count: defaultCount, againSeconds: defaultAgain, refreshSeconds: defaultRefresh } = this.#defaults;
    const count = within('garp_master_repeat', COUNT_MAX, false, '') ?? (defaultCount === undefined ? undefined : Math.min(COUNT_MAX, defaultCount));
    const again = within('garp_master_delay', AGAIN_MAX_SECONDS, true, ' s') ?? (defaultAgain === undefined ? undefined : Math.min(AGAIN_MAX_SECONDS, defaultAgain));
    const refresh = within('garp_master_refresh', REFRESH_MAX_SECONDS, true, ' s') ?? (defaultRefresh === undefined ? undefined : Math.min(REFRESH_MAX_SECONDS, defaultRefresh));
    if (count === undefined && again === undefined && refresh === undefined) return undefined;
    return {
      count: count === undefined ? undefined : Math.max(1, count), again: again === undefined ? undefined : duration(again), refresh: refresh === undefined ? undefined : duration(refresh),
    };
  }

  /** What is tracked, and how much a priority is higher because weights above 0 are added there while things are up. */
  #track(instance: Instance, tracks: readonly Track[], linkOf: (device: string) => Link | undefined, own: Link): { list: Flow[]; bonus: number; comments: string[] } {
    const list: Flow[] = [];
    const comments: string[] = [];
    const seen = new Set<string>();
    let bonus = 0;
    for (const { statement, name, weight, isScript } of tracks) {
      const what = `${textOf(statement)} of ${instance.name}`;
      const found = isScript ? this.#standIns.get(name) : linkOf(name)?.name;
      if (found === undefined) {
        this.#notes.leftOut(statement, what, isScript ? 'its script was left out' : `no link is on ${name}: say one with --link NAME=${name}`);
        continue;
      }
      if (!isScript && found === own.name) {
        comments.push(`${textOf(statement)}: a virtual router's own link always counts.`);
        continue;
      }
      if (seen.has(found)) {
        this.#notes.leftOut(statement, what, 'it is tracked already');
        continue;
      }
      seen.add(found);
      if (weight > 0) {
        bonus += weight;
        comments.push(`${textOf(statement)}: what keepalived adds while it is up, weir takes off while it is down, from a priority that is higher by it.`);
      }
      list.push({ name: found, kind: isScript ? 'virtualServer' : 'link', weight: Math.abs(weight) });
    }
    return { list, bonus, comments };
  }
}

/** Where a statement stands. */
export function placeOf({ line, column, file }: Statement): { line: number; column: number; file?: string } {
  return { line, column, ...(file === undefined ? {} : { file }) };
}

/** The length of the network an address of a device is likely in. */
export function networkLength(address: number, addresses: readonly Virtual[], otherwise: number): number {
  const around = addresses.find(({ address: virtual, prefixLength }) => prefixLength !== undefined && prefixLength >= 8 && prefixLength <= 30 && contains({ address: virtual, prefixLength } satisfies Prefix, address));
  return around?.prefixLength ?? otherwise;
}
