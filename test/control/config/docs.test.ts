/** The generated files and the scenarios: up to date, complete, and configurations themselves. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { configDocs, EXAMPLES, fullYaml, rows, SETTINGS } from '../../../scripts/generate-config-docs.js';
import { loadConfig } from '../../../src/control/config/index.js';
import { SCHEMA, type Key } from '../../../src/control/config/schema.js';
import { compile } from './support.js';

const ROOT = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');
const KEYS = Object.entries(SCHEMA).flatMap(([section, { named, keys }]) =>
  Object.entries(keys as Record<string, Key>).map(([key, schema]) => ({ section, named, key, schema })));

for (const [path, make] of [['conf/full.yaml', fullYaml], ['docs/config.md', configDocs]] as const) {
  test(`${path} is what the schema says: npx tsx scripts/generate-config-docs.ts writes it`, () => {
    assert.is(read(path), make());
  });
}

test('every configuration in conf/ is one, without errors and without warnings', () => {
  const names = readdirSync(new URL('conf/', ROOT)).filter((name) => name.endsWith('.yaml'));
  assert.ok(names.includes('full.yaml') && names.includes('multiwan.yaml') && names.includes('multiwan-raw.yaml') && names.includes('dual-wan.yaml'));
  for (const name of names) assert.equal(loadConfig(fileURLToPath(new URL(`conf/${name}`, ROOT))).warnings, [], name);
});

/** A key is in at least one of the places it can be, and where it is not explained otherwise its value is the default. */
function holds(path: string, key: string, schema: Key, places: readonly Record<string, unknown>[], isSetSomewhere: (value: unknown) => boolean): void {
  const values = places.flatMap((place) => (key in place ? [place[key]] : []));
  assert.ok(values.length > 0, path);
  const { part, default: fallback } = schema;
  const maps = values.filter((value): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value));
  if (part !== undefined && maps.length > 0) {
    for (const [inner, innerSchema] of Object.entries(part.keys)) holds(`${path}.${inner}`, inner, innerSchema, maps, isSetSomewhere);
  } else if (fallback !== undefined && !values.some((value) => JSON.stringify(value) === JSON.stringify(fallback))) {
    // An example sets something else: then that is what the key is there for.
    assert.ok(values.some(isSetSomewhere), path);
  }
}

test('full.yaml holds every key, and every default is the default', () => {
  const text = fullYaml();
  const whole = parse(text.replace(/^( +)#(?:or )?([A-Za-z]+: )/gm, '$1$2')) as Record<string, Record<string, unknown>>;
  const examples = JSON.stringify([EXAMPLES, SETTINGS]);
  for (const { section, named, key, schema } of KEYS) {
    const places = named ? Object.values(whole[section]) as Record<string, unknown>[] : [whole[section]];
    holds(`${section}.${key}`, key, schema, places, (value) => examples.includes(String(value)));
  }
  // Set or not, the keys that have defaults make the same plan.
  const stripped = text.split('\n').filter((line) => {
    const match = /^ +([A-Za-z]+): (.+)$/.exec(line);
    return match === null || !KEYS.some(({ key, schema }) => key === match[1] && String(schema.default) === match[2]);
  }).join('\n');
  assert.is.not(stripped, text);
  assert.equal(compile(stripped), compile(text));
});

test('the keys full.yaml only shows can be set as shown', () => {
  const text = fullYaml();
  const set = text.replace(/^( +)#([A-Za-z]+: )/gm, '$1$2');
  assert.is.not(set, text);
  const { plan, errors } = compile(set);
  assert.equal(errors, []);
  assert.is(plan!.links[0].netns, 'lab');
  assert.is(plan!.links[3].peer, '100.64.0.2');
  assert.is(plan!.control.group, 'weir');
});

test('every key has one sentence', () => {
  for (const { section, key, schema } of KEYS) {
    for (const [path, { doc }] of rows(`${section}.${key}`, schema)) assert.match(doc, /^[A-Z].*[^.]\.$/, path);
  }
});

test('dual-wan is what its comments say', () => {
  const { plan } = loadConfig(fileURLToPath(new URL('conf/dual-wan.yaml', ROOT)), { seed: 1 });
  assert.equal(plan.uplinks.map(({ check, pin }) => [check!.probes.map(({ kind }) => kind), check!.need, pin]), [[['icmp', 'icmp', 'dns'], 2, '169.254.119.1'], [['arp', 'udp'], 2, '169.254.119.2']]);
  assert.equal(plan.groups.map(({ tiers, onDown, onRecover, affinity }) => [tiers, onDown, onRecover, affinity?.timeout]), [[[1, 2], 'reset', 'drain', undefined], [[1, 1], 'reset', 'keep', 600]]);
  assert.equal(plan.policies.map(({ name, group, prefer }) => [name, group, prefer]), [['telephones', 0, 0], ['downloads', 1, undefined]]);
});

test('multiwan is the set-up of its text, in both forms', () => {
  const tap = loadConfig(fileURLToPath(new URL('conf/multiwan.yaml', ROOT)), { seed: 1 }).plan;
  const raw = loadConfig(fileURLToPath(new URL('conf/multiwan-raw.yaml', ROOT)), { seed: 1 }).plan;
  assert.equal(tap.links.map(({ device, bridge }) => [device, bridge]), [['weir-lan', 'br-lan'], ['weir-wan1', 'br-wan1'], ['weir-wan2', 'br-wan2'], ['weir0', undefined]]);
  assert.equal(raw.links.map(({ type, device }) => [type, device]), [['raw', 'eth0'], ['raw', 'eth1'], ['raw', 'eth2'], ['tun', 'weir0']]);
  for (const plan of [tap, raw]) {
    assert.equal(plan.links.flatMap(({ addresses }) => addresses.map(({ address }) => address)), ['192.168.0.1', '192.168.201.11', '192.168.201.13', '100.64.0.1']);
    assert.equal(plan.uplinks.map(({ gateway, weight, snat }) => [gateway, weight, ...snat]), [['192.168.201.1', 1, '192.168.201.11'], ['192.168.201.1', 1, '192.168.201.13']]);
    assert.equal(plan.routes, [{ name: 'default', to: '0.0.0.0/0', group: 0 }]);
    assert.is(plan.links[3].defaultRoute, true);
  }
});

test.run();
