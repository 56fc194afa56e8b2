/**
 * The grammar of a bng.conf: words, `KIND [ID] { statement … }` or `KIND [ID] statement`, comments from // to the end of the line. It may stand on
 * one line as a whole, as web pages print it; a comment then ends where the next statement begins, which is where a known word stands. A word
 * that is not known is left out with everything up to the end of its line or the next known word.
 */
import type { At, Notes, Word } from './imported.js';

/** A statement: its word, and what stands behind it. */
export interface Statement extends At { word: string; values: readonly Word[] }

export const KINDS = ['interface', 'network', 'gateway', 'server', 'target', 'vrrp'] as const;
export type Kind = (typeof KINDS)[number];
/** Kinds of which there is one only, without a number. */
const WITHOUT_ID: readonly Kind[] = ['gateway', 'vrrp'];

export interface Thing extends At { kind: Kind; id: number; statements: Statement[] }

export interface BngFile {
  things: Thing[];
  modules: Word[];
  settings: { at: At; name: string; value: string }[];
  registered: ReadonlySet<string>;
  enabled: ReadonlySet<string>;
}

/** The statements of each kind, with how many words stand behind each. */
export const STATEMENTS: Readonly<Record<Kind, Readonly<Record<string, number>>>> = {
  interface: { name: 1, access: 1, address: 1, alert: 1, upalert: 1, arp: 1, threads: 1, trackval: 1 },
  network: {
    name: 1, addr: 1, mask: 1, real: 1, virt: 1, interface: 1, interfaces: 1, nat: 1, addr6: 1, mask6: 1, real6: 1, virt6: 1, peer: 1, syncpeer: 1,
  },
  gateway: { ipaddr: 1, ip6addr: 1, ping: 1, ping6: 1, arp: 1, alert: 1, upalert: 1, trackval: 1 },
  server: {
    name: 1, ipaddr: 1, ip6addr: 1, port: 1, ports: 1, protocol: 1, target: 1, targets: 1, backup: 1, backups: 1, method: 1, sessionid: 1,
    stimeout: 1, ftimeout: 1, proxy: 1, prx: 1, prx6: 1, snat: 1, plugin: 1, gslbttl: 1, ipdb: 1,
  },
  target: {
    name: 1, ipaddr: 1, ip6addr: 1, port: 1, protocol: 1, ping: 1, tcpopen: 1, agent: 1, script: 1, alert: 1, upalert: 1, weight: 1, scale: 1,
    ascale: 1, aoffset: 1, maxsessions: 1, maxagentscore: 1, dsr: 1, autodisable: 1, autodisablecount: 1, lgrp: 1, router: 1, via: 1, trackval: 1,
  },
  vrrp: { vrid: 1, priority: 1, network: 1, preempt: 1, owner: 1, trackinterval: 1 },
};

/** What is said once for the whole, with how many words stand behind each. */
export const WHOLE: Readonly<Record<string, number>> = {
  module: 1, modules: 1, set: 2, hostname: 1, remark: 1, license: 2, register: 2, unregister: 2, enable: 2, disable: 2,
};
const SWITCHES: readonly string[] = ['register', 'unregister', 'enable', 'disable'];
const isKind = (word: string): word is Kind => (KINDS as readonly string[]).includes(word);
const isTop = (word: string): boolean => isKind(word) || word in WHOLE;
/** 'servers' to 'server'. */
const singular = (word: string): string => (isKind(word) ? word : word.replace(/s$/, ''));

/** Words, braces and, on a single line, the beginnings of comments. */
function lex(text: string, notes: Notes): { words: Word[]; flat: boolean } {
  const flat = !text.trim().includes('\n');
  const words: Word[] = [];
  text.split('\n').forEach((full, index) => {
    let glued = false;
    for (let place = 0; place < full.length;) {
      const rest = full.slice(place);
      const at = { line: index + 1, column: place + 1 };
      const match = /^(?:(\s+)|(\/\/)|"([^"]*)"|([{}])|((?:(?!\/\/)[^\s{}"])+))/.exec(rest);
      if (match === null) {
        notes.error(at, 'a quote that is not closed', 'a second " on the line');
        return;
      }
      const [whole, space, slashes, quoted, brace, bare] = match;
      if (slashes !== undefined && !flat) return;
      const last = words.at(-1);
      // What hangs together with a text in quotes is one word: "/bin/check 1",3,10.
      if (last !== undefined && glued && (quoted ?? bare) !== undefined && (last.quoted || quoted !== undefined)) last.text += quoted ?? bare;
      else if (space === undefined) words.push({ ...at, text: quoted ?? slashes ?? brace ?? bare, quoted: quoted !== undefined });
      glued = space === undefined && slashes === undefined && brace === undefined;
      place += whole.length;
    }
  });
  return { words, flat };
}

/** '1,2' or '1-4' or both, to numbers; undefined when it is no list. */
export function readList(text: string): number[] | undefined {
  const numbers: number[] = [];
  for (const part of text.split(',')) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first) return undefined;
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return numbers;
}

class Parser {
  readonly #words: readonly Word[];
  readonly #notes: Notes;
  readonly #flat: boolean;
  #place = 0;
  readonly #things = new Map<string, Thing>();
  readonly #registered = new Set<string>();
  readonly #enabled = new Set<string>();
  readonly #modules: Word[] = [];
  readonly #settings: { at: At; name: string; value: string }[] = [];

  constructor(words: readonly Word[], flat: boolean, notes: Notes) {
    this.#words = words;
    this.#flat = flat;
    this.#notes = notes;
  }

