/*
 * The arena and its two descriptor lists, as the addon sees them. Mirrors src/link/batch.ts, where every number is
 * explained: change both or neither (test/link/batch.test.ts compares them).
 */
#ifndef WEIR_BATCH_H
#define WEIR_BATCH_H

#define BATCH_MAX 64
#define TX_MAX 4096

#define VNET_LENGTH 10
#define HEADROOM 40
#define FRAME_MAX (65535 + 14 + 8)
#define RECORD_MAX ((HEADROOM + FRAME_MAX + 3) & ~3)

#define RX_AT 0
#define RX_LENGTH (BATCH_MAX * RECORD_MAX)
#define SCRATCH_AT (RX_AT + RX_LENGTH)
#define SCRATCH_LENGTH (8 * 1024 * 1024)
#define ARENA_LENGTH (SCRATCH_AT + SCRATCH_LENGTH)

#define RX_WORDS 4
#define RX_LINK 0
#define RX_FRAME_AT 1
#define RX_LENGTH_BYTES 2
#define RX_VLAN_TCI 3

#define TX_WORDS 4
#define TX_LINK 0
#define TX_FRAME_AT 1
#define TX_LENGTH_BYTES 2
#define TX_ERRNO 3

#define KIND_TUN 0
#define KIND_TAP 1
#define KIND_PACKET 2

#define VNET_F_NEEDS_CSUM 1
#define VNET_F_DATA_VALID 2
#define GSO_NONE 0
#define GSO_TCPV4 1
#define GSO_UDP 3
#define GSO_TCPV6 4
#define GSO_UDP_L4 5
#define GSO_ECN 0x80

#define OFFLOAD_CSUM 1
#define OFFLOAD_TSO4 2
#define OFFLOAD_TSO6 4
#define OFFLOAD_ECN 8
#define OFFLOAD_USO 16

#endif
