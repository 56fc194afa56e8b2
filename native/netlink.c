/*
 * Netlink sockets: requests that wait for their answers, and multicast groups watched on the event loop. What is in the
 * messages is TypeScript's business; this file only reads the common header to know when an answer is complete.
 *
 * When a request is complete: every message with NLM_F_ACK has got its NLMSG_ERROR and every dump its NLMSG_DONE (or an
 * error). Messages with neither, such as the begin and end of an nf_tables batch, are not waited for; but if the kernel
 * answers one of them with an error it has thrown the whole batch away, and no other answer will come: that ends the
 * request too. The kernel handles everything but dumps inside sendmsg(), so waiting is the exception.
 */
#include "weir.h"

#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

/* The kernel makes dump datagrams of at most 32 KiB; single messages (a device with very many addresses) may be longer. */
#define DATAGRAM_MAX (256 * 1024)
#define REQUEST_TIMEOUT_MS 2000
#define SEND_BUFFER (1024 * 1024)
#define RECEIVE_BUFFER (4 * 1024 * 1024)
/* Datagrams delivered per event-loop callback, so that a storm of changes does not keep other events waiting. */
#define WATCH_BURST_MAX 32
#define GROUPS_MAX 32

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

struct watch;

struct netlink {
  int fd;
  bool grouped;
  struct watch *watch;
  uint8_t *datagram;
};

/* Lives until the event loop has let go of the poll handle, which may be later than the socket. */
struct watch {
  uv_poll_t poll;
  napi_env env;
  struct netlink *netlink;
  napi_ref self;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
};

static const napi_type_tag netlink_tag = {0x7765697272696e6c, 0x93c40e8fd5b7126a};

