/**
 * Random frames, written straight into an arena: every protocol, sane and odd, answers and errors about what left, fragments, GSO
 * super-frames, FTP control connections, and damage. All from one seed, nothing allocated per frame but for a few kinds.
 *
 * How checksums come out is the same for a whole run, so that what leaves can be judged without knowing which frame it came from:
 *
 *     right   every transport checksum is right (or partial where the frame says so), damage or not
 *     wrong   every TCP and UDP checksum is wrong (a UDP checksum of 0 stays)
 *     any     whatever comes of it
 */
export type Sums = 'right' | 'wrong' | 'any';

export const LAN = 0, WAN1 = 1, WAN2 = 2, DMZ = 3, HOST = 4;

export const ip = (text: string): number => text.split('.').reduce((word, part) => (word << 8) | Number(part), 0);

/** Inside addresses: none of them may be seen on an uplink. Those of the link to the box (100.64.0.0/30) only where there is one. */
export const isInside = (address: number, hasHost = true): boolean =>
  address >>> 8 === 0xc0a800 || address >>> 8 === 0x0a0900 || (hasHost && address >>> 2 === 0x644000 << 6);

/** A small fast generator; the same seed gives the same frames on every machine. */
export class Dice {
  private state: number;
  constructor(seed: number) { this.state = Math.imul(seed, 0x9e3779b1) | 0; }
  next(): number {
    let t = (this.state = (this.state + 0x6d2b79f5) | 0);
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(bound: number): number { return this.next() % bound; }
  chance(percent: number): boolean { return this.next() % 100 < percent; }
  of<T>(choices: readonly T[]): T { return choices[this.next() % choices.length]; }
}

/** One's complement sum of big-endian words from `at` to `end`, on top of `sum`; not folded. */
export function sumOf(u8: Uint8Array, at: number, end: number, sum: number): number {
  let i = at;
  for (; i + 1 < end; i += 2) sum += (u8[i] << 8) | u8[i + 1];
  return i < end ? sum + (u8[i] << 8) : sum;
}

export function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

export const TCP = 6, UDP = 17, ICMP = 1;
const PORTS = [21, 22, 53, 69, 80, 4000, 4001, 4002, 8080, 50_000, 0, 65_535];
const FLAGS = [0x02, 0x02, 0x12, 0x10, 0x10, 0x18, 0x11, 0x04, 0x14, 0x01, 0x00, 0x03, 0xff];
const ERRORS = [3, 3, 3, 11, 12, 4, 5];
const OTHER_PROTOCOLS = [47, 50, 4, 132, 0, 255];
const ETHERTYPES = [0x86dd, 0x8100, 0x88a8, 0x0000, 0x05dc, 0x0806];

const ADDRESSES = ['192.168.0.4', '192.168.0.5', '192.168.0.1', '192.168.201.11', '192.168.201.13', '192.168.201.50', '192.168.201.1', '198.51.100.7', '198.51.100.8', '203.0.113.1', '203.0.113.2',
  '10.9.0.1', '10.9.0.9', '100.64.0.1', '100.64.0.2', '192.168.0.255', '224.0.0.1', '255.255.255.255', '127.0.0.1', '0.0.0.0', '240.0.0.1', '192.168.201.77', '198.51.100.200'].map(ip);
const OUTSIDE = ADDRESSES.filter((address) => !isInside(address));
const USUAL = [['192.168.0.4', '192.168.0.5'], ['198.51.100.7', '192.168.201.1', '198.51.100.8'], ['198.51.100.7', '203.0.113.1', '198.51.100.8'], ['10.9.0.9'], ['100.64.0.2', '192.168.201.11']].map((list) => list.map(ip));
const FAR = ['198.51.100.7', '198.51.100.8', '198.51.100.200'].map(ip);

/** MAC addresses: ours by link, and those of the stations there. */
export const OUR_MAC = [0x0001, 0x0011, 0x0013, 0x0009, 0].map((low) => [0x0200, low]);
const STATIONS = [[0x0404, 0x0405], [0x0101], [0x0201], [0x0909], [0]];

/** Packets that left lately, for answers and errors: the first bytes of each. */
const RECENT = 256, KEPT = 160;
/** FTP control connections under way. */
const TALKS = 12;
const COMMANDS = ['PORT 192,168,0,4,19,137\r\n', 'PORT 192,168,0,5,200,1\r\n', 'EPRT |1|192.168.0.4|5001|\r\n', 'EPRT |2|::1|5001|\r\n', 'PASV\r\n', 'EPSV\r\n', 'EPSV ALL\r\n', 'USER a\r\n', 'port 192,168,0,4,256,1\r\n', 'PORT 10,9,0,9,1,1\r\n', 'PORT ', '\r\n', 'PORT 1,2,3,4,5,6,7,8\r\n', '\xff\xf4\xff\xf2ABOR\r\n', 'STOR x\r\nPORT 192,168,0,4,19,138\r\n'];
const ANSWERS = ['220 hello\r\n', '227 Entering Passive Mode (198,51,100,7,19,140)\r\n', '227 Entering Passive Mode (192,168,0,4,19,141).\r\n', '229 Entering Extended Passive Mode (|||5005|)\r\n', '200 ok\r\n', '227 =10,9,0,9,0,21\r\n', '229 (|||0|)\r\n', '230-a\r\n230 b\r\n', '227 '];

interface Talk { client: number; port: number; server: number; clientNext: number; serverNext: number; state: number; outside: number; outsidePort: number; outLink: number; shift: number }

/** A frame that waits to be put in: later fragments of a datagram. */
interface Waiting { link: number; bytes: Uint8Array }

export class FrameMaker {
  readonly dice: Dice;
  readonly sums: Sums;
  /** Outside hosts send nothing to inside addresses, so an inside address in a quote outside is a leak. */
  readonly isStrict: boolean;
  private readonly links: number;
  private readonly u8: Uint8Array;
  private readonly view: DataView;
  private readonly recent = new Uint8Array(RECENT * KEPT);
  private readonly recentLink = new Int32Array(RECENT).fill(-1);
  private readonly recentLength = new Int32Array(RECENT);
  private recentNext = 0;
  private readonly talks: Talk[] = [];
  private readonly waiting: Waiting[] = [];
  /** Room to build what is cut into fragments. */
  private readonly aside = new Uint8Array(80_000);
  /** What `make` has made: the link, the frame's end, and its virtio-net header. */
  link = 0;
  end = 0;
  readonly vnet = new Uint8Array(10);
  vlanTci = -1;

