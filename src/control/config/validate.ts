/**
 * From the merged tree to values that each satisfy their key's schema: convict checks every value and fills in the
 * defaults, one instance for each named thing, and every complaint finds its way back to the value's own place. Unknown
 * keys, missing keys and names are judged here too; how things fit together is `plan.ts`'s concern.
 */
import convict from 'convict';
import type { Findings, Place, Step } from './findings.js';
import { FORMATS, type Complaint, type FormatName } from './format.js';
import { and, didYouMean } from './near.js';
import { describe, type MapEntry, type MapNode, type ValueNode } from './parse.js';
import type { VirtualServerKeys } from './server-schema.js';
import type { ShareKeys, VrrpKeys } from './share-schema.js';
import { maskUrl } from './share-text.js';
import {
  NAME, NAME_ALLOWED, SCHEMA,
  type AlgsKeys, type ControlKeys, type FilterKeys, type GroupKeys, type HooksKeys, type Key, type Keys, type LimitsKeys, type LinkKeys, type NoNatKeys,
  type OneToOneKeys, type PolicyKeys, type PortForwardKeys, type RouteKeys, type Section, type TcpKeys, type TimeoutsKeys, type UplinkKeys,
} from './schema.js';

/** One named thing, or a section without names: its valid values, and where each of its keys stands. */
export class Item<T> {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Where its name stands. */
  readonly place: Place;
  /** Given and valid, or defaulted. In a list of which some items were refused, those are empty texts. */
  readonly values: Partial<T>;
  readonly #entries: ReadonlyMap<string, MapEntry>;
  readonly #refused: ReadonlySet<string>;
  readonly #parts: ReadonlyMap<string, Item<unknown>>;

  constructor(
    name: string, steps: readonly Step[], place: Place, values: Partial<T>, entries: ReadonlyMap<string, MapEntry>, refused: ReadonlySet<string>,
    parts: ReadonlyMap<string, Item<unknown>>,
  ) {
    this.name = name;
    this.steps = steps;
    this.place = place;
    this.values = values;
    this.#entries = entries;
    this.#refused = refused;
    this.#parts = parts;
  }

  /** The map that stands as a key's value, or as an item of its list, for a key that takes one. */
  part<P>(key: keyof T & string, index?: number): Item<P> | undefined {
    return this.#parts.get(index === undefined ? key : `${key}[${index}]`) as Item<P> | undefined;
  }

  /** True when the key stands in a file, valid or not. */
  given(key: keyof T & string): boolean {
    return this.#entries.has(key);
  }

  /** True when the key stands in a file and was refused, all of it or an item: what depends on it needs no complaint of its own. */
  refused(key: keyof T & string): boolean {
    return this.#refused.has(key);
  }

  /** Where the value of a key, or an item of its list, stands; the name's place when the key is not given. */
  at(key: keyof T & string, index?: number): Place {
    const value = this.#entries.get(key)?.value;
    if (value === undefined) return this.place;
    return index !== undefined && value.kind === 'list' ? value.items[index].place : value.place;
  }

