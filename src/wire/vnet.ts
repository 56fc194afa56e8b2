/** The virtio-net header that precedes every frame in the arena (virtio 1.2 §5.1.6), native/batch.h mirrors the numbers. */

/** struct virtio_net_hdr without num_buffers: flags u8, gso_type u8, hdr_len u16, gso_size u16, csum_start u16, csum_offset u16, little endian. */
export const VNET_LENGTH = 10;

/** flags: the checksum at csum_start + csum_offset holds only the pseudo-header's sum. */
export const VNET_F_NEEDS_CSUM = 1;
/** flags: the checksum has been verified. */
export const VNET_F_DATA_VALID = 2;

/** gso_type. */
export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Added to a TCP gso_type: the segment carries congestion-experienced (CWR) and must be cut with care. */
export const GSO_ECN = 0x80;