  /** @param links how many there are: without the link to the box one less. */
  constructor(seed: number, sums: Sums, isStrict: boolean, links: number, u8: Uint8Array) {
    this.dice = new Dice(seed);
    this.sums = sums;
    this.isStrict = isStrict;
    this.links = links;
    this.u8 = u8;
    this.view = new DataView(u8.buffer, u8.byteOffset, u8.byteLength);
    for (let i = 0; i < TALKS; i++) this.talks.push(this.newTalk());
  }

  /** Remember what left. */
  sent(link: number, ipAt: number, length: number): void {
    const i = this.recentNext;
    this.recentNext = (i + 1) % RECENT;
    this.recentLink[i] = link;
    this.recentLength[i] = Math.min(length, KEPT);
    this.recent.set(this.u8.subarray(ipAt, ipAt + this.recentLength[i]), i * KEPT);
    if (link === WAN1 || link === WAN2) this.hear(link, ipAt, length);
  }

  /** Writes the next frame; `ipAt` is where its IP header goes. */
  make(ipAt: number): void {
    const d = this.dice;
    this.vnet.fill(0);
    this.vlanTci = d.below(200) === 0 ? d.below(4096) : -1;
    const held = this.waiting.length > 0 && d.chance(60) ? this.waiting.splice(d.chance(80) ? 0 : d.below(this.waiting.length), 1)[0] : undefined;
    if (held !== undefined) {
      this.link = held.link;
      this.u8.set(held.bytes, ipAt);
      this.end = ipAt + held.bytes.length;
      this.ethernet(ipAt, 0x0800);
      return;
    }
    this.link = d.below(this.links);
    const kind = d.below(100);
    if (kind < 2) {
      this.end = this.random(this.frameAt(ipAt), d.below(120));
      return;
    }
    if (kind < 9 && this.link !== HOST) {
      this.arp(ipAt);
      this.ethernet(ipAt, 0x0806);
      if (d.chance(20)) this.damage(ipAt);
      return;
    }
    if (kind < 22) this.talk(ipAt);
    else if (kind < 26) this.superFrame(ipAt);
    else if (kind < 62 && this.reply(ipAt)) { /* It has been made. */ }
    else this.packet(this.u8, this.view, ipAt, true);
    this.ethernet(ipAt, d.below(300) === 0 ? d.of(ETHERTYPES) : 0x0800);
    if (this.vnet[1] === 0 && kind >= 26) {
      if (this.end - ipAt > 60 && d.chance(8)) this.cut(ipAt);
      else if (d.chance(25)) this.damage(ipAt);
      if (this.sums === 'any' && d.chance(6)) this.oddVnet(ipAt);
    }
  }

