/**
 * Writes conf/full.yaml and docs/config.md from the schema, so that neither can say anything the program does not do.
 * `npx tsx scripts/generate-config-docs.ts` writes them; a test compares what is on disk with what this makes.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FORMATS } from '../src/control/config/format.js';
import { SCHEMA, type Key, type Section, type SectionName } from '../src/control/config/schema.js';
import { allowedFor } from '../src/control/config/validate.js';

/** A key's value in YAML, or the keys of the map it takes. */
type Example = string | { readonly [key: string]: Example };

/** The things of full.yaml: for each name, the keys that are set. Keys without a default that are not set stand as comments. */
export const EXAMPLES: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, Example>>>>>> = {
  links: {
    lan: { type: 'tap', device: 'weir-lan', addresses: '[10.0.1.1/24]' },
    wan1: { type: 'raw', device: 'eth1', addresses: '[203.0.113.2/24]' },
    wan2: { type: 'tap', device: 'weir-wan2', addresses: '[198.51.100.2/24]' },
    host: { type: 'tun', device: 'weir0', addresses: '[100.64.0.1/30]', peer: '100.64.0.2' },
  },
  routes: {
    default: { to: '0.0.0.0/0', group: 'internet' },
    office: { to: '10.20.0.0/16', via: '10.0.1.254' },
    lab: { to: '10.30.0.0/24', link: 'lan' },
    nowhere: { to: '192.168.0.0/16', refuse: 'unreachable' },
  },
  uplinks: {
    isp1: {
      link: 'wan1', gateway: '203.0.113.1', weight: '1', snat: 'auto',
      check: {
        icmp: '[192.0.2.1, 192.0.2.2]', arp: 'gateway', udp: { target: '192.0.2.3' }, tcp: 'example.com:443', http: { url: 'https://example.com/health' },
        dns: { server: '192.0.2.53' }, script: { command: '[/usr/local/lib/weir/check-isp, isp1]' }, need: '2',
        loss: { fail: '40%', recover: '10%' }, latency: { fail: '1s', recover: '500ms' }, jitter: { fail: '200ms', recover: '100ms' }, damping: {},
      },
    },
    isp2: { link: 'wan2', gateway: '198.51.100.1', weight: '1', snat: '198.51.100.254' },
  },
  groups: {
    internet: { uplinks: '[isp1, isp2]', tiers: '{ isp2: 2 }', affinity: { by: 'source', timeout: '10m' }, onRecover: 'drain' },
    bulk: { uplinks: '[isp2]', lastResort: { group: 'internet' } },
  },
  policies: {
    voip: { in: 'lan', from: '10.0.1.0/26', protocol: 'udp', ports: '[5060, 16384-32767]', group: 'internet', prefer: 'isp1', affinity: { by: 'source', timeout: '1h' } },
    'by-the-routes': { to: '192.0.2.128/25', exclude: 'true' },
    backups: { from: '10.0.1.64/28', protocol: 'tcp', ports: '873', group: 'bulk' },
  },
  virtualServers: {
    shop: {
      listen: '203.0.113.2:8080/tcp', scheduler: { name: 'mh', fallBack: 'true' }, persistence: { timeout: '5m', mask: '32' }, slowStart: '30s', sorry: '10.0.1.99:80',
      quorum: { weight: '2', hysteresis: '1' },
      check: { icmp: '{}', udp: { port: '9' }, tcp: { port: '80' }, http: { path: '/health' }, dns: { name: 'example.com' }, script: { command: '[/usr/local/lib/weir/check-server, "{address}", "{port}"]' } },
      realServers: { shop1: { address: '10.0.1.21:80', upper: '1000', lower: '750' }, shop2: { address: '10.0.1.22:8000', weight: '2' } },
    },
  },
  portForwards: {
    web: { uplink: 'isp1', listen: '443/both', to: '10.0.1.11' },
    wiki: { uplink: 'isp2', listen: '198.51.100.2:8000-8009/tcp', to: '10.0.1.12:9000-9009' },
  },
  oneToOne: {
    mail: { uplink: 'isp1', external: '203.0.113.10', internal: '10.0.1.20' },
  },
  noNat: {
    partner: { in: 'lan', out: 'wan2', from: '10.0.1.0/24', to: '192.0.2.0/24', protocol: 'tcp' },
  },
  filters: {
    'no-file-shares': { action: 'reject', in: '[lan, host]', out: '[wan1, wan2]', from: '10.0.0.0/8', protocol: 'tcp', ports: '[139, 445]' },
    'not-too-many': { action: 'drop', out: '[wan1, wan2]', state: 'new', over: { rate: '200/s', burst: '400', by: 'source' } },
    'mail-by-the-server': { action: 'accept', from: '10.0.1.20', protocol: 'tcp', ports: '25' },
    'no-other-mail': { action: 'reject', out: '[wan1, wan2]', protocol: 'tcp', ports: '25' },
  },
  vrrp: {
    'lan-side': {
      link: 'lan', id: '51', priority: '200', addresses: '[10.0.1.251]', interval: '100ms', syncGroup: 'gateway', track: '[isp1, { name: shop, weight: 50 }]',
      announcements: {},
    },
    'wan-side': { link: 'wan2', id: '52', priority: '200', addresses: '[198.51.100.254]', interval: '100ms', syncGroup: 'gateway', peers: '[198.51.100.3]' },
    old: { link: 'lan', id: '53', version: '2', addresses: '[10.0.1.252]', password: 'sesame' },
  },
};