  /** The keys that stand in a file, for a map from names. */
  names(): string[] {
    return [...this.#entries.keys()];
  }

  /** True when a key stands in a file that is none of these. */
  hasOthers(known: readonly string[]): boolean {
    return [...this.#entries.keys()].some((key) => !known.includes(key));
  }

  /** True when the value of a key is a list. */
  isList(key: keyof T & string): boolean {
    return this.#entries.get(key)?.value.kind === 'list';
  }

  keyAt(key: keyof T & string): Place {
    return this.#entries.get(key)?.place ?? this.place;
  }

  /** How a value is shown behind "found". */
  show(key: keyof T & string, index?: number): string {
    const value = this.#entries.get(key)?.value;
    if (value === undefined) return 'nothing';
    return describe(index !== undefined && value.kind === 'list' ? value.items[index] : value);
  }
}

/** The named things of a section. */
export interface Things<T> {
  items: Item<T>[];
  byName: ReadonlyMap<string, Item<T>>;
  /** Names that stand in the file but were too wrong to become items. */
  broken: ReadonlySet<string>;
  /** The section as a whole was refused, so nothing is known of its names. */
  refused: boolean;
}

export interface Values {
  links: Things<LinkKeys>;
  routes: Things<RouteKeys>;
  uplinks: Things<UplinkKeys>;
  groups: Things<GroupKeys>;
  policies: Things<PolicyKeys>;
  virtualServers: Things<VirtualServerKeys>;
  portForwards: Things<PortForwardKeys>;
  oneToOne: Things<OneToOneKeys>;
  noNat: Things<NoNatKeys>;
  filters: Things<FilterKeys>;
  tcp: Item<TcpKeys>;
  algs: Item<AlgsKeys>;
  vrrp: Things<VrrpKeys>;
  share: Item<ShareKeys>;
  limits: Item<LimitsKeys>;
  timeouts: Item<TimeoutsKeys>;
  hooks: Item<HooksKeys>;
  control: Item<ControlKeys>;
  /** Where things stand that no file mentions. */
  start: Place;
}

/** What convict hands to a format besides the value: our key, and whom to tell. */
interface ReportingKey extends Key { report(complaints: Complaint[]): void }

for (const name of Object.keys(FORMATS) as FormatName[]) {
  convict.addFormat({
    name: `weir-${name}`,
    validate(value: unknown, key: convict.SchemaObj): void {
      const reporting = key as unknown as ReportingKey;
      const complaints = FORMATS[name].judge(value, reporting);
      if (complaints.length === 0) return;
      reporting.report(complaints);
      throw new Error('refused');
    },
  });
}

/** What a key accepts, in words. */
export function allowedFor(key: Key): string {
  return FORMATS[key.format].allowed(key);
}

/**
 * A value as plain data. What comes here is at most a list of scalars, so what lies deeper is only shown to be there: no key of
 * the file ever becomes a property, and a list that aliases blow up is never written out.
 */
function plain(node: ValueNode): unknown {
  const shallow = (value: ValueNode): unknown => (value.kind === 'scalar' ? value.value : {});
  return node.kind === 'list' ? node.items.map(shallow) : shallow(node);
}

/** A key nobody knows, or not yet. */
function tellUnknown(findings: Findings, steps: readonly Step[], entry: MapEntry, key: string, known: readonly string[], later: readonly string[]): void {
  const found = later.includes(key) ? 'a key this version does not support' : `an unknown key${didYouMean(key, known)}`;
  findings.error(entry.place, steps, found, and(known));
}

/** The values of one map of keys; those that are wrong are told and left out. */
function readItem<T>(section: Section<T>, name: string, steps: readonly Step[], place: Place, node: MapNode, findings: Findings): Item<T> {
  const keys: Keys<T> = section.keys;
  const known = Object.keys(keys) as (keyof T & string)[];
  const given: Record<string, unknown> = {};
  const refused = new Set<string>();
  const refusedItems = new Map<string, Set<number>>();
  const definition: Record<string, convict.SchemaObj> = {};
  const parts = new Map<string, Item<unknown>>();

  for (const key of known) {
    const entry = keys[key];
    definition[key] = {
      ...entry,
      format: `weir-${entry.format}`,
      report(complaints: Complaint[]): void {
        const value = node.entries.get(key)?.value;
        if (value === undefined) throw new Error(`the default of ${key} does not satisfy its own schema`);
        refused.add(key);
        for (const complaint of complaints) {
          const { index, remark, allowed = allowedFor(entry) } = complaint;
          if (index !== undefined) refusedItems.set(key, (refusedItems.get(key) ?? new Set()).add(index));
          const at = index !== undefined && value.kind === 'list' ? value.items[index] : value;
          findings.error(at.place, [...steps, key, ...(index === undefined ? [] : [index])], describe(at) + (remark === '' ? '' : ` (${remark})`), allowed);
        }
      },
    };
  }

  for (const key of known) {
    const { secret } = keys[key];
    const value = secret === undefined ? undefined : node.entries.get(key)?.value;
    if (value?.kind === 'scalar' && value.value !== null) value.shown = secret === 'url' && typeof value.value === 'string' ? JSON.stringify(maskUrl(value.value)) : 'a value that is not shown';
  }

  const readPart = (key: string, { one, keys: partKeys }: NonNullable<Key['part']>, partPlace: Place, map: MapNode, index?: number): void => {
    const before = findings.errorCount;
    const partSteps = [...steps, key, ...(index === undefined ? [] : [index])];
    parts.set(index === undefined ? key : `${key}[${index}]`,
      readItem<unknown>({ named: false, one, doc: '', keys: partKeys as Keys<unknown>, later: [] }, key, partSteps, partPlace, map, findings));
    if (findings.errorCount > before) refused.add(key);
  };
  for (const [key, entry] of node.entries) {
    const { part, each, short } = known.includes(key as keyof T & string) ? keys[key as keyof T] : {} as Partial<Key>;
    if (!known.includes(key as keyof T & string)) {
      tellUnknown(findings, [...steps, key], entry, key, known, section.later);
    } else if (entry.value.kind === 'refused') {
      refused.add(key);
    } else if (entry.value.kind === 'map' && part !== undefined) {
      readPart(key, part, entry.place, entry.value);
    } else if (entry.value.kind === 'map' && each !== undefined) {
      const before = findings.errorCount;
      parts.set(key, readEach(each, keys[key as keyof T].of!, key, [...steps, key], entry.place, entry.value, findings));
      if (findings.errorCount > before) refused.add(key);
    } else if (entry.value.kind === 'list' && part !== undefined && short !== undefined) {
      given[key] = plain(entry.value);
      entry.value.items.forEach((item, index) => {
        if (item.kind === 'map') readPart(key, part, item.place, item, index);
        // A list is what its short key has, such as a command line among others.
        if (item.kind === 'list') readPart(key, part, item.place, { kind: 'map', place: item.place, entries: new Map([[short, { place: item.place, value: item }]]) }, index);
      });
    } else if (entry.value.kind === 'map') {
      // This key takes no map, and convict would look inside.
      refused.add(key);
      findings.error(entry.value.place, [...steps, key], 'a map', allowedFor(keys[key as keyof T]));
    } else {
      given[key] = plain(entry.value);
    }
  }
  for (const key of known) {
    if (keys[key].required && !node.entries.has(key)) {
      findings.error(place, [...steps, key], 'nothing', `${allowedFor(keys[key])}; ${section.one} needs it`);
    }
  }

  // No environment and no arguments: what is in the files is all that counts.
  const config = convict<Record<string, unknown>>(definition, { env: {}, args: [] });
  config.load(given);
  try {
    config.validate({ allowed: 'strict' });
  } catch (error) {
    // Convict tells of all refusals in one text; each has already been told with its place.
    if (refused.size === 0) throw error;
  }
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(config.getProperties())) {
    const items = refusedItems.get(key);
    if (items !== undefined && Array.isArray(value)) values[key] = value.map((item: unknown, index) => (items.has(index) ? '' : item));
    else if (value !== undefined && !refused.has(key)) values[key] = value;
  }
  for (const key of known) {
    const { format, part, short = '' } = keys[key];
    if (refused.has(key)) {
      if (part !== undefined) delete values[key];
    } else if (format === 'targets' && part !== undefined && node.entries.has(key)) {
      values[key] = targets(part, short, parts, key, values[key]);
    } else if (parts.has(key)) {
      values[key] = parts.get(key)!.values;
    }
  }
  return new Item<T>(name, steps, place, values as Partial<T>, node.entries, refused, parts);
}

/** What names are to something: a value for each, told in its own place. The names themselves are looked up by whoever knows them. */
function readEach(each: Key, of: string, name: string, steps: readonly Step[], place: Place, node: MapNode, findings: Findings): Item<unknown> {
  // A name may be any word, and must not find what objects have by themselves.
  const values = Object.create(null) as Record<string, unknown>;
  const parts = new Map<string, Item<unknown>>();
  const refused = new Set<string>();
  for (const [key, entry] of node.entries) {
    if (!NAME.test(key)) {
      findings.error(entry.place, [...steps, key], `the name ${JSON.stringify(key)}`, each.part === undefined ? `the name of ${of}` : NAME_ALLOWED);
      continue;
    }
    if (entry.value.kind === 'refused') {
      refused.add(key);
      continue;
    }
    if (entry.value.kind === 'map' && each.part !== undefined) {
      const before = findings.errorCount;
      const { one, keys } = each.part;
      const part = readItem<unknown>({ named: true, one, doc: '', keys: keys as Keys<unknown>, later: [] }, key, [...steps, key], entry.place, entry.value, findings);
      parts.set(key, part);
      if (findings.errorCount > before) refused.add(key);
      else values[key] = part.values;
      continue;
    }
    const value = plain(entry.value);
    const complaints = FORMATS[each.format].judge(value, each);
    for (const { remark, allowed = allowedFor(each) } of complaints) {
      findings.error(entry.value.place, [...steps, key], describe(entry.value) + (remark === '' ? '' : ` (${remark})`), allowed);
    }
    if (complaints.length === 0) values[key] = value;
  }
  return new Item<unknown>(name, steps, place, values, node.entries, refused, parts);
}

/** The values of a `targets` key as maps with all their keys, whether they were written as maps or as what stands for one. */
function targets(part: NonNullable<Key['part']>, short: string, parts: ReadonlyMap<string, Item<unknown>>, key: string, value: unknown): unknown[] {
  const whole = parts.get(key);
  if (whole !== undefined) return [whole.values];
  const defaults = Object.fromEntries(Object.entries(part.keys).flatMap(([name, { default: fallback }]) => (fallback === undefined ? [] : [[name, fallback]])));
  const isOne = !Array.isArray(value) || (part.keys[short].format === 'command' && value.every((word) => typeof word === 'string'));
  const items: unknown[] = isOne ? [value] : value;
  return items.map((item, index) => parts.get(`${key}[${index}]`)?.values ?? { ...defaults, [short]: item });
}

function readNamed<T>(section: Section<T>, sectionName: string, tree: MapNode, findings: Findings): Things<T> {
  const items: Item<T>[] = [];
  const broken = new Set<string>();
  const entry = tree.entries.get(sectionName);
  const node = sectionNode(section, sectionName, entry, findings);
  for (const [name, thing] of node?.entries ?? []) {
    const steps = [sectionName, name];
    const named = NAME.test(name);
    if (!named) findings.error(thing.place, steps, `the name ${JSON.stringify(name)}`, NAME_ALLOWED);
    if (thing.value.kind !== 'map') {
      if (thing.value.kind !== 'refused') findings.error(thing.value.place, steps, describe(thing.value), `a map of ${and(Object.keys(section.keys))}`);
      broken.add(name);
      continue;
    }
    if (section.most !== undefined && items.length === section.most) {
      findings.error(thing.place, steps, `one of ${node!.entries.size}`, `${section.most} ${sectionName} at most`);
      break;
    }
    items.push(readItem(section, name, steps, thing.place, thing.value, findings));
  }
  return { items, byName: new Map(items.map((item) => [item.name, item])), broken, refused: node === null };
}

/** The map of a section; undefined when it is absent or empty, null when it is (and was told to be) something else. */
function sectionNode<T>(section: Section<T>, name: string, entry: MapEntry | undefined, findings: Findings): MapNode | undefined | null {
  if (entry === undefined) return undefined;
  if (entry.value.kind === 'map') return entry.value;
  if (entry.value.kind === 'scalar' && entry.value.value === null) return undefined;
  if (entry.value.kind === 'refused') return null;
  const allowed = section.named ? `a map from names to ${name}` : `a map of ${and(Object.keys(section.keys))}`;
  findings.error(entry.value.place, [name], describe(entry.value), allowed);
  return null;
}

function readPlain<T>(section: Section<T>, name: string, tree: MapNode, findings: Findings): Item<T> {
  const entry = tree.entries.get(name);
  const node = sectionNode(section, name, entry, findings) ?? { kind: 'map' as const, place: tree.place, entries: new Map() };
  return readItem(section, name, [name], entry?.place ?? tree.place, node, findings);
}

/** Everything a tree says, checked key by key. */
export function validate(tree: MapNode, findings: Findings): Values {
  const sections = Object.keys(SCHEMA);
  for (const [key, entry] of tree.entries) {
    if (!sections.includes(key)) tellUnknown(findings, [key], entry, key, sections, []);
  }
  return {
    links: readNamed(SCHEMA.links, 'links', tree, findings),
    routes: readNamed(SCHEMA.routes, 'routes', tree, findings),
    uplinks: readNamed(SCHEMA.uplinks, 'uplinks', tree, findings),
    groups: readNamed(SCHEMA.groups, 'groups', tree, findings),
    policies: readNamed(SCHEMA.policies, 'policies', tree, findings),
    virtualServers: readNamed(SCHEMA.virtualServers, 'virtualServers', tree, findings),
    portForwards: readNamed(SCHEMA.portForwards, 'portForwards', tree, findings),
    oneToOne: readNamed(SCHEMA.oneToOne, 'oneToOne', tree, findings),
    noNat: readNamed(SCHEMA.noNat, 'noNat', tree, findings),
    filters: readNamed(SCHEMA.filters, 'filters', tree, findings),
    tcp: readPlain(SCHEMA.tcp, 'tcp', tree, findings),
    algs: readPlain(SCHEMA.algs, 'algs', tree, findings),
    vrrp: readNamed(SCHEMA.vrrp, 'vrrp', tree, findings),
    share: readPlain(SCHEMA.share, 'share', tree, findings),
    limits: readPlain(SCHEMA.limits, 'limits', tree, findings),
    timeouts: readPlain(SCHEMA.timeouts, 'timeouts', tree, findings),
    hooks: readPlain(SCHEMA.hooks, 'hooks', tree, findings),
    control: readPlain(SCHEMA.control, 'control', tree, findings),
    start: tree.place,
  };
}