  private frameAt(ipAt: number): number { return this.link === HOST ? ipAt : ipAt - 14; }

  private random(at: number, length: number): number {
    const d = this.dice;
    for (let i = 0; i < length; i += 4) this.view.setInt32(at + i, d.next() | 0);
    return at + length;
  }

  private ethernet(ipAt: number, type: number): void {
    if (this.link === HOST) return;
    const d = this.dice;
    const at = ipAt - 14;
    const odd = d.below(100);
    const [high, low] = OUR_MAC[this.link];
    this.view.setUint16(at, odd === 0 ? 0xffff : odd === 1 ? 0x0100 : high);
    this.view.setUint32(at + 2, odd === 0 ? 0xffffffff : odd === 1 ? 0x5e000001 : odd === 2 ? 0x55 : low);
    this.view.setUint16(at + 6, 0x0200);
    this.view.setUint32(at + 8, d.of(STATIONS[this.link]));
    this.view.setUint16(at + 12, type);
  }

  private arp(at: number): void {
    const d = this.dice, { view } = this;
    view.setUint16(at, 1); view.setUint16(at + 2, 0x0800); view.setUint16(at + 4, 0x0604); view.setUint16(at + 6, d.chance(50) ? 1 : 2);
    view.setUint16(at + 8, 0x0200);
    view.setUint32(at + 10, d.chance(90) ? d.of(STATIONS[this.link]) : d.of([0x7777, 0xffffffff, 1]));
    view.setInt32(at + 14, d.chance(70) ? d.of(USUAL[this.link]) : d.of(ADDRESSES));
    view.setUint16(at + 18, 0x0200); view.setUint32(at + 20, OUR_MAC[this.link][1]);
    view.setInt32(at + 24, d.of(ADDRESSES));
    if (d.below(20) === 0) view.setUint8(at + d.below(8), d.next() & 255);
    this.end = at + (d.chance(95) ? 28 : d.below(28));
  }

