/**
 * The grammar of a keepalived.conf: lines of words, blocks in braces, comments from ! or # to the end of the line, texts in quotes, other files
 * by include, $NAME=value and its uses, and lines that are for one of several boxes (@NAME). What is a sequence (~SEQ, ~LST) is told, not run.
 */
import type { At, ImportOptions, Notes, Word } from './imported.js';

/** A word with what stands behind it on its line, and the block below it. */
export interface Statement extends At { word: string; values: readonly Word[]; block: readonly Statement[] | undefined }

interface Line { text: string; at: At; isExact: boolean }
interface Token extends Word { isFirst: boolean }

/** Files within files, and definitions within definitions. */
const DEPTH_MAX = 32;
/** What definitions may grow to. */
const LINES_MAX = 200_000;
/** Characters of a line that definitions have been put into. */
const LENGTH_MAX = 65_536;

const ESCAPES: Readonly<Record<string, string>> = { a: '\x07', b: '\b', E: '\x1b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** As it stands in the file, but for the spaces and for what its block holds. */
export function textOf({ word, values, block }: Statement): string {
  const shown = values.map(({ text, quoted }) => (quoted ? JSON.stringify(text) : text));
  return [word, ...shown, ...(block === undefined ? [] : ['{ … }'])].join(' ');
}

/** With all that its block holds, on one line. */
export function wholeTextOf(statement: Statement): string {
  const { block } = statement;
  return block === undefined ? textOf(statement) : textOf(statement).replace(/…(?= \}$)/, () => block.map(wholeTextOf).join('; '));
}

/** A line without its comment: ! or # begin one unless they stand in quotes. */
function withoutComment(text: string): string {
  let quote = '';
  for (let place = 0; place < text.length; place++) {
    const sign = text[place];
    if (sign === '\\') place++;
    else if (quote !== '') quote = sign === quote ? '' : quote;
    else if (sign === '"' || sign === "'") quote = sign;
    else if (sign === '!' || sign === '#') return text.slice(0, place);
  }
  return text;
}

class Parser {
  readonly #notes: Notes;
  readonly #options: ImportOptions;
  readonly #tokens: Token[] = [];
  readonly #definitions = new Map<string, string>();
  #lines = 0;
  #place = 0;
  #isTooMuch = false;

  constructor(notes: Notes, options: ImportOptions) {
    this.#notes = notes;
    this.#options = options;
  }

  run(file: string, text: string): Statement[] {
    this.#file(file, undefined, text, 0);
    const statements: Statement[] = [];
    while (this.#place < this.#tokens.length) {
      statements.push(...this.#statements(0));
      const stray = this.#tokens[this.#place];
      if (stray === undefined) break;
      this.#notes.error(stray, '} without {', 'a statement');
      this.#place++;
    }
    return statements;
  }

  /** `shown` = undefined for the file the import is of, whose name remarks have anyway. */
  #file(name: string, shown: string | undefined, text: string, depth: number): void {
    const lines = text.split(/\r?\n/);
    this.#definitions.set('_PWD', name.includes('/') ? name.replace(/\/[^/]*$/, '') : '.');
    for (let index = 0; index < lines.length; index++) {
      const full = lines[index];
      const column = 1 + full.length - full.trimStart().length;
      const at: At = { line: index + 1, column, ...(shown === undefined ? {} : { file: shown }) };
      const bare = withoutComment(full).trimEnd();
      const included = /^\s*include[rmwba]?\s+(\S.*)$/.exec(bare);
      if (included !== null) {
        this.#include(included[1].replace(/^(["'])(.*)\1$/, '$2'), name, at, bare.trim(), depth);
        this.#definitions.set('_PWD', name.includes('/') ? name.replace(/\/[^/]*$/, '') : '.');
        continue;
      }
      // A definition of several lines: each but the last ends in a backslash.
      const several = /^(\s*(?:@\S+\s+)?\$[A-Za-z_]\w*=)\s*\\$/.exec(bare);
      if (several === null) {
        this.#line({ text: bare, at, isExact: true }, depth);
        continue;
      }
      const value: string[] = [];
      while (index + 1 < lines.length) {
        const next = withoutComment(lines[++index]).trimEnd();
        value.push(next.replace(/\s*\\$/, ''));
        if (!next.endsWith('\\')) break;
      }
      this.#line({ text: `${several[1]}${value.join('\n')}`, at, isExact: false }, depth);
    }
  }

