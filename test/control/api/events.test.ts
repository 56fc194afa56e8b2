/** The event log's ring, and its events as a stream over the socket: order, loss, heartbeat, resumption, limits, the end. */
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EventLog } from '../../../src/control/event.js';
import { ask, until, withApi } from '../../support/api.js';
import { NOW_MS } from '../../support/fake-view.js';

interface Reader { text: () => string; ended: () => boolean; answer: IncomingMessage; stop: () => void }

/** Open the event stream and collect what comes. */
function read(socket: string, query = '', headers: Record<string, string> = {}): Promise<Reader> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: socket, path: `/api/v1/events${query}`, agent: false, headers }, (answer) => {
      let text = '';
      let ended = false;
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => { text += chunk; });
      answer.on('error', () => { ended = true; });
      answer.on('end', () => { ended = true; });
      resolve({ text: () => text, ended: () => ended, answer, stop: () => { outgoing.destroy(); } });
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

const sequences = (text: string): number[] => [...text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));

test('the ring keeps the newest events and counts what a reader missed', () => {
  let nowMs = 100;
  const log = new EventLog(3, () => nowMs++);
  const past = log.placeOfLast(10, true);
  assert.equal(log.read(past, 10), { events: [], lost: 0 });
  for (let i = 1; i <= 5; i++) log.emit('link.down', `wan${i}`, 'no carrier', { number: i });
  assert.is(log.next, 6);
  const all = log.read(past, 10);
  assert.is(all.lost, 2);
  assert.equal(all.events[0], { sequence: 3, event: { atMs: 102, event: 'link.down', subject: 'wan3', message: 'no carrier', number: 3 } });
  assert.equal(all.events.map(({ sequence }) => sequence), [3, 4, 5]);
  assert.equal(log.read(past, 10), { events: [], lost: 0 }, 'the place was moved on');
  assert.equal(log.read(log.placeOfLast(2, true), 1).events.map(({ event }) => event.subject), ['wan4']);
  const { place, lost } = log.placeFrom(2, true);
  assert.is(lost, 1);
  assert.equal(log.read(place, 10).events.map(({ sequence }) => sequence), [3, 4, 5]);
  assert.throws(() => new EventLog(0), /at least one/);
  assert.throws(() => new EventLog(1, () => 0, 0), /at least one/);
});

test('the events of flows never push out those of links, and both are counted', () => {
  const log = new EventLog(4, () => 7, 10);
  const place = log.placeOfLast(0, true);
  log.emit('uplink.down', 'isp1', '');
  for (let i = 0; i < 1000; i++) log.emit('flow.reset', `flow ${i}`, '');
  log.emit('uplink.up', 'isp1', '');
  const { events, lost } = log.read(place, 100);
  assert.is(lost, 990);
  assert.equal(events.map(({ sequence }) => sequence), [1, ...Array.from({ length: 10 }, (_, i) => 992 + i), 1002], 'in the order they happened');
  assert.equal(log.counts, { events: 2, eventsOverwritten: 0, eventsLimit: 4, flowEvents: 1000, flowEventsOverwritten: 990, flowEventsLimit: 10 });
  assert.equal(log.read(log.placeOfLast(3, true), 9).events.map(({ sequence }) => sequence), [1000, 1001, 1002]);
  const quiet = log.placeOfLast(3, false);
  assert.equal(log.read(quiet, 9), { events: [events[0], events[11]], lost: 0 });
  // The other way round, too.
  for (let i = 0; i < 9; i++) log.emit('link.up', 'lan', '');
  assert.equal(log.read(quiet, 9).lost, 5);
  assert.is(log.read(log.placeFrom(1, true).place, 100).events.length, 14);
  assert.is(log.placeFrom(1, true).lost, log.next - 1 - 14);
});