  /** A packet of any protocol. */
  private packet(u8: Uint8Array, view: DataView, at: number, isOdd: boolean): void {
    const d = this.dice;
    const isAny = this.sums === 'any' && isOdd;
    const optionBytes = d.below(10) === 0 ? 4 * d.below(11) : 0;
    const l4 = at + 20 + optionBytes;
    for (let i = at + 20; i < l4; i += 4) view.setInt32(i, d.chance(50) ? 0x01010101 : d.next() | 0);
    const payload = d.below(20) === 0 ? d.below(3000) : d.below(48);
    let protocol: number, end: number;
    switch (d.below(8)) {
      case 0: case 1: case 2: {
        protocol = TCP;
        const options = d.chance(40) ? 4 * d.below(11) : 0;
        view.setUint16(l4, d.of(PORTS)); view.setUint16(l4 + 2, d.of(PORTS)); view.setInt32(l4 + 4, d.next() | 0); view.setInt32(l4 + 8, d.next() | 0);
        u8[l4 + 12] = isAny && d.below(40) === 0 ? d.next() & 255 : (20 + options) << 2;
        u8[l4 + 13] = d.of(FLAGS);
        view.setInt32(l4 + 14, d.next() | 0);
        view.setUint16(l4 + 18, 0);
        if (options >= 4 && d.chance(50)) {
          view.setUint32(l4 + 20, 0x02040000 | d.below(65_536));
          for (let i = 24; i < 20 + options; i += 4) view.setUint32(l4 + i, d.chance(70) ? 0x01010101 : d.next());
        } else {
          for (let i = 20; i < 20 + options; i += 4) view.setInt32(l4 + i, d.next() | 0);
        }
        end = this.fill(view, l4 + 20 + options, payload);
        break;
      }
      case 3: case 4: case 5:
        protocol = UDP;
        view.setUint16(l4, d.of(PORTS)); view.setUint16(l4 + 2, d.of(PORTS));
        end = this.fill(view, l4 + 8, payload);
        view.setUint16(l4 + 4, isAny && d.below(20) === 0 ? d.below(100) : end - l4);
        view.setUint16(l4 + 6, d.below(10) === 0 ? 0 : 1);
        break;
      case 6:
        protocol = ICMP;
        view.setUint16(l4, d.chance(60) ? d.of([0x0800, 0x0000]) : d.below(20) << 8 | d.below(16));
        view.setUint16(l4 + 4, d.of(PORTS)); view.setUint16(l4 + 6, d.below(4));
        end = this.fill(view, l4 + 8, payload);
        break;
      default:
        protocol = d.of(OTHER_PROTOCOLS);
        end = this.fill(view, l4, payload);
    }
    const source = d.chance(85) ? d.of(USUAL[this.link]) : d.of(ADDRESSES);
    this.header(view, at, l4 - at, end, protocol, source, this.destination(), d.chance(85) ? 64 : d.below(4));
    if (isOdd) {
      if (d.below(12) === 0) view.setUint16(at + 6, (d.below(4) << 13) | (d.chance(80) ? d.below(24) : d.below(8192)));
      if (d.below(40) === 0) view.setUint16(at + 2, d.below(2000));
      if (d.below(60) === 0) u8[at] = d.next() & 255;
    }
    this.end = end;
    this.seal(u8, view, at, end);
  }

  private destination(): number {
    const d = this.dice;
    if (this.link === LAN || this.link === DMZ || this.link === HOST) return d.chance(50) ? d.of(FAR) : d.of(ADDRESSES);
    return this.isStrict ? d.of(OUTSIDE) : d.of(ADDRESSES);
  }

  private fill(view: DataView, at: number, length: number): number {
    const word = this.dice.next() | 0;
    let i = 0;
    for (; i + 4 <= length; i += 4) view.setInt32(at + i, Math.imul(word, i + 1));
    for (; i < length; i++) view.setUint8(at + i, word + i);
    return at + length;
  }

  private header(view: DataView, at: number, headerLength: number, end: number, protocol: number, source: number, destination: number, ttl: number): void {
    const d = this.dice;
    view.setUint8(at, 0x40 | (headerLength >> 2));
    view.setUint8(at + 1, d.next() & 255);
    view.setUint16(at + 2, end - at);
    view.setUint16(at + 4, d.below(8));
    view.setUint16(at + 6, d.chance(30) ? 0x4000 : 0);
    view.setUint8(at + 8, ttl);
    view.setUint8(at + 9, protocol);
    view.setInt32(at + 12, source);
    view.setInt32(at + 16, destination);
  }

  /** Makes the checksums of a packet what they are to be in this run, from what its bytes say now. */
  private seal(u8: Uint8Array, view: DataView, at: number, frameEnd: number): void {
    const d = this.dice;
    if (frameEnd - at < 20) return;
    const l4 = at + Math.max(20, (u8[at] & 15) * 4);
    const end = Math.min(at + view.getUint16(at + 2), frameEnd);
    if (l4 <= frameEnd) {
      view.setUint16(at + 10, 0);
      view.setUint16(at + 10, (~fold(sumOf(u8, at, l4, 0)) & 0xffff) ^ (d.below(60) === 0 ? 0x0101 : 0));
    }
    if ((view.getUint16(at + 6) & 0x3fff) !== 0) return;
    this.sealTransport(u8, view, at, l4, end);
  }