  get #word(): Word | undefined {
    return this.#words[this.#place];
  }

  #is(text: string): boolean {
    const word = this.#word;
    return word !== undefined && !word.quoted && word.text === text;
  }

  /** Past the comments that stand here, when the file is one line. */
  #skipComments(known: (word: string) => boolean): void {
    while (this.#flat && this.#is('//')) {
      this.#place++;
      for (let word = this.#word; word !== undefined && word.text !== '//' && word.text !== '{' && word.text !== '}' && !known(word.text); word = this.#word) this.#place++;
    }
  }

  run(): BngFile {
    for (;;) {
      this.#skipComments(isTop);
      const word = this.#word;
      if (word === undefined) break;
      this.#place++;
      if (word.text === '}' && !word.quoted) this.#notes.error(word, '} without {', 'a statement');
      else if (isKind(word.text)) this.#thing(word.text, word);
      else if (word.text in WHOLE) this.#whole(word);
      else this.#unknown(word, isTop, 'no such statement is known here');
    }
    return { things: [...this.#things.values()], modules: this.#modules, settings: this.#settings, registered: this.#registered, enabled: this.#enabled };
  }

  /** What stands behind a word. A list may have spaces behind its commas. */
  #values(word: Word, count: number): Word[] | undefined {
    const values: Word[] = [];
    while (values.length < count) {
      const value = this.#word;
      if (value === undefined || (!value.quoted && ['{', '}', '//'].includes(value.text)) || (!this.#flat && value.line !== word.line)) {
        this.#notes.error(word, `${word.text} with ${values.length === 0 ? 'nothing' : 'too little'} behind it`, count === 1 ? 'a value' : `${count} values`);
        return undefined;
      }
      this.#place++;
      let text = value.text;
      while (!value.quoted && text.endsWith(',') && this.#word !== undefined && /^\d/.test(this.#word.text)) {
        text += this.#word.text;
        this.#place++;
      }
      values.push({ ...value, text });
    }
    return values;
  }

  /** Tells of a word nobody knows, and steps over what belongs to it. */
  #unknown(word: Word, known: (word: string) => boolean, why: string): void {
    const said = [word.text];
    for (let next = this.#word; next !== undefined && next.text !== '}' && next.text !== '//'; next = this.#word) {
      if (next.text === '{' && !next.quoted) {
        said.push('{ … }');
        this.#block(next, () => { this.#place++; });
        break;
      }
      if (next.line !== word.line || known(next.text)) break;
      said.push(next.quoted ? `"${next.text}"` : next.text);
      this.#place++;
    }
    this.#notes.leftOut(word, said.join(' '), why);
  }

  /** Everything between braces; `each` takes at least one word. */
  #block(open: Word, each: () => void, known: (word: string) => boolean = () => false): void {
    this.#place++;
    for (;;) {
      this.#skipComments(known);
      const word = this.#word;
      if (word === undefined) return this.#notes.error(open, '{ that is not closed', '} at the end of the block');
      if (!word.quoted && word.text === '}') {
        this.#place++;
        return;
      }
      if (!word.quoted && word.text === '{') this.#block(word, () => { this.#place++; });
      else each();
    }
  }

  #thing(kind: Kind, word: Word): void {
    let id = 0;
    if (!WITHOUT_ID.includes(kind)) {
      const number = this.#word;
      if (number === undefined || !/^\d{1,5}$/.test(number.text)) return this.#notes.error(number ?? word, `${kind} without a number`, `${kind} NUMBER { … }`);
      id = Number(number.text);
      this.#place++;
    }
    const key = `${kind} ${id}`;
    let thing = this.#things.get(key);
    if (thing === undefined) this.#things.set(key, thing = { kind, id, statements: [], line: word.line, column: word.column });
    const table = STATEMENTS[kind];
    const known = (text: string): boolean => text in table;
    const statement = (): void => {
      const first = this.#word!;
      this.#place++;
      if (!known(first.text) || first.quoted) return this.#unknown(first, known, `no such statement of a ${kind} is known here`);
      const values = this.#values(first, table[first.text]);
      if (values !== undefined) thing.statements.push({ word: first.text, values, line: first.line, column: first.column });
    };
    if (this.#is('{')) this.#block(this.#word!, statement, known);
    else if (this.#word === undefined) this.#notes.error(word, `${kind} with nothing behind it`, `${kind} … { … }`);
    else statement();
  }

  #whole(word: Word): void {
    const values = this.#values(word, WHOLE[word.text]);
    if (values === undefined) return;
    const [first, second] = values;
    if (SWITCHES.includes(word.text)) {
      const kind = singular(first.text);
      const list = readList(second.text);
      if (!isKind(kind) || WITHOUT_ID.includes(kind)) return this.#notes.leftOut(word, `${word.text} ${first.text} ${second.text}`, 'nothing of that kind is known here');
      if (list === undefined) return this.#notes.error(second, second.text, 'numbers with commas between them');
      const set = word.text.endsWith('register') ? this.#registered : this.#enabled;
      for (const id of list) {
        if (word.text === 'register' || word.text === 'enable') set.add(`${kind} ${id}`);
        else set.delete(`${kind} ${id}`);
      }
    } else if (word.text === 'set') {
      this.#settings.push({ at: word, name: first.text, value: second.text });
    } else if (word.text.startsWith('module')) {
      let column = first.column;
      for (const text of first.text.split(',')) {
        this.#modules.push({ ...first, text, column });
        column += text.length + 1;
      }
    }
    // hostname, remark and license say nothing about packets.
  }
}

export function parseBng(text: string, notes: Notes): BngFile {
  const { words, flat } = lex(text.replaceAll('\r', ''), notes);
  return new Parser(words, flat, notes).run();
}
