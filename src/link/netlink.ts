/**
 * Netlink messages: a builder, a bounds-checked reader, and what every family shares (acknowledgements, errors with the
 * kernel's own words, interrupted dumps). rtnetlink.ts and nftables.ts speak through it; the addon only carries the bytes.
 *
 *     | length u32 | type u16 | flags u16 | sequence u32 | port u32 | family header | attribute | attribute | …
 *     attribute:  | length u16 | type u16 | payload | padding to 4 |
 *
 * Headers are in host order, which on every machine Node 20 runs on here is little endian.
 */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { SystemError } from '../base/error.js';
import type { NetlinkSocket } from './native.js';

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

export const NLM_F_REQUEST = 0x001;
export const NLM_F_ACK = 0x004;
export const NLM_F_DUMP_INTR = 0x010;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLM_F_DUMP = 0x300;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const HEADER_LENGTH = 16;
/** A dump that changes under us is asked again this often before its last answer is taken as it is. */
const DUMP_ATTEMPTS = 8;

/** A system error in Node's shape for an errno the kernel put into a message. `errno` is positive here, negative on the error. */
export function systemError(errno: number, syscall: string, detail?: string): SystemError {
  const code = errorCode(errno);
  const message = detail === undefined || detail === '' ? `${code}: ${syscall}` : `${code}: ${syscall}: ${detail}`;
  return Object.assign(new Error(message), { code, errno: -errno, syscall });
}

function errorCode(errno: number): string {
  for (const [name, value] of Object.entries(constants.errno)) if (value === errno) return name;
  // Names that Node's table of POSIX errors lacks but libuv knows.
  const name = getSystemErrorName(-errno);
  return name.startsWith('E') ? name : `E${errno}`;
}

/** Builds one message. Attributes nest: what is written inside `nest` belongs to the attribute it opens. */
export class MessageBuilder {
  private buffer: Buffer = Buffer.alloc(512);
  private at = HEADER_LENGTH;

  constructor(type: number, flags: number) {
    this.buffer.writeUInt16LE(type, 4);
    this.buffer.writeUInt16LE(flags, 6);
  }

  /** Where the next bytes go. May put a longer buffer in place, so it is called before `this.buffer` is looked at. */
  private room(lengthBytes: number): number {
    const at = this.at;
    this.at += lengthBytes;
    if (this.at > this.buffer.length) {
      const grown = Buffer.alloc(this.at * 2);
      this.buffer.copy(grown);
      this.buffer = grown;
    }
    return at;
  }

  u8(value: number): this {
    const at = this.room(1);
    this.buffer.writeUInt8(value, at);
    return this;
  }

  u16(value: number): this {
    const at = this.room(2);
    this.buffer.writeUInt16LE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.room(4);
    this.buffer.writeUInt32LE(value >>> 0, at);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.room(value.length);
    this.buffer.set(value, at);
    return this;
  }

  private pad(): void {
    this.room((4 - (this.at & 3)) & 3);
  }

  /** One attribute around whatever `write` adds. */
  private attribute(type: number, write: () => void): this {
    const start = this.room(4);
    write();
    this.buffer.writeUInt16LE(this.at - start, start);
    this.buffer.writeUInt16LE(type, start + 2);
    this.pad();
    return this;
  }

  nest(type: number, write: (message: this) => void): this {
    return this.attribute(type | NLA_F_NESTED, () => write(this));
  }

  attrBytes(type: number, value: Uint8Array): this {
    return this.attribute(type, () => this.bytes(value));
  }

  attrU8(type: number, value: number): this {
    return this.attribute(type, () => this.u8(value));
  }

  attrU32(type: number, value: number): this {
    return this.attribute(type, () => this.u32(value));
  }

  /** nf_tables keeps its numbers in network order. */
  attrU32BE(type: number, value: number): this {
    return this.attribute(type, () => {
      const at = this.room(4);
      this.buffer.writeUInt32BE(value >>> 0, at);
    });
  }

  /** Zero-terminated text. */
  attrText(type: number, value: string): this {
    return this.attribute(type, () => this.bytes(Buffer.from(`${value}\0`, 'utf8')));
  }

  finish(sequence: number): Buffer {
    this.buffer.writeUInt32LE(this.at, 0);
    this.buffer.writeUInt32LE(sequence >>> 0, 8);
    const length = this.at;
    this.pad();
    return this.buffer.subarray(0, (length + 3) & ~3);
  }
}

/** One received message; `body` begins behind the netlink header. */
export interface Message { type: number; flags: number; sequence: number; body: Buffer }

