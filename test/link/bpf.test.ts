/** The assembler: instructions as the kernel's ABI has them, labels, and what it refuses; and that the kernel runs what it makes. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Assembler, B, DW, H, MAP_LOOKUP, PROGRAM_SCHED_CLS, R0, R1, R10, R2, R3, R6, SKB_BYTES, SKB_LENGTH, W } from '../../src/link/bpf.js';
import { native } from '../../src/link/native.js';

const bpf = suite('BPF assembler');
const hex = (a: Assembler): string[] => (Buffer.from(a.finish()).toString('hex').match(/.{16}/g) ?? []);

bpf('one instruction each, as the ABI has them', () => {
  assert.equal(hex(new Assembler().move(R0, 1)), ['b700000001000000']);
  assert.equal(hex(new Assembler().move(R6, R1)), ['bf16000000000000']);
  assert.equal(hex(new Assembler().alu('add', R3, -62)), ['07030000c2ffffff']);
  assert.equal(hex(new Assembler().alu32('subtract', R2, R1)), ['1c12000000000000']);
  assert.equal(hex(new Assembler().alu32('negate', R2, 0)), ['8402000000000000']);
  assert.equal(hex(new Assembler().fromNetwork(R3, 16)), ['dc03000010000000']);
  assert.equal(hex(new Assembler().load(W, R2, R1, 0)), ['6112000000000000']);
  assert.equal(hex(new Assembler().load(B, R2, R10, -54)), ['71a2caff00000000']);
  assert.equal(hex(new Assembler().load(DW, R2, R10, -40)), ['79a2d8ff00000000']);
  assert.equal(hex(new Assembler().store(H, R10, -2, R3)), ['6b3afeff00000000']);
  assert.equal(hex(new Assembler().store(W, R10, -4, 7)), ['620afcff07000000']);
  assert.equal(hex(new Assembler().atomicAdd(DW, R2, 8, R3)), ['db32080000000000']);
  assert.equal(hex(new Assembler().atomicAdd(W, R2, 8, R3)), ['c332080000000000']);
  assert.equal(hex(new Assembler().call(MAP_LOOKUP)), ['8500000001000000']);
  assert.equal(hex(new Assembler().exit()), ['9500000000000000']);
  assert.equal(hex(new Assembler().map(R1, 5)), ['1811000005000000', '0000000000000000']);
  assert.equal(hex(new Assembler().mapValue(R1, 5)), ['1821000005000000', '0000000000000000']);
});

bpf('jumps count instructions from the next one, a map as two', () => {
  assert.equal(hex(new Assembler().label('top').jump('==', R0, 0, 'end').map(R1, 1).jump32('s<', R0, R2, 'top').go('end').label('end').exit()),
    ['1500040000000000', '1811000001000000', '0000000000000000', 'ce20fcff00000000', '0500000000000000', '9500000000000000']);
});

bpf('a label that is missing, there twice, or too far is a mistake of the program\'s', () => {
  assert.throws(() => new Assembler().go('nowhere').finish(), 'label nowhere is missing');
  assert.throws(() => new Assembler().label('x').label('x'), 'label x is there twice');
  const long = new Assembler().go('end');
  for (let i = 0; i < 40_000; i++) long.move(R0, 0);
  assert.throws(() => long.label('end').finish(), 'label end is too far away');
});

bpf('the kernel runs it: the sum of 1 … length of the frame', () => {
  const a = new Assembler().load(W, R2, R1, SKB_LENGTH).jump('>', R2, 100, 'long').move(R3, R2).alu('add', R3, 1).alu('multiply', R2, R3).alu('right', R2, 1).move(R0, R2).exit()
    .label('long').move(R0, -1).exit();
  const program = native().bpfProgram({ type: PROGRAM_SCHED_CLS, name: 'test', license: 'Apache-2.0', instructions: a.finish() });
  try {
    assert.is(native().bpfRun(program, new Uint8Array(60), new Uint8Array(SKB_BYTES), 1).result, 1830);
    assert.is(native().bpfRun(program, new Uint8Array(200), new Uint8Array(SKB_BYTES), 1).result, -1);
  } finally {
    native().closeFd(program);
  }
});

bpf('a program the verifier refuses is an error with its words', () => {
  const wrong = new Assembler().load(W, R0, R2, 0).exit().finish();
  assert.throws(() => native().bpfProgram({ type: PROGRAM_SCHED_CLS, name: 'wrong', license: 'Apache-2.0', instructions: wrong }),
    (error: Error & { code?: string }) => error.code === 'EACCES' && error.message.includes('R2 !read_ok'));
});

bpf.run();