  private sealTransport(u8: Uint8Array, view: DataView, at: number, l4: number, end: number): void {
    const d = this.dice;
    const protocol = u8[at + 9];
    let sumAt: number, stop = end, sum = 0;
    if (protocol === TCP) sumAt = l4 + 16;
    else if (protocol === UDP) {
      sumAt = l4 + 6;
      if (end - l4 < 8 || view.getUint16(sumAt) === 0) return;
      const length = view.getUint16(l4 + 4);
      if (length >= 8 && length <= end - l4) stop = l4 + length;
    } else if (protocol === ICMP) sumAt = l4 + 2;
    else return;
    if (stop < sumAt + 2) return;
    if (protocol !== ICMP) sum = sumOf(u8, at + 12, at + 20, protocol + (stop - l4));
    view.setUint16(sumAt, 0);
    let right = ~fold(sumOf(u8, l4, stop, sum)) & 0xffff;
    if (protocol === UDP && right === 0) right = 0xffff;
    if (protocol === ICMP) view.setUint16(sumAt, this.sums === 'any' && d.below(20) === 0 ? right ^ 0x0101 : right);
    else view.setUint16(sumAt, this.sums === 'wrong' || (this.sums === 'any' && d.below(10) === 0) ? this.spoil(right) : right);
  }

  /** Another value that is not the same number in one's complement, and for UDP not 0. */
  private spoil(right: number): number {
    const wrong = right ^ 0x0101;
    return wrong === 0 || wrong === 0xffff ? right ^ 0x0202 : wrong;
  }

  /** An answer to something that left by a link, or an error about it; false when nothing did. */
  private reply(at: number): boolean {
    const d = this.dice, { u8, view } = this;
    const i = d.below(RECENT);
    if (this.recentLink[i] < 0) return false;
    this.link = this.recentLink[i];
    const from = i * KEPT, length = this.recentLength[i];
    const source = (this.recent[from + 12] << 24) | (this.recent[from + 13] << 16) | (this.recent[from + 14] << 8) | this.recent[from + 15];
    const target = (this.recent[from + 16] << 24) | (this.recent[from + 17] << 16) | (this.recent[from + 18] << 8) | this.recent[from + 19];
    const protocol = this.recent[from + 9];
    const header = (this.recent[from] & 15) * 4;
    if (d.chance(35)) {
      const quote = d.chance(60) ? length : Math.min(length, 20 + d.below(length));
      view.setUint8(at + 20, d.of(ERRORS)); view.setUint8(at + 21, d.below(16)); view.setInt32(at + 24, d.chance(50) ? 0 : d.chance(50) ? d.below(1500) : d.next() | 0);
      u8.set(this.recent.subarray(from, from + quote), at + 28);
      let end = at + 28 + quote;
      if (d.chance(15)) {
        // RFC 4884: the quote padded to 128 octets, and an extension with one object behind it; sometimes a length that lies.
        if (end < at + 28 + 128) { u8.fill(0, end, at + 28 + 128); end = at + 28 + 128; }
        view.setUint8(at + 25, d.chance(80) ? 32 : d.next() & 255);
        view.setUint32(end, 0x20000000); view.setUint32(end + 4, 0x00080101); view.setUint32(end + 8, d.next());
        end += 12;
      }
      if (d.chance(15)) u8[at + 28 + d.below(Math.min(quote, 40))] = d.next() & 255;
      this.header(view, at, 20, end, ICMP, d.chance(50) ? target : d.of(USUAL[this.link]), source, d.chance(90) ? 60 : 1);
      this.end = end;
      this.seal(u8, view, at, end);
      return true;
    }
    const l4 = at + 20;
    const old = from + header;
    let end = l4 + 8;
    if (length < header + 20 && protocol === TCP) return false;
    if (protocol === TCP) {
      view.setUint8(l4, this.recent[old + 2]); view.setUint8(l4 + 1, this.recent[old + 3]); view.setUint8(l4 + 2, this.recent[old]); view.setUint8(l4 + 3, this.recent[old + 1]);
      const recent = new DataView(this.recent.buffer);
      const flags = this.recent[old + 13];
      view.setInt32(l4 + 4, d.chance(85) ? recent.getInt32(old + 8) : d.next() | 0);
      view.setInt32(l4 + 8, d.chance(85) ? (recent.getInt32(old + 4) + ((flags & 3) !== 0 ? 1 : 0)) | 0 : d.next() | 0);
      view.setUint8(l4 + 12, 0x50);
      view.setUint8(l4 + 13, flags === 2 && d.chance(80) ? 0x12 : d.of([0x10, 0x10, 0x18, 0x11, 0x12, 0x04, 0x14]));
      view.setUint16(l4 + 14, 65_000); view.setUint32(l4 + 16, 0);
      end = this.fill(view, l4 + 20, d.chance(60) ? 0 : d.below(60));
    } else if (protocol === UDP && length >= header + 8) {
      view.setUint8(l4, this.recent[old + 2]); view.setUint8(l4 + 1, this.recent[old + 3]); view.setUint8(l4 + 2, this.recent[old]); view.setUint8(l4 + 3, this.recent[old + 1]);
      if (d.below(10) === 0) view.setUint16(l4, d.of(PORTS));
      end = this.fill(view, l4 + 8, d.below(10) === 0 ? d.below(3000) : d.below(60));
      view.setUint16(l4 + 4, end - l4); view.setUint16(l4 + 6, 1);
    } else if (protocol === ICMP && length >= header + 8) {
      view.setUint16(l4, this.recent[old] === 8 ? 0 : 0x0800);
      u8.set(this.recent.subarray(old + 4, old + 8), l4 + 4);
      end = this.fill(view, l4 + 8, d.below(60));
    } else return false;
    this.header(view, at, 20, end, protocol, d.chance(92) ? target : d.of(FAR), source, d.chance(90) ? 60 : 1);
    this.end = end;
    this.seal(u8, view, at, end);
    return true;
  }

