/**
 * The tables by themselves, by size: nanoseconds per find, insert and expiry of a flow, per route lookup, per port taken and given back;
 * seconds to load the routes. Prints one JSON line.
 *
 *     node tables.js flow FLOWS | fib ROUTES | port-pool PERCENT
 *
 * Times are of the thread's CPU clock, but for the loading of routes, which somebody waits for. What is asked for is visited in strides, or drawn
 * beforehand, so that neighbours in time are far apart in memory; each figure is the median of several passes.
 */
import { Random } from '../../src/base/random.js';
import { native } from '../../src/link/native.js';
import { Fib } from '../../src/table/fib.js';
import { FlowTable, flowTableBytes } from '../../src/table/flow.js';
import { PortPool } from '../../src/table/port-pool.js';
import { TcpWindows } from '../../src/table/tcp-window.js';
import { Tuple } from '../../src/wire/tuple.js';
import { maskOf } from '../../src/wire/address.js';
import { median } from '../report/statistics.js';

const PASSES = 7;
/** A small table is filled and emptied often enough to be measured warm. */
const FILLS = 1 << 19;
const SEED = 1;
const TIMEOUT_SECONDS = 60;
/** Routes differ by this many nexthops. */
const NEXTHOPS = 64;

/** Median nanoseconds of a CPU that one of `count` steps takes. */
function cost(count: number, run: () => number): number {
  const times: number[] = [];
  for (let pass = 0; pass < PASSES; pass++) {
    const startMs = native().threadCpuMs();
    run();
    times.push(((native().threadCpuMs() - startMs) * 1e6) / count);
  }
  return median(times);
}

export interface FlowResult { flows: number; findNs: number; missNs: number; insertNs: number; expireNs: number; bytesPerFlow: number }

/** Flow f of the bench, as its first packet has it. */
function flowTuple(tuple: Tuple, f: number): void { tuple.setV4(0x0a000000 | (f & 0xff), (0xc6120000 | 0) + (f >>> 15), ((1024 + (f & 0x7fff)) << 16) | 443, 6); }

/** The same after SNAT. */
function leavingTuple(tuple: Tuple, f: number): void { tuple.setV4(0xc6336402 | 0, (0xc6120000 | 0) + (f >>> 15), ((1024 + (f & 0x7fff)) << 16) | 443, 6); }

function flowTable(flows: number): FlowResult {
  const tuple = new Tuple();
  const memory = new SharedArrayBuffer(flowTableBytes(flows));
  const before = process.memoryUsage().arrayBuffers;
  // The windows are not used here; a router has them beside its table.
  const held = { table: new FlowTable(memory, flows, SEED, () => undefined), windows: new TcpWindows(flows) };
  const { table } = held;
  const beside = process.memoryUsage().arrayBuffers - before;
  const inserts: number[] = [];
  const expiries: number[] = [];
  let tick = 0;
  const fill = (): void => {
    for (let f = 0; f < flows; f++) {
      flowTuple(tuple, f);
      const flow = table.open(tuple, 0, 1);
      leavingTuple(tuple, f);
      if (!table.confirm(flow, tuple, tick, TIMEOUT_SECONDS)) throw new Error(`flow ${f} clashes`);
    }
  };
  const passes = Math.max(PASSES, Math.ceil(FILLS / flows));
  for (let pass = 0; pass < passes; pass++) {
    let startMs = native().threadCpuMs();
    fill();
    inserts.push(((native().threadCpuMs() - startMs) * 1e6) / flows);
    tick += TIMEOUT_SECONDS + 1;
    startMs = native().threadCpuMs();
    table.expire(tick, flows + 1);
    expiries.push(((native().threadCpuMs() - startMs) * 1e6) / flows);
    if (table.count !== 0) throw new Error(`${table.count} flows did not expire`);
  }
  fill();
  const stride = Math.floor(flows * 0.6180339887) | 1;
  const finds = Math.max(flows, 1 << 18);
  const findNs = cost(finds, () => {
    let f = 0;
    let found = 0;
    for (let i = 0; i < finds; i++) {
      flowTuple(tuple, f);
      if (table.find(tuple) >= 0) found++;
      f += stride;
      if (f >= flows) f -= flows;
    }
    if (found !== finds) throw new Error(`${finds - found} flows were not found`);
    return found;
  });
  const missNs = cost(finds, () => {
    let found = 0;
    for (let i = 0; i < finds; i++) {
      tuple.setV4(0x0b000000, i, i, 17);
      if (table.find(tuple) >= 0) found++;
    }
    if (found !== 0) throw new Error(`${found} flows were found that are not there`);
    return found;
  });
  return { flows, findNs, missNs, insertNs: median(inserts), expireNs: median(expiries), bytesPerFlow: (memory.byteLength + beside) / flows };
}

