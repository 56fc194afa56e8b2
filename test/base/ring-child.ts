/** The reading thread of ring.test.ts: reads records until the one of kind 2 and tells how many there were and what was wrong with the first that was wrong. */
import { parentPort, workerData } from 'node:worker_threads';
import { RingReader } from '../../src/base/ring.js';

const LAST = 2;
const reader = new RingReader(workerData as SharedArrayBuffer);
parentPort?.postMessage('reading');
let count = 0;
let wrong: string | null = null;
for (let isOver = false; !isOver;) {
  if (!reader.next()) continue;
  isOver = reader.kind === LAST;
  const length = isOver ? 0 : count % 29;
  if (reader.length !== length) wrong ??= `record ${count} has ${reader.length} words instead of ${length}`;
  for (let i = 0; i < reader.length; i++) {
    if (reader.words[reader.at + i] !== Math.imul(count, 31) + i) wrong ??= `record ${count}, word ${i}`;
  }
  reader.done();
  if (!isOver) count++;
}
parentPort?.postMessage({ count, wrong });