  /** A TCP super-frame with a partial checksum, as a kernel hands it over. */
  private superFrame(at: number): void {
    const d = this.dice, { u8, view } = this;
    const options = d.chance(50) ? 12 : 0;
    const l4 = at + 20, payloadAt = l4 + 20 + options;
    const end = this.fill(view, payloadAt, 1 + d.below(d.chance(20) ? 30_000 : 6000));
    view.setUint16(l4, d.of(PORTS)); view.setUint16(l4 + 2, d.of(PORTS)); view.setInt32(l4 + 4, d.next() | 0); view.setInt32(l4 + 8, d.next() | 0);
    u8[l4 + 12] = (20 + options) << 2; u8[l4 + 13] = d.of([0x10, 0x18, 0x18, 0x11, 0x02, 0x90]);
    view.setUint16(l4 + 14, 65_000); view.setUint32(l4 + 16, 0);
    if (options > 0) { view.setUint32(l4 + 20, 0x0101080a); view.setInt32(l4 + 24, d.next() | 0); view.setInt32(l4 + 28, d.next() | 0); }
    this.header(view, at, 20, end, TCP, d.of(USUAL[this.link]), this.destination(), 64);
    this.seal(u8, view, at, end);
    this.end = end;
    // Without an offload a whole segment of this size would not be let in with a wrong sum in the other runs.
    if (this.sums === 'wrong') return;
    view.setUint16(l4 + 16, fold(sumOf(u8, at + 12, at + 20, TCP + end - l4)));
    const frameAt = this.frameAt(at);
    const size = 100 + d.below(1400);
    this.vnet[0] = 1;
    this.vnet[1] = end - payloadAt > size ? 1 | (d.below(10) === 0 ? 0x80 : 0) : 0;
    put16(this.vnet, 2, payloadAt - frameAt); put16(this.vnet, 4, this.vnet[1] === 0 ? 0 : size); put16(this.vnet, 6, l4 - frameAt); put16(this.vnet, 8, 16);
  }

