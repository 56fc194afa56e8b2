/**
 * FTP's control connection (RFC 959, RFC 2428): which data connections are announced, and by what addresses.
 *
 *   the client says     PORT h1,h2,h3,h4,p1,p2        the server will open a connection to the client's port
 *                       EPRT |1|h1.h2.h3.h4|p|        (RFC 2428 §2)
 *   the server answers  227 … h1,h2,h3,h4,p1,p2 …     to PASV: the client will open one to the server's port
 *                       229 … (|||p|)                 to EPSV (RFC 2428 §3)
 *
 * Theory of operation. Each direction is a machine fed byte by byte; it knows lines, so a command may come in as many segments as it likes, and
 * several in one. Commands count in any case of letters and behind Telnet commands (RFC 959 §4.1.3: IAC IP IAC DM before ABOR). A reply
 * counts by its first and its last line, never by a line within a reply of several (RFC 959 §4.2): those may hold what some stranger wrote.
 * The address of a 227 reply begins at the first digit that begins six numbers (RFC 1123 §4.1.2.6).
 *
 * What is honoured: only addresses of the two ends of the control connection itself, as either end knows them, so nobody can be made to
 * connect to a third host (RFC 2577 §3); only ports from 1024 on (the same section); only 227 and 229 replies to a PASV or EPSV. A
 * client's line that does not begin with a word like a command's ends the reading for good: a TLS handshake (RFC 4217), or another protocol
 * which somebody wants to have taken for this one (HTTP's header lines do not pass).
 */
import { READ_ALL, TEXT_EDITED, TEXT_KEPT } from './alg.js';
import type { AlgCounts, AlgHost, Conversation, Reader, StreamAlg } from './alg.js';
import { PROTOCOL_TCP } from '../wire/ipv4.js';

const NONE = -1;
const LF = 10, CR = 13, SPACE = 32, OPEN = 40, COMMA = 44, DASH = 45, DOT = 46, ZERO = 48, NINE = 57;
/** Telnet (RFC 854): IAC and the commands that take an option byte. */
const IAC = 255, WILL = 251, DONT = 254;

/** States of the client's direction. */
const LINE = 0;
const VERB = 1;
const REST = 2;
const TELNET = 3;
const TELNET_OPTION = 4;
const PORT_ARGUMENT = 5;
const PORT_TEXT = 6;
const EPRT_ARGUMENT = 7;
const EPRT_TEXT = 8;
const EPSV_ARGUMENT = 9;
/** States of the server's direction; LINE and REST are shared. */
const CODE = 10;
const PASV_SEEK = 11;
const PASV_TEXT = 12;
const EPSV_SEEK = 13;
const EPSV_BEGIN = 14;
const EPSV_TEXT = 15;

/** Six numbers of three digits and five commas, with a few zeros to spare. */
const PORT_MAX = 32;
/** An address and a port between four delimiters; longer ones are of other address families. */
const EPRT_MAX = 40;
/** Letters and digits of the longest verb that is one (XSHA512 of many servers). */
const VERB_MAX = 7;
/** No data connection to the ports of well-known services (RFC 2577 §3). */
const PORT_FIRST = 1024;
/** Answers a client may be waiting for. */
const ASKED_MAX = 8;

/** A verb's last four letters in lower case, seven bits each. */
const verb = (name: string): number => [...name].reduce((word, letter) => pack(word, letter.charCodeAt(0)), 0);
const PORT = verb('port'), EPRT = verb('eprt'), PASV = verb('pasv'), EPSV = verb('epsv');

function pack(word: number, byte: number): number { return ((word << 7) | byte) & 0xfffffff; }

const isDigit = (byte: number): boolean => byte >= ZERO && byte <= NINE;

class Ftp implements StreamAlg {
  readonly kind = 'stream';
  readonly name = 'ftp';
  readonly protocol = PROTOCOL_TCP;
  outcome = READ_ALL;
  /** What `numbers` found. */
  private address = 0;
  private port = 0;

