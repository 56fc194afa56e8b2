/*
 * The addon: opens devices and netlink sockets, and moves batches of frames between devices and one arena. It knows
 * nothing of IP. The contract is src/link/native.ts; the numbers are batch.h.
 */
#include "weir.h"

#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"

void refuse(struct opened *opened, const char *feature, int error, const char *syscall) {
  if (opened->refusals == REFUSALS_MAX) return;
  opened->refused[opened->refusals++] = (struct refusal){feature, {error, syscall}};
}

napi_value opened_to_js(napi_env env, const struct opened *opened) {
  napi_value object, refused;
  if (napi_create_object(env, &object) != napi_ok || napi_create_array(env, &refused) != napi_ok) return NULL;
  set_int32(env, object, "fd", opened->fd);
  set_text(env, object, "name", opened->name);
  set_int32(env, object, "ifindex", opened->ifindex);
  set_bool(env, object, "vnet", opened->vnet);
  set_int32(env, object, "offloads", opened->offloads);
  for (int i = 0; i < opened->refusals; i++) {
    napi_value entry;
    if (napi_create_object(env, &entry) != napi_ok) return NULL;
    set_text(env, entry, "feature", opened->refused[i].feature);
    set_text(env, entry, "code", errno_name(opened->refused[i].failure.error));
    set_int32(env, entry, "errno", -opened->refused[i].failure.error);
    set_text(env, entry, "syscall", opened->refused[i].failure.syscall);
    napi_set_element(env, refused, (uint32_t)i, entry);
  }
  napi_set_named_property(env, object, "refused", refused);
  return object;
}

static napi_value close_fd(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int32_t fd;
  if (!read_arguments(env, info, 1, argv, NULL) || !read_int32(env, argv[0], "fd", &fd)) return NULL;
  /* Linux closes the descriptor even when it answers EINTR: retrying could close someone else's. */
  if (close(fd) < 0 && errno != EINTR) return throw_errno(env, errno, "close", NULL);
  return NULL;
}

static napi_value make_eventfd(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return throw_errno(env, errno, "eventfd", NULL);
  napi_value number;
  napi_create_int32(env, fd, &number);
  return number;
}

static napi_value wake(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int32_t fd;
  uint64_t one = 1;
  if (!read_arguments(env, info, 1, argv, NULL) || !read_int32(env, argv[0], "fd", &fd)) return NULL;
  ssize_t written;
  do written = write(fd, &one, sizeof one);
  while (written < 0 && errno == EINTR);
  /* EAGAIN: the counter is at its end, so the sleeper has been woken as often as one can be. */
  if (written < 0 && errno != EAGAIN) return throw_errno(env, errno, "write eventfd", NULL);
  return NULL;
}

static napi_value capabilities(napi_env env, napi_callback_info info) {
  (void)info;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, data) < 0) return throw_errno(env, errno, "capget", NULL);
  napi_value object, low, high;
  if (napi_create_object(env, &object) != napi_ok || napi_create_uint32(env, data[0].effective, &low) != napi_ok ||
      napi_create_uint32(env, data[1].effective, &high) != napi_ok)
    return NULL;
  napi_set_named_property(env, object, "low", low);
  napi_set_named_property(env, object, "high", high);
  return object;
}

/* threadCpuMs(): what the calling thread has had of a CPU so far. Node's own figure is that of the whole process. */
static napi_value thread_cpu_ms(napi_env env, napi_callback_info info) {
  (void)info;
  struct timespec time;
  napi_value number;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) < 0) return throw_errno(env, errno, "clock_gettime", NULL);
  napi_create_double(env, (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6, &number);
  return number;
}

/*
 * Programs the calling thread starts from now on get none of its capabilities. It keeps its own: ambient ones only say what is handed on, and a change from
 * one user to another who is not root hands them on as well (capabilities(7)).
 */
static napi_value drop_ambient(napi_env env, napi_callback_info info) {
  (void)info;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return throw_errno(env, errno, "prctl PR_CAP_AMBIENT", NULL);
  return NULL;
}

static void register_layout(napi_env env, napi_value exports) {
  napi_value layout;
  if (napi_create_object(env, &layout) != napi_ok) return;
#define LAYOUT(name) set_int32(env, layout, #name, name)
  LAYOUT(BATCH_MAX);
  LAYOUT(TX_MAX);
  LAYOUT(VNET_LENGTH);
  LAYOUT(HEADROOM);
  LAYOUT(FRAME_MAX);
  LAYOUT(RECORD_MAX);
  LAYOUT(RX_AT);
  LAYOUT(RX_LENGTH);
  LAYOUT(SCRATCH_AT);
  LAYOUT(SCRATCH_LENGTH);
  LAYOUT(ARENA_LENGTH);
  LAYOUT(RX_WORDS);
  LAYOUT(RX_LINK);
  LAYOUT(RX_FRAME_AT);
  LAYOUT(RX_LENGTH_BYTES);
  LAYOUT(RX_VLAN_TCI);
  LAYOUT(TX_WORDS);
  LAYOUT(TX_LINK);
  LAYOUT(TX_FRAME_AT);
  LAYOUT(TX_LENGTH_BYTES);
  LAYOUT(TX_ERRNO);
  LAYOUT(KIND_TUN);
  LAYOUT(KIND_TAP);
  LAYOUT(KIND_PACKET);
  LAYOUT(VNET_F_NEEDS_CSUM);
  LAYOUT(VNET_F_DATA_VALID);
  LAYOUT(GSO_NONE);
  LAYOUT(GSO_TCPV4);
  LAYOUT(GSO_UDP);
  LAYOUT(GSO_TCPV6);
  LAYOUT(GSO_UDP_L4);
  LAYOUT(GSO_ECN);
  LAYOUT(OFFLOAD_CSUM);
  LAYOUT(OFFLOAD_TSO4);
  LAYOUT(OFFLOAD_TSO6);
  LAYOUT(OFFLOAD_ECN);
  LAYOUT(OFFLOAD_USO);
#undef LAYOUT
  napi_set_named_property(env, exports, "layout", layout);
}

NAPI_MODULE_INIT() {
  register_tun(env, exports);
  register_packet(env, exports);
  register_io(env, exports);
  register_memory(env, exports);
  register_netlink(env, exports);
  register_bpf(env, exports);
  register_layout(env, exports);
  set_function(env, exports, "closeFd", close_fd);
  set_function(env, exports, "eventfd", make_eventfd);
  set_function(env, exports, "wake", wake);
  set_function(env, exports, "capabilities", capabilities);
  set_function(env, exports, "threadCpuMs", thread_cpu_ms);
  set_function(env, exports, "dropAmbient", drop_ambient);
  return exports;
}