  /** Any virtio-net header, its offsets inside of the frame as a kernel guarantees. */
  private oddVnet(at: number): void {
    const d = this.dice;
    const length = this.end - this.frameAt(at);
    if (length < 40) return;
    this.vnet[0] = d.of([0, 1, 1, 2, 3, d.next() & 255]);
    this.vnet[1] = d.of([0, 0, 1, 5, 3, 4, 0x81, 0x85]);
    put16(this.vnet, 2, d.below(length)); put16(this.vnet, 4, d.below(20) === 0 ? 0 : 1 + d.below(1500));
    put16(this.vnet, 6, d.below(length - 18)); put16(this.vnet, 8, d.below(16));
  }

  /** Cuts the packet just made into fragments: the first takes its place, the others come some time later, in some order. */
  private cut(at: number): void {
    const d = this.dice, { u8, view } = this;
    const header = (u8[at] & 15) * 4;
    if (u8[at] >> 4 !== 4 || header !== 20 || (view.getUint16(at + 6) & 0x3fff) !== 0 || view.getUint16(at + 2) !== this.end - at || this.waiting.length > 200) return;
    const length = this.end - at;
    this.aside.set(u8.subarray(at, this.end));
    const id = d.next() & 0xffff;
    const pieces: Uint8Array[] = [];
    for (let offset = 0; offset < length - 20;) {
      let size = 8 * (1 + d.below(d.chance(50) ? 8 : 60));
      const isLast = offset + size >= length - 20;
      if (isLast) size = length - 20 - offset;
      const piece = new Uint8Array(20 + size);
      piece.set(this.aside.subarray(0, 20));
      piece.set(this.aside.subarray(20 + offset, 20 + offset + size), 20);
      const out = new DataView(piece.buffer);
      out.setUint16(2, 20 + size); out.setUint16(4, id); out.setUint16(6, (isLast ? 0 : 0x2000) | (offset >> 3)); out.setUint16(10, 0);
      out.setUint16(10, ~fold(sumOf(piece, 0, 20, 0)) & 0xffff);
      pieces.push(piece);
      offset += size;
    }
    if (d.below(6) === 0) pieces.push(pieces[d.below(pieces.length)]);
    if (this.sums === 'any' && d.below(6) === 0) pieces[d.below(pieces.length)][20] ^= 1 + d.below(255);
    if (d.chance(30)) pieces.reverse();
    if (d.below(10) === 0) pieces.splice(d.below(pieces.length), 1);
    if (pieces.length === 0) return;
    u8.set(pieces[0], at);
    this.end = at + pieces[0].length;
    for (const bytes of pieces.slice(1)) this.waiting.push({ link: this.link, bytes });
  }

  /** Bytes flipped, cut off, put in. Then the checksums are what this run wants again. */
  private damage(at: number): void {
    const d = this.dice, { u8, view } = this;
    const frameAt = this.frameAt(at);
    const isWan = this.link === WAN1 || this.link === WAN2;
    for (let i = d.below(4); i > 0 && this.end > frameAt; i--) {
      const place = frameAt + d.below(d.chance(70) ? Math.min(this.end - frameAt, 54) : this.end - frameAt);
      if (this.isStrict && isWan && place >= at + 16 && place < at + 20) continue;
      u8[place] = d.next() & 255;
    }
    if (d.chance(15)) this.end = frameAt + d.below(this.end - frameAt + 1);
    if (d.chance(10)) this.end = this.random(this.end, d.below(64));
    if (this.end < at + 20) return;
    // A packet whose UDP checksum has become 0 by chance says it has none.
    if (this.sums !== 'any' && u8[at + 9] === UDP) {
      const l4 = at + Math.max(20, (u8[at] & 15) * 4);
      if (l4 + 8 <= this.end && view.getUint16(l4 + 6) === 0) view.setUint16(l4 + 6, 1);
    }
    if (this.sums !== 'any' || d.chance(60)) this.seal(u8, view, at, this.end);
    // A whole packet turned into a fragment of nothing: its checksum cannot be what this run says.
    if (this.sums !== 'any' && (view.getUint16(at + 6) & 0x3fff) !== 0) {
      view.setUint16(at + 6, 0);
      this.seal(u8, view, at, this.end);
    }
  }

