/**
 * Whatever is made of whatever file: either mistakes with their places, or a configuration that is sound (support.ts holds it against the
 * configuration's own checks). Files are put together from words that make sense and words that do not. Of a keepalived.conf no line is lost: with any one
 * of them taken away, the configuration, its comments or the remarks are others, unless a block around it was left out and told as a whole.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KINDS, STATEMENTS } from '../../../src/control/import/bng-parse.js';
import { base, WORDS, write, type Line } from './keepalived-words.js';
import { draft, file, run } from './support.js';

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const settings = (numRuns: number): fc.Parameters<unknown> => ({ seed: SEED, numRuns });

const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '192.168.1.2', '192.168.1.255', '192.168.1.0', '172.16.0.9', '0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255', '1.2.3', 'x', '::1');
const port = fc.constantFrom('', ':0', ':80', ':443', ':65535', ':65536', ':http', ':');
const endpoint = fc.tuple(address, port).map((parts) => parts.join(''));
const option = fc.oneof(
  fc.constantFrom('-m', '-g', '-i', '-p', '-o', '-6', '-n', '--nonsense', 'word', '--tun-type gue', '\u0007', '\u{1f600}', '# b', '"'),
  fc.tuple(fc.constantFrom('-s', '-b', '--pe'), fc.constantFrom('rr', 'wlc', 'sh', 'mh', 'sh-port', 'mh-fallback', 'flag-1', 'sip', 'none')).map((parts) => parts.join(' ')),
  fc.tuple(fc.constantFrom('-w', '-x', '-y', '-p'), fc.constantFrom('0', '1', '5', '65535', '99999999', '-1', 'x')).map((parts) => parts.join(' ')),
  fc.constantFrom('-M 255.255.255.0', '-M 0.0.0.0', '-M 1.2.3.4'),
);
const service = fc.oneof(endpoint.map((text) => `-t ${text}`), endpoint.map((text) => `-u ${text}`), fc.constantFrom('-f 1', '-f 2', '-f 0', '-t [::1]:80', '--sctp-service 1.2.3.4:5'));
const line = fc.tuple(fc.constantFrom('-A', '-A', '-a', '-a', '-a', '-E', '-e', '-d', '-D', '-C'), service, fc.option(endpoint.map((text) => `-r ${text}`), { nil: '' }), fc.array(option, { maxLength: 3 }))
  .map(([command, what, server, options]) => [command, what, server, ...options].filter((part) => part !== '').join(' '));
/** What a line is about: one of ipvsadm's tables has it once. */
const subject = (text: string): string => text.split(/ -[smgi] ?/)[0];
/** Rules that make sense, so that most runs get as far as a configuration. */
const sound = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom('tcp', 'udp'), fc.integer({ min: 0, max: 99 }), fc.constantFrom('rr', 'wlc', 'sh -b sh-port', 'mh'), fc.constantFrom('', '-p', '-p 60 -M 255.255.0.0'),
  fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 5 }), fc.constantFrom('-m', '-g', '-i')), { maxLength: 4 })), { minLength: 1, maxLength: 5 })
  .map((services) => services.flatMap(([host, protocol, to, scheduler, persistence, servers]) => {
    const what = `-${protocol === 'tcp' ? 't' : 'u'} 10.${host}.0.${host}:${to}`;
    return [`-A ${what} -s ${scheduler} ${persistence}`, ...servers.map(([last, weight, way]) => `-a ${what} -r 192.168.${host}.${last}:${to} ${way} -w ${weight}`)];
  }).filter((text, index, all) => all.findIndex((other) => subject(other) === subject(text)) === index).join('\n'));

test(`rules with lines of any words behind them (SEED=${SEED})`, () => {
  let made = 0;
  fc.assert(fc.property(sound, fc.array(line, { maxLength: 3 }), (before, lines) => {
    if (run('ipvsadm', 'rules', [before, ...lines].join('\n')).errors.length === 0) made++;
  }), settings(150));
  assert.ok(made > 0);
});

test(`rules that make sense always give a configuration (SEED=${SEED})`, () => {
  fc.assert(fc.property(sound, (text) => {
    const marks = [{ mark: 1, listens: ['10.0.0.1:80/tcp'] }];
    assert.equal(run('ipvsadm', 'rules', text, { marks }).errors, [], text);
    const links = [{ name: 'wan', device: 'eth0', addresses: ['10.1.0.1/16', '10.2.0.2/16'] }, { name: 'lan', device: 'eth1', addresses: ['192.168.1.77/24', '192.168.2.1/23'] }];
    assert.equal(run('ipvsadm', 'rules', text, { links }).errors, [], text);
  }), settings(100));
});

