/**
 * What stands around virtual servers and what a foreign file may not know: links with the router's own addresses, the link to the box itself, and
 * the gateway. The command line says them; what it does not say is guessed, and told as a guess.
 */
import { formatIpv4 } from '../../wire/address.js';
import { contains, networkOf, notAHost, readAddress, readPrefix, type Prefix } from '../config/ip.js';
import { NOWHERE, type ImportOptions, type LinkOption, type Notes } from './imported.js';
import type { Service } from './lvs.js';
import type { Entry } from './yaml.js';

/** The networks people have most; where another one was meant, the file must be edited anyway. */
export const GUESSED_LENGTH = 24;

/** Where the box itself can be reached: the first that is in nobody's network. */
const BOX: readonly (readonly [string, string])[] = [['100.64.0.1', '100.64.0.2'], ['100.127.255.1', '100.127.255.2'], ['169.254.118.1', '169.254.118.2']];

/** Addresses that are tried one after the other. */
const TRIES_MAX = 65_536;

/** A link as a configuration has it. */
export type Link = LinkOption;

/** The networks of links, with the router's own address in each. */
export function prefixesOf(links: readonly Link[]): Prefix[] {
  return links.flatMap(({ addresses }) => addresses.flatMap((text) => readPrefix(text) ?? []));
}

/** The router's own addresses. */
export function ownAddresses(links: readonly Link[]): Set<string> {
  return new Set(prefixesOf(links).map(({ address }) => formatIpv4(address)));
}

export function linkEntries(links: readonly Link[]): Entry[] {
  return links.map(({ name, device, addresses }): Entry => ({ key: name, value: { type: 'raw', device, addresses } }));
}

/** An address of a network that nobody has, for the router, beginning with the prefix's own address; undefined = all are taken. */
export function freeAddress(prefix: Prefix, taken: ReadonlySet<number>): number | undefined {
  const first = networkOf(prefix);
  const size = 2 ** (32 - prefix.prefixLength);
  for (let step = 0; step < Math.min(size, TRIES_MAX); step++) {
    const own = first + ((prefix.address - first + step) % size);
    if (!taken.has(own) && notAHost(prefix, own) === undefined) return own;
  }
  return undefined;
}

/** Networks of a guessed length for those of `addresses` that are in none of `around`, each with an address nobody has. */
export function networksFor(addresses: Iterable<number>, around: readonly Prefix[], taken: ReadonlySet<number>): Prefix[] {
  const found: Prefix[] = [];
  for (const address of addresses) {
    if ([...around, ...found].some((prefix) => contains(prefix, address))) continue;
    const own = freeAddress({ address: networkOf({ address, prefixLength: GUESSED_LENGTH }), prefixLength: GUESSED_LENGTH }, taken);
    if (own !== undefined) found.push({ address: own, prefixLength: GUESSED_LENGTH });
  }
  return found;
}

export const formatPrefix = ({ address, prefixLength }: Prefix): string => `${formatIpv4(address)}/${prefixLength}`;

/** Addresses services listen on, and those of their servers. */
export function addressesOf(services: readonly Service[]): { virtual: Set<number>; real: Set<number> } {
  const hostOf = (text: string): number | undefined => readAddress(text.split(':')[0]);
  return {
    virtual: new Set(services.flatMap(({ listens }) => listens.flatMap(({ texts }) => texts.flatMap((text) => hostOf(text) ?? [])))),
    real: new Set(services.flatMap(({ servers }) => [...servers.values()].flatMap(({ address }) => hostOf(address) ?? []))),
  };
}

/** Tell of links that the file does not say. */
export function tellGuess(links: readonly Link[], why: string, notes: Notes): void {
  if (links.length === 0) return;
  notes.guessed(NOWHERE, links.map(({ name, device, addresses }) => `link ${name} (${[device, ...addresses].join(', ')})`).join(' and '),
    `${why}; say them with --link NAME=DEVICE,ADDRESS/LENGTH, or with --into FILE what configuration has them`);
}

/** Two links for a file that says nothing of links: one with the virtual addresses, one on the networks of the servers that are not beside them. */
export function guessLinks(services: readonly Service[], why: string, notes: Notes): Link[] {
  const { virtual, real } = addressesOf(services);
  const outside = [...virtual].map((address): Prefix => ({ address, prefixLength: GUESSED_LENGTH })).filter((prefix) => notAHost(prefix, prefix.address) === undefined);
  const inside = networksFor(real, outside, new Set([...virtual, ...real]));
  const links = [{ name: 'outside', device: 'eth0', addresses: outside.map(formatPrefix) }, { name: 'inside', device: 'eth1', addresses: inside.map(formatPrefix) }];
  const guesses = links.filter(({ addresses }) => addresses.length > 0);
  tellGuess(guesses, why, notes);
  return guesses;
}

/** An uplink by the gateway, on the link whose network it is on. */
function uplinkSections(gateway: string, links: readonly Link[], notes: Notes): Entry[] {
  const address = readAddress(gateway);
  const link = links.find((one) => address !== undefined && prefixesOf([one]).some((prefix) => contains(prefix, address)));
  if (link === undefined) {
    notes.error(NOWHERE, `--gateway ${gateway}`, address === undefined ? 'an IPv4 address' : 'an address on the network of one of the links');
    return [];
  }
  return [
    { key: 'uplinks', value: [{ key: 'router', value: { link: link.name, gateway } }] },
    { key: 'groups', value: [{ key: 'outside', value: { uplinks: ['router'] } }] },
    { key: 'routes', value: [{ key: 'default', value: { to: '0.0.0.0/0', group: 'outside' } }] },
  ];
}

/** The uplink of the command line's gateway, or a word that there is none. */
export function wayOut({ gateway, into }: ImportOptions, links: readonly Link[], notes: Notes): { sections: Entry[]; head: string[] } {
  const sections = gateway === undefined ? [] : uplinkSections(gateway, links, notes);
  const isAlone = sections.length === 0 && links.length > 0 && into === undefined;
  return {
    sections,
    head: isAlone ? ['Without an uplink only clients on the links\' networks are answered: add uplinks, groups and routes, or import again with --gateway ADDRESS.'] : [],
  };
}

/** The link to the box itself: its own address there, the box's, and its entry. */
export function boxLink(networks: readonly Prefix[], why: string): { own: string; peer: string; entry: Entry } {
  const [own, peer] = BOX.find((ends) => !networks.some((prefix) => ends.some((end) => contains(prefix, readAddress(end)!)))) ?? BOX[0];
  return { own, peer, entry: { key: 'host', comments: [why], value: { type: 'tun', device: 'weir0', addresses: [`${own}/30`], peer } } };
}