/** Splits a buffer of replies into messages. Throws EBADMSG when a length leads outside. */
export function parseMessages(replies: Uint8Array): Message[] {
  const buffer = Buffer.from(replies.buffer, replies.byteOffset, replies.byteLength);
  const messages: Message[] = [];
  for (let at = 0; at < buffer.length;) {
    if (at + HEADER_LENGTH > buffer.length) throw systemError(constants.errno.EBADMSG, 'netlink', 'a message is cut short');
    const length = buffer.readUInt32LE(at);
    if (length < HEADER_LENGTH || at + length > buffer.length) throw systemError(constants.errno.EBADMSG, 'netlink', 'a message has a wrong length');
    messages.push({
      type: buffer.readUInt16LE(at + 4), flags: buffer.readUInt16LE(at + 6), sequence: buffer.readUInt32LE(at + 8),
      body: buffer.subarray(at + HEADER_LENGTH, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** The attributes from `at` to the end, by type (the last of a kind wins). Throws EBADMSG when a length leads outside. */
export function parseAttributes(body: Buffer, at = 0): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let next = at; next + 4 <= body.length;) {
    const length = body.readUInt16LE(next);
    if (length < 4 || next + length > body.length) throw systemError(constants.errno.EBADMSG, 'netlink', 'an attribute has a wrong length');
    attributes.set(body.readUInt16LE(next + 2) & NLA_TYPE_MASK, body.subarray(next + 4, next + length));
    next += (length + 3) & ~3;
  }
  return attributes;
}

/** Zero-terminated text of an attribute. */
export function textOf(attribute: Buffer | undefined): string | null {
  if (attribute === undefined) return null;
  const end = attribute.indexOf(0);
  return attribute.toString('utf8', 0, end < 0 ? attribute.length : end);
}

export function u32Of(attribute: Buffer | undefined): number | null {
  return attribute !== undefined && attribute.length >= 4 ? attribute.readUInt32LE(0) : null;
}

export function u8Of(attribute: Buffer | undefined): number | null {
  return attribute !== undefined && attribute.length >= 1 ? attribute.readUInt8(0) : null;
}

/** The errno of an acknowledgement, positive; 0 for success, null for any other message. */
function errnoOf(message: Message): number | null {
  if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) return null;
  return message.body.length >= 4 ? -message.body.readInt32LE(0) : 0;
}

/** The kernel's own words about an error, where it has any. They follow the header of the message that failed. */
function wordsOf(message: Message): string {
  if (message.type !== NLMSG_ERROR || (message.flags & NLM_F_ACK_TLVS) === 0) return '';
  const text = textOf(parseAttributes(message.body, 4 + HEADER_LENGTH).get(NLMSGERR_ATTR_MSG));
  return text ?? '';
}

/** A request that may be sent more than once, each time with fresh sequence numbers. */
export interface Request {
  /** What is being done, for the error's `syscall`: 'RTM_NEWLINK br0'. */
  what: string;
  build(): MessageBuilder;
}

/** Numbers requests on one socket and turns refusals into errors. */
export class NetlinkClient {
  private readonly socket: NetlinkSocket;
  private sequence = 0;

  constructor(socket: NetlinkSocket) {
    this.socket = socket;
  }

  private nextSequence(): number {
    this.sequence = (this.sequence % 0x7fffffff) + 1;
    return this.sequence;
  }

  private exchange(request: Request): Message[] {
    const replies = parseMessages(this.socket.request(request.build().finish(this.nextSequence())));
    for (const reply of replies) {
      const errno = errnoOf(reply);
      if (errno !== null && errno !== 0) throw systemError(errno, request.what, wordsOf(reply));
    }
    return replies;
  }

  /** One change or one lookup. Returns the answers other than the acknowledgement. Throws a system error when refused. */
  execute(request: Request): Message[] {
    return this.exchange(request).filter((reply) => errnoOf(reply) === null);
  }

  /** Everything the kernel lists. A list that changed while it was read is read again. */
  dump(request: Request): Message[] {
    let replies: Message[] = [];
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      replies = this.exchange(request);
      if (replies.every((reply) => (reply.flags & NLM_F_DUMP_INTR) === 0)) break;
    }
    return replies.filter((reply) => errnoOf(reply) === null);
  }

  /** Several messages in one datagram, all or nothing where the family says so. Throws the first refusal, naming its request. */
  batch(requests: readonly Request[]): void {
    const names = new Map<number, string>();
    const parts: Buffer[] = [];
    for (const request of requests) {
      const sequence = this.nextSequence();
      names.set(sequence, request.what);
      parts.push(request.build().finish(sequence));
    }
    for (const reply of parseMessages(this.socket.request(Buffer.concat(parts)))) {
      const errno = errnoOf(reply);
      if (errno !== null && errno !== 0) throw systemError(errno, names.get(reply.sequence) ?? 'netlink', wordsOf(reply));
    }
  }

  close(): void {
    this.socket.close();
  }
}