export interface FibResult { routes: number; lookupNs: number; loadSeconds: number }

/** Prefixes by length about as the internet has them: most are /24, then /22, /23, /20, /16; some host routes. */
const LENGTHS: readonly (readonly [length: number, percent: number])[] = [[24, 60], [22, 13], [23, 11], [20, 6], [21, 4], [16, 3], [32, 3]];

function fib(routes: number): FibResult {
  const random = new Random(SEED);
  const lengths = LENGTHS.flatMap(([length, percent]) => new Array<number>(percent).fill(length));
  const prefixes = new Int32Array(routes);
  const lengthOf = new Uint8Array(routes);
  const seen = new Set<number>();
  for (let i = 0; i < routes;) {
    const length = lengths[random.below(100)];
    const prefix = random.next() & maskOf(length);
    const key = (prefix >>> 0) * 64 + length;
    if (seen.has(key)) continue;
    seen.add(key);
    prefixes[i] = prefix;
    lengthOf[i++] = length;
  }
  const table = new Fib();
  const startMs = performance.now();
  for (let i = 0; i < routes; i++) table.insert(prefixes[i], lengthOf[i], i % NEXTHOPS);
  table.settle((array) => native().useHugePages(array));
  const loadSeconds = (performance.now() - startMs) / 1000;
  const lookups = 1 << 20;
  // Half of the addresses are below a route, half are anywhere.
  const addresses = Int32Array.from({ length: lookups }, (_, i) => (i & 1 ? random.next() : prefixes[(random.next() >>> 0) % routes] | (random.next() & 255)));
  let total = 0;
  const lookupNs = cost(lookups, () => {
    for (let i = 0; i < lookups; i++) total += table.lookup(addresses[i]);
    return total;
  });
  if (table.size !== routes) throw new Error(`${table.size} routes where ${routes} were entered`);
  return { routes, lookupNs, loadSeconds };
}

export interface PortPoolResult { percent: number; acquireNs: number; releaseNs: number }

/** Endpoints that come and go while `percent` of the ports stay taken. */
function portPool(percent: number): PortPoolResult {
  const pool = new PortPool(1024, 65535, new Random(SEED));
  const held = Math.floor((pool.size * percent) / 100);
  const tuple = new Tuple();
  const acquire = (address: number, port: number): number => {
    tuple.setV4(address, 0, port << 16, 6);
    let external = pool.find(tuple, false);
    if (external !== -1) return external;
    external = pool.pick(port, address, true, 0);
    if (external !== -1) pool.take(external, tuple, false, 0);
    return external;
  };
  for (let i = 0; i < held; i++) acquire(i, 1024 + ((i * 7919) & 0x7fff));
  const count = Math.min(512, pool.size - held);
  const ports = new Int32Array(count);
  const acquires: number[] = [];
  const releases: number[] = [];
  const rounds = 200;
  for (let round = 0; round < rounds; round++) {
    let startMs = native().threadCpuMs();
    for (let i = 0; i < count; i++) ports[i] = acquire((1 << 24) + i, 1024 + ((round * 7919 + i * 31) & 0x7fff));
    acquires.push(((native().threadCpuMs() - startMs) * 1e6) / count);
    if (ports.includes(-1)) throw new Error('no port is free');
    startMs = native().threadCpuMs();
    for (let i = 0; i < count; i++) pool.release(ports[i], 0, true);
    releases.push(((native().threadCpuMs() - startMs) * 1e6) / count);
  }
  return { percent, acquireNs: median(acquires.slice(rounds / 4)), releaseNs: median(releases.slice(rounds / 4)) };
}

const [what, size] = process.argv.slice(2);
const measure = { flow: flowTable, fib, 'port-pool': portPool }[what];
if (measure === undefined) throw new Error(`'${what}' is none of flow, fib, port-pool`);
console.log(JSON.stringify(measure(Number(size))));