test('any mixture of events is read once and in order, or counted as lost', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), fc.array(fc.constantFrom('flow', 'link', 'read one', 'read all'), { maxLength: 60 }), (main, flow, steps) => {
    const log = new EventLog(main, () => 0, flow);
    const place = log.placeOfLast(0, true);
    const seen: number[] = [];
    let lost = 0;
    const read = (max: number): void => {
      const batch = log.read(place, max);
      lost += batch.lost;
      seen.push(...batch.events.map(({ sequence }) => sequence));
    };
    for (const step of steps) {
      if (step === 'read one') read(1);
      else if (step === 'read all') read(100);
      else log.emit(step === 'flow' ? 'flow.reset' : 'link.up', 's', '');
    }
    read(100);
    assert.is(seen.length + lost, log.next - 1);
    assert.equal(seen, seen.toSorted((a, b) => a - b));
    assert.is(new Set(seen).size, seen.length);
  }));
});

test('an event cannot be changed, nor its fixed fields be taken by extra ones', () => {
  const log = new EventLog(3, () => 7);
  const event = log.emit('a.b', 'subject', 'message', { atMs: 1, event: 'x', subject: 'y', message: 'z', extra: true });
  assert.equal(event, { atMs: 7, event: 'a.b', subject: 'subject', message: 'message', extra: true });
  assert.throws(() => { event.subject = 'other'; }, /read only|read-only/);
});

test('listeners hear each event until they stop, also when they stop while listening', () => {
  const log = new EventLog(3);
  const heard: string[] = [];
  const stop = log.subscribe((event, sequence) => { heard.push(`${sequence} ${event.subject}`); if (sequence === 2) stop(); });
  for (const subject of ['a', 'b', 'c']) log.emit('e', subject, '');
  assert.equal(heard, ['1 a', '2 b']);
});

test('events come as they happen, in order, each with schemaVersion and sequence', async () => {
  await withApi({}, async ({ socket, events }) => {
    events.emit('link.up', 'lan', 'before anybody listened');
    const reader = await read(socket);
    assert.is(reader.answer.statusCode, 200);
    assert.match(reader.answer.headers['content-type'] ?? '', /^text\/event-stream/);
    await until('the stream has begun', () => reader.text().startsWith(': events\n\n'));
    events.emit('uplink.down', 'isp1', 'no answer', { severity: 'error', uplink: 'isp1' });
    events.emit('uplink.up', 'isp1', 'answers again');
    await until('both are there', () => sequences(reader.text()).length === 2);
    assert.is(reader.text(), ': events\n\n'
      + `id: 2\nevent: uplink.down\ndata: {"schemaVersion":1,"sequence":2,"atMs":${NOW_MS},"event":"uplink.down","subject":"isp1","message":"no answer","severity":"error","uplink":"isp1"}\n\n`
      + `id: 3\nevent: uplink.up\ndata: {"schemaVersion":1,"sequence":3,"atMs":${NOW_MS},"event":"uplink.up","subject":"isp1","message":"answers again"}\n\n`);
    reader.stop();
  });
});

test('a reader may begin in the past, and resume where it stopped', async () => {
  await withApi({}, async ({ socket, events }) => {
    for (let i = 0; i < 20; i++) events.emit('e', `s${i}`, '');
    const rows: [query: string, id: string | undefined, expected: number[], lost: number][] = [
      ['?last=3', undefined, [18, 19, 20], 0],
      ['?last=16', undefined, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20], 0],
      ['', '18', [19, 20], 0],
      ['?last=10', '19', [20], 0],
      ['', '2', [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20], 2],
      // A number of a life before this one.
      ['?last=1', '4711', [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20], 0],
      ['?last=1', 'nonsense', [20], 0],
    ];
    for (const [query, id, expected, lost] of rows) {
      const reader = await read(socket, query, id === undefined ? {} : { 'Last-Event-ID': id });
      await until(`${query} ${id}`, () => sequences(reader.text()).length >= expected.length);
      assert.equal(sequences(reader.text()), expected, `${query} ${id}`);
      assert.is(/event: lost\ndata: \{"schemaVersion":1,"lost":(\d+)\}/.exec(reader.text())?.[1] ?? '0', String(lost));
      reader.stop();
    }
  });
});