static struct netlink *unwrap(napi_env env, napi_value self) {
  bool ours = false;
  struct netlink *netlink = NULL;
  if (napi_check_object_type_tag(env, self, &netlink_tag, &ours) != napi_ok || !ours ||
      napi_unwrap(env, self, (void **)&netlink) != napi_ok) {
    throw_type(env, "not a netlink socket");
    return NULL;
  }
  if (netlink->fd < 0) {
    throw_type(env, "the netlink socket is closed");
    return NULL;
  }
  return netlink;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Receives one datagram of the kernel's. Returns its length, 0 for one to be ignored, or -errno. */
static ssize_t receive(struct netlink *netlink) {
  struct sockaddr_nl from;
  struct iovec vector = {netlink->datagram, DATAGRAM_MAX};
  struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1};
  ssize_t length;
  do length = recvmsg(netlink->fd, &message, MSG_DONTWAIT);
  while (length < 0 && errno == EINTR);
  if (length < 0) return -errno;
  if (message.msg_flags & MSG_TRUNC) return -EMSGSIZE;
  /* Other processes may send here too; only the kernel is listened to. */
  return message.msg_namelen == sizeof from && from.nl_pid == 0 ? length : 0;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

struct expected {
  uint32_t sequence;
  bool awaited;
};

struct collection {
  struct expected *expected;
  size_t count;
  size_t open;
  /* The kernel refused a message nobody waits for: the rest will not be answered. */
  bool abandoned;
  uint8_t *replies;
  size_t length;
  size_t room;
};

/* Lists the messages of a request. Returns false when they are not whole netlink messages, or memory ran out. */
static bool expect_all(struct collection *collection, const uint8_t *messages, size_t length) {
  for (size_t at = 0; at < length;) {
    struct nlmsghdr header;
    if (length - at < sizeof header) return false;
    memcpy(&header, messages + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length - at) return false;
    struct expected *grown = realloc(collection->expected, (collection->count + 1) * sizeof *grown);
    if (grown == NULL) return false;
    collection->expected = grown;
    bool awaited = (header.nlmsg_flags & NLM_F_ACK) || (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    grown[collection->count++] = (struct expected){header.nlmsg_seq, awaited};
    if (awaited) collection->open++;
    at += NLMSG_ALIGN(header.nlmsg_len) < length - at ? NLMSG_ALIGN(header.nlmsg_len) : length - at;
  }
  return collection->count > 0;
}

static bool keep(struct collection *collection, const uint8_t *message, size_t length) {
  size_t aligned = NLMSG_ALIGN(length);
  if (collection->length + aligned > collection->room) {
    size_t room = (collection->room + aligned) * 2;
    uint8_t *grown = realloc(collection->replies, room);
    if (grown == NULL) return false;
    collection->replies = grown;
    collection->room = room;
  }
  memset(collection->replies + collection->length + length, 0, aligned - length);
  memcpy(collection->replies + collection->length, message, length);
  collection->length += aligned;
  return true;
}

/* Keeps the messages of one datagram that answer this request. Returns an errno, 0 when all went well. */
static int collect(struct collection *collection, const uint8_t *datagram, size_t length) {
  for (size_t at = 0; length - at >= sizeof(struct nlmsghdr);) {
    struct nlmsghdr header;
    memcpy(&header, datagram + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length - at) return EBADMSG;
    struct expected *expected = NULL;
    for (size_t i = 0; i < collection->count && expected == NULL; i++)
      if (collection->expected[i].sequence == header.nlmsg_seq) expected = &collection->expected[i];
    if (expected != NULL) {
      if (!keep(collection, datagram + at, header.nlmsg_len)) return ENOMEM;
      bool failed = false;
      if (header.nlmsg_type == NLMSG_ERROR && header.nlmsg_len >= NLMSG_LENGTH(sizeof(int))) {
        int error;
        memcpy(&error, datagram + at + NLMSG_HDRLEN, sizeof error);
        failed = error != 0;
      }
      if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
        if (expected->awaited) {
          expected->awaited = false;
          collection->open--;
        } else if (failed) {
          collection->abandoned = true;
        }
      }
    }
    size_t step = NLMSG_ALIGN(header.nlmsg_len);
    if (step >= length - at) break;
    at += step;
  }
  return 0;
}

/* Sends and collects. Returns false with `failure` set when the transport (not a message) failed. */
static bool exchange(struct netlink *netlink, struct collection *collection, const uint8_t *messages, size_t length,
                     struct failure *failure) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t sent;
  do sent = sendto(netlink->fd, messages, length, 0, (struct sockaddr *)&kernel, sizeof kernel);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    *failure = (struct failure){errno, "sendto netlink"};
    return false;
  }
  int64_t deadline = now_ms() + REQUEST_TIMEOUT_MS;
  while (collection->open > 0) {
    ssize_t got = receive(netlink);
    if (got == -EAGAIN) {
      if (collection->abandoned) return true;
      int64_t left = deadline - now_ms();
      if (left <= 0) {
        *failure = (struct failure){ETIMEDOUT, "recvmsg netlink"};
        return false;
      }
      struct pollfd readable = {.fd = netlink->fd, .events = POLLIN};
      if (poll(&readable, 1, (int)left) < 0 && errno != EINTR) {
        *failure = (struct failure){errno, "poll netlink"};
        return false;
      }
      continue;
    }
    int error = got < 0 ? (int)-got : collect(collection, netlink->datagram, (size_t)got);
    if (error != 0) {
      *failure = (struct failure){error, "recvmsg netlink"};
      return false;
    }
  }
  return true;
}

static napi_value request(napi_env env, napi_callback_info info) {
  napi_value argv[1], self, result;
  napi_typedarray_type type;
  size_t length;
  void *messages;
  if (!read_arguments(env, info, 1, argv, &self)) return NULL;
  struct netlink *netlink = unwrap(env, self);
  if (netlink == NULL) return NULL;
  if (netlink->grouped) return throw_type(env, "a netlink socket that has joined groups only watches");
  if (napi_get_typedarray_info(env, argv[0], &type, &length, &messages, NULL, NULL) != napi_ok || type != napi_uint8_array)
    return throw_type(env, "messages must be a Uint8Array");

  struct collection collection = {0};
  if (!expect_all(&collection, messages, length)) {
    free(collection.expected);
    return throw_range(env, "messages must be whole netlink messages");
  }
  struct failure failure;
  bool done = exchange(netlink, &collection, messages, length, &failure);
  if (!done) throw_errno(env, failure.error, failure.syscall, NULL);
  else if (napi_create_buffer_copy(env, collection.length, collection.replies, NULL, &result) != napi_ok) done = false;
  free(collection.expected);
  free(collection.replies);
  return done ? result : NULL;
}

