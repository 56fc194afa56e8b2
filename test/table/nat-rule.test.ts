/** Compiled NAT rules: which one a packet meets, by link, address, protocol and port. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { OneToOnePlan, Plan, PortForwardPlan } from '../../src/base/plan.js';
import { externalAddresses, NatRules } from '../../src/table/nat-rule.js';
import { parseIpv4 } from '../../src/wire/address.js';
import { rig } from '../support/rig.js';

const A = '192.168.201.11', B = '192.168.201.13', EXTRA = '192.168.201.50';
const LAN = 0, ONE = 1, TWO = 2;
const base = rig({ up: false }).router.plan;
const forward = (fields: Partial<PortForwardPlan>): PortForwardPlan =>
  ({ index: 0, name: 'f', uplink: 0, addresses: [A], protocols: [6], ports: { first: 80, last: 80 }, to: '192.168.0.4', toPort: 8080, ...fields });
const oneToOne = (fields: Partial<OneToOnePlan>): OneToOnePlan => ({ index: 0, name: 'o', uplink: 0, external: EXTRA, internal: '192.168.0.5', ...fields });
const rules = (plan: Partial<Plan>): NatRules => new NatRules({ ...base, ...plan });

/** Uplink, address and port it goes to, or null. */
function find(nat: NatRules, link: number, address: string, protocol: number, port: number): [number, number, number] | null {
  return nat.find(link, parseIpv4(address), protocol, port) ? [nat.uplink, nat.address, nat.port] : null;
}

test('no rules, nothing found', () => {
  const nat = rules({});
  assert.is(find(nat, ONE, A, 6, 80), null);
  assert.is(nat.externalOf(parseIpv4('192.168.0.4'), 0), 0);
  assert.not.ok(nat.isExempt(LAN, ONE, 6, 1, 2, 3));
});

test('by its uplink’s link and from inside, not by another uplink', () => {
  const nat = rules({ portForwards: [forward({})], oneToOne: [oneToOne({ uplink: 1 })] });
  const web = [0, parseIpv4('192.168.0.4'), 8080], host = [1, parseIpv4('192.168.0.5'), 9];
  assert.equal([ONE, LAN, TWO].map((link) => find(nat, link, A, 6, 80)), [web, web, null]);
  assert.equal([ONE, LAN, TWO].map((link) => find(nat, link, EXTRA, 17, 9)), [null, host, host]);
});

test('one address on both uplinks: each link has its own rule', () => {
  const nat = rules({ portForwards: [forward({ addresses: [A, B] }), forward({ uplink: 1, addresses: [A], to: '192.168.0.9', toPort: 1 })] });
  assert.equal(find(nat, ONE, A, 6, 80), [0, parseIpv4('192.168.0.4'), 8080]);
  assert.equal(find(nat, TWO, A, 6, 80), [1, parseIpv4('192.168.0.9'), 1]);
  assert.equal(find(nat, LAN, A, 6, 80), [0, parseIpv4('192.168.0.4'), 8080], 'from inside the first one counts');
  assert.is(find(nat, TWO, B, 6, 80), null);
});

test('ports: whole ranges, first to last, and protocols of their own', () => {
  const nat = rules({ portForwards: [
    forward({ ports: { first: 0, last: 65_535 }, toPort: 0, protocols: [17] }), forward({ ports: { first: 1000, last: 1999 }, toPort: 5000 }),
  ] });
  assert.equal([0, 65_535].map((port) => find(nat, ONE, A, 17, port)?.[2]), [0, 65_535]);
  assert.equal([999, 1000, 1999, 2000].map((port) => find(nat, ONE, A, 6, port)?.[2]), [undefined, 5000, 5999, undefined]);
  assert.is(find(nat, ONE, A, 1, 1000), null);
  assert.is(find(nat, ONE, A, 132, 1000), null);
});

test('1:1 is what the port forwards leave, for every protocol', () => {
  const nat = rules({ portForwards: [forward({ addresses: [EXTRA] })], oneToOne: [oneToOne({})] });
  assert.equal(find(nat, ONE, EXTRA, 6, 80), [0, parseIpv4('192.168.0.4'), 8080]);
  for (const [protocol, port] of [[6, 81], [17, 80], [1, 0], [47, 0]]) assert.equal(find(nat, ONE, EXTRA, protocol, port), [0, parseIpv4('192.168.0.5'), port]);
});

test('sources: by internal address and uplink', () => {
  const nat = rules({ oneToOne: [oneToOne({}), oneToOne({ uplink: 1, external: '203.0.113.9' }), oneToOne({ external: '192.168.201.51', internal: '192.168.0.6' })] });
  const five = parseIpv4('192.168.0.5');
  assert.equal([nat.externalOf(five, 0), nat.externalOf(five, 1)], [parseIpv4(EXTRA), parseIpv4('203.0.113.9')]);
  assert.equal([nat.externalOf(parseIpv4('192.168.0.6'), 0), nat.externalOf(parseIpv4('192.168.0.6'), 1)], [parseIpv4('192.168.201.51'), 0]);
});

test('of two 1:1 rules for one address the first one counts, inward and outward', () => {
  const nat = rules({ oneToOne: [oneToOne({}), oneToOne({ internal: '192.168.0.6' }), oneToOne({ external: '192.168.201.51' })] });
  assert.equal(find(nat, ONE, EXTRA, 6, 1), [0, parseIpv4('192.168.0.5'), 1]);
  assert.is(nat.externalOf(parseIpv4('192.168.0.5'), 0), parseIpv4(EXTRA));
});

test('external addresses of a link: translation addresses and those of rules, each once', () => {
  const plan = { ...base, portForwards: [forward({ addresses: [A, EXTRA] })], oneToOne: [oneToOne({}), oneToOne({ uplink: 1, external: '203.0.113.9' })] };
  assert.equal(externalAddresses(plan, ONE), [A, EXTRA].map(parseIpv4));
  assert.equal(externalAddresses(plan, TWO), [B, '203.0.113.9'].map(parseIpv4));
  assert.equal(externalAddresses(plan, LAN), []);
});

test.run();