test('a reader that stalls costs nothing and is told what it missed', async () => {
  await withApi({ eventsMax: 8 }, async ({ socket, events }) => {
    const reader = await read(socket);
    await until('the stream has begun', () => reader.text() !== '');
    reader.answer.pause();
    // Far more than the socket's buffers hold: the stream must stop pulling, and the ring overwrites what it has not pulled.
    const filler = 'x'.repeat(20_000);
    for (let i = 0; i < 3000; i++) {
      events.emit('e', 's', filler);
      if (i % 50 === 0) await new Promise((resolve) => { setImmediate(resolve); });
    }
    assert.is(events.counts.events - events.counts.eventsOverwritten, 8);
    reader.answer.resume();
    await until('the newest has come', () => sequences(reader.text()).at(-1) === 3000);
    const lost = [...reader.text().matchAll(/"lost":(\d+)/g)].reduce((sum, match) => sum + Number(match[1]), 0);
    assert.ok(lost > 0);
    assert.is(lost + sequences(reader.text()).length, 3000, 'each event was either read or counted as lost');
    reader.stop();
  });
});

test('a reader may leave the events of flows out', async () => {
  await withApi({}, async ({ socket, events }) => {
    events.emit('uplink.down', 'isp1', '');
    for (let i = 0; i < 100; i++) events.emit('flow.reset', `flow ${i}`, '');
    events.emit('uplink.failover', 'isp1', '');
    const reader = await read(socket, '?last=16&flows=no');
    const whole = await read(socket, '?last=16');
    await until('both have the past', () => sequences(reader.text()).length === 2 && sequences(whole.text()).length === 16);
    events.emit('flow.moved', 'one more', '');
    events.emit('uplink.up', 'isp1', '');
    await until('both have the news', () => sequences(reader.text()).length === 3 && sequences(whole.text()).length === 18);
    assert.equal(sequences(reader.text()), [1, 102, 104]);
    assert.not.match(reader.text(), /lost/);
    assert.is((await ask(socket, '/api/v1/events?flows=maybe')).status, 400);
    reader.stop();
    whole.stop();
  });
});

test('silence is broken by a heartbeat', async () => {
  await withApi({ heartbeatMs: 5 }, async ({ socket, events }) => {
    const reader = await read(socket);
    await until('three heartbeats', () => (reader.text().match(/^: heartbeat$/gm) ?? []).length >= 3);
    events.emit('e', 's', 'm');
    await until('and events still come', () => sequences(reader.text()).length === 1);
    reader.stop();
  });
});

test('streams are limited, counted, and make room when they end', async () => {
  await withApi({ streamsMax: 2, heartbeatMs: 5 }, async ({ socket, api }) => {
    const readers = [await read(socket), await read(socket)];
    const third = await ask(socket, '/api/v1/events');
    assert.is(third.status, 503);
    assert.match(third.text, /too many event streams are open \(2\)/);
    assert.is(api.counters.streamsRefused, 1);
    readers[0]!.stop();
    let opened: Reader | null = null;
    const end = Date.now() + 5000;
    while (opened === null && Date.now() < end) {
      const reader = await read(socket);
      if (reader.answer.statusCode === 200) opened = reader;
      else await new Promise((resolve) => { setTimeout(resolve, 5); });
    }
    assert.ok(opened !== null, 'the place of the one that left is free again');
    opened!.stop();
    readers[1]!.stop();
  });
});

test('closing the server ends the streams in good order', async () => {
  await withApi({}, async ({ socket, api }) => {
    const reader = await read(socket);
    await until('the stream has begun', () => reader.text() !== '');
    await api.close();
    await until('it has ended', () => reader.ended());
    assert.ok(reader.answer.complete, 'by its last chunk, not by a reset');
  });
});

test.run();
