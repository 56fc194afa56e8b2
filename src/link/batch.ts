/**
 * The arena and the two descriptor lists that TypeScript and the addon share. `native/batch.h` mirrors this file:
 * change both or neither (test/link/batch.test.ts compares the numbers).
 *
 * A record is what one read of a device gives: a virtio-net header and, right behind it, the frame (Ethernet for TAP and
 * raw links, the bare IP packet for TUN). Received records lie back to back in the receive region, or RECORD_MAX apart where one system
 * call reads many, each placed so that its IP header is 4-byte aligned and has HEADROOM bytes before it: a frame of a TUN link can leave
 * on an Ethernet link without moving.
 *
 *      recordAt                             frameAt        ipAt (4-byte aligned)
 *      | spare ...... | virtio-net, 10 bytes | Ethernet, 14 | IP ................ |
 *      |<---------------- HEADROOM = 40 ------------------>|
 *
 * A turn: the addon sends tx[0 .. txCount), waits up to timeoutMs for a readable device, receives up to BATCH_MAX
 * records and returns their number. Everything in the arena is only good until the next turn.
 */

/** Records received per turn, at most. */
export const BATCH_MAX = 64;
/** Records sent per turn, at most: one received record may leave as many fragments. */
export const TX_MAX = 4096;

/** Bytes before the IP header of every record: virtio-net header, Ethernet header, 16 spare (VLAN tags). */
export const HEADROOM = 40;
/** The longest frame: a 65,535-byte IP packet and an Ethernet header with two VLAN tags. */
export const FRAME_MAX = 65535 + 14 + 8;
/** Room one record may take in the arena, a multiple of 4. */
export const RECORD_MAX = (HEADROOM + FRAME_MAX + 3) & ~3;

/** Receive region: the addon stops filling a batch when less than RECORD_MAX is left of it. */
export const RX_AT = 0;
export const RX_LENGTH = BATCH_MAX * RECORD_MAX;
/** Scratch region: packets the router makes itself during a turn (ARP, ICMP, fragments, segments, reassembled datagrams). */
export const SCRATCH_AT = RX_AT + RX_LENGTH;
export const SCRATCH_LENGTH = 8 * 1024 * 1024;
export const ARENA_LENGTH = SCRATCH_AT + SCRATCH_LENGTH;

/** Int32 words per receive descriptor: which link, where the frame begins, its length, the VLAN tag the kernel took off. */
export const RX_WORDS = 4;
export const RX_LINK = 0;
export const RX_FRAME_AT = 1;
/** Bytes of the frame without the virtio-net header; when negative, -errno of a failed read (the link's device is in trouble). */
export const RX_LENGTH_BYTES = 2;
/** The tag control information of a VLAN tag the kernel stripped from a packet-socket frame, or -1. */
export const RX_VLAN_TCI = 3;

/** Int32 words per send descriptor: which link, where the frame begins (its virtio-net header lies right before), its length, the result. */
export const TX_WORDS = 4;
export const TX_LINK = 0;
export const TX_FRAME_AT = 1;
export const TX_LENGTH_BYTES = 2;
/** Written by the addon: 0 sent, else errno. */
export const TX_ERRNO = 3;

/** Kinds of device a link can be, as the addon knows them. */
export const KIND_TUN = 0;
export const KIND_TAP = 1;
export const KIND_PACKET = 2;

/** Offloads of a link's device, a bit mask: what frames the link can take besides plain ones. */
export const OFFLOAD_CSUM = 1;
export const OFFLOAD_TSO4 = 2;
export const OFFLOAD_TSO6 = 4;
export const OFFLOAD_ECN = 8;
export const OFFLOAD_USO = 16;
