/*
 * What the addon's files share: the error helpers, argument readers, the namespace switch, and one registration
 * function per concern. The addon keeps no global state, so the main thread and a worker can both load it.
 */
#ifndef WEIR_H
#define WEIR_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <node_api.h>

/* Longest network namespace path accepted, with its terminating zero. */
#define NETNS_PATH_MAX 256
/* A device name with its terminating zero (IFNAMSIZ). */
#define DEVICE_NAME_MAX 16

/* error.c: throw a Node-shaped system error. `subject` (a device, a path) may be NULL. All return NULL. */
napi_value throw_errno(napi_env env, int error, const char *syscall, const char *subject);
napi_value throw_type(napi_env env, const char *message);
napi_value throw_range(napi_env env, const char *message);
/* The symbolic name of an errno, "EUNKNOWN" when libc knows none. */
const char *errno_name(int error);

/* error.c: argument readers. Each returns false with an exception pending when the value is of another type. */
bool read_arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *argv, napi_value *self);
bool read_int32(napi_env env, napi_value value, const char *what, int32_t *out);
bool read_bool(napi_env env, napi_value value, const char *what, bool *out);
/* Fails when the text with its terminating zero does not fit. */
bool read_text(napi_env env, napi_value value, const char *what, char *out, size_t size);
/* A named property that must be there. */
bool read_property(napi_env env, napi_value object, const char *name, napi_value *out);
/* The optional property `netns`: `out` is "" when absent. */
bool read_netns(napi_env env, napi_value object, char *out);
void set_int32(napi_env env, napi_value object, const char *name, int32_t value);
void set_text(napi_env env, napi_value object, const char *name, const char *value);
void set_bool(napi_env env, napi_value object, const char *name, bool value);
void set_function(napi_env env, napi_value object, const char *name, napi_callback callback);

/* A step a kernel call failed in, so that a plain C function can report it without touching JavaScript. */
struct failure {
  int error;
  const char *syscall;
};

/* One feature refused while a device was opened. */
struct refusal {
  const char *feature;
  struct failure failure;
};
#define REFUSALS_MAX 8

/* What openTun and openPacket answer with. */
struct opened {
  int fd;
  int ifindex;
  bool vnet;
  int offloads;
  char name[DEVICE_NAME_MAX];
  int refusals;
  struct refusal refused[REFUSALS_MAX];
};
void refuse(struct opened *opened, const char *feature, int error, const char *syscall);
napi_value opened_to_js(napi_env env, const struct opened *opened);

/*
 * netns.c: enter the namespace at `path` on the calling thread ("" = stay). Always pair with leave_netns, whatever
 * happened in between. errno values are left in `failure`.
 */
struct netns {
  int home;
};
bool enter_netns(struct netns *netns, const char *path, struct failure *failure);
void leave_netns(struct netns *netns);

/* One a concern: adds its functions to the exports. */
void register_bpf(napi_env env, napi_value exports);
void register_tun(napi_env env, napi_value exports);
void register_packet(napi_env env, napi_value exports);
void register_io(napi_env env, napi_value exports);
void register_memory(napi_env env, napi_value exports);
void register_netlink(napi_env env, napi_value exports);

#endif
