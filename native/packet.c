/*
 * Packet sockets: an existing device's frames, past the host's stack. Every option is set before the socket is bound to
 * its protocol, so that no frame arrives that was handled by other rules.
 *
 * Frames are sent past the queueing discipline, with a mark that lets them through the nf_tables egress chain which keeps
 * the host's own stack silent (src/link/nftables.ts). That path drops a GSO frame the device cannot segment by itself instead of splitting it, so the
 * offloads reported here are the ones the device has switched on; checksums the kernel always finishes in place.
 */
#include "weir.h"

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batch.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

/* 'weir' in ASCII; src/link/nftables.ts knows it as SOCKET_MARK. */
#define SOCKET_MARK 0x77656972

/* More features than any kernel has; guards the sizes computed from its answer. */
#define ETHTOOL_FEATURES_MAX 1024

struct segmentation {
  const char *ethtool;
  const char *name;
  int offload;
};

static const struct segmentation segmentations[] = {
  {"tx-tcp-segmentation", "tso4", OFFLOAD_TSO4},
  {"tx-tcp6-segmentation", "tso6", OFFLOAD_TSO6},
  {"tx-tcp-ecn-segmentation", "ecn", OFFLOAD_ECN},
  {"tx-udp-segmentation", "uso", OFFLOAD_USO},
};
#define SEGMENTATIONS (sizeof segmentations / sizeof segmentations[0])

static int ethtool(int fd, const char *device, void *command) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, device, DEVICE_NAME_MAX);
  request.ifr_data = command;
  return ioctl(fd, SIOCETHTOOL, &request);
}

/* Adds the segmentation offloads the device has active; the others become refusals. */
static void read_segmentation(struct opened *opened) {
  struct {
    struct ethtool_sset_info info;
    uint32_t length;
  } set;
  memset(&set, 0, sizeof set);
  set.info.cmd = ETHTOOL_GSSET_INFO;
  set.info.sset_mask = 1ULL << ETH_SS_FEATURES;
  int error = 0;
  struct ethtool_gstrings *names = NULL;
  struct ethtool_gfeatures *values = NULL;
  uint32_t blocks = 0;
  if (ethtool(opened->fd, opened->name, &set) < 0) error = errno;
  else if (set.info.sset_mask == 0 || set.length == 0 || set.length > ETHTOOL_FEATURES_MAX) error = EOPNOTSUPP;
  if (error == 0) {
    blocks = (set.length + 31) / 32;
    names = calloc(1, sizeof *names + (size_t)set.length * ETH_GSTRING_LEN);
    values = calloc(1, sizeof *values + blocks * sizeof values->features[0]);
    if (names == NULL || values == NULL) error = ENOMEM;
  }
  if (error == 0) {
    names->cmd = ETHTOOL_GSTRINGS;
    names->string_set = ETH_SS_FEATURES;
    names->len = set.length;
    values->cmd = ETHTOOL_GFEATURES;
    values->size = blocks;
    if (ethtool(opened->fd, opened->name, names) < 0 || ethtool(opened->fd, opened->name, values) < 0) error = errno;
  }
  for (size_t i = 0; i < SEGMENTATIONS; i++) {
    bool active = false;
    for (uint32_t bit = 0; error == 0 && bit < set.length && bit / 32 < values->size; bit++)
      if (strncmp((const char *)names->data + (size_t)bit * ETH_GSTRING_LEN, segmentations[i].ethtool, ETH_GSTRING_LEN) == 0)
        active = (values->features[bit / 32].active >> (bit % 32)) & 1;
    if (active) opened->offloads |= segmentations[i].offload;
    else refuse(opened, segmentations[i].name, error == 0 ? EOPNOTSUPP : error, "ioctl ETHTOOL_GFEATURES");
  }
  free(names);
  free(values);
}

static int set_flag(int fd, int option) {
  int one = 1;
  return setsockopt(fd, SOL_PACKET, option, &one, sizeof one);
}

/* The forced form may pass the system's limit, but needs a privilege; the plain one takes what it can get. */
static void set_buffer(int fd, int forced, int plain, int length) {
  if (setsockopt(fd, SOL_SOCKET, forced, &length, sizeof length) < 0) setsockopt(fd, SOL_SOCKET, plain, &length, sizeof length);
}

