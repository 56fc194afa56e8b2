/**
 * An assembler for BPF programs, and the numbers of the kernel's interface that go with it. A program is written as a row of calls, one an
 * instruction; jumps name labels. Nothing is checked here that the kernel's verifier checks better.
 *
 *     const a = new Assembler();
 *     a.load(W, R2, R1, 0).jump('<', R2, 42, 'up').move(R0, 1).exit().label('up').move(R0, 0).exit();
 *     native().bpfProgram({ …, instructions: a.finish() });
 *
 * An instruction is 8 bytes: opcode, destination | source << 4, a jump's or an address's offset (16 bits), an immediate (32 bits, little endian).
 * The 64-bit immediate of a map takes two.
 */

/** A register, told apart from an immediate number. R10 is the end of the stack, R1 … R5 are arguments and lost by a call, R0 is its result. */
export interface Register { readonly number: number }
const register = (number: number): Register => ({ number });
export const R0 = register(0), R1 = register(1), R2 = register(2), R3 = register(3), R4 = register(4), R5 = register(5);
export const R6 = register(6), R7 = register(7), R8 = register(8), R9 = register(9), R10 = register(10);

/** Sizes of loads and stores: 4, 2, 1 and 8 bytes. */
export const W = 0x00, H = 0x08, B = 0x10, DW = 0x18;
export type Size = typeof W | typeof H | typeof B | typeof DW;

const CLASS_LD = 0, CLASS_LDX = 1, CLASS_ST = 2, CLASS_STX = 3, CLASS_ALU = 4, CLASS_JMP = 5, CLASS_JMP32 = 6, CLASS_ALU64 = 7;
const MODE_IMM = 0x00, MODE_MEM = 0x60, MODE_ATOMIC = 0xc0;
const FROM_REGISTER = 0x08;
const OPERATIONS = { add: 0x00, subtract: 0x10, multiply: 0x20, or: 0x40, and: 0x50, left: 0x60, right: 0x70, negate: 0x80, xor: 0xa0, move: 0xb0 } as const;
/** Opcode of the whole instruction; the immediate says how many bits. */
const SWAP_BIG_ENDIAN = 0xdc;
const CONDITIONS = { '==': 0x10, '>': 0x20, '>=': 0x30, '&': 0x40, '!=': 0x50, 's>': 0x60, 's>=': 0x70, '<': 0xa0, '<=': 0xb0, 's<': 0xc0, 's<=': 0xd0 } as const;
const ALWAYS = 0x00, CALL = 0x80, EXIT = 0x90;
const PSEUDO_MAP_FD = 1, PSEUDO_MAP_VALUE = 2;

export type Operation = keyof typeof OPERATIONS;
/** `s` compares as signed; `&`: any bit in common. */
export type Condition = keyof typeof CONDITIONS;
export type Operand = Register | number;

/** Helpers (BPF_FUNC_*). */
export const MAP_LOOKUP = 1, SKB_STORE_BYTES = 9, L4_CSUM_REPLACE = 11, REDIRECT = 23, REDIRECT_PEER = 155, SKB_LOAD_BYTES = 26, SKB_CHANGE_TAIL = 38, KTIME_GET_COARSE_NS = 160;

export const MAP_ARRAY = 2;
export const MAP_MMAPABLE = 1 << 10;
export const PROGRAM_SOCKET_FILTER = 1, PROGRAM_SCHED_CLS = 3;

/** Where a program finds things in its context, struct __sk_buff. */
export const SKB_LENGTH = 0, SKB_MARK = 8, SKB_VLAN_PRESENT = 20, SKB_GSO_SIZE = 176;
export const SKB_BYTES = 192;

/** What a tc program says: go on with the next filter, drop, do as bpf_redirect() was told. */
export const TC_UNSPECIFIED = -1, TC_SHOT = 2, TC_REDIRECT = 7;
/** Flag of bpf_redirect(): to the receiving side of the device. */
export const REDIRECT_INGRESS = 1;
/** Flags of bpf_l4_csum_replace() beside the size: a part of the pseudo-header; a checksum of 0 means there is none (UDP). */
export const CSUM_PSEUDO_HEADER = 0x10, CSUM_MANGLED_0 = 0x20;

export class Assembler {
  private readonly words: number[] = [];
  private readonly labels = new Map<string, number>();
  private readonly jumps: { at: number; label: string }[] = [];

