/** Addresses between text and machine words. */
import { isIPv4 } from 'node:net';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatIpv4, formatMac, maskOf, parseIpv4, parseMac, parsePrefix } from '../../src/wire/address.js';
import { check, word16, word32 } from '../support/oracle/property.js';

test('known values, signed words', () => {
  assert.is(parseIpv4('0.0.0.0'), 0);
  assert.is(parseIpv4('255.255.255.255'), -1);
  assert.is(parseIpv4('128.0.0.0'), -0x80000000);
  assert.is(parseIpv4('192.168.0.4'), 0xc0a80004 | 0);
  assert.is(formatIpv4(-1), '255.255.255.255');
});

test('every address survives the way to text and back', () => {
  check(fc.property(word32, (address) => {
    const text = formatIpv4(address);
    assert.ok(isIPv4(text));
    assert.is(parseIpv4(text), address);
  }), 500);
});

test('what is no address is refused by name', () => {
  for (const text of ['', '1.2.3', '010.1.1.1', '1.2.3.256', '1.2.3.4.5', '::1', ' 1.2.3.4', '1.2.3.4 ', '0x7f.0.0.1']) {
    assert.throws(() => parseIpv4(text), (error: unknown) => error instanceof RangeError && error.message.includes(`'${text}'`));
  }
});

test('masks of every length', () => {
  for (let length = 0; length <= 32; length++) {
    const bits = '1'.repeat(length).padEnd(32, '0');
    assert.is(maskOf(length), Number.parseInt(bits, 2) | 0, `/${length}`);
  }
});

test('a prefix loses its host bits; a bare address is a /32', () => {
  check(fc.property(word32, fc.integer({ min: 0, max: 32 }), (address, prefixLength) => {
    const bits = (address >>> 0).toString(2).padStart(32, '0').slice(0, prefixLength).padEnd(32, '0');
    assert.equal(parsePrefix(`${formatIpv4(address)}/${prefixLength}`), { prefix: Number.parseInt(bits, 2) | 0, prefixLength });
  }), 300);
  assert.equal(parsePrefix('10.1.2.3'), { prefix: 0x0a010203, prefixLength: 32 });
});

test('a prefix length that is none is refused, not read as another one', () => {
  for (const text of ['10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/', '10.0.0.0/ 8', '10.0.0.0/8 ', '10.0.0.0/1e1', '10.0.0.0/0x8', '10.0.0.0/8.0', '10.0.0.0/08', '10.0.0.0/8/9', '/8', '']) {
    assert.throws(() => parsePrefix(text), (error: unknown) => error instanceof RangeError, text);
  }
});

test('MAC addresses', () => {
  assert.equal(parseMac('02:00:fF:80:00:01'), { high: 0x0200, low: 0xff800001 | 0 });
  check(fc.property(word16, word32, (high, low) => {
    const text = formatMac(high, low);
    assert.match(text, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
    assert.equal(parseMac(text), { high, low });
  }), 300);
  for (const text of ['', '02:00:00:00:00', '02:00:00:00:00:00:00', '2:0:0:0:0:1', '02-00-00-00-00-01', '02:00:00:00:00:0g']) {
    assert.throws(() => parseMac(text), (error: unknown) => error instanceof RangeError);
  }
});

test.run();
