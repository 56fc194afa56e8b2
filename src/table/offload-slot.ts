/**
 * Slots of offloaded flows: memory that the kernel's program (table/offload-program.ts) and the data plane share, three cache lines a flow.
 *
 *     words  0 … 15   what the program counts and moves: bytes and packets of either direction, their FINs, the TCP window (table/tcp-window.ts)
 *     words 16 … 31   the entry of direction ORIGINAL: how its packets arrive, and what they become
 *     words 32 … 47   the entry of direction REPLY
 *
 * An index (table/offload-index.ts) leads from how a packet arrives to the slot and the direction. That is only a hint: the program compares
 * the entry's own key, so a place in the index that is given to another flow while a program looks at it does no harm. An entry
 * counts only while its EPOCH is the current one; 0 never is. So one store makes one entry void, and one store all of them.
 *
 * Addresses, ports, MAC addresses, DELTA and MASK are kept in network order, as they stand in a frame; all else in the machine's own.
 */

export const SLOT_WORDS = 48;
export const SLOT_BYTES = SLOT_WORDS * 4;

/** 64 bits per direction: bytes of IP packets. */
export const BYTES = 0; // and 2 for REPLY
/** 32 bits per direction, which wrap around. */
export const PACKETS = 4; // and 5 for REPLY
/** 16 bits per direction: 1 = its FIN has been forwarded. */
export const ENDS = 6;
export const WINDOW = 8; // … 15
export const ENTRY = 16; // and 32 for REPLY
export const ENTRY_WORDS = 16;

/** Word offsets in an entry. Protocol << 8 | link << 16, source, destination, ports: how a packet arrives. */
export const KEY = 0;
export const KEY_WORDS = 4;
/** Source, destination, ports: as it leaves. */
export const LEAVING = 4;
/** 16 bits: what the IP header's checksum changes by (wire/checksum.ts). */
export const DELTA = 7;
/** 12 bytes: destination and source. */
export const MACS = 8;
export const IFINDEX = 11;
/** How it is handed over: a flag of bpf_redirect(), or TO_PEER. */
export const REDIRECT = 12;
/** Mark it leaves with, or 0. */
export const MARK = 13;
/** 16 bits each: the out link's MTU; bits of the fragment word that must be as in a whole packet with DF. */
export const LIMITS = 14;
export const EPOCH = 15;

/** In REDIRECT: straight to the far end of the out device's wire (bpf_redirect_peer()), which only a program at the ingress hook may do. */
export const TO_PEER = 2;

/**
 * Words of the control memory: the current epoch; until when entries count, in beats (BEAT_SHIFT); 1 = there are entries, 0 = there is nothing to look for; by virtual
 * router a bit: frames to its MAC address are ours; how many connections have ended, which wraps around; and their slots + 1, each in the lane of the slot's lower bits, 0 = none.
 * Two that end between two looks may meet in one lane, and then only the later is told: the data plane looks at every slot now and then anyway.
 */
export const CONTROL_EPOCH = 0;
export const CONTROL_UNTIL = 1;
export const CONTROL_IN_USE = 2;
export const CONTROL_ELECTED = 3;
export const CONTROL_ENDED = 4;
export const CONTROL_LANES = 64; // … 319
export const LANES = 256;
export const CONTROL_WORDS = CONTROL_LANES + LANES;
/** Virtual routers that have a bit: frames to the MAC addresses of others go up to the data plane. */
export const ELECTED_MAX = 32;
/** Nanoseconds >> BEAT_SHIFT are beats, 134 ms each: 32 bits of them last for 18 years. */
export const BEAT_SHIFT = 27;

