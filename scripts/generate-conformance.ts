/**
 * Writes docs/conformance.md out of docs/conformance.yaml (the requirements and the answers to them) and the tests that show them: a comment
 *
 *     // conforms: ID [ID …]
 *
 * right above a test ties it to those rows. `npx tsx scripts/generate-conformance.ts` writes the file; test/conformance.test.ts compares what is on
 * disk with what this makes, and demands that every tag names a row and every yes has a test.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const TABLE = 'docs/conformance.yaml';
export const CONFORMANCE = 'docs/conformance.md';

export type Answer = 'yes' | 'partial' | 'no';

export interface Row {
  id: string;
  group: string;
  /** The requirement, a sentence without its full stop. */
  says: string;
  law: string;
  answer: Answer;
  /** What is missing, of a partial and of a no. */
  why: string;
  note: string;
}

/** A test, and the rows it shows. */
export interface Tagged { file: string; line: number; title: string; ids: string[] }

type Draft = { id: string; says: string; law: string; answer: Answer; why?: string; note?: string };

/** Every row, in order. */
export function rows(): Row[] {
  const { groups } = parse(readFileSync(join(ROOT, TABLE), 'utf8')) as { groups: { name: string; rows: Draft[] }[] };
  return groups.flatMap(({ name, rows: drafts }) => drafts.map((draft) => ({ why: '', note: '', ...draft, group: name })));
}

/** The first text in quotes on a line of code, with what it fills in shown as an ellipsis. */
function titleOf(line: string): string | null {
  const found = /(['"`])((?:\\.|(?!\1).)+)\1/.exec(line);
  return found === null ? null : found[2].replace(/\$\{[^}]*\}/g, '…').replace(/\\(.)/g, '$1');
}

/** Every tag in the tests. A tag belongs to the next line that begins a test or names a case of one. */
export function tags(): Tagged[] {
  const found: Tagged[] = [];
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts')).map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
  for (const path of files) {
    const lines = readFileSync(path, 'utf8').split('\n');
    lines.forEach((text, i) => {
      const tag = /^\s*\/\/ conforms: (.+)$/.exec(text);
      if (tag === null) return;
      let title: string | null = null;
      for (let j = i + 1; j <= i + 4 && title === null; j++) {
        const line = lines[j] ?? '';
        if (/^\s*(?:for \(.*\) )?\w+\(['"`]/.test(line) || /^\s*['"`].*:/.test(line)) title = titleOf(line.replace(/^\s*for \(.*?\) (?=\w+\(['"`])/, ''));
      }
      found.push({ file: relative(ROOT, path), line: i + 1, title: title ?? '', ids: tag[1].trim().split(/\s+/) });
    });
  }
  return found;
}

/** What is wrong between rows and tags, one sentence each. */
export function faults(table: readonly Row[] = rows(), tagged: readonly Tagged[] = tags()): string[] {
  const wrong: string[] = [];
  const known = new Set(table.map(({ id }) => id));
  if (known.size !== table.length) wrong.push(`${TABLE}: two rows have one id`);
  for (const { id, answer, why } of table) {
    if (!['yes', 'partial', 'no'].includes(answer)) wrong.push(`${TABLE}: ${id} answers ${answer}, not yes, partial or no`);
    if (answer === 'yes' && !tagged.some(({ ids }) => ids.includes(id))) wrong.push(`${TABLE}: ${id} says yes and no test shows it`);
    if (answer !== 'yes' && why === '') wrong.push(`${TABLE}: ${id} says ${answer} and not why`);
    if (answer === 'yes' && why !== '') wrong.push(`${TABLE}: ${id} says yes and why not`);
  }
  for (const { file, line, title, ids } of tagged) {
    if (title === '') wrong.push(`${file}:${line}: a tag above no test`);
    for (const id of ids) if (!known.has(id)) wrong.push(`${file}:${line}: no row is called ${id}`);
  }
  return wrong;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/[<>*_]/g, '\\$&');

/** The document. */
export function conformance(table: readonly Row[] = rows(), tagged: readonly Tagged[] = tags()): string {
  const count = (answer: Answer): number => table.filter((row) => row.answer === answer).length;
  const lines = [
    '# Conformance', '',
    'What the RFCs ask of a NAT and a router, and where weir stands. Made by `npx tsx scripts/generate-conformance.ts` from `docs/conformance.yaml` and the',
    'comments `// conforms: ID` above the tests; change those, not this. `weir selftest` measures on your own machine what a lab of real stacks can show.', '',
    `${table.length} requirements: ${count('yes')} yes, ${count('partial')} in part, ${count('no')} no.`,
  ];
  for (const group of new Set(table.map((row) => row.group))) {
    lines.push('', `## ${group}`, '', '| row | requirement | RFC | answer | shown by |', '|---|---|---|---|---|');
    for (const row of table.filter((candidate) => candidate.group === group)) {
      const shown = tagged.filter(({ ids }) => ids.includes(row.id)).map(({ file, title }) => `[${cell(title)}](../${file})`);
      const answer = row.answer === 'yes' ? `yes${row.note === '' ? '' : `: ${row.note}`}` : `${row.answer}: ${row.why}`;
      lines.push(`| \`${row.id}\` | ${cell(row.says)} | ${row.law === 'none' ? '' : cell(row.law)} | ${cell(answer)} | ${shown.join('<br>')} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const wrong = faults();
  for (const fault of wrong) console.error(fault);
  if (wrong.length > 0) process.exitCode = 1;
  else writeFileSync(join(ROOT, CONFORMANCE), conformance());
}