/** Helpers that are on by default are shown with the keys they have, and sharing as it is with a store. */
export const SETTINGS: Readonly<Record<string, Readonly<Record<string, Example>>>> = {
  algs: { ftp: { ports: '[21]' } },
  share: { store: 'redis', instance: 'gw1', redis: { url: 'rediss://redis.example.com:6379/0', tls: {} } },
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
  const text = Array.isArray(key.default) ? `[${key.default.join(', ')}]` : String(key.default);
  // A text that ends in a colon would be a key.
  return text.endsWith(':') ? JSON.stringify(text) : text;
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

/** A key without a default as it could be set. */
function unset(name: string, { instead, example }: Key, indent: string): string {
  return `${indent}#${instead === undefined ? '' : 'or '}${name}: ${example}`;
}

/** A key with its value, and with the keys of its map where it is one. */
function setKey(name: string, key: Key, value: Example, indent: string, isExplained: boolean): string[] {
  const lines = isExplained ? [] : comment(key, indent);
  if (typeof value === 'string') return [...lines, `${indent}${name}: ${value}`];
  lines.push(`${indent}${name}:`);
  if (key.each !== undefined) {
    Object.entries(value).forEach(([thing, keys], index) => {
      const [, ...rest] = setKey(thing, { ...key.each!, doc: '' }, keys, `${indent}  `, isExplained || index > 0).slice(isExplained || index > 0 ? 0 : comment({ ...key.each!, doc: '' }, '').length);
      lines.push(`${indent}  ${thing}:`, ...rest);
    });
    return lines;
  }
  for (const [inner, schema] of Object.entries(key.part!.keys)) {
    const innerValue = value[inner] ?? defaultText(schema);
    if (innerValue !== undefined) lines.push(...setKey(inner, schema, innerValue, `${indent}  `, isExplained));
    else if (!isExplained) lines.push(...comment(schema, `${indent}  `), unset(inner, schema, `${indent}  `));
  }
  return lines;
}

/** conf/full.yaml. */
export function fullYaml(): string {
  const lines = [
    '# Every key of the configuration: what it does, what it may be, and its default. Made from the schema; do not edit.',
    '# Named things (links, routes, uplinks, groups, policies and rules) are examples. A key behind a "#" without a space has no default',
    '# and is not set; take the "#" away to set it. One behind "#or" stands instead of another. Check a file with: weir check -c FILE',
  ];
  for (const [name, section] of sections()) {
    lines.push('', ...wrap(section.doc, '#'), `${name}:`);
    if (!section.named) {
      for (const [key, schema] of keysOf(section)) {
        const value = SETTINGS[name]?.[key] ?? defaultText(schema);
        lines.push(...(value === undefined ? [...comment(schema, '  '), unset(key, schema, '  ')] : setKey(key, schema, value, '  ', false)));
      }
      continue;
    }
    const explained = new Set<string>();
    for (const [thing, values] of Object.entries(EXAMPLES[name])) {
      lines.push(`  ${thing}:`);
      const setsTarget = name === 'routes';
      for (const [key, schema] of keysOf(section)) {
        if (schema.types !== undefined && !(schema.types as readonly string[]).includes(String(values.type))) continue;
        const value = values[key] ?? defaultText(schema);
        // A route has one target, and keys of another thing's would only be in the way; so would those a later thing sets.
        const isLater = Object.entries(EXAMPLES[name]).some(([other, set]) => other !== thing && set[key] !== undefined);
        if (value === undefined && (setsTarget || explained.has(key) || isLater)) continue;
        if (value === undefined) lines.push(...comment(schema, '    '), unset(key, schema, '    '));
        else lines.push(...setKey(key, schema, value, '    ', explained.has(key)));
        explained.add(key);
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

/** A key, the keys of its map, those of their maps, and so on. */
export function rows(name: string, key: Key): [string, Key][] {
  const things: [string, Key][] = key.each?.part === undefined ? [] : rows(`${name}.NAME`, key.each).slice(1);
  return [[name, key], ...things, ...Object.entries(key.part?.keys ?? {}).flatMap(([inner, schema]) => rows(`${name}.${inner}`, schema))];
}

function table(section: Section<unknown>): string[] {
  return [
    '| key | type | default | allowed | what it does |',
    '|---|---|---|---|---|',
    ...keysOf(section).flatMap(([name, key]) => rows(name, key)).map(([name, key]) => {
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
  const later = sections().flatMap(([name, section]) => section.later.map((key) => `${name}.${section.named ? 'NAME.' : ''}${key}`));
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
    'A map keeps its order: what a later file adds comes behind what is there, and what it changes stays in its place. For filters, whose order',
    'decides, this means that a filter of a drop-in comes after those of FILE and of the drop-ins before it; a last filter that catches the rest',
    'belongs into the drop-in with the last name.',
    '',
    'Anchors, aliases and merge keys (`<<`) work within a file. Tags, keys given twice and unknown keys are errors.',
    '',
    '## Errors',
    '',
    'All errors are told at once, in the order of files and lines, and nothing is applied when there is one:',
    '',
    '```',
    'weir.yaml:4:12: links.lan.mtu: found 100, allowed: 576 to 65535',
    'weir.yaml:9:5: uplinks.isp1.wieght: found an unknown key (did you mean weight?), allowed: link, gateway, weight, snat, mapping, …',
    '```',
    '',
    'Warnings look the same, with `warning:` behind the path; a configuration with warnings is used.',
    '',
    '## Names and durations',
    '',
    'Links, routes, uplinks, groups, policies and rules are maps from names to things. A name has 1 to 32 lower-case letters, digits and `-`, and begins with a letter.',
    '',
    'A duration is a row of whole numbers with units, largest first: `90s`, `5m`, `2h4m`, `1d`. The units are `d`, `h`, `m`, `s` and `ms`.',
    '',
    '## How an uplink is chosen, and what becomes of flows',
    '',
    'An uplink is usable when its link has carrier, its gateway answers ARP, its `check` (if it has one) says so, and nobody has drained it by',
    'hand. A check asks all its targets at once every `interval`; the round is good when `need` of them answered within `timeout`. After `fall`',
    'bad rounds in a row the uplink is down, after `rise` good ones it is up again, and `loss`, `latency` and `jitter` over the last `window`',
    'rounds can keep it down as well. What is asked leaves by the uplink itself and bears its address, also while no flow may use it.',
    '',
    'A new flow goes to the group that the first matching policy names, else to that of its route. Within the group the lowest tier with a usable',
    'uplink serves: `prefer` comes first, then what affinity remembers, then the weights. When none is usable, `lastResort` decides. A flow stays',
    'on its uplink; only when that goes down, or a better tier comes back, do `onDown` and `onRecover` decide what becomes of it, in the same step',
    'in which new flows go elsewhere, and `onDown` never ends a flow that has nowhere better to go.',
    '',
    '## How rules come together',
    '',
    'For a packet that opens a flow, in this order: `portForwards` and `oneToOne` may turn its destination inside; the routes choose the link or',
    'uplink it leaves by; `filters` judge it, with the inside address and port as its destination and its source as it came; a flow that leaves',
    'by an uplink is translated unless it is one of `noNat`, by `oneToOne` where its source has an external address of its own, else to what',
    '`snat` says. The packets behind the first follow it.',
    '',
    'Keys of `noNat` and `filters` take one value or a list of them, links by name, addresses alone or as prefixes, ports alone or as ranges.',
    'A rule that can never match is an error: an exception or a filter that another one before it has taken everything from, ports of a protocol',
    'without them, a server that only the default route leads to.',
  ];
  for (const [name, section] of sections()) {
    lines.push('', `## ${name}${section.named ? '.NAME' : ''}`, '', section.doc, '', ...table(section));
  }
  lines.push(
    '', '## Not in this version', '',
    'These keys are part of the configuration\'s design and are refused by name until the part they belong to is there:',
    '', ...later.map((key) => `- \`${key}\``),
  );
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(dirname(fileURLToPath(import.meta.url)), '..');
  writeFileSync(join(root, 'conf/full.yaml'), fullYaml());
  writeFileSync(join(root, 'docs/config.md'), configDocs());
}
