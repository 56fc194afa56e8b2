/**
 * From YAML text to a tree in which every key and every value knows its file, line and column, and from several such
 * trees to one. YAML 1.2, core schema (so `yes` and `off` are texts), which makes JSON valid too.
 *
 * Merging: maps compose key by key, so a drop-in can add an uplink or change one weight; scalars and lists of a later
 * file replace those of an earlier one. What a later file adds to a map comes behind what is there, and what it changes
 * keeps its place: the order of filters decides. Anchors, aliases and `<<` work within a file; tags do not. A key given twice in
 * one map of one file is an error, as is everything the YAML parser reports.
 */
import { isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, parseDocument, Parser, type ErrorCode } from 'yaml';
import type { Findings, Place, Step } from './findings.js';

export interface ScalarNode {
  kind: 'scalar';
  place: Place;
  value: string | number | boolean | null;
  /** As it stands in the file. */
  source: string;
  /** What is shown instead of it, where it is nobody's business. */
  shown?: string;
}
export interface ListNode { kind: 'list'; place: Place; items: ValueNode[] }
export interface MapEntry { place: Place; value: ValueNode }
export interface MapNode { kind: 'map'; place: Place; entries: Map<string, MapEntry> }
/** Something that was told to be wrong while it was read; whoever meets it says no more. */
export interface RefusedNode { kind: 'refused'; place: Place }
export type ValueNode = ScalarNode | ListNode | MapNode | RefusedNode;

export interface Source {
  /** The name errors are told under. */
  file: string;
  /** Undefined when (told) it could not be read. */
  text: string | undefined;
}

/** Values nested deeper than this are refused: the configuration itself needs seven levels, and the YAML parser recurses. */
const DEPTH_MAX = 32;

/** Maps merge down to the deepest the configuration has; what lies deeper is wrong anyway, and one value. */
const MERGE_DEPTH = 6;

/** What to write instead, for the mistakes people make most; the parser's own words say what was found. */
const ADVICE: Partial<Record<ErrorCode, string>> = {
  BAD_INDENT: 'brackets that are closed, and lines indented more than the key they belong to',
  BLOCK_AS_IMPLICIT_KEY: 'one "key: value" on a line, and texts with ": " in quotes',
  MISSING_CHAR: 'quotes and brackets that are closed',
  MULTIPLE_DOCS: 'one document in a file, further ones in drop-ins',
  TAB_AS_INDENT: 'spaces for indentation',
};

function clean(message: string): string {
  const first = message.split('\n')[0].replace(/; please use .*$/, '');
  return first.charAt(0).toLowerCase() + first.slice(1);
}

/** What a value is, for the words after "found". */
export function describe(node: ValueNode): string {
  if (node.kind === 'map') return 'a map';
  if (node.kind === 'refused') return 'a value that cannot be read';
  if (node.kind === 'list') return node.items.length === 0 ? 'an empty list' : 'a list';
  if (node.value === null) return 'nothing';
  if (node.shown !== undefined) return node.shown;
  const text = typeof node.value === 'string' ? node.value : node.source;
  const shown = text.length > 64 ? `${text.slice(0, 64)}…` : text;
  return typeof node.value === 'string' ? JSON.stringify(shown) : shown;
}

/** Where a text first nests deeper than DEPTH_MAX. The parser's first half keeps what is open on a stack of its own, so this is safe for any text. */
function tooDeepAt(text: string): number | undefined {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    // The documents it hands out are of no use here; only what is open matters, and taking them makes it go on.
    Array.from(parser.next(lexeme));
    if (parser.stack.length > DEPTH_MAX) return parser.offset - lexeme.length;
  }
  return undefined;
}

