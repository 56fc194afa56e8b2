/** Aligned columns for a terminal, and the same as a Markdown table. */
import type { Line } from './rows.js';

/** Columns after the first that hold numbers are set flush right. */
function isNumeric(lines: readonly Line[], column: number): boolean {
  return column > 0 && lines.every(({ cells }) => /^([≤≥<] ?)?[\d–]/.test(cells[column] ?? '') || cells[column] === '');
}

export function textTable(head: readonly string[], lines: readonly Line[]): string {
  const rows = [head, ...lines.map(({ cells }) => cells)];
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const right = head.map((_, column) => isNumeric(lines, column));
  return rows.map((row) => row.map((cell, column) => (right[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join('  ').trimEnd()).join('\n');
}

export function markdownTable(head: readonly string[], lines: readonly Line[]): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, column) => (isNumeric(lines, column) ? '---:' : '---'));
  return [row(head), row(rule), ...lines.map(({ cells }) => row(cells))].join('\n');
}
