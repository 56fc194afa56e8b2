/**
 * Writes the parts of docs/packet-path.md that are known elsewhere: the path out of src/pipeline.ts, each stage out of the head comment of its
 * file, the verdicts out of src/base/verdict.ts. What stands between a pair of markers is made here, all else in the file by hand:
 *
 *     <!-- begin NAME -->   path | stage STAGE | verdicts
 *     <!-- end NAME -->
 *
 * `npx tsx scripts/generate-docs.ts` writes the file; test/docs.test.ts compares what is on disk with what this makes.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VERDICTS } from '../src/base/verdict.js';
import type { VerdictRow } from '../src/base/verdict.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
export const PACKET_PATH = 'docs/packet-path.md';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** One line of a path: the stage, and what its line in pipeline.ts says of it. */
export interface Step { name: string; says: string }

/** The way of one kind of packet through the stages. */
export interface Path { name: string; sentence: string; steps: Step[] }

/** The paths of src/pipeline.ts, read from their `return a(p, r) || b(p, r) …;` expressions. */
export function paths(): Path[] {
  const text = read('src/pipeline.ts');
  const found = [...text.matchAll(/^\/\*\* (.+) \*\/\nexport function (\w+)\(p: Packet, r: Router\): Verdict \{\n([\s\S]*?)\n\}/gm)];
  return found.map(([, sentence, name, body]) => {
    const steps = body.split('\n').map((line): Step => {
      const match = /^ +(?:return|\|\|) (\w+)\(p, r\);? *(?:\/\/ (.*))?$/.exec(line);
      if (match === null) throw new Error(`src/pipeline.ts: ${name} has a line that is no stage: ${line}`);
      return { name: match[1], says: (match[2] ?? '').replace(/ {2,}/g, ' – ') };
    });
    return { name, sentence, steps };
  });
}

/** The path of a received packet, stage by stage. */
export function receivePath(): Step[] {
  const receive = paths().find((path) => path.name === 'receive');
  if (receive === undefined) throw new Error('src/pipeline.ts has no receive()');
  return receive.steps;
}

/** What the head comment of a file in src/stage/ says. */
export interface Head {
  file: string;
  /** What stands behind the stage's name; for a file that is no stage, its first paragraph. */
  place: string;
  reads: string | null;
  writes: string | null;
  /** Verdicts of the kind 'done' it names. */
  stopsWith: string | null;
  /** The sentence of its drops as it stands there. */
  drops: string | null;
  /** Verdicts named in that sentence, and in those of the files it refers to. */
  dropNames: string[];
  /** The other paragraphs, each in one line. */
  more: string[];
}

/** Names of verdicts in a text: words of capitals. */
export function verdictNames(text: string): string[] { return text.match(/\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*\b/g) ?? []; }

/** The first comment of a file, in paragraphs of one line each. */
function headParagraphs(file: string): string[] {
  const match = /^\/\*\*([\s\S]*?)\*\//.exec(read(file));
  if (match === null) throw new Error(`${file} does not open with a comment`);
  return match[1].split('\n').map((line) => line.replace(/^ ?\*? ?/, '').trimEnd()).join('\n').trim()
    .split(/\n\n+/).map((paragraph) => paragraph.replaceAll('\n', ' '));
}

const FACTS = /^(?:Reads: (?<reads>.+?)\. )?(?:Writes: (?<writes>.+?)\. )?(?:Stops with (?<stops>.+?)\. )?Drops: (?<drops>.+)\.$/;

export function head(name: string): Head {
  const file = `src/stage/${name}.ts`;
  const [first, ...rest] = headParagraphs(file);
  const place = first.startsWith(`${name} — `) ? first.slice(name.length + 3) : first;
  const facts = rest.map((paragraph) => FACTS.exec(paragraph)?.groups ?? null);
  const at = facts.findIndex((groups) => groups !== null);
  const { reads = null, writes = null, stops = null, drops = null } = facts[at] ?? {};
  // "what stage/arp.ts says" stands for the drops of that file's own head.
  const others = [...(drops ?? '').matchAll(/stage\/([\w-]+)\.ts/g)].flatMap(([, other]) => head(other).dropNames);
  return {
    file, place, reads, writes, stopsWith: stops, drops, dropNames: [...verdictNames(drops ?? ''), ...others], more: rest.filter((_, i) => i !== at),
  };
}

/** The files of src/stage/ a stage's head refers to for its drops. */
export function referredTo(name: string): string[] { return [...(head(name).drops ?? '').matchAll(/stage\/([\w-]+)\.ts/g)].map(([, other]) => other); }

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
const anchor = (name: string): string => name.toLowerCase().replaceAll('_', '-');
const linked = (text: string): string => text.replace(/\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*\b/g, (name) =>
  VERDICTS.some((row) => row.name === name) ? `[${name}](#${anchor(name)})` : name);