/* ---- watching ------------------------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle) {
  struct watch *watch = handle->data;
  napi_remove_async_cleanup_hook(watch->hook);
  free(watch);
}

/* Ends a watch. The references go at once, the memory when the event loop has closed the handle. */
static void stop_watch(struct watch *watch) {
  if (watch->netlink == NULL) return;
  watch->netlink->watch = NULL;
  watch->netlink = NULL;
  uv_poll_stop(&watch->poll);
  napi_delete_reference(watch->env, watch->self);
  napi_delete_reference(watch->env, watch->callback);
  napi_async_destroy(watch->env, watch->context);
  uv_close((uv_handle_t *)&watch->poll, on_poll_closed);
}

/* The thread's environment ends (a worker exits) while the socket is still watched. */
static void on_cleanup(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  stop_watch(data);
}

/* Hands one datagram to JavaScript; NULL says that some were lost. An exception there is uncaught, as in any event. */
static void deliver(struct watch *watch, const uint8_t *datagram, size_t length) {
  napi_env env = watch->env;
  napi_value self, callback, argument, result, exception;
  if (napi_get_reference_value(env, watch->self, &self) != napi_ok ||
      napi_get_reference_value(env, watch->callback, &callback) != napi_ok)
    return;
  napi_status status = datagram == NULL ? napi_get_null(env, &argument)
                                        : napi_create_buffer_copy(env, length, datagram, NULL, &argument);
  if (status != napi_ok) return;
  if (napi_make_callback(env, watch->context, self, callback, 1, &argument, &result) == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

static void on_readable(uv_poll_t *handle, int status, int events) {
  struct watch *watch = handle->data;
  (void)status;
  (void)events;
  for (int i = 0; i < WATCH_BURST_MAX && watch->netlink != NULL; i++) {
    ssize_t got = receive(watch->netlink);
    if (got == -EAGAIN) return;
    if (got == 0) continue;
    napi_handle_scope scope;
    if (napi_open_handle_scope(watch->env, &scope) != napi_ok) return;
    /* Whatever failed, something was not seen; ENOBUFS is the usual one. */
    if (got < 0) deliver(watch, NULL, 0);
    else deliver(watch, watch->netlink->datagram, (size_t)got);
    napi_close_handle_scope(watch->env, scope);
  }
}

static napi_value watch(napi_env env, napi_callback_info info) {
  napi_value argv[1], self, name;
  napi_valuetype type;
  uv_loop_t *loop;
  if (!read_arguments(env, info, 1, argv, &self)) return NULL;
  struct netlink *netlink = unwrap(env, self);
  if (netlink == NULL) return NULL;
  if (!netlink->grouped) return throw_type(env, "a netlink socket without groups has nothing to watch");
  if (netlink->watch != NULL) return throw_type(env, "the netlink socket is watched already");
  if (napi_typeof(env, argv[0], &type) != napi_ok || type != napi_function) return throw_type(env, "onMessages must be a function");
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return throw_type(env, "no event loop");

  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return throw_errno(env, ENOMEM, "malloc", NULL);
  int error = uv_poll_init(loop, &watch->poll, netlink->fd);
  if (error != 0) {
    free(watch);
    return throw_errno(env, -error, "uv_poll_init", NULL);
  }
  watch->poll.data = watch;
  watch->env = env;
  watch->netlink = netlink;
  netlink->watch = watch;
  napi_create_string_utf8(env, "weir netlink", NAPI_AUTO_LENGTH, &name);
  napi_create_reference(env, self, 1, &watch->self);
  napi_create_reference(env, argv[0], 1, &watch->callback);
  napi_async_init(env, NULL, name, &watch->context);
  napi_add_async_cleanup_hook(env, on_cleanup, watch, &watch->hook);
  uv_unref((uv_handle_t *)&watch->poll);
  error = uv_poll_start(&watch->poll, UV_READABLE, on_readable);
  if (error != 0) {
    stop_watch(watch);
    return throw_errno(env, -error, "uv_poll_start", NULL);
  }
  return NULL;
}

/* ---- open and close ------------------------------------------------------------------------------------------- */

static void release(struct netlink *netlink) {
  if (netlink->watch != NULL) stop_watch(netlink->watch);
  if (netlink->fd >= 0) close(netlink->fd);
  netlink->fd = -1;
  free(netlink->datagram);
  netlink->datagram = NULL;
}

static napi_value close_netlink(napi_env env, napi_callback_info info) {
  napi_value self;
  if (!read_arguments(env, info, 0, NULL, &self)) return NULL;
  struct netlink *netlink = unwrap(env, self);
  if (netlink != NULL) release(netlink);
  return NULL;
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  release(data);
  free(data);
}

/* Opens the socket in the namespace the thread is in now. */
static int open_socket(int protocol, const uint32_t *groups, uint32_t count, struct failure *failure) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) {
    *failure = (struct failure){errno, "socket AF_NETLINK"};
    return -1;
  }
  int one = 1, send_buffer = SEND_BUFFER, receive_buffer = RECEIVE_BUFFER;
  /* Texts with errors, short acknowledgements, strictly checked dumps: kernels without them only say less. */
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof send_buffer) < 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) < 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    *failure = (struct failure){errno, "bind netlink"};
    close(fd);
    return -1;
  }
  for (uint32_t i = 0; i < count; i++) {
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]) < 0) {
      *failure = (struct failure){errno, "setsockopt NETLINK_ADD_MEMBERSHIP"};
      close(fd);
      return -1;
    }
  }
  return fd;
}