  private newTalk(): Talk {
    const d = this.dice;
    return { client: d.of(USUAL[LAN]), port: 30_000 + d.below(3000), server: d.of(FAR.slice(0, 2)), clientNext: d.next() | 0, serverNext: d.next() | 0, state: 0, outside: 0, outsidePort: 0, outLink: 0, shift: 0 };
  }

  /** What left an uplink towards an FTP server tells where its connection is known outside. */
  private hear(link: number, at: number, length: number): void {
    const { u8, view } = this;
    const header = (u8[at] & 15) * 4;
    if (u8[at + 9] !== TCP || length < header + 20 || view.getUint16(at + header + 2) !== 21 || (u8[at + header + 13] & 0x3f) !== 2) return;
    const sequence = view.getInt32(at + header + 4);
    for (const talk of this.talks) {
      if (talk.state !== 1 || talk.clientNext !== ((sequence + 1) | 0)) continue;
      talk.outside = view.getInt32(at + 12);
      talk.outsidePort = view.getUint16(at + header);
      talk.outLink = link;
      talk.state = 2;
    }
  }

  /** One more segment of an FTP control connection: opening, commands and answers, in one piece or in several, sometimes again. */
  private talk(at: number): void {
    const d = this.dice;
    const i = d.below(TALKS);
    const talk = this.talks[i];
    if (d.below(150) === 0) this.talks[i] = this.newTalk();
    switch (talk.state) {
      case 0:
        talk.state = 1;
        this.segment(at, LAN, talk, 0x02, '');
        talk.clientNext = (talk.clientNext + 1) | 0;
        return;
      case 1:
        talk.clientNext = (talk.clientNext - 1) | 0;
        this.segment(at, LAN, talk, 0x02, '');
        talk.clientNext = (talk.clientNext + 1) | 0;
        return;
      case 2:
        this.segment(at, talk.outLink, talk, 0x12, '');
        talk.serverNext = (talk.serverNext + 1) | 0;
        talk.state = 3;
        return;
      default: {
        const isClient = d.chance(60);
        let text = d.of(isClient ? COMMANDS : ANSWERS);
        if (d.chance(25)) text = text.slice(0, d.below(text.length + 1));
        if (d.below(12) === 0) text += d.of(COMMANDS);
        if (d.below(100) === 0) text = '';
        this.segment(at, isClient ? LAN : talk.outLink, talk, d.below(60) === 0 ? 0x11 : 0x18, text);
        // Not moving on is a segment that is sent again, with other bytes even.
        if (d.chance(85)) {
          if (isClient) talk.clientNext = (talk.clientNext + text.length) | 0;
          else talk.serverNext = (talk.serverNext + text.length) | 0;
        }
      }
    }
  }

  private segment(at: number, link: number, talk: Talk, flags: number, text: string): void {
    const d = this.dice, { u8, view } = this;
    this.link = link;
    const l4 = at + 20;
    const isClient = link === LAN;
    view.setUint16(l4, isClient ? talk.port : 21);
    view.setUint16(l4 + 2, isClient ? 21 : talk.outsidePort);
    view.setInt32(l4 + 4, isClient ? talk.clientNext : talk.serverNext);
    view.setInt32(l4 + 8, isClient ? talk.serverNext : (talk.clientNext + talk.shift) | 0);
    const options = d.below(6) === 0 ? 12 : 0;
    u8[l4 + 12] = (20 + options) << 2; u8[l4 + 13] = flags;
    view.setUint16(l4 + 14, 65_000); view.setUint32(l4 + 16, 0);
    if (options > 0) { view.setUint32(l4 + 20, 0x0101050a); view.setInt32(l4 + 24, talk.serverNext); view.setInt32(l4 + 28, (talk.serverNext + 5) | 0); }
    const payload = l4 + 20 + options;
    for (let i = 0; i < text.length; i++) u8[payload + i] = text.charCodeAt(i);
    const end = payload + text.length;
    this.header(view, at, 20, end, TCP, isClient ? talk.client : talk.server, isClient ? talk.server : talk.outside, 64);
    this.end = end;
    this.seal(u8, view, at, end);
  }
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 255;
  bytes[at + 1] = value >> 8;
}