/** A stage's section. */
function stagePart(name: string): string[] {
  const steps = receivePath();
  const at = steps.findIndex((step) => step.name === name);
  if (at < 0) throw new Error(`${PACKET_PATH} has a section for ${name}, which is no stage of the path`);
  const { file, place, reads, writes, stopsWith, dropNames, more } = head(name);
  const before = at === 0 ? 'the link' : `[${steps[at - 1].name}](#${steps[at - 1].name})`;
  const after = at === steps.length - 1 ? 'the link' : `[${steps[at + 1].name}](#${steps[at + 1].name})`;
  const also = paths().filter((path) => path.name !== 'receive' && path.steps.some((step) => step.name === name)).map((path) => `\`${path.name}\``);
  const others = referredTo(name).map((other) => `[src/stage/${other}.ts](../src/stage/${other}.ts)`);
  return [
    sentence(place),
    '',
    '| | |',
    '|---|---|',
    `| file | ${[`[${file}](../${file})`, ...others].join(', ')} |`,
    `| place | ${at + 1} of ${steps.length}, between ${before} and ${after}${also.length === 0 ? '' : `; also on the path of ${also.join(' and ')}`} |`,
    `| reads | ${reads ?? 'nothing'} |`,
    `| writes | ${writes ?? 'nothing'} |`,
    ...(stopsWith === null ? [] : [`| stops with | ${linked(stopsWith)} |`]),
    `| drops with | ${dropNames.length === 0 ? 'nothing' : [...new Set(dropNames)].map(linked).join(', ')} |`,
    ...more.flatMap((paragraph) => ['', paragraph]),
  ];
}

/** What the comment on an exported function of a stage's file says: for a step that is a part of another stage. */
function sentenceOf(name: string): string {
  for (const { name: stage } of receivePath()) {
    const match = new RegExp(`^/\\*\\* (.+) \\*/\\nexport function ${name}\\(`, 'm').exec(read(`src/stage/${stage}.ts`));
    if (match !== null) return `${match[1]} – a part of [${stage}](#${stage})`;
  }
  throw new Error(`src/pipeline.ts: ${name} is neither a stage nor a part of one`);
}

function pathPart(): string[] {
  return paths().flatMap(({ name, sentence: what, steps }, i) => [
    ...(i === 0 ? [] : ['']),
    `**\`${name}\`** – ${what}`,
    '',
    '| stage | does |',
    '|---|---|',
    ...steps.map((step) => receivePath().some((other) => other.name === step.name)
      ? `| [${step.name}](#${step.name}) | ${step.says || 'as on the path of `receive`'} |`
      : `| \`${step.name}\` | ${sentenceOf(step.name)} |`),
  ]);
}

function answerText({ answer }: VerdictRow): string {
  if (answer === null) return 'nothing';
  return `${answer.text} (ICMP ${answer.type}/${answer.code})${answer.reset ? '; a TCP segment is answered by a reset' : ''}`;
}

function verdictPart(): string[] {
  const stages = receivePath().map(({ name }) => ({ name, names: new Set([...head(name).dropNames, ...verdictNames(head(name).stopsWith ?? '')]) }));
  const rows = (kind: VerdictRow['kind']): string[] => VERDICTS.filter((row) => row.kind === kind).map((row) => {
    const by = stages.filter(({ names }) => names.has(row.name)).map(({ name }) => `[${name}](#${name})`);
    return `| <a id="${anchor(row.name)}"></a>\`${row.name}\` | ${row.sentence} | ${kind === 'done' ? '' : `${answerText(row)} | `}${by.join(', ') || '–'} |`;
  });
  return [
    'Handled, not refused:', '', '| verdict | means | stages |', '|---|---|---|', ...rows('done'),
    '', 'Refused:', '', '| verdict | means | the sender is told | stages |', '|---|---|---|---|', ...rows('drop'),
  ];
}

function part(name: string): string[] {
  if (name === 'path') return pathPart();
  if (name === 'verdicts') return verdictPart();
  const match = /^stage (\w+)$/.exec(name);
  if (match === null) throw new Error(`${PACKET_PATH}: no part is called '${name}'`);
  return stagePart(match[1]);
}

/** The document with its made parts as they should be; everything outside of the markers stays as it is. */
export function packetPathDocs(text: string): string {
  return text.replace(/^<!-- begin (.+?) -->\n[\s\S]*?^<!-- end \1 -->$/gm, (_, name: string) => `<!-- begin ${name} -->\n${part(name).join('\n')}\n<!-- end ${name} -->`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = join(ROOT, PACKET_PATH);
  if (!existsSync(file)) throw new Error(`${PACKET_PATH} is missing: its text around the markers is written by hand`);
  writeFileSync(file, packetPathDocs(readFileSync(file, 'utf8')));
}
