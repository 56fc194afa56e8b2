/**
 * What the share worker does, without a store and without a clock: journals of rigs are read, what they tell is put into a map of records by key, and every other
 * rig gets it by its inbox. Each step is asked for, so that a test decides who knows what when.
 */
import { FlowReader } from '../../src/table/flow-reader.js';
import { FLAG_PUBLISHED, FLAG_REPLICA, FLAGS, SERIAL } from '../../src/table/flow.js';
import { RecordEncoder, RecordNames } from '../../src/table/flow-record.js';
import { InboxWriter } from '../../src/table/inbox.js';
import {
  DELETE_KEY_BYTES, END_ORIGINAL, END_REPLY, FETCH_TOKEN, FETCH_TUPLE, FLOW_PLACE, FLOW_SERIAL, JOURNAL_DELETE, JOURNAL_END, JOURNAL_FETCH, JOURNAL_FLOW, JOURNAL_PUT, JOURNAL_YIELDED, JournalReader,
  PUT_KEY_BYTES, PUT_VALUE_BYTES,
} from '../../src/table/journal.js';
import type { Rig } from './rig.js';

const text = (bytes: Uint8Array, length: number): string => Buffer.from(bytes.subarray(0, length)).toString('hex');
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const FLOW_KEY = '66';
const STREAM_KEY = '73';

interface Side {
  rig: Rig;
  journal: JournalReader;
  inbox: InboxWriter;
  reader: FlowReader;
  encoder: RecordEncoder;
  /** What it is to be told: a key, and the value, or null: it is gone. */
  pending: { key: string; value: string | null }[];
  fetches: { token: number; key: string; alias: string }[];
}

export class Pump {
  /** The store: value by key, and key by its other name. */
  readonly records = new Map<string, string>();
  readonly aliases = new Map<string, string>();
  /** Records each kind of which has been read, all rigs together. */
  readonly read = new Map<number, number>();
  private readonly sides: Side[];

  constructor(...rigs: Rig[]) {
    this.sides = rigs.map((rig) => {
      const { memory, router } = rig;
      return {
        rig, journal: new JournalReader(memory.journal as SharedArrayBuffer), inbox: new InboxWriter(memory.inbox as SharedArrayBuffer),
        reader: new FlowReader(memory.flows, router.plan.limits.flows), encoder: new RecordEncoder(new RecordNames(router.plan)), pending: [], fetches: [],
      };
    });
    for (const side of this.sides) this.setStore(side.rig, true);
  }

  /** The store can be used by a rig, or not. */
  setStore(rig: Rig, isUsable: boolean): void {
    this.side(rig).inbox.store(isUsable, true);
    rig.run();
  }

  /** Everything that was told reaches everybody, and what they tell because of it, until nobody has anything to tell. */
  flow(): void {
    for (let i = 0; i < 100; i++) {
      for (const { rig } of this.sides) this.collect(rig);
      if (this.sides.every(({ pending }) => pending.length === 0)) return;
      for (const { rig } of this.sides) this.deliver(rig);
    }
    throw new Error('instances never stop telling each other');
  }

