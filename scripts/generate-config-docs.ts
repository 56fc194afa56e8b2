/**
 * Writes conf/full.yaml and docs/config.md from the schema, so that neither can say anything the program does not do.
 * `npx tsx scripts/generate-config-docs.ts` writes them; a test compares what is on disk with what this makes.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FORMATS } from '../src/control/config/format.js';
import { LATER_SECTIONS, SCHEMA, type Key, type Section, type SectionName } from '../src/control/config/schema.js';
import { allowedFor } from '../src/control/config/validate.js';

/** The things of full.yaml: for each name, the keys that are set, in YAML. Keys without a default that are not set stand as comments. */
const EXAMPLES: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>> = {
  links: {
    lan: { type: 'tap', device: 'weir-lan', addresses: '[10.0.1.1/24]' },
    wan1: { type: 'raw', device: 'eth1', addresses: '[203.0.113.2/24]' },
    wan2: { type: 'tap', device: 'weir-wan2', addresses: '[198.51.100.2/24]' },
    host: { type: 'tun', device: 'weir0', addresses: '[100.64.0.1/30]' },
  },
  routes: {
    default: { to: '0.0.0.0/0', group: 'internet' },
    office: { to: '10.20.0.0/16', via: '10.0.1.254' },
    lab: { to: '10.30.0.0/24', link: 'lan' },
    nowhere: { to: '192.168.0.0/16', refuse: 'unreachable' },
  },
  uplinks: {
    isp1: { link: 'wan1', gateway: '203.0.113.1', weight: '1', snat: 'auto' },
    isp2: { link: 'wan2', gateway: '198.51.100.1', weight: '1', snat: 'auto' },
  },
  groups: {
    internet: { uplinks: '[isp1, isp2]', balance: 'flow' },
  },
};

const WIDTH = 116;