  #include(pattern: string, from: string, at: At, what: string, depth: number): void {
    if (depth >= DEPTH_MAX) return this.#notes.error(at, `${what}, ${DEPTH_MAX} files deep`, 'files that do not include each other');
    const { include } = this.#options;
    const found = include === undefined ? 'a file of its own was not given' : include(pattern, from);
    if (typeof found === 'string') return this.#notes.leftOut(at, what, found);
    for (const { file, text } of found) this.#file(file, file, text, depth + 1);
  }

  #line(line: Line, depth: number): void {
    const { at } = line;
    if (this.#isTooMuch || ++this.#lines > LINES_MAX || depth > DEPTH_MAX) {
      if (!this.#isTooMuch) this.#notes.error(at, 'definitions that are made of themselves, or of too many lines', `at most ${DEPTH_MAX} of them within each other and ${LINES_MAX} lines`);
      this.#isTooMuch = true;
      return;
    }
    let { text, isExact } = line;
    for (let turn = 0; ; turn++) {
      const conditional = /^\s*@(\^?)(\S+)\s*([\s\S]*)$/.exec(text);
      if (conditional !== null) {
        const [, not, name, rest] = conditional;
        const { instance } = this.#options;
        if (instance === undefined) return this.#notes.leftOut(at, text.trim().split('\n')[0], 'a line of one of several boxes: say which one this is with --instance NAME');
        if ((name === instance) === (not === '^')) return;
        isExact = false;
        text = rest;
        continue;
      }
      const defined = /^\s*\$([A-Za-z_]\w*)=([\s\S]*)$/.exec(text);
      if (defined !== null) {
        this.#definitions.set(defined[1], defined[2].trim());
        return;
      }
      if (/^\s*~(?:SEQ|LST)/.test(text)) return this.#notes.leftOut(at, text.trim(), 'sequences are not run: write its lines out, each by itself');
      const put = this.#substituted(text);
      if (put === undefined) break;
      isExact = false;
      text = put;
      if (turn >= LENGTH_MAX || text.length > LENGTH_MAX * 16) return this.#line({ text: '', at, isExact }, DEPTH_MAX + 1);
      if (text.includes('\n')) {
        for (const part of text.split('\n')) this.#line({ text: withoutComment(part), at, isExact: false }, depth + 1);
        return;
      }
    }
    this.#words(text, at, isExact);
  }

  /** The first use of a definition replaced by what it stands for; undefined when there is none. */
  #substituted(text: string): string | undefined {
    for (const match of text.matchAll(/\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*)(?=\s|$))/g)) {
      const name = match[1] ?? match[2];
      const value = name === '_INSTANCE' ? this.#options.instance : this.#definitions.get(name);
      if (value !== undefined) return text.slice(0, match.index) + value + text.slice(match.index + match[0].length);
    }
    return undefined;
  }

  /** Words with quotes and escapes taken off. `isExact` = the columns are those of the file. */
  #words(text: string, at: At, isExact: boolean): void {
    let isFirst = true;
    for (let place = 0; place < text.length;) {
      if (/\s/.test(text[place])) {
        place++;
        continue;
      }
      const from = place;
      let word = '';
      let quote = '';
      let quoted = false;
      for (; place < text.length; place++) {
        const sign = text[place];
        if (sign === '\\' && place + 1 < text.length) {
          const [whole, octal, hex, control, other] = /^\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|c(.)|(.))/su.exec(text.slice(place))!;
          // What a regular expression or a shell is to have behind its backslash keeps it, unless it is in quotes.
          if (quote === '') word += whole;
          else if (octal !== undefined) word += String.fromCharCode(parseInt(octal, 8) & 0xff);
          else if (hex !== undefined) word += String.fromCharCode(parseInt(hex, 16));
          else if (control !== undefined) word += String.fromCharCode(control.charCodeAt(0) & 0x1f);
          else word += ESCAPES[other] ?? other;
          place += whole.length - 1;
        } else if (quote !== '') {
          if (sign === quote) quote = '';
          else word += sign;
        } else if (sign === '"' || sign === "'") {
          quote = sign;
          quoted = true;
        } else if (/\s/.test(sign)) {
          break;
        } else {
          word += sign;
        }
      }
      const where = isExact ? { ...at, column: from + 1 } : at;
      if (quote !== '') return this.#notes.error(where, 'a quote that is not closed', `a second ${quote} on the line`);
      // A brace that hangs on the last word of a line opens a block as well.
      const glued = !quoted && word.length > 1 && word.endsWith('{') && text.slice(place).trim() === '' && word.indexOf('{') === word.length - 1;
      this.#tokens.push({ ...where, text: glued ? word.slice(0, -1) : word, quoted, isFirst });
      if (glued) this.#tokens.push({ ...where, text: '{', quoted: false, isFirst: false });
      isFirst = false;
    }
  }

  #is(text: string): boolean {
    const token = this.#tokens[this.#place];
    return token !== undefined && !token.quoted && token.text === text;
  }

  /** Up to the brace that closes the block, or to the end. */
  #statements(depth: number): Statement[] {
    const statements: Statement[] = [];
    while (this.#place < this.#tokens.length && !this.#is('}')) {
      const word = this.#tokens[this.#place];
      if (this.#is('{')) this.#notes.error(word, '{ without a word before it', 'a statement');
      else this.#place++;
      const values: Word[] = [];
      for (let next = this.#tokens[this.#place]; next !== undefined && !next.isFirst && !this.#is('{') && !this.#is('}'); next = this.#tokens[++this.#place]) values.push(next);
      let block: Statement[] | undefined;
      if (this.#is('{')) {
        const brace = this.#tokens[this.#place++];
        if (depth >= DEPTH_MAX) this.#notes.error(brace, `blocks within blocks, ${DEPTH_MAX} deep`, 'blocks as keepalived.conf(5) has them');
        // What stands in there is read as if it stood one block further out.
        block = depth >= DEPTH_MAX ? [] : this.#statements(depth + 1);
        if (depth >= DEPTH_MAX) continue;
        if (this.#is('}')) this.#place++;
        else this.#notes.error(brace, '{ that is not closed', '} at the end of the block');
      }
      const { line, column, file } = word;
      statements.push({ line, column, ...(file === undefined ? {} : { file }), word: word.text, values, block });
    }
    return statements;
  }
}

/** Read a keepalived.conf called `file` with the files it includes. */
export function parseKeepalived(file: string, text: string, notes: Notes, options: ImportOptions): Statement[] {
  return new Parser(notes, options).run(file, text);
}