  read(c: Conversation, direction: number, bytes: Uint8Array, from: number, to: number, host: AlgHost, counts: AlgCounts): number {
    const reader = c.readers[direction];
    this.outcome = READ_ALL;
    let at = from;
    while (at < to && this.outcome === READ_ALL && !c.isOff) {
      const byte = bytes[at++];
      // Most of all bytes: the rest of a line that says nothing to us.
      if (reader.state === REST) {
        if (byte === LF) reader.state = LINE;
      } else if (direction === 0) {
        this.command(c, reader, byte, host, counts);
      } else {
        this.reply(c, reader, byte, host, counts);
      }
    }
    return at;
  }

  skip(c: Conversation, direction: number): void {
    const reader = c.readers[direction];
    reader.state = REST;
    reader.textLength = 0;
  }

  private command(c: Conversation, reader: Reader, byte: number, host: AlgHost, counts: AlgCounts): void {
    switch (reader.state) {
      case LINE:
        if (byte === IAC) {
          reader.state = TELNET;
          return;
        }
        // Empty lines, and the data mark that follows an interrupt sent as urgent data by those who forget its IAC (242).
        if (byte === LF || byte === CR || byte === 242) return;
        reader.length = 0;
        reader.code = 0;
        reader.state = VERB;
        return this.verb(c, reader, byte, counts);
      case TELNET:
        reader.state = byte >= WILL && byte <= DONT ? TELNET_OPTION : LINE;
        return;
      case TELNET_OPTION:
        reader.state = LINE;
        return;
      case VERB:
        return this.verb(c, reader, byte, counts);
      case EPSV_ARGUMENT:
        // EPSV ALL asks for nothing (RFC 2428 §4).
        if (byte === SPACE) return;
        if ((byte | 0x20) !== 0x61) ask(c);
        reader.state = byte === LF ? LINE : REST;
        return;
      case PORT_ARGUMENT:
      case EPRT_ARGUMENT:
        if (byte === SPACE) return;
        if (byte === LF || byte === CR) {
          reader.state = byte === LF ? LINE : REST;
          return;
        }
        reader.begin(reader.state, reader.state === PORT_ARGUMENT ? PORT_TEXT : EPRT_TEXT);
        return this.argument(c, reader, byte, host, counts);
      default:
        return this.argument(c, reader, byte, host, counts);
    }
  }

  private verb(c: Conversation, reader: Reader, byte: number, counts: AlgCounts): void {
    const lower = byte | 0x20;
    if ((lower >= 0x61 && lower <= 0x7a) || isDigit(byte)) {
      reader.code = pack(reader.code, lower);
      if (++reader.length <= VERB_MAX) return;
    }
    if ((byte !== SPACE && byte !== CR && byte !== LF) || reader.length < 3 || reader.length > VERB_MAX) {
      c.isOff = true;
      counts.unreadable++;
      return;
    }
    const word = reader.length === 4 ? reader.code : 0;
    if (word === PASV || (word === EPSV && byte !== SPACE)) ask(c);
    reader.state = byte === LF ? LINE : byte === CR ? REST
      : word === PORT ? PORT_ARGUMENT : word === EPRT ? EPRT_ARGUMENT : word === EPSV ? EPSV_ARGUMENT : REST;
  }

  /** The argument of PORT and EPRT. It is over where no byte of it can follow. */
  private argument(c: Conversation, reader: Reader, byte: number, host: AlgHost, counts: AlgCounts): void {
    if (reader.state === PORT_TEXT) {
      const fits = reader.add(byte, PORT_MAX);
      if (fits && (isDigit(byte) || byte === COMMA)) return;
      // The byte that ends it belongs to the text, too: whoever sends it last sends all of it (stream.ts).
      const isWhole = fits && (byte === CR || byte === LF || byte === SPACE) && this.six(reader.text, reader.textLength - 1);
      return this.announce(c, 0, byte, isWhole, false, host, counts);
    }
    const fits = reader.add(byte, EPRT_MAX);
    if (fits && byte > SPACE && byte < 127 && delimiters(reader) < 4) return;
    return this.announce(c, 0, byte, fits && delimiters(reader) === 4 && this.extended(reader.text, reader.textLength), true, host, counts);
  }