/** Words in lines of at most WIDTH characters, each behind `lead`. */
function wrap(text: string, lead: string): string[] {
  const lines: string[] = [];
  let line = lead;
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > WIDTH && line !== lead) {
      lines.push(line);
      line = lead;
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function sections(): [SectionName, Section<unknown>][] {
  return Object.entries(SCHEMA) as [SectionName, Section<unknown>][];
}

function keysOf(section: Section<unknown>): [string, Key][] {
  return Object.entries(section.keys as Record<string, Key>);
}

function defaultText(key: Key): string | undefined {
  if (key.default === undefined) return undefined;
  return Array.isArray(key.default) ? `[${key.default.join(', ')}]` : String(key.default);
}

/** 'bytes; 576 to 65535; no default' */
function facts(key: Key): string {
  const fallback = defaultText(key);
  return [
    ...(key.types === undefined ? [] : [`${key.types.join(' and ')} only`]),
    allowedFor(key),
    ...(key.unit === undefined ? [] : [key.unit]),
    ...(key.law === undefined ? [] : [`the floor is ${key.law}'s`]),
    key.required ? 'required' : fallback === undefined ? 'no default' : `default ${fallback}`,
  ].join('; ');
}

function comment(key: Key, indent: string): string[] {
  return [...wrap(key.doc, `${indent}#`), ...wrap(`(${facts(key)})`, `${indent}#`)];
}

/** conf/full.yaml. */
export function fullYaml(): string {
  const lines = [
    '# Every key of the configuration: what it does, what it may be, and its default. Made from the schema; do not edit.',
    '# Named things (links, routes, uplinks, groups) are examples. A key behind a "#" without a space has no default and is not set;',
    '# take the "#" away to set it. Check a file with: weir check -c FILE',
  ];
  for (const [name, section] of sections()) {
    lines.push('', ...wrap(section.doc, '#'), `${name}:`);
    if (!section.named) {
      for (const [key, schema] of keysOf(section)) {
        const fallback = defaultText(schema);
        lines.push(...comment(schema, '  '), fallback === undefined ? `  #${key}: ${schema.example}` : `  ${key}: ${fallback}`);
      }
      continue;
    }
    const explained = new Set<string>();
    for (const [thing, values] of Object.entries(EXAMPLES[name])) {
      lines.push(`  ${thing}:`);
      const setsTarget = name === 'routes';
      for (const [key, schema] of keysOf(section)) {
        if (schema.types !== undefined && !(schema.types as readonly string[]).includes(values.type)) continue;
        const value = values[key] ?? defaultText(schema);
        // A route has one target, and a second key of another thing's would only be in the way.
        if (value === undefined && (setsTarget || explained.has(key))) continue;
        if (!explained.has(key)) lines.push(...comment(schema, '    '));
        explained.add(key);
        lines.push(value === undefined ? `    #${key}: ${schema.example}` : `    ${key}: ${value}`);
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function table(section: Section<unknown>): string[] {
  return [
    '| key | type | default | allowed | what it does |',
    '|---|---|---|---|---|',
    ...keysOf(section).map(([name, key]) => {
      const fallback = defaultText(key);
      const type = [FORMATS[key.format].type, ...(key.unit === undefined ? [] : [key.unit])].join(', ');
      const allowed = [
        ...(key.types === undefined ? [] : [`${key.types.join(' and ')} only`]), allowedFor(key), ...(key.law === undefined ? [] : [`the floor is ${key.law}'s`]),
      ].join('; ');
      const shown = key.required ? 'required' : fallback === undefined ? 'none' : `\`${fallback}\``;
      return `| \`${name}\` | ${cell(type)} | ${cell(shown)} | ${cell(allowed)} | ${cell(key.doc)} |`;
    }),
  ];
}

/** docs/config.md. */
export function configDocs(): string {
  const later = [...LATER_SECTIONS, ...sections().flatMap(([name, section]) => section.later.map((key) => `${name}.${section.named ? 'NAME.' : ''}${key}`))];
  const laterChoices = sections().flatMap(([name, section]) => keysOf(section)
    .filter(([, key]) => key.later !== undefined)
    .map(([key, { later: values }]) => `${name}.${section.named ? 'NAME.' : ''}${key}: ${values!.join(', ')}`));
  const lines = [
    '# The configuration',
    '',
    'Made from the schema by `scripts/generate-config-docs.ts`; do not edit. [conf/full.yaml](../conf/full.yaml) shows every key in its place.',
    '',
    '## The files',
    '',
    '`weir run -c FILE` and `weir check -c FILE` read FILE and then every `FILE.d/*.yaml` in the order of their names\' bytes. The files are YAML 1.2',
    'in UTF-8, so JSON will do, and `yes`, `no`, `on` and `off` are texts. Maps compose key by key: a drop-in can add an uplink, or change one',
    'weight, and leave the rest alone. Scalars and lists of a later file replace those of an earlier one.',
    '',
    'Anchors, aliases and merge keys (`<<`) work within a file. Tags, keys given twice and unknown keys are errors.',
    '',
    '## Errors',
    '',
    'All errors are told at once, in the order of files and lines, and nothing is applied when there is one:',
    '',
    '```',
    'weir.yaml:4:12: links.lan.mtu: found 100, allowed: 576 to 65535',
    'weir.yaml:9:5: uplinks.isp1.wieght: found an unknown key (did you mean weight?), allowed: link, gateway, weight and snat',
    '```',
    '',
    'Warnings look the same, with `warning:` behind the path; a configuration with warnings is used.',
    '',
    '## Names and durations',
    '',
    'Links, routes, uplinks and groups are maps from names to things. A name has 1 to 32 lower-case letters, digits and `-`, and begins with a letter.',
    '',
    'A duration is a row of whole numbers with units, largest first: `90s`, `5m`, `2h4m`, `1d`. The units are `d`, `h`, `m`, `s` and `ms`.',
  ];
  for (const [name, section] of sections()) {
    lines.push('', `## ${name}${section.named ? '.NAME' : ''}`, '', section.doc, '', ...table(section));
  }
  lines.push(
    '', '## Not in this version', '',
    'These keys are part of the configuration\'s design and are refused by name until the part they belong to is there:',
    '', ...later.map((key) => `- \`${key}\``), ...laterChoices.map((choice) => `- \`${choice}\``),
  );
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(dirname(fileURLToPath(import.meta.url)), '..');
  writeFileSync(join(root, 'conf/full.yaml'), fullYaml());
  writeFileSync(join(root, 'docs/config.md'), configDocs());
}
