/**
 * The checks of rules against what rules do: a filter is told to be void exactly when no packet gets to it, forwards are told to overlap exactly
 * when two have a port, and a server is told to be out of reach exactly when the FIB says so.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Fib } from '../../../src/table/fib.js';
import { MatchList } from '../../../src/table/match.js';
import { planRoutes } from '../../../src/table/route.js';
import { formatIpv4, parseIpv4 } from '../../../src/wire/address.js';
import { compile } from './support.js';

const LINKS = `links:
  lan: { type: tap, device: lan, addresses: [10.0.0.1/16], sourceCheck: off }
  dmz: { type: tap, device: dmz, addresses: [172.16.0.1/24], sourceCheck: off }
  wan: { type: raw, device: wan, addresses: [203.0.113.2/24] }
uplinks: { isp: { link: wan, gateway: 203.0.113.1, snat: [203.0.113.8, 203.0.113.9] } }
groups: { internet: { uplinks: [isp] } }
routes: { default: { to: 0.0.0.0/0, group: internet } }
`;

/** Values of each key, and of each field of a packet one for every part the values cut it into. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  in: ['lan', 'dmz', '[dmz, lan]'],
  out: ['lan', 'wan', '[lan, wan]'],
  from: ['10.0.0.0/8', '10.1.0.0/16', '[10.1.0.0/17, 10.1.128.0/17]', '10.1.0.7', '0.0.0.0/0', '[0.0.0.0/1, 128.0.0.0/1]'],
  to: ['192.0.2.0/24', '[192.0.2.0/25, 192.0.2.128/26]', '192.0.2.200', '192.0.2.192/26'],
  protocol: ['tcp', 'udp', '[tcp, udp]', '[tcp, udp, icmp]', '47'],
  ports: ['80', '[80, 443]', '80-443', '[80-99, 100-442, 443]'],
  sourcePorts: ['0-65535', '1024-65535'],
  state: ['new', 'established', '[new, established]'],
};
const PACKETS = {
  in: [0, 1, 2], out: [0, 1, 2, -1], from: ['10.1.0.7', '10.1.0.8', '10.1.200.1', '10.2.0.1', '198.51.100.1'],
  to: ['192.0.2.1', '192.0.2.130', '192.0.2.200', '192.0.2.201', '192.0.3.1'], protocol: [6, 17, 1, 47, 50], ports: [79, 80, 99, 100, 443, 444], sourcePorts: [5, 1024], state: ['new', 'established'],
} as const;

const filter = fc.record({
  over: fc.boolean(),
  ...Object.fromEntries(Object.entries(VALUES).map(([key, values]) => [key, fc.option(fc.constantFrom(...values), { nil: undefined, freq: 2 })])),
}) as fc.Arbitrary<Readonly<Record<string, string | boolean | undefined>>>;

test('a filter is refused exactly when one filter before it takes all it matches', () => {
  let refused = 0;
  fc.assert(fc.property(fc.array(filter, { minLength: 2, maxLength: 5 }), (drawn) => {
    const filters = drawn.map((keys) => (String(keys['protocol']).match(/icmp|47/) ? { ...keys, ports: undefined, sourcePorts: undefined } : keys));
    const lines = filters.map((keys, index) => `  f${index}: { action: drop, ${Object.entries(keys)
      .flatMap(([key, value]) => (value === undefined || value === false ? [] : [key === 'over' ? 'over: { rate: 1/s }' : `${key}: ${value}`])).join(', ')} }`);
    const { errors } = compile(`${LINKS}filters:\n${lines.join('\n')}\n`);
    const told = errors.map((error) => {
      const match = /: filters\.f(\d): found a filter that can never match, for f(\d) before it/.exec(error);
      assert.ok(match, error);
      return [Number(match[1]), Number(match[2])];
    });
    // Each alone, as the data plane compiles it.
    const plans = lines.map((line) => compile(`${LINKS}filters:\n${line}\n`).plan!);
    const lists = plans.map((plan) => new MatchList([plan.filters[0].match], 3));
    const matched = lists.map((list, index) => {
      const bits: boolean[] = [];
      for (const state of PACKETS.state) {
        const fits = (plans[index].filters[0].states ?? ['new']).includes(state);
        for (const link of PACKETS.in) for (const out of PACKETS.out) for (const from of PACKETS.from) for (const to of PACKETS.to) {
          for (const protocol of PACKETS.protocol) for (const port of PACKETS.ports) for (const source of PACKETS.sourcePorts) {
            bits.push(fits && list.find(0, link, out, protocol, parseIpv4(from), parseIpv4(to), protocol === 6 || protocol === 17 ? (source << 16) | port : 0) >= 0);
          }
        }
      }
      return bits;
    });
    const wanted = matched.flatMap((bits, index) => {
      const other = matched.findIndex((earlier, place) => place < index && drawn[place]['over'] === false && bits.every((bit, at) => !bit || earlier[at]));
      return other < 0 ? [] : [[index, other]];
    });
    refused += wanted.length;
    assert.equal(told, wanted);
  }), { numRuns: 60 });
  assert.ok(refused > 0, 'some were refused');
});

test('forwards are told to overlap exactly when one before has a port of theirs', () => {
  const ADDRESSES = ['203.0.113.8', '203.0.113.9'];
  const forward = fc.record({ address: fc.constantFrom('', ...ADDRESSES), first: fc.integer({ min: 1, max: 30 }), size: fc.integer({ min: 1, max: 6 }), protocol: fc.constantFrom('tcp', 'udp', 'both') });
  fc.assert(fc.property(fc.array(forward, { maxLength: 10 }), (forwards) => {
    const { errors } = compile(`${LINKS}portForwards:\n${forwards.map(({ address, first, size, protocol }, index) =>
      `  p${index}: { uplink: isp, listen: ${address === '' ? '' : `${address}:`}${first}-${first + size - 1}/${protocol}, to: 10.0.0.9 }`).join('\n')}\n`);
    const told = new Set(errors.map((error) => Number(/: portForwards\.p(\d)\.listen: found .* \(p\d has /.exec(error)?.[1] ?? assert.unreachable(error))));
    assert.is(told.size, errors.length);
    // Those that are not told of have each port to themselves, and those that are told of share one.
    const keysOf = ({ address, first, size, protocol }: (typeof forwards)[number]): string[] => (address === '' ? ADDRESSES : [address]).flatMap((one) =>
      (protocol === 'both' ? ['tcp', 'udp'] : [protocol]).flatMap((transport) => Array.from({ length: size }, (_, i) => `${one} ${transport} ${first + i}`)));
    const holders = new Map<string, number[]>();
    forwards.forEach((one, index) => { for (const key of keysOf(one)) holders.set(key, [...(holders.get(key) ?? []), index]); });
    for (const list of holders.values()) assert.ok(list.filter((index) => !told.has(index)).length <= 1, `ports of ${list.join(' and ')}`);
    for (const index of told) assert.ok(keysOf(forwards[index]).some((key) => holders.get(key)!.some((other) => other < index)), `p${index}`);
  }), { numRuns: 300 });
});

test('a server is told to be out of reach exactly when the FIB says so', () => {
  const prefix = fc.tuple(fc.nat(0xffff), fc.integer({ min: 17, max: 32 })).map(([bits, length]) => {
    const address = (0x0a000000 | bits) & (-1 << (32 - length));
    return `${formatIpv4(address)}/${length}`;
  });
  const route = fc.record({ to: prefix, target: fc.constantFrom('link: dmz', 'refuse: blackhole', 'group: internet', 'via: 172.16.0.9') });
  fc.assert(fc.property(fc.uniqueArray(route, { maxLength: 12, selector: ({ to }) => to }), fc.array(fc.nat(0x1ffff), { minLength: 1, maxLength: 20 }), fc.boolean(), (routes, bits, hasDefault) => {
    const text = LINKS.replace('routes: { default: { to: 0.0.0.0/0, group: internet } }\n', `routes:\n${hasDefault ? '  default: { to: 0.0.0.0/0, group: internet }\n' : ''}${routes
      .filter(({ to }) => to !== '10.0.0.1/32').map(({ to, target }, index) => `  r${index}: { to: ${to}, ${target} }\n`).join('')}`);
    const { plan } = compile(text);
    assert.ok(plan);
    const found = planRoutes(plan);
    const fib = new Fib();
    found.forEach(({ prefix: at, prefixLength }, number) => fib.insert(at, prefixLength, number));
    const servers = bits.map((low) => 0x0a000000 | low);
    const { errors } = compile(`${text}portForwards:\n${servers.map((server, index) => `  p${index}: { uplink: isp, listen: ${index + 1}/tcp, to: ${formatIpv4(server)} }`).join('\n')}\n`);
    const told = errors.map((error) => Number(/: portForwards\.p(\d+)\.to: found /.exec(error)?.[1] ?? assert.unreachable(error)));
    const wanted = servers.flatMap((server, index) => {
      const number = fib.lookup(server);
      if (number < 0) return [index];
      const { kind, refuse, prefixLength } = found[number];
      return kind === 'local' || refuse !== 0 || prefixLength === 0 ? [index] : [];
    });
    assert.equal(told, wanted);
  }), { numRuns: 200 });
});

test.run();