const EXAMPLE = file('seed-lines.conf').split('\n');
const value = fc.constantFrom('1', '2', '1,2', '0', '80', '80,3,10', '3,8', 'tcp', 'udp', 'any', 'enable', 'disable', 'inside', 'outside', '10.1.1.1', '10.1.1.254', '172.16.1.10', '255.255.255.0', '10.1.1.0', '"two words"', 'rr', 'hash', 'src', '{', '}', '//', '"', '\u0007', '99999');
const words = fc.constantFrom(...KINDS.flatMap((kind) => Object.keys(STATEMENTS[kind])), ...KINDS, 'register targets', 'enable servers', 'unregister server', 'set', 'modules', 'nonsense');
const statement = fc.tuple(words, fc.array(value, { maxLength: 3 })).map(([word, values]) => [word, ...values].join(' '));

test(`the example with lines put in, changed and taken away (SEED=${SEED})`, () => {
  let made = 0;
  const change = fc.tuple(fc.nat({ max: EXAMPLE.length - 1 }), fc.nat({ max: 1 }), fc.option(statement));
  fc.assert(fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.boolean(), (changes, flat) => {
    const lines = [...EXAMPLE];
    for (const [place, count, put] of changes) lines.splice(place, count, ...(put === null ? [] : [put]));
    if (run('bng', 'bng.conf', lines.join(flat ? ' ' : '\n')).errors.length === 0) made++;
  }), settings(200));
  assert.ok(made > 0);
});

type Block = keyof typeof WORDS;
const BLOCKS = Object.keys(WORDS) as Block[];
/** keepalived.conf files put together from all its words. */
const keepalived: fc.Arbitrary<string[]> = fc.array(fc.constantFrom(...BLOCKS).chain((block) => fc.tuple(fc.constant(block), fc.shuffledSubarray([...WORDS[block]] as Line[], { maxLength: 6 }))), { maxLength: 6 })
  .map((some) => write(base(Object.fromEntries(some) as Partial<Record<Block, readonly Line[]>>)));

const depth = (line: string): number => line.length - line.trimStart().length;
/** Whether a block around a line was left out as a whole, which is told at the block's place. */
function isCovered(lines: readonly string[], remarks: readonly string[], place: number): boolean {
  let inside = depth(lines[place]);
  for (let above = place - 1; above >= 0; above--) {
    const line = lines[above];
    if (!line.endsWith('{') || depth(line) >= inside) continue;
    inside = depth(line);
    if (remarks.some((remark) => remark.startsWith(`c:${above + 1}:${inside + 1}: left out: ${line.trim().slice(0, -2)}`))) return true;
  }
  return false;
}

test(`any words of keepalived.conf make a sound configuration, and none of them is lost (SEED=${SEED})`, () => {
  fc.assert(fc.property(keepalived, fc.array(fc.nat(), { minLength: 8, maxLength: 8 }), (lines, picks) => {
    const whole = run('keepalived', 'c', lines.join('\n'));
    assert.equal(whole.errors, [], lines.join('\n'));
    const leaves = lines.flatMap((line, place) => (line.trim() === '' || line.endsWith('{') || line.trim() === '}' ? [] : [place]));
    const before = draft(lines.join('\n'));
    for (const pick of picks) {
      const place = leaves[pick % leaves.length];
      const isSame = draft(lines.map((line, index) => (index === place ? '' : line)).join('\n')).all === before.all;
      assert.ok(!isSame || isCovered(lines, before.remarks, place), `line ${place + 1}, ${lines[place].trim()}, is lost of\n${lines.join('\n')}\n${before.all}`);
    }
  }), settings(30));
});

test(`words of keepalived.conf with values that make no sense: mistakes with places, or a sound configuration (SEED=${SEED})`, () => {
  const values = fc.constantFrom('', '0', '1', '-1', '99999999', '1.5', 'x', '10.0.0.1', '::1', '255.255.0.0', '{', '}', '"', '"a b"', "'", '!', '$X', '${X}', '@a', '~SEQ(a,1,2)', '\\', 'eth0', 'on');
  const broken = fc.tuple(keepalived, fc.array(fc.tuple(fc.nat(), values, fc.boolean()), { minLength: 1, maxLength: 4 })).map(([lines, changes]) => {
    const all = ['$X=weight 3', ...lines];
    for (const [place, text, isAdded] of changes) {
      const at = place % all.length;
      all[at] = isAdded ? `${all[at]} ${text}` : all[at].replace(/\S+$/, () => text);
    }
    return all.join('\n');
  });
  let made = 0;
  fc.assert(fc.property(broken, (text) => {
    if (run('keepalived', 'c', text, { instance: 'a' }).errors.length === 0) made++;
  }), settings(30));
  assert.ok(made > 0);
});

test(`any text at all (SEED=${SEED})`, () => {
  for (const format of ['ipvsadm', 'keepalived', 'bng'] as const) {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.string({ unit: 'binary', maxLength: 20 }), (text, name) => { run(format, name, text); }), settings(150));
  }
});

test.run();
