/** Writes a configuration as a person would: named things in blocks, each one's keys on one line where they fit, comments before what they speak of. */

import type { At } from './imported.js';

export type Flow = string | number | boolean | readonly Flow[] | { readonly [key: string]: Flow | undefined };

/** A key with its value on the same line, or with keys of its own below it. */
export interface Entry {
  key: string;
  /** Where in the foreign file it comes from, and what stands there: a comment says so, and what is wrong with it is told there. */
  source?: At & { what: string };
  comments?: readonly string[];
  value: Flow | readonly Entry[];
}

const WIDTH = 140;

/** A text that YAML reads back as that very text when it stands bare, in a flow map as well. */
const BARE = /^[A-Za-z0-9][A-Za-z0-9._/*-]*(?::[A-Za-z0-9._/*-]+)*$/;
/** Bare words that mean something else, and numbers. */
const NOT_A_TEXT = /^(?:true|false|null|[+-]?(?:0[xo])?[\d_]+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)$/i;

function scalar(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value);
  return BARE.test(value) && !NOT_A_TEXT.test(value) ? value : JSON.stringify(value);
}

function flow(value: Flow): string {
  if (typeof value !== 'object') return scalar(value);
  if (Array.isArray(value)) return `[${(value as readonly Flow[]).map(flow).join(', ')}]`;
  const pairs = Object.entries(value).filter(([, item]) => item !== undefined).map(([key, item]) => `${key}: ${flow(item as Flow)}`);
  return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`;
}

/** Whether a value is keys of its own. */
export function isEntries(value: Flow | readonly Entry[]): value is readonly Entry[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'object' && 'key' in item && 'value' in item);
}

function comment(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = `${indent}#`;
  // What a foreign file holds may be anything; YAML takes only what can be printed.
  for (const word of text.replaceAll(/[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufefe\uff00-\ufffd]/g, '?').split(/\s+/)) {
    if (line.length + 1 + word.length > WIDTH && !line.endsWith('#')) {
      lines.push(line);
      line = `${indent}#`;
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function block(file: string, entries: readonly Entry[], indent: string): string[] {
  return entries.flatMap(({ key, source, comments = [], value }) => {
    const from = source === undefined ? [] : [`${source.file ?? file}:${source.line}:${source.column}: ${source.what}`];
    const before = [...from, ...comments].flatMap((text) => comment(text, indent));
    if (isEntries(value)) return [...before, `${indent}${key}:`, ...block(file, value, `${indent}  `)];
    const line = `${indent}${key}: ${flow(value)}`;
    if (line.length <= WIDTH || typeof value !== 'object' || Array.isArray(value)) return [...before, line];
    const inner = Object.entries(value).flatMap(([name, item]) => (item === undefined ? [] : [{ key: name, value: item as Flow }]));
    return [...before, `${indent}${key}:`, ...block(file, inner, `${indent}  `)];
  });
}

/** The whole of what is made of `file`: what it says about itself, then its sections. Those without anything in them are not written. */
export function writeYaml(file: string, head: readonly string[], sections: readonly Entry[]): string {
  const filled = sections.filter(({ value }) => !Array.isArray(value) || value.length > 0);
  const parts = [head.flatMap((text) => comment(text, '')), ...filled.map((section) => block(file, [section], ''))];
  return `${parts.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

/** A name as the configuration allows them, made of `wish`, or `otherwise` when nothing of it is left; never one of `taken`, to which it is added. */
export function nameOf(wish: string, otherwise: string, taken: Set<string>): string {
  const plain = wish.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').replace(/^[^a-z]+/, '').slice(0, 32).replace(/-+$/, '');
  const base = plain === '' ? otherwise : plain;
  let name = base;
  for (let number = 2; taken.has(name); number++) {
    const suffix = `-${number}`;
    name = `${base.slice(0, 32 - suffix.length)}${suffix}`;
  }
  taken.add(name);
  return name;
}
