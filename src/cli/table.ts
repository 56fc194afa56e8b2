/**
 * Aligned columns. A table is fed rows in as many portions as the caller likes (a million flows come page by page): the columns
 * are as wide as the widest cell so far, so nothing is held back to measure it.
 */

export type Style = 'good' | 'bad' | 'warning' | 'dim' | 'bold';

const STYLE_CODES: Record<Style, string> = { good: '32', bad: '31', warning: '33', dim: '2', bold: '1' };

export function paint(text: string, style: Style | null, color: boolean): string {
  return color && style !== null ? `\u001b[${STYLE_CODES[style]}m${text}\u001b[0m` : text;
}

/** A cell must not move the cursor or paint the terminal, whatever a name or a reason contains. */
export function plain(text: string): string {
  // eslint-disable-next-line no-control-regex -- the control characters are the point
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

export interface Column<Row> {
  title: string;
  align: 'left' | 'right';
  text(row: Row): string;
  style?(row: Row): Style | null;
}

/** What stands in a cell that has nothing to say. */
export const NOTHING = '-';

export function left<Row>(title: string, text: (row: Row) => string | null, style?: (row: Row) => Style | null): Column<Row> {
  return { title, align: 'left', text: (row) => text(row) ?? NOTHING, ...(style === undefined ? {} : { style }) };
}

export function right<Row>(title: string, text: (row: Row) => string | null, style?: (row: Row) => Style | null): Column<Row> {
  return { title, align: 'right', text: (row) => text(row) ?? NOTHING, ...(style === undefined ? {} : { style }) };
}

const GUTTER = '  ';

export class Table<Row> {
  readonly #columns: readonly Column<Row>[];
  readonly #color: boolean;
  readonly #widths: number[];
  #headed = false;

  constructor(columns: readonly Column<Row>[], color: boolean) {
    this.#columns = columns;
    this.#color = color;
    this.#widths = columns.map((column) => column.title.length);
  }

  /** The lines of these rows, the heading before the first ones. */
  lines(rows: readonly Row[]): string {
    const cells = rows.map((row) => this.#columns.map((column) => plain(column.text(row))));
    for (const line of cells) line.forEach((cell, i) => { this.#widths[i] = Math.max(this.#widths[i]!, cell.length); });
    let text = '';
    if (!this.#headed) {
      this.#headed = true;
      text += this.#line(this.#columns.map((column) => column.title), () => 'bold');
    }
    cells.forEach((line, r) => {
      text += this.#line(line, (i) => this.#columns[i]!.style?.(rows[r]!) ?? null);
    });
    return text;
  }

  #line(cells: readonly string[], style: (i: number) => Style | null): string {
    const last = cells.length - 1;
    const parts = cells.map((cell, i) => {
      const painted = paint(cell, style(i), this.#color);
      const pad = ' '.repeat(Math.max(0, this.#widths[i]! - cell.length));
      if (this.#columns[i]!.align === 'right') return pad + painted;
      // No line ends in blanks.
      return i === last ? painted : painted + pad;
    });
    return `${parts.join(GUTTER)}\n`;
  }
}

/** A whole table at once. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], color: boolean): string {
  return new Table(columns, color).lines(rows);
}
