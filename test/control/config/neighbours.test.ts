/** Configured neighbours: how they arrive in the plan, and every way to write them wrong. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile } from './support.js';

const whole = (lan: string, rest = ''): string => `links:
  lan: { type: tap, device: lan, addresses: [10.0.1.1/24], ${lan} }
  wan: { type: raw, device: eth1, addresses: [203.0.113.2/24]${rest} }
routes: { default: { to: 0.0.0.0/0, via: 203.0.113.1 } }
`;

test('addresses with their MAC addresses', () => {
  const { plan, errors } = compile(whole('neighbours: [10.0.1.9 02:00:00:AA:00:09, 10.0.1.10 02:00:00:00:00:0a]', ', neighbours: []'));
  assert.equal(errors, []);
  assert.equal(plan!.links.map(({ neighbours }) => neighbours), [[{ address: '10.0.1.9', mac: '02:00:00:aa:00:09' }, { address: '10.0.1.10', mac: '02:00:00:00:00:0a' }], []]);
});

test('what is no neighbour, and whose it cannot be', () => {
  const { errors } = compile(whole('neighbours: [10.0.1.9, 10.0.1.300 02:00:00:00:00:09, 10.0.1.9 01:00:5e:00:00:01, 10.0.1.8 02:00:00:00:00:08, 10.0.1.8 02:00:00:00:00:07]', ', neighbours: 5'));
  assert.equal(errors, [
    'weir.yaml:2:73: links.lan.neighbours[0]: found "10.0.1.9", allowed: an IPv4 address, a space and a MAC address',
    'weir.yaml:2:83: links.lan.neighbours[1]: found "10.0.1.300 02:00:00:00:00:09" (not an IPv4 address), allowed: an IPv4 address such as 192.0.2.1',
    'weir.yaml:2:113: links.lan.neighbours[2]: found "10.0.1.9 01:00:5e:00:00:01" (a multicast address), allowed: a unicast MAC address such as 02:00:00:00:00:01',
    'weir.yaml:2:169: links.lan.neighbours[4]: found "10.0.1.8 02:00:00:00:00:07" (for the second time), allowed: each once',
    'weir.yaml:3:76: links.wan.neighbours: found 5, allowed: a list of neighbours, each an IPv4 address, a space and a MAC address, such as [192.0.2.9 02:00:00:00:00:09]',
  ]);
  assert.equal(compile(whole('neighbours: [203.0.113.2 02:00:00:00:00:09]')).errors,
    ['weir.yaml:2:73: links.lan.neighbours[0]: found "203.0.113.2 02:00:00:00:00:09" (the router\'s own address on wan), allowed: another station\'s address']);
});

test.run();
