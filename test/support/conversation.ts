/**
 * A TCP connection through the rig's router, with the numbers a real one would have: PC1 (side 0) and SERVER (side 1) on wan1. What a side says
 * carries its next sequence number and acknowledges all it has heard, unless told otherwise; each side sees the addresses it would.
 */
import { HEADER_WORDS, STATE } from '../../src/table/flow.js';
import { STATE_MASK, STATE_NAMES } from '../../src/table/tcp-state.js';
import * as make from './frames.js';
import { PC1, SERVER, WAN1 } from './rig.js';
import type { Rig, Sent } from './rig.js';

export interface Said {
  length?: number; sequence?: number; acknowledgement?: number; window?: number; options?: Buffer; vnet?: Buffer;
  /** Said by someone else: the sides' own numbers stay. */
  forged?: boolean;
}

export interface ConversationOptions {
  ports?: [number, number];
  /** External port the client is seen with. */
  external?: number;
  first?: [number, number];
  /** Window scale each side offers; absent = none. */
  scales?: [number | undefined, number | undefined];
  windows?: [number, number];
  client?: string;
  server?: string;
}

export class Conversation {
  /** Whose router its packets come to. */
  rig: Rig;
  /** What each side sends next. */
  readonly next: [number, number];
  readonly options: ConversationOptions;
  readonly ports: [number, number];
  readonly windows: [number, number];

  constructor(rig: Rig, options: ConversationOptions = {}) {
    this.rig = rig;
    this.options = options;
    this.next = [...(options.first ?? [0xfffffc00, 0x12345678])];
    this.ports = options.ports ?? [4000, 80];
    this.windows = options.windows ?? [64_240, 65_160];
  }

  /** The packet a side would send. */
  packet(side: 0 | 1, flags: string, said: Said = {}): Buffer {
    const { client = PC1, server = SERVER } = this.options;
    const external = this.options.external ?? this.ports[0];
    const scale = this.options.scales?.[side];
    const options = said.options ?? (flags.includes('S') && scale !== undefined ? Buffer.from([2, 4, 5, 180, 1, 3, 3, scale]) : Buffer.alloc(0));
    return make.ipv4(side === 0 ? { source: client, destination: server, dontFragment: true } : { source: server, destination: WAN1, dontFragment: true }, make.tcp({
      sourcePort: side === 0 ? this.ports[0] : this.ports[1], destinationPort: side === 0 ? this.ports[1] : external,
      sequence: (said.sequence ?? this.next[side]) >>> 0, acknowledgement: flags.includes('A') ? (said.acknowledgement ?? this.next[1 - side]) >>> 0 : 0,
      flags, options, window: said.window ?? this.windows[side], payload: make.filler(said.length ?? 0), ...(said.vnet ? { checksum: 'partial' as const } : {}),
    }));
  }

  /** A side says something; what leaves because of it. */
  say(side: 0 | 1, flags: string, said: Said = {}): Sent[] {
    const packet = this.packet(side, flags, said);
    if (!said.forged) {
      const end = (said.sequence ?? this.next[side]) + (said.length ?? 0) + (flags.includes('S') ? 1 : 0) + (flags.includes('F') ? 1 : 0);
      if (((end - this.next[side]) | 0) > 0) this.next[side] = end >>> 0;
    }
    return this.rig.from(this.linkOf(side), packet, { vnet: said.vnet });
  }

  /** A side says something that must be refused. */
  refused(verdict: Parameters<Rig['refused']>[0], side: 0 | 1, flags: string, said: Said = {}): Sent[] {
    return this.rig.refused(verdict, this.linkOf(side), this.packet(side, flags, said));
  }

  /** The usual handshake. */
  open(): this {
    this.say(0, 'S');
    this.say(1, 'SA');
    this.say(0, 'A');
    return this;
  }

  close(): this {
    this.say(0, 'FA');
    this.say(1, 'A');
    this.say(1, 'FA');
    this.say(0, 'A');
    return this;
  }

  /** Name of the state of the rig's first flow. */
  get state(): string { return STATE_NAMES[this.rig.router.flows.words[HEADER_WORDS + STATE] & STATE_MASK]; }

  private linkOf(side: 0 | 1): 'lan' | 'wan1' { return side === 0 ? 'lan' : 'wan1'; }
}