/* Reads the array of group numbers and the optional namespace path. */
static bool read_options(napi_env env, napi_value *argv, size_t argc, uint32_t *groups, uint32_t *count, char *netns_path) {
  napi_valuetype type = napi_undefined;
  bool is_array = false;
  if (napi_is_array(env, argv[1], &is_array) != napi_ok || !is_array) {
    throw_type(env, "groups must be an array");
    return false;
  }
  napi_get_array_length(env, argv[1], count);
  if (*count > GROUPS_MAX) {
    throw_range(env, "too many groups");
    return false;
  }
  for (uint32_t i = 0; i < *count; i++) {
    napi_value element;
    int32_t group;
    if (napi_get_element(env, argv[1], i, &element) != napi_ok || !read_int32(env, element, "group", &group)) return false;
    if (group <= 0) {
      throw_range(env, "a group must be above 0");
      return false;
    }
    groups[i] = (uint32_t)group;
  }
  netns_path[0] = 0;
  if (argc > 2) napi_typeof(env, argv[2], &type);
  return type == napi_undefined || read_text(env, argv[2], "netns", netns_path, NETNS_PATH_MAX);
}

static napi_value open_netlink(napi_env env, napi_callback_info info) {
  napi_value argv[3], object;
  size_t argc = 3;
  int32_t protocol;
  uint32_t groups[GROUPS_MAX], count;
  char netns_path[NETNS_PATH_MAX];
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < 2) return throw_type(env, "too few arguments");
  if (!read_int32(env, argv[0], "protocol", &protocol) || !read_options(env, argv, argc, groups, &count, netns_path)) return NULL;

  struct netns netns;
  struct failure failure;
  if (!enter_netns(&netns, netns_path, &failure)) return throw_errno(env, failure.error, failure.syscall, netns_path);
  int fd = open_socket(protocol, groups, count, &failure);
  leave_netns(&netns);
  if (fd < 0) return throw_errno(env, failure.error, failure.syscall, NULL);

  struct netlink *netlink = calloc(1, sizeof *netlink);
  uint8_t *datagram = malloc(DATAGRAM_MAX);
  if (netlink == NULL || datagram == NULL) {
    free(netlink);
    free(datagram);
    close(fd);
    return throw_errno(env, ENOMEM, "malloc", NULL);
  }
  *netlink = (struct netlink){.fd = fd, .grouped = count > 0, .datagram = datagram};
  if (napi_create_object(env, &object) != napi_ok || napi_type_tag_object(env, object, &netlink_tag) != napi_ok ||
      napi_wrap(env, object, netlink, finalize, NULL, NULL) != napi_ok) {
    release(netlink);
    free(netlink);
    return NULL;
  }
  set_function(env, object, "request", request);
  set_function(env, object, "watch", watch);
  set_function(env, object, "close", close_netlink);
  return object;
}

void register_netlink(napi_env env, napi_value exports) { set_function(env, exports, "openNetlink", open_netlink); }