/* Opens the socket in the namespace the thread is in now. */
static bool open_packet(struct opened *opened, bool offload, int buffer_bytes, bool promiscuous, struct failure *failure) {
  opened->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (opened->fd < 0) {
    *failure = (struct failure){errno, "socket AF_PACKET"};
    return false;
  }
  opened->ifindex = (int)if_nametoindex(opened->name);
  if (opened->ifindex == 0) {
    *failure = (struct failure){errno, "if_nametoindex"};
    return false;
  }
  int mark = SOCKET_MARK;
  if (setsockopt(opened->fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) {
    *failure = (struct failure){errno, "setsockopt SO_MARK"};
    return false;
  }
  /* Without this one every frame sent would come back as received. */
  if (set_flag(opened->fd, PACKET_IGNORE_OUTGOING) < 0) {
    *failure = (struct failure){errno, "setsockopt PACKET_IGNORE_OUTGOING"};
    return false;
  }
  /* Without this one VLAN tags would vanish unseen. */
  if (set_flag(opened->fd, PACKET_AUXDATA) < 0) {
    *failure = (struct failure){errno, "setsockopt PACKET_AUXDATA"};
    return false;
  }
  if (set_flag(opened->fd, PACKET_QDISC_BYPASS) < 0) refuse(opened, "qdisc-bypass", errno, "setsockopt PACKET_QDISC_BYPASS");
  if (offload) {
    if (set_flag(opened->fd, PACKET_VNET_HDR) < 0) {
      refuse(opened, "vnet-header", errno, "setsockopt PACKET_VNET_HDR");
    } else {
      opened->vnet = true;
      opened->offloads = OFFLOAD_CSUM;
      read_segmentation(opened);
    }
  }
  set_buffer(opened->fd, SO_RCVBUFFORCE, SO_RCVBUF, buffer_bytes);
  set_buffer(opened->fd, SO_SNDBUFFORCE, SO_SNDBUF, buffer_bytes);
  if (promiscuous) {
    struct packet_mreq membership = {.mr_ifindex = opened->ifindex, .mr_type = PACKET_MR_PROMISC};
    if (setsockopt(opened->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) < 0) {
      *failure = (struct failure){errno, "setsockopt PACKET_ADD_MEMBERSHIP"};
      return false;
    }
  }
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = opened->ifindex};
  if (bind(opened->fd, (struct sockaddr *)&address, sizeof address) < 0) {
    *failure = (struct failure){errno, "bind"};
    return false;
  }
  return true;
}

static napi_value open_packet_js(napi_env env, napi_callback_info info) {
  napi_value argv[1], value;
  char netns_path[NETNS_PATH_MAX];
  bool offload, promiscuous;
  int32_t buffer_bytes;
  struct opened opened = {.fd = -1};
  if (!read_arguments(env, info, 1, argv, NULL) || !read_property(env, argv[0], "name", &value) ||
      !read_text(env, value, "name", opened.name, sizeof opened.name) || !read_netns(env, argv[0], netns_path) ||
      !read_property(env, argv[0], "offload", &value) || !read_bool(env, value, "offload", &offload) ||
      !read_property(env, argv[0], "bufferBytes", &value) || !read_int32(env, value, "bufferBytes", &buffer_bytes) ||
      !read_property(env, argv[0], "promiscuous", &value) || !read_bool(env, value, "promiscuous", &promiscuous))
    return NULL;
  if (buffer_bytes <= 0) return throw_range(env, "bufferBytes must be above 0");

  struct netns netns;
  struct failure failure;
  if (!enter_netns(&netns, netns_path, &failure)) return throw_errno(env, failure.error, failure.syscall, netns_path);
  bool done = open_packet(&opened, offload, buffer_bytes, promiscuous, &failure);
  leave_netns(&netns);
  if (!done) {
    if (opened.fd >= 0) close(opened.fd);
    return throw_errno(env, failure.error, failure.syscall, opened.name);
  }
  return opened_to_js(env, &opened);
}

/*
 * hearMac(fd, ifindex, mac): the device hands frames to this MAC address to the socket as well, whether its filter holds one more address or has to be opened
 * altogether. No bytes at all: every frame. The membership is the socket's and ends with it.
 */
static napi_value hear_mac(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  int32_t fd, ifindex;
  napi_typedarray_type type;
  size_t length;
  void *mac;
  if (!read_arguments(env, info, 3, argv, NULL) || !read_int32(env, argv[0], "fd", &fd) || !read_int32(env, argv[1], "ifindex", &ifindex)) return NULL;
  if (napi_get_typedarray_info(env, argv[2], &type, &length, &mac, NULL, NULL) != napi_ok || type != napi_uint8_array) return throw_type(env, "mac must be a Uint8Array");
  if (length != 0 && length != ETH_ALEN) return throw_range(env, "mac must have 6 bytes, or none");
  struct packet_mreq membership = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC, .mr_alen = (unsigned short)length};
  if (length > 0) {
    memcpy(membership.mr_address, mac, length);
    membership.mr_type = (((const uint8_t *)mac)[0] & 1) != 0 ? PACKET_MR_MULTICAST : PACKET_MR_UNICAST;
  }
  if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) < 0) return throw_errno(env, errno, "setsockopt PACKET_ADD_MEMBERSHIP", NULL);
  return NULL;
}

static napi_value packet_statistics(napi_env env, napi_callback_info info) {
  napi_value argv[1], object, packets, drops;
  int32_t fd;
  struct tpacket_stats statistics;
  socklen_t length = sizeof statistics;
  if (!read_arguments(env, info, 1, argv, NULL) || !read_int32(env, argv[0], "fd", &fd)) return NULL;
  if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) < 0)
    return throw_errno(env, errno, "getsockopt PACKET_STATISTICS", NULL);
  if (napi_create_object(env, &object) != napi_ok || napi_create_uint32(env, statistics.tp_packets, &packets) != napi_ok ||
      napi_create_uint32(env, statistics.tp_drops, &drops) != napi_ok)
    return NULL;
  napi_set_named_property(env, object, "packets", packets);
  napi_set_named_property(env, object, "drops", drops);
  return object;
}

void register_packet(napi_env env, napi_value exports) {
  set_function(env, exports, "openPacket", open_packet_js);
  set_function(env, exports, "hearMac", hear_mac);
  set_function(env, exports, "packetStatistics", packet_statistics);
}