  private emit(opcode: number, destination: number, source: number, offset: number, immediate: number): this {
    this.words.push(opcode | (destination << 8) | (source << 12) | ((offset & 0xffff) << 16), immediate | 0);
    return this;
  }

  private get next(): number { return this.words.length / 2; }

  /** Operations on 64 bits. */
  alu(operation: Operation, destination: Register, operand: Operand): this { return this.compute(CLASS_ALU64, operation, destination, operand); }

  /** On the lower 32 bits; the upper ones become 0. */
  alu32(operation: Operation, destination: Register, operand: Operand): this { return this.compute(CLASS_ALU, operation, destination, operand); }

  move(destination: Register, operand: Operand): this { return this.alu('move', destination, operand); }

  private compute(kind: number, operation: Operation, destination: Register, operand: Operand): this {
    const opcode = kind | OPERATIONS[operation];
    return typeof operand === 'number' ? this.emit(opcode, destination.number, 0, 0, operand) : this.emit(opcode | FROM_REGISTER, destination.number, operand.number, 0, 0);
  }

  /** A value of so many bits read from a packet, into the machine's order. */
  fromNetwork(destination: Register, bits: 16 | 32): this { return this.emit(SWAP_BIG_ENDIAN, destination.number, 0, 0, bits); }

  load(size: Size, destination: Register, base: Register, offset: number): this {
    return this.emit(CLASS_LDX | MODE_MEM | size, destination.number, base.number, offset, 0);
  }

  store(size: Size, base: Register, offset: number, operand: Operand): this {
    return typeof operand === 'number' ? this.emit(CLASS_ST | MODE_MEM | size, base.number, 0, offset, operand)
      : this.emit(CLASS_STX | MODE_MEM | size, base.number, operand.number, offset, 0);
  }

  /** Add to memory that others add to as well. */
  atomicAdd(size: typeof W | typeof DW, base: Register, offset: number, source: Register): this {
    return this.emit(CLASS_STX | MODE_ATOMIC | size, base.number, source.number, offset, OPERATIONS.add);
  }

  /** Jump to a label when the condition holds for 64 bits. */
  jump(condition: Condition, left: Register, right: Operand, label: string): this { return this.branch(CLASS_JMP, CONDITIONS[condition], left, right, label); }

  /** As `jump`, for the lower 32 bits. */
  jump32(condition: Condition, left: Register, right: Operand, label: string): this { return this.branch(CLASS_JMP32, CONDITIONS[condition], left, right, label); }

  go(label: string): this { return this.branch(CLASS_JMP, ALWAYS, R0, 0, label); }

  private branch(kind: number, condition: number, left: Register, right: Operand, label: string): this {
    this.jumps.push({ at: this.next, label });
    return typeof right === 'number' ? this.emit(kind | condition, left.number, 0, 0, right) : this.emit(kind | condition | FROM_REGISTER, left.number, right.number, 0, 0);
  }

  label(name: string): this {
    if (this.labels.has(name)) throw new Error(`label ${name} is there twice`);
    this.labels.set(name, this.next);
    return this;
  }

  call(helper: number): this { return this.emit(CLASS_JMP | CALL, 0, 0, 0, helper); }

  exit(): this { return this.emit(CLASS_JMP | EXIT, 0, 0, 0, 0); }

  /** A map, as helpers take it. */
  map(destination: Register, fd: number): this { return this.wide(destination, PSEUDO_MAP_FD, fd); }

  /** The address of the only value of an array map. */
  mapValue(destination: Register, fd: number): this { return this.wide(destination, PSEUDO_MAP_VALUE, fd); }

  private wide(destination: Register, kind: number, fd: number): this {
    return this.emit(CLASS_LD | MODE_IMM | DW, destination.number, kind, 0, fd).emit(0, 0, 0, 0, 0);
  }

  /** The program's bytes. Throws when a jump's label is missing, or further away than an offset reaches. */
  finish(): Uint8Array {
    const { words } = this;
    for (const { at, label } of this.jumps) {
      const target = this.labels.get(label);
      if (target === undefined) throw new Error(`label ${label} is missing`);
      const offset = target - at - 1;
      if (offset > 0x7fff || offset < -0x8000) throw new Error(`label ${label} is too far away`);
      words[at * 2] = (words[at * 2] & 0xffff) | ((offset & 0xffff) << 16);
    }
    const bytes = new Uint8Array(words.length * 4);
    const view = new DataView(bytes.buffer);
    words.forEach((word, i) => view.setInt32(i * 4, word, true));
    return bytes;
  }
}