  private reply(c: Conversation, reader: Reader, byte: number, host: AlgHost, counts: AlgCounts): void {
    switch (reader.state) {
      case LINE:
        reader.length = 0;
        reader.code = 0;
        reader.state = CODE;
        return this.code(reader, byte);
      case CODE:
        return this.code(reader, byte);
      case PASV_SEEK:
        if (byte === LF) reader.state = LINE;
        else if (isDigit(byte)) {
          reader.begin(PASV_SEEK, PASV_TEXT);
          reader.add(byte, PORT_MAX);
        }
        return;
      case PASV_TEXT: {
        const fits = reader.add(byte, PORT_MAX);
        if (fits && (isDigit(byte) || byte === COMMA)) return;
        if (fits && this.six(reader.text, reader.textLength - 1)) return this.announce(c, 1, byte, true, false, host, counts);
        this.keep(reader, byte, fits ? PASV_SEEK : REST);
        return;
      }
      case EPSV_SEEK:
        if (byte === LF) reader.state = LINE;
        else if (byte === OPEN) reader.state = EPSV_BEGIN;
        return;
      case EPSV_BEGIN:
        if (byte <= SPACE || byte >= 127) {
          reader.state = byte === LF ? LINE : EPSV_SEEK;
          return;
        }
        reader.begin(EPSV_BEGIN, EPSV_TEXT);
        reader.add(byte, EPRT_MAX);
        return;
      default: {
        const fits = reader.add(byte, EPRT_MAX);
        const count = delimiters(reader);
        const isFit = fits && (count >= 3 ? count === 4 || isDigit(byte) || byte === reader.text[0] : byte === reader.text[0]);
        if (isFit && count < 4) return;
        if (isFit) {
          this.port = decimal(reader.text, 3, reader.textLength - 1);
          this.address = c.server;
          if (this.port > 0 && this.port <= 65535) return this.announce(c, 1, byte, true, true, host, counts);
        }
        this.keep(reader, byte, EPSV_SEEK);
      }
    }
  }

  /** The first four bytes of a reply's line: a code and whether the reply goes on. */
  private code(reader: Reader, byte: number): void {
    if (reader.length < 3) {
      if (isDigit(byte)) {
        reader.code = reader.code * 10 + byte - ZERO;
        reader.length++;
      } else {
        reader.state = byte === LF ? LINE : REST;
      }
      return;
    }
    const isOwn = reader.multiline === 0 || reader.multiline === reader.code;
    if (isOwn) reader.multiline = byte === DASH ? reader.code : 0;
    reader.state = byte === LF ? LINE : !isOwn || (byte !== SPACE && byte !== DASH) ? REST
      : reader.code === 227 ? PASV_SEEK : reader.code === 229 ? EPSV_SEEK : REST;
  }

  /** The text is over and stays as it is. */
  private keep(reader: Reader, byte: number, state: number): void {
    this.outcome = TEXT_KEPT;
    reader.state = byte === LF ? LINE : state;
  }