  /** Read what a rig has told. */
  collect(rig: Rig): void {
    const side = this.side(rig);
    const { journal, encoder, reader } = side;
    while (journal.next()) {
      const { kind, at, words } = journal;
      this.read.set(kind, (this.read.get(kind) ?? 0) + 1);
      if (kind === JOURNAL_FLOW) {
        const serial = words[at + FLOW_SERIAL];
        if (reader.read(words[at + FLOW_PLACE]) && reader.words[SERIAL] === serial && (reader.words[FLAGS] & (FLAG_PUBLISHED | FLAG_REPLICA)) === FLAG_PUBLISHED) {
          encoder.flow(reader.words, 0, rig.router.tick);
          this.put(side, text(encoder.key, encoder.keyLength), text(encoder.value, encoder.valueLength), text(encoder.alias, encoder.aliasLength));
        }
      } else if (kind === JOURNAL_END) {
        encoder.flowKeys(words, at + END_ORIGINAL, at + END_REPLY);
        this.delete(side, text(encoder.key, encoder.keyLength), text(encoder.alias, encoder.aliasLength));
      } else if (kind === JOURNAL_FETCH) {
        encoder.fetchKeys(words, at + FETCH_TUPLE);
        side.fetches.push({ token: words[at + FETCH_TOKEN], key: text(encoder.key, encoder.keyLength), alias: text(encoder.alias, encoder.aliasLength) });
      } else if (kind === JOURNAL_PUT) {
        const key = journal.bytes.subarray(journal.keyAt, journal.keyAt + words[at + PUT_KEY_BYTES]);
        const value = journal.bytes.subarray(journal.valueAt, journal.valueAt + words[at + PUT_VALUE_BYTES]);
        this.put(side, text(key, key.length), text(value, value.length), '');
      } else if (kind === JOURNAL_DELETE) {
        const key = journal.bytes.subarray(journal.keyAt, journal.keyAt + words[at + DELETE_KEY_BYTES]);
        this.delete(side, text(key, key.length), '');
      }
      journal.done();
    }
  }

  /** A rig learns what the others have told since the last time. */
  deliver(rig: Rig): void {
    const side = this.side(rig);
    for (const { key, value } of side.pending.splice(0)) {
      while (!(value === null ? side.inbox.forget(bytes(key)) : side.inbox.record(bytes(value)))) rig.run();
    }
    rig.run();
  }

  /** What others have told never reaches it. */
  lose(rig: Rig): void { this.side(rig).pending.length = 0; }

  /** Answer what a rig has asked for; how many questions that were. */
  answer(rig: Rig): number {
    this.collect(rig);
    const side = this.side(rig);
    const asked = side.fetches.splice(0);
    for (const { token, key, alias } of asked) {
      const found = this.records.has(key) ? key : this.aliases.get(alias);
      const value = found === undefined ? undefined : this.records.get(found);
      if (value !== undefined && found !== undefined) {
        side.inbox.record(bytes(value));
        const stream = this.records.get(STREAM_KEY + found.slice(2));
        if (stream !== undefined) side.inbox.record(bytes(stream));
      }
      side.inbox.fetched(token, value !== undefined);
    }
    return asked.length;
  }

  /** A rig that starts now loads everything: flows first. */
  load(rig: Rig): void {
    const { inbox } = this.side(rig);
    for (const isFlow of [true, false]) {
      for (const [key, value] of this.records) if (key.startsWith(FLOW_KEY) === isFlow) while (!inbox.record(bytes(value))) rig.run();
    }
    rig.run();
    this.lose(rig);
  }

  /** The key of every flow there is a record of. */
  get flowKeys(): string[] { return [...this.records.keys()].filter((key) => key.startsWith(FLOW_KEY)); }

  /** Another instance has taken over from a rig. */
  yield(rig: Rig): void {
    this.side(rig).inbox.yield();
    rig.run();
    this.collect(rig);
  }

  /** Times a rig has said that it has yielded. */
  get yielded(): number { return this.read.get(JOURNAL_YIELDED) ?? 0; }

  /** Send a rig bytes as a record, whatever they are. */
  send(rig: Rig, value: Uint8Array): void {
    this.side(rig).inbox.record(value);
    rig.run();
  }

  private put(from: Side, key: string, value: string, alias: string): void {
    this.records.set(key, value);
    if (alias !== '') this.aliases.set(alias, key);
    this.spread(from, key, value);
  }

  private delete(from: Side, key: string, alias: string): void {
    this.records.delete(key);
    if (this.aliases.get(alias) === key) this.aliases.delete(alias);
    this.spread(from, key, null);
  }

  private spread(from: Side, key: string, value: string | null): void {
    for (const side of this.sides) if (side !== from) side.pending.push({ key, value });
  }

  private side(rig: Rig): Side { return this.sides.find((one) => one.rig === rig) as Side; }
}

