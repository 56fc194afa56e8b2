/** How the lab tells numbers to a person. */

export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** Rows in aligned columns, the first one the head; numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)));
  return rows.map((row) => row.map((cell, column) => typeof cell === 'number' ? String(cell).padStart(widths[column]) : cell.padEnd(widths[column])).join('  ').trimEnd()).join('\n');
}