  /** The text is over: is the flow it announces to be had, and what must the far end read instead? */
  private announce(
    c: Conversation, direction: number, last: number, isWhole: boolean, isExtended: boolean, host: AlgHost, counts: AlgCounts,
  ): void {
    const reader = c.readers[direction];
    this.keep(reader, last, REST);
    if (!isWhole) return;
    if (direction === 1 && c.asked === 0) {
      counts.unasked++;
      return;
    }
    const outside = direction === 0 ? c.clientOutside : c.serverOutside;
    if (this.address !== (direction === 0 ? c.client : c.server) && this.address !== outside) {
      counts.foreign++;
      return;
    }
    // The first line of a reply of several may say what the last one says again.
    if (direction === 1 && reader.multiline === 0) c.asked--;
    if (this.port < PORT_FIRST) {
      counts.refused++;
      return;
    }
    // A PORT is connected to by the server: in direction 1. A 227 by the client.
    const port = host.expect(c, 1 - direction, this.port);
    if (port === NONE) {
      counts.refused++;
      return;
    }
    counts.announced++;
    if (this.address === outside && port === this.port) return;
    counts.edited++;
    this.outcome = TEXT_EDITED;
    c.textLength = 0;
    if (!isExtended) {
      for (let shift = 24; shift >= 0; shift -= 8) {
        say(c, (outside >>> shift) & 255);
        c.text[c.textLength++] = COMMA;
      }
      say(c, port >>> 8);
      c.text[c.textLength++] = COMMA;
      say(c, port & 255);
    } else {
      const mark = reader.text[0];
      c.text[c.textLength++] = mark;
      if (direction === 0) c.text[c.textLength++] = ZERO + 1;
      c.text[c.textLength++] = mark;
      for (let shift = 24; direction === 0 && shift >= 0; shift -= 8) {
        say(c, (outside >>> shift) & 255);
        if (shift > 0) c.text[c.textLength++] = DOT;
      }
      c.text[c.textLength++] = mark;
      say(c, port);
    }
    c.text[c.textLength++] = last;
  }

  /** h1,h2,h3,h4,p1,p2 in all of [0, length). */
  private six(text: Uint8Array, length: number): boolean {
    let number = NONE;
    let count = 0;
    let high = 0, low = 0;
    for (let i = 0; i <= length; i++) {
      if (i < length && isDigit(text[i])) {
        number = (number === NONE ? 0 : number * 10) + text[i] - ZERO;
        if (number > 255) return false;
      } else {
        if (number === NONE || (i < length && text[i] !== COMMA)) return false;
        if (count < 4) high = (high << 8) | number;
        else low = (low << 8) | number;
        count++;
        number = NONE;
      }
    }
    this.address = high;
    this.port = low;
    return count === 6;
  }

  /** |1|h1.h2.h3.h4|p| in all of [0, length), for any delimiter. */
  private extended(text: Uint8Array, length: number): boolean {
    if (length < 5 || text[1] !== ZERO + 1 || text[2] !== text[0] || isDigit(text[0])) return false;
    let address = 0;
    let number = NONE;
    let count = 0;
    let i = 3;
    for (; text[i] !== text[0]; i++) {
      if (isDigit(text[i])) {
        number = (number === NONE ? 0 : number * 10) + text[i] - ZERO;
        if (number > 255) return false;
      } else {
        if (text[i] !== DOT || number === NONE) return false;
        address = (address << 8) | number;
        count++;
        number = NONE;
      }
    }
    if (number === NONE || count !== 3) return false;
    this.address = (address << 8) | number;
    this.port = decimal(text, i + 1, length - 1);
    return this.port > 0 && this.port <= 65535;
  }
}

/** The client waits for one more announcement. */
function ask(c: Conversation): void { if (c.asked < ASKED_MAX) c.asked++; }

/** How often the first byte of the text occurs in it. */
function delimiters(reader: Reader): number {
  let count = 0;
  for (let i = 0; i < reader.textLength; i++) if (reader.text[i] === reader.text[0]) count++;
  return count;
}

/** The decimal number in [from, to), or NONE when it is none. */
function decimal(text: Uint8Array, from: number, to: number): number {
  if (to <= from || to - from > 5) return NONE;
  let number = 0;
  for (let i = from; i < to; i++) {
    if (!isDigit(text[i])) return NONE;
    number = number * 10 + text[i] - ZERO;
  }
  return number;
}

/** Append a number of up to five digits. */
function say(c: Conversation, number: number): void {
  for (let unit = number > 9999 ? 10000 : number > 999 ? 1000 : number > 99 ? 100 : number > 9 ? 10 : 1; unit >= 1; unit = unit / 10 | 0) {
    c.text[c.textLength++] = ZERO + (number / unit | 0) % 10;
  }
}

export const ftp: StreamAlg = new Ftp();
