/*
 * TUN and TAP devices. With offload, every record carries a virtio-net header and the kernel may hand over (and takes)
 * GSO super-frames and partial checksums. What a kernel refuses is kept by feature and the device opens without it.
 */
#include "weir.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "batch.h"

/* Kernel 6.2 brought UDP segmentation to TUN; the headers of Debian 12 are older than its newer kernels. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct feature {
  const char *name;
  unsigned int bits;
  int offload;
};

/* In the order they build on each other: segmentation needs checksums, ECN needs TSO. The kernel takes both USO or none. */
static const struct feature features[] = {
  {"csum", TUN_F_CSUM, OFFLOAD_CSUM},
  {"tso4", TUN_F_TSO4, OFFLOAD_TSO4},
  {"tso6", TUN_F_TSO6, OFFLOAD_TSO6},
  {"ecn", TUN_F_TSO_ECN, OFFLOAD_ECN},
  {"uso", TUN_F_USO4 | TUN_F_USO6, OFFLOAD_USO},
};
#define FEATURES (sizeof features / sizeof features[0])

static void set_offloads(struct opened *opened) {
  unsigned int all = 0;
  for (size_t i = 0; i < FEATURES; i++) {
    all |= features[i].bits;
    opened->offloads |= features[i].offload;
  }
  if (ioctl(opened->fd, TUNSETOFFLOAD, (unsigned long)all) == 0) return;

  unsigned int accepted = 0;
  opened->offloads = 0;
  for (size_t i = 0; i < FEATURES; i++) {
    if (ioctl(opened->fd, TUNSETOFFLOAD, (unsigned long)(accepted | features[i].bits)) == 0) {
      accepted |= features[i].bits;
      opened->offloads |= features[i].offload;
    } else {
      refuse(opened, features[i].name, errno, "ioctl TUNSETOFFLOAD");
    }
  }
}

static bool set_vnet(struct opened *opened, struct failure *failure) {
  int length = VNET_LENGTH;
  if (ioctl(opened->fd, TUNSETVNETHDRSZ, &length) < 0) {
    *failure = (struct failure){errno, "ioctl TUNSETVNETHDRSZ"};
    return false;
  }
  opened->vnet = true;
  set_offloads(opened);
  return true;
}

/* Opens the device in the namespace the thread is in now. */
static bool open_tun(struct opened *opened, short kind, bool offload, struct failure *failure) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, opened->name, sizeof opened->name);
  request.ifr_flags = (short)(kind | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0));

  opened->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (opened->fd < 0) {
    *failure = (struct failure){errno, "open /dev/net/tun"};
    return false;
  }
  if (ioctl(opened->fd, TUNSETIFF, &request) < 0) {
    *failure = (struct failure){errno, "ioctl TUNSETIFF"};
    return false;
  }
  memcpy(opened->name, request.ifr_name, sizeof opened->name);
  if (offload && !set_vnet(opened, failure)) return false;
  opened->ifindex = (int)if_nametoindex(opened->name);
  if (opened->ifindex == 0) {
    *failure = (struct failure){errno, "if_nametoindex"};
    return false;
  }
  return true;
}

static napi_value open_tun_js(napi_env env, napi_callback_info info) {
  napi_value argv[1], value;
  char kind[8], netns_path[NETNS_PATH_MAX];
  bool offload;
  struct opened opened = {.fd = -1};
  if (!read_arguments(env, info, 1, argv, NULL) || !read_property(env, argv[0], "kind", &value) ||
      !read_text(env, value, "kind", kind, sizeof kind) || !read_property(env, argv[0], "name", &value) ||
      !read_text(env, value, "name", opened.name, sizeof opened.name) || !read_netns(env, argv[0], netns_path) ||
      !read_property(env, argv[0], "offload", &value) || !read_bool(env, value, "offload", &offload))
    return NULL;
  bool tap = strcmp(kind, "tap") == 0;
  if (!tap && strcmp(kind, "tun") != 0) return throw_type(env, "kind must be 'tap' or 'tun'");

  struct netns netns;
  struct failure failure;
  if (!enter_netns(&netns, netns_path, &failure)) return throw_errno(env, failure.error, failure.syscall, netns_path);
  bool done = open_tun(&opened, tap ? IFF_TAP : IFF_TUN, offload, &failure);
  leave_netns(&netns);
  if (!done) {
    if (opened.fd >= 0) close(opened.fd);
    return throw_errno(env, failure.error, failure.syscall, opened.name);
  }
  return opened_to_js(env, &opened);
}

void register_tun(napi_env env, napi_value exports) { set_function(env, exports, "openTun", open_tun_js); }
