/**
 * The text format that Prometheus reads (version 0.0.4): families of samples, each family with its sentence and its type before its first sample. What is
 * written is whole by itself: names and labels are checked as they are given, for a bad one would make the whole page unreadable to who fetches it.
 */

export type MetricType = 'counter' | 'gauge';
export type Labels = Readonly<Record<string, string>>;

/** What a page of metrics is served as. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

function formatValue(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value);
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    if (!LABEL_NAME.test(name) || name.startsWith('__')) throw new RangeError(`'${name}' is no name of a label`);
    return `${name}="${value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')}"`;
  });
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

/** Samples of one name. */
interface Family { help: string; type: MetricType; samples: Map<string, number> }

export class MetricsPage {
  readonly #families = new Map<string, Family>();

  /** A family, before its samples: `help` is one sentence. */
  family(name: string, type: MetricType, help: string): (value: number | null, labels?: Labels) => void {
    if (!METRIC_NAME.test(name)) throw new RangeError(`'${name}' is no name of a metric`);
    if ((type === 'counter') !== name.endsWith('_total')) throw new RangeError(`${name} is a ${type}: the names of counters end in _total, and no others`);
    // OpenMetrics calls a counter by its name without _total, and a gauge of that name would be the same family.
    if (this.#families.has(type === 'counter' ? name.slice(0, -'_total'.length) : `${name}_total`)) throw new RangeError(`${name} differs from another name by _total alone`);
    if (this.#families.has(name)) throw new RangeError(`${name} is there already`);
    const family: Family = { help, type, samples: new Map() };
    this.#families.set(name, family);
    return (value, labels = {}) => {
      // What is not known is not there: a number would be taken for one that was measured.
      if (value === null) return;
      const key = formatLabels(labels);
      if (family.samples.has(key)) throw new RangeError(`${name}${key} is there already`);
      family.samples.set(key, value);
    };
  }

  /** Families without samples are left out. */
  toString(): string {
    let text = '';
    for (const [name, { help, type, samples }] of this.#families) {
      if (samples.size === 0) continue;
      text += `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${type}\n`;
      for (const [labels, value] of samples) text += `${name}${labels} ${formatValue(value)}\n`;
    }
    return text;
  }
}
