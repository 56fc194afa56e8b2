/** Counters and nexthops: every number has a place of its own in the shared memory. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { V, VERDICTS } from '../../src/base/verdict.js';
import {
  Counters, countersBytes, FILTER_BYTES, FILTER_PACKETS, LONGEST_TURN_US, NOW_MS, RX_BYTES, RX_ERRORS, RX_PACKETS, SERVER_ACTIVE, SERVER_DRAINED, SERVER_FULL, SERVER_IN_BYTES, SERVER_IN_PACKETS,
  SERVER_INACTIVE, SERVER_NEW, SERVER_OUT_BYTES, SERVER_OUT_PACKETS, SERVER_UP, SERVER_USABLE, SERVER_WANTED, SERVER_WEIGHT, TURNS, TX_BYTES, TX_ERRORS, TX_PACKETS,
  UPLINK_FLOWS, UPLINK_NEW_FLOWS, UPLINK_PORTS_USED, UPLINK_RX_BYTES, UPLINK_RX_PACKETS, UPLINK_TX_BYTES, UPLINK_TX_PACKETS, VIRTUAL_REFUSED, VIRTUAL_RETURNED, VIRTUAL_UP,
  VIRTUAL_WEIGHT,
} from '../../src/table/counters.js';
import { NexthopTable } from '../../src/table/nexthop.js';

const SHAPE = { links: 3, uplinks: 2, filters: 2, virtualServers: 2, realServers: 3 };
const OF_LINK = [RX_PACKETS, RX_BYTES, TX_PACKETS, TX_BYTES, TX_ERRORS, RX_ERRORS];
const OF_UPLINK = [UPLINK_TX_PACKETS, UPLINK_TX_BYTES, UPLINK_RX_PACKETS, UPLINK_RX_BYTES, UPLINK_FLOWS, UPLINK_NEW_FLOWS, UPLINK_PORTS_USED];
const OF_FILTER = [FILTER_PACKETS, FILTER_BYTES];
const OF_VIRTUAL_SERVER = [VIRTUAL_UP, VIRTUAL_WEIGHT, VIRTUAL_REFUSED, VIRTUAL_RETURNED];
const OF_SERVER = [
  SERVER_NEW, SERVER_ACTIVE, SERVER_INACTIVE, SERVER_IN_PACKETS, SERVER_IN_BYTES, SERVER_OUT_PACKETS, SERVER_OUT_BYTES, SERVER_WEIGHT, SERVER_WANTED, SERVER_UP,
  SERVER_USABLE, SERVER_FULL, SERVER_DRAINED,
];

test('no two counters share a place, and another view of the memory reads them all', () => {
  const memory = new SharedArrayBuffer(countersBytes(SHAPE));
  const writer = new Counters(memory, SHAPE);
  const expected: [() => number, number][] = [];
  const reader = new Counters(memory, SHAPE);
  let value = 1;
  const put = (write: (value: number) => void, read: () => number): void => {
    write(value);
    expected.push([read, value]);
    value += 2 ** 33 + 1;
  };
  for (const counter of [TURNS, LONGEST_TURN_US, NOW_MS]) put((v) => writer.setRouter(counter, v), () => reader.getRouter(counter));
  for (let link = 0; link < SHAPE.links; link++) for (const counter of OF_LINK) put((v) => writer.addLink(link, counter, v), () => reader.link(link, counter));
  for (let uplink = 0; uplink < SHAPE.uplinks; uplink++) for (const counter of OF_UPLINK) put((v) => writer.addUplink(uplink, counter, v), () => reader.uplink(uplink, counter));
  for (let link = -1; link < SHAPE.links; link++) {
    for (const { number } of VERDICTS) put((v) => writer.addVerdict(link, number, v), () => reader.verdict(link, number));
  }
  for (let rule = 0; rule < SHAPE.filters; rule++) for (const counter of OF_FILTER) put((v) => writer.addFilter(rule, counter, v), () => reader.filter(rule, counter));
  for (let one = 0; one < SHAPE.virtualServers; one++) {
    for (const counter of OF_VIRTUAL_SERVER) put((v) => writer.addVirtualServer(one, counter, v), () => reader.virtualServer(one, counter));
  }
  for (let server = 0; server < SHAPE.realServers; server++) for (const counter of OF_SERVER) put((v) => writer.setServer(server, counter, v), () => reader.server(server, counter));
  for (const [read, wanted] of expected) assert.is(read(), wanted);
});

test('counts add up and may go down again', () => {
  const counters = new Counters(new SharedArrayBuffer(countersBytes({ links: 1, uplinks: 1 })), { links: 1, uplinks: 1 });
  counters.addUplink(0, UPLINK_FLOWS, 1);
  counters.addUplink(0, UPLINK_FLOWS, 1);
  counters.addUplink(0, UPLINK_FLOWS, -1);
  counters.addRouter(TURNS, 5);
  counters.addVerdict(0, V.HELD, 3);
  counters.addVerdict(0, V.HELD, -3);
  assert.equal([counters.uplink(0, UPLINK_FLOWS), counters.getRouter(TURNS), counters.verdict(0, V.HELD)], [1, 5, 0]);
});

test('a nexthop has one number, told apart by link, gateway and uplink', () => {
  const table = new NexthopTable();
  const all: readonly [number, number | null, number][] = [[0, null, -1], [0, 5, -1], [0, 0, -1], [1, 5, -1], [0, 5, 0], [0, 5, 1]];
  const numbers = all.map(([link, gateway, uplink]) => table.intern(link, gateway, uplink));
  assert.is(new Set(numbers).size, all.length);
  assert.equal(all.map(([link, gateway, uplink]) => table.intern(link, gateway, uplink)), numbers);
  numbers.forEach((number, i) => assert.equal(table.get(number), { link: all[i][0], gateway: all[i][1], uplink: all[i][2], isBound: false, isOpen: false }));
});

test.run();