/** One file's tree; undefined when the file is empty or (told) not a map. */
function parseSource(file: string, text: string, fileIndex: number, findings: Findings): MapNode | undefined | 'unreadable' {
  const lines = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file, fileIndex, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const tooDeep = tooDeepAt(text);
  if (tooDeep !== undefined) {
    for (let at = text.indexOf('\n'); at >= 0 && at < tooDeep; at = text.indexOf('\n', at + 1)) lines.addNewLine(at + 1);
    findings.error(placeAt(tooDeep), ['syntax'], `values nested deeper than ${DEPTH_MAX} levels`, 'what docs/config.md lists');
    return 'unreadable';
  }
  const document = parseDocument(text, {
    lineCounter: lines, prettyErrors: false, schema: 'core', merge: false, resolveKnownTags: false,
    // We tell of duplicates ourselves: with the path, and with the place of the first.
    uniqueKeys: false,
  });
  let broken = false;
  let lastOffset = -1;
  for (const problem of [...document.errors, ...document.warnings]) {
    broken = true;
    // The parser often says the same thing about one place in two ways; the first is the better one.
    if (problem.pos[0] === lastOffset) continue;
    lastOffset = problem.pos[0];
    findings.error(placeAt(problem.pos[0]), ['syntax'], clean(problem.message), ADVICE[problem.code] ?? 'YAML 1.2 without tags, or JSON');
  }
  if (broken) return 'unreadable';

  const anchors = new Map<string, ValueNode | 'open'>();
  const refuse = (at: Place, path: readonly Step[], found: string, allowed: string): RefusedNode => {
    findings.error(at, path, found, allowed);
    return { kind: 'refused', place: at };
  };

  const merged = (value: ValueNode, at: Place, path: readonly Step[]): MapNode[] => {
    const maps = value.kind === 'list' ? value.items : [value];
    return maps.flatMap((map) => {
      if (map.kind === 'map') return [map];
      if (map.kind !== 'refused') refuse(at, path, describe(map), 'a map to merge, or a list of maps');
      return [];
    });
  };

  const walk = (node: unknown, path: readonly Step[], fallback: Place): ValueNode => {
    if (node === null || node === undefined) return { kind: 'scalar', place: fallback, value: null, source: '' };
    if (isAlias(node)) {
      const at = placeAt(node.range?.[0] ?? 0);
      const target = anchors.get(node.source);
      if (target === undefined) return refuse(at, path, `the alias *${node.source}`, `an alias of an anchor set before it with &${node.source}`);
      if (target === 'open') return refuse(at, path, `the alias *${node.source} inside the value it stands for`, 'an alias of a value that is complete');
      return target;
    }
    if (!isMap(node) && !isSeq(node) && !isScalar(node)) throw new Error('a YAML node of no known kind');
    const at = placeAt(node.range?.[0] ?? 0);
    if (node.anchor !== undefined) anchors.set(node.anchor, 'open');
    let value: ValueNode;
    if (isScalar(node)) {
      const plain = node.value;
      const known = plain === null || typeof plain === 'string' || typeof plain === 'number' || typeof plain === 'boolean';
      value = { kind: 'scalar', place: at, value: known ? plain : String(plain), source: node.source ?? String(plain) };
    } else if (isSeq(node)) {
      const items = node.items.map((item, index) => walk(item, [...path, index], at));
      value = items.some((item) => item.kind === 'refused') ? { kind: 'refused', place: at } : { kind: 'list', place: at, items };
    } else {
      const entries = new Map<string, MapEntry>();
      const bases: MapNode[] = [];
      for (const pair of node.items) {
        if (!isScalar(pair.key)) {
          refuse(at, path, 'a key that is not a plain text', 'keys that are names');
          continue;
        }
        const key = typeof pair.key.value === 'string' ? pair.key.value : pair.key.source ?? String(pair.key.value);
        const keyPlace = placeAt(pair.key.range?.[0] ?? 0);
        const keyPath = [...path, key];
        const child = walk(pair.value, keyPath, keyPlace);
        const first = entries.get(key);
        if (first !== undefined) refuse(keyPlace, keyPath, `the key a second time (first in line ${first.place.line})`, 'each key once');
        else if (key === '<<') bases.push(...merged(child, keyPlace, keyPath));
        else entries.set(key, { place: keyPlace, value: child });
      }
      // Keys written out win over merged ones, and of several merged maps the first.
      for (const base of bases) {
        for (const [key, entry] of base.entries) if (!entries.has(key)) entries.set(key, entry);
      }
      value = { kind: 'map', place: at, entries };
    }
    if (node.anchor !== undefined) anchors.set(node.anchor, value);
    return value;
  };

  const start: Place = { file, fileIndex, line: 1, column: 1 };
  const root = walk(document.contents, [], start);
  if (root.kind === 'map') return root;
  if (root.kind === 'list' || (root.kind === 'scalar' && root.value !== null)) findings.error(root.place, [], describe(root), 'a map with the sections of docs/config.md');
  return undefined;
}

/** A section left empty (`links:` with everything below it commented out) takes nothing away from an earlier file. */
function isEmpty(node: ValueNode): boolean {
  return node.kind === 'scalar' && node.value === null;
}

function mergeMaps(earlier: MapNode, later: MapNode, depth: number): MapNode {
  const entries = new Map(earlier.entries);
  for (const [key, entry] of later.entries) {
    const before = entries.get(key);
    if (before !== undefined && before.value.kind === 'map') {
      if (entry.value.kind === 'map' && depth < MERGE_DEPTH) {
        entries.set(key, { place: before.place, value: mergeMaps(before.value, entry.value, depth + 1) });
        continue;
      }
      if (depth === 0 && isEmpty(entry.value)) continue;
    }
    entries.set(key, entry);
  }
  return { kind: 'map', place: earlier.place, entries };
}

/** Every source's tree merged in order; undefined when one of them (told) cannot be read or is not YAML, for all that refers to it would look wrong. */
export function parseSources(sources: readonly Source[], findings: Findings): MapNode | undefined {
  let readable = true;
  let merged: MapNode = { kind: 'map', place: { file: sources[0]?.file ?? '', fileIndex: 0, line: 1, column: 1 }, entries: new Map() };
  sources.forEach(({ file, text }, fileIndex) => {
    const tree = text === undefined ? 'unreadable' : parseSource(file, text, fileIndex, findings);
    if (tree === 'unreadable') readable = false;
    else if (tree !== undefined) merged = mergeMaps(merged, tree, 0);
  });
  return readable ? merged : undefined;
}
