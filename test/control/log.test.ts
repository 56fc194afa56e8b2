/** The log: JSON lines with stable names, one logger a component, events with their level, errors without noise. */
import { Writable } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EventLog } from '../../src/control/event.js';
import { until } from '../support/api.js';
import { componentLog, createLog, logEvents } from '../../src/control/log.js';

/** A destination that keeps its lines. */
class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void { this.text += chunk.toString(); done(); }
  lines(): Record<string, unknown>[] { return this.text.trim().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>); }
}

test('a line is one JSON object with the stable fields', async () => {
  const out = new Sink();
  const log = componentLog(await createLog({ level: 'info', destination: out }), 'link');
  log.info({ link: 'wan1' }, 'link is up');
  log.debug('not said at this level');
  const [line, ...rest] = out.lines();
  assert.is(rest.length, 0);
  assert.match(String(line!['time']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal({ ...line, time: '' }, { level: 'info', time: '', pid: process.pid, component: 'link', link: 'wan1', msg: 'link is up' });
});

test('system errors have code and syscall and no stack, mistakes of ours have one', async () => {
  const out = new Sink();
  const log = await createLog({ level: 'error', destination: out });
  log.error({ err: Object.assign(new Error('EPERM: no'), { code: 'EPERM', errno: -1, syscall: 'ioctl TUNSETIFF' }) }, 'cannot open');
  log.error({ err: new TypeError('ours') }, 'crashed');
  log.error({ err: 'a word' }, 'odd');
  const [system, ours, odd] = out.lines();
  assert.equal(system!['err'], { message: 'EPERM: no', code: 'EPERM', errno: -1, syscall: 'ioctl TUNSETIFF' });
  assert.match(String((ours!['err'] as { stack: string }).stack), /TypeError: ours\n\s+at /);
  assert.equal(odd!['err'], { message: 'a word' });
});

test('an unknown level is refused, naming the known ones', async () => {
  try {
    await createLog({ level: 'loud' });
    assert.unreachable('it was taken');
  } catch (error) {
    assert.match((error as Error).message, /'loud' is unknown; allowed: trace, debug, info/);
  }
});

test('events are logged with the level their severity asks for, until it is ended', async () => {
  const out = new Sink();
  const events = new EventLog();
  const stop = logEvents(await createLog({ level: 'info', destination: out }), events);
  events.emit('uplink.down', 'isp1', 'no answer', { severity: 'error', uplink: 'isp1' });
  events.emit('link.slow', 'lan', 'many drops', { severity: 'warning' });
  // Of these a failover makes thousands: they are said at level debug.
  events.emit('flow.reset', 'isp1', 'one of many', { severity: 'warning' });
  events.emit('link.up', 'lan', 'carrier is back');
  stop();
  events.emit('link.up', 'lan', 'nobody logs this');
  assert.equal(out.lines().map(({ level, event, subject, uplink, msg }) => ({ level, event, subject, uplink, msg })), [
    { level: 'error', event: 'uplink.down', subject: 'isp1', uplink: 'isp1', msg: 'no answer' },
    { level: 'warn', event: 'link.slow', subject: 'lan', uplink: undefined, msg: 'many drops' },
    { level: 'info', event: 'link.up', subject: 'lan', uplink: undefined, msg: 'carrier is back' },
  ]);
});

test('pretty lines are for people: no JSON, the message and the fields readable', async () => {
  const out = new Sink();
  const log = await createLog({ level: 'info', pretty: true, destination: out });
  log.warn({ component: 'api', link: 'wan1' }, 'link is down');
  await until('the line is there', () => out.text !== '');
  assert.match(out.text, /WARN.*: link is down/);
  assert.match(out.text, /link: "wan1"/);
  assert.throws(() => JSON.parse(out.text));
});

test.run();
