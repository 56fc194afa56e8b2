/** Names that refer to things: told where they stand when there is no such thing. */
import type { Findings } from './findings.js';
import { didYouMean, oneOf } from './near.js';
import { asList } from './rule-text.js';
import type { Item, Things } from './validate.js';

/** The thing a reference names; an error when there is none. Nothing is told of names whose things were refused themselves. */
export function find<T>(things: Things<T>, kind: string, name: string, tell: (found: string, allowed: string) => void): Item<T> | undefined {
  const item = things.byName.get(name);
  if (item !== undefined || things.broken.has(name) || things.refused) return item;
  const names = [...things.byName.keys()];
  tell(`${JSON.stringify(name)}${didYouMean(name, names)}`, names.length === 0 ? `the name of ${kind}, of which there is none` : `the name of ${kind}: ${oneOf(names)}`);
  return undefined;
}

/** The same for a key that takes a name or a list of names; undefined when the key is absent, or when one of its names is unknown. */
export function findAll<T, K>(item: Item<K>, key: keyof K & string, things: Things<T>, kind: string, findings: Findings): Item<T>[] | undefined {
  const value = item.values[key] as string | string[] | undefined;
  if (value === undefined) return undefined;
  const isList = Array.isArray(value);
  const found = asList(value).map((name, index) => name === '' ? undefined : find(things, kind, name, (what, allowed) =>
    findings.error(item.at(key, index), [...item.steps, key, ...(isList ? [index] : [])], what, allowed)));
  return found.every((one) => one !== undefined) ? found : undefined;
}
