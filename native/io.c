/*
 * The turn: send a batch, wait, receive the next, all between devices and one arena.
 *
 * System calls are the price of a packet, so a turn makes as few as it can. One small packet costs a send, a poll and a
 * receive:
 *
 *   send     all frames to the same packet socket go out in one sendmmsg
 *   poll     one for all links and the wake-up eventfd; without a wait when frames were left behind last time
 *   receive  a link is asked for as many frames as it is guessed to have (link.expected; a packet socket for all of them in one
 *            recvmmsg), not until it answers EAGAIN:
 *            the next poll tells for free whether more is there. The guess doubles when frames were left behind and falls
 *            back to what was found; a guess that proved too high is retried after ever more turns, so that a link
 *            with one packet at a time pays for an empty read at most once in PATIENCE_MAX turns.
 *
 * After a turn that received something the wait begins by looking again and again for up to SPIN_US, yielding the CPU in between: being
 * woken costs both sides more than that, above all in a virtual machine, where it takes an interrupt to the other CPU. An idle router
 * sleeps.
 *
 * Fairness: links are served from a rotating start, each with an equal share of the descriptors and bytes still free, so
 * a link that is never empty cannot keep another waiting for more than one turn.
 *
 * A link whose device is in trouble (down, deleted) would make every poll return at once. It gives one descriptor with
 * -errno and is then left out of poll for PAUSE_MS.
 *
 * The arena, rx and tx belong to JavaScript. They are referenced while the I/O lives and must not be transferred to
 * another thread (shared memory may be shared, of course).
 */
#include "weir.h"

#include <limits.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"

#define LINKS_MAX 256
/* How long a link in trouble is left alone. */
#define PAUSE_MS 100
/* Full turns, at most, before a guess that failed is tried again. */
#define PATIENCE_MAX 64
/* How long a wait that follows a frame looks for the next one before it sleeps. */
#define SPIN_US 50
/* Frames one sendmmsg takes. */
#define RUN_MAX 64
/* TX_ERRNO of a frame whose turn has not come; no errno is negative. */
#define NOT_SENT (-1)

struct link {
  int fd;
  int kind;
  bool attached;
  bool vnet;
  /* Frames guessed to be waiting when poll says there are some, 1 … BATCH_MAX. */
  int expected;
  /* Turns that met the guess exactly, and how many of them it takes until it is doubled. */
  int met;
  int patience;
  /* Last turn the guess was doubled and not yet proven. */
  bool trying;
  /* Monotonic time until which the link is left out of poll; 0 = not paused. */
  int64_t paused_until_ms;
};

/* Room for what a packet socket says of a frame besides its bytes. */
union control {
  struct cmsghdr header;
  char space[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

struct io {
  uint8_t *arena;
  int32_t *rx;
  int32_t *tx;
  size_t arena_length;
  napi_ref arena_ref;
  napi_ref rx_ref;
  napi_ref tx_ref;
  struct link links[LINKS_MAX];
  /* Indexes of the attached links, in the order of polls[1 ..]; polls[0] is the eventfd. */
  int attached[LINKS_MAX];
  int attached_count;
  struct pollfd polls[LINKS_MAX + 1];
  int paused_count;
  /* Where the next turn starts serving. */
  unsigned int rotation;
  /* The last turn stopped because the batch was full: there is more, do not wait. */
  bool behind;
  /* The last turn received something: the next frame is likely to come soon. */
  bool busy;
  bool closed;
  struct mmsghdr messages[RUN_MAX];
  struct iovec vectors[RUN_MAX];
  union control controls[RUN_MAX];
  /* Descriptors of the frames that go out together. */
  int run[RUN_MAX];
};

static const napi_type_tag io_tag = {0x7765697272696f00, 0x1b7d2f64c8e9a350};

/* Tells this file's objects from others', so that a method called on a stranger throws instead of reading its memory. */
static struct io *unwrap(napi_env env, napi_value self) {
  bool ours = false;
  struct io *io = NULL;
  if (napi_check_object_type_tag(env, self, &io_tag, &ours) != napi_ok || !ours ||
      napi_unwrap(env, self, (void **)&io) != napi_ok) {
    throw_type(env, "not an I/O object");
    return NULL;
  }
  if (io->closed) {
    throw_type(env, "the I/O object is closed");
    return NULL;
  }
  return io;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- links ---------------------------------------------------------------------------------------------------- */

static void rebuild_polls(struct io *io) {
  io->attached_count = 0;
  io->paused_count = 0;
  for (int i = 0; i < LINKS_MAX; i++) {
    if (!io->links[i].attached) continue;
    bool paused = io->links[i].paused_until_ms != 0;
    io->attached[io->attached_count++] = i;
    io->polls[io->attached_count] = (struct pollfd){.fd = paused ? -1 : io->links[i].fd, .events = POLLIN};
    if (paused) io->paused_count++;
  }
}

static void pause_link(struct io *io, int slot) {
  io->links[io->attached[slot]].paused_until_ms = now_ms() + PAUSE_MS;
  io->polls[slot + 1].fd = -1;
  io->paused_count++;
}

/* Puts links whose pause is over back into poll. Returns the wait shortened to the end of the next pause. */
static int end_pauses(struct io *io, int timeout_ms) {
  int64_t now = now_ms();
  for (int slot = 0; slot < io->attached_count; slot++) {
    struct link *link = &io->links[io->attached[slot]];
    if (link->paused_until_ms == 0) continue;
    int64_t left = link->paused_until_ms - now;
    if (left <= 0) {
      link->paused_until_ms = 0;
      io->polls[slot + 1].fd = link->fd;
      io->paused_count--;
    } else if (left < timeout_ms) {
      timeout_ms = (int)left;
    }
  }
  return timeout_ms;
}

/* ---- send ----------------------------------------------------------------------------------------------------- */

/* Looks at every descriptor before the first frame leaves. Returns what is wrong, or NULL. */
static const char *check_tx(const struct io *io, int count) {
  if (count < 0 || count > TX_MAX) return "txCount must be 0 … TX_MAX";
  for (int i = 0; i < count; i++) {
    const int32_t *d = io->tx + (size_t)i * TX_WORDS;
    if (d[TX_LINK] < 0 || d[TX_LINK] >= LINKS_MAX) return "a send descriptor names a link out of range";
    if (d[TX_LENGTH_BYTES] <= 0 || d[TX_LENGTH_BYTES] > FRAME_MAX) return "a send descriptor's length must be 1 … FRAME_MAX";
    if (d[TX_FRAME_AT] < VNET_LENGTH || (size_t)d[TX_FRAME_AT] + (size_t)d[TX_LENGTH_BYTES] > io->arena_length)
      return "a send descriptor points outside the arena";
  }
  return NULL;
}

static struct iovec frame_vector(const struct io *io, const struct link *link, const int32_t *d) {
  int header = link->vnet ? VNET_LENGTH : 0;
  return (struct iovec){io->arena + d[TX_FRAME_AT] - header, (size_t)(d[TX_LENGTH_BYTES] + header)};
}

/* Sends `count` frames, named by io->run, all to one packet socket. Returns how many failed. */
static int send_run(struct io *io, const struct link *link, int count) {
  int failed = 0;
  for (int i = 0; i < count; i++) {
    io->vectors[i] = frame_vector(io, link, io->tx + (size_t)io->run[i] * TX_WORDS);
    io->messages[i].msg_hdr = (struct msghdr){.msg_iov = &io->vectors[i], .msg_iovlen = 1};
  }
  for (int i = 0; i < count;) {
    int sent = sendmmsg(link->fd, io->messages + i, (unsigned int)(count - i), MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      io->tx[(size_t)io->run[i] * TX_WORDS + TX_ERRNO] = errno;
      failed++;
      i++;
      continue;
    }
    for (int end = i + sent; i < end; i++) io->tx[(size_t)io->run[i] * TX_WORDS + TX_ERRNO] = 0;
  }
  return failed;
}

/* Names in io->run the next frames not yet sent to `link`, from descriptor `first` on; at most RUN_MAX. Returns how many. */
static int find_run(struct io *io, int link, int first, int count) {
  int found = 0;
  for (int i = first; i < count && found < RUN_MAX; i++) {
    const int32_t *d = io->tx + (size_t)i * TX_WORDS;
    if (d[TX_LINK] == link && d[TX_ERRNO] == NOT_SENT) io->run[found++] = i;
  }
  return found;
}

static int send_one(struct io *io, const struct link *link, int32_t *d) {
  struct iovec vector = frame_vector(io, link, d);
  ssize_t sent;
  do {
    if (link->kind == KIND_PACKET) sent = send(link->fd, vector.iov_base, vector.iov_len, MSG_DONTWAIT);
    else sent = write(link->fd, vector.iov_base, vector.iov_len);
  } while (sent < 0 && errno == EINTR);
  d[TX_ERRNO] = sent < 0 ? errno : 0;
  return sent < 0 ? 1 : 0;
}

/* Sends tx[0 .. count), checked before; frames of one link keep their order, those of different links need not. Returns how many failed. */
static int send_all(struct io *io, int count) {
  int failed = 0;
  for (int i = 0; i < count; i++) io->tx[(size_t)i * TX_WORDS + TX_ERRNO] = NOT_SENT;
  for (int i = 0; i < count; i++) {
    int32_t *d = io->tx + (size_t)i * TX_WORDS;
    if (d[TX_ERRNO] != NOT_SENT) continue;
    const struct link *link = &io->links[d[TX_LINK]];
    if (!link->attached) {
      d[TX_ERRNO] = ENODEV;
      failed++;
      continue;
    }
    int run = link->kind == KIND_PACKET ? find_run(io, d[TX_LINK], i, count) : 1;
    failed += run == 1 ? send_one(io, link, d) : send_run(io, link, run);
  }
  return failed;
}

/* ---- receive -------------------------------------------------------------------------------------------------- */

/* Where the batch being received has got to. */
struct fill {
  int count;
  int at;
};

/* The tag the kernel took off a frame, or -1. */
static int32_t vlan_of(struct msghdr *message) {
  const struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
  if (cmsg == NULL || cmsg->cmsg_level != SOL_PACKET || cmsg->cmsg_type != PACKET_AUXDATA) return -1;
  struct tpacket_auxdata auxdata;
  memcpy(&auxdata, CMSG_DATA(cmsg), sizeof auxdata);
  return auxdata.tp_status & TP_STATUS_VLAN_VALID ? auxdata.tp_vlan_tci : -1;
}

/*
 * Reads up to `count` frames of a link, each to its own place: RECORD_MAX apart, the first at `base` (the virtio-net header first, if
 * the link has one). Fills io->messages[].msg_len and io->controls; returns how many, or -1 with errno.
 */
static int read_frames(struct io *io, const struct link *link, uint8_t *base, size_t room, int count) {
  if (link->kind != KIND_PACKET) {
    ssize_t length = read(link->fd, base, room);
    if (length < 0) return -1;
    io->messages[0].msg_hdr.msg_controllen = 0;
    io->messages[0].msg_len = (unsigned int)length;
    return 1;
  }
  for (int i = 0; i < count; i++) {
    io->vectors[i] = (struct iovec){base + (size_t)i * RECORD_MAX, room};
    io->messages[i].msg_hdr = (struct msghdr){.msg_iov = &io->vectors[i], .msg_iovlen = 1, .msg_control = &io->controls[i], .msg_controllen = sizeof io->controls[i]};
  }
  if (count > 1) return recvmmsg(link->fd, io->messages, (unsigned int)count, MSG_DONTWAIT, NULL);
  ssize_t length = recvmsg(link->fd, &io->messages[0].msg_hdr, MSG_DONTWAIT);
  if (length < 0) return -1;
  io->messages[0].msg_len = (unsigned int)length;
  return 1;
}

static void put(struct io *io, struct fill *fill, int link, int frame_at, int length, int vlan_tci) {
  int32_t *d = io->rx + (size_t)fill->count * RX_WORDS;
  d[RX_LINK] = link;
  d[RX_FRAME_AT] = frame_at;
  d[RX_LENGTH_BYTES] = length;
  d[RX_VLAN_TCI] = vlan_tci;
  fill->count++;
}

/* An error that says something about one frame only; any other says the device is in trouble. */
static bool is_about_frame(int error) { return error == EINVAL || error == EMSGSIZE || error == ENOMEM || error == ENOBUFS; }

/*
 * Reads at most `quota` frames of one link into the arena before `end`. Returns true when frames may be left: the quota, the
 * guess or the room ran out.
 */
static bool receive_link(struct io *io, int slot, short events, int quota, int end, struct fill *fill) {
  int index = io->attached[slot];
  struct link *link = &io->links[index];
  int header = link->vnet ? VNET_LENGTH : 0;
  int frame_offset = link->kind == KIND_TUN ? HEADROOM : HEADROOM - 14;
  int limit = quota < link->expected ? quota : link->expected;
  int got = 0;
  /* The link was found empty, or in trouble. */
  bool failed = false;

  while (got < limit && fill->at + RECORD_MAX <= end) {
    int room = (end - fill->at) / RECORD_MAX;
    int want = limit - got < room ? limit - got : room;
    int first_at = fill->at + frame_offset;
    int read;
    /* One byte more than the longest frame, so that a longer one is told from one that just fits. */
    do read = read_frames(io, link, io->arena + first_at - header, (size_t)(FRAME_MAX + header + 1), want);
    while (read < 0 && errno == EINTR);
    if (read < 0) {
      int error = errno;
      failed = true;
      if (error == EAGAIN || error == EWOULDBLOCK) {
        /* A poll error that no read explains would make every poll return at once. */
        if (got == 0 && (events & (POLLERR | POLLHUP | POLLNVAL))) pause_link(io, slot);
        break;
      }
      put(io, fill, index, first_at, -error, -1);
      if (!is_about_frame(error)) pause_link(io, slot);
      break;
    }
    for (int i = 0; i < read; i++) {
      int frame_at = first_at + i * RECORD_MAX;
      int length = (int)io->messages[i].msg_len;
      got++;
      if (length > FRAME_MAX + header || length <= header) {
        put(io, fill, index, frame_at, length <= header ? -EIO : -EMSGSIZE, -1);
        continue;
      }
      if (header == 0) memset(io->arena + frame_at - VNET_LENGTH, 0, VNET_LENGTH);
      put(io, fill, index, frame_at, length - header, link->kind == KIND_PACKET ? vlan_of(&io->messages[i].msg_hdr) : -1);
      fill->at = (frame_at + length - header + 3) & ~3;
    }
    if (link->kind == KIND_PACKET && read < want) {
      failed = true;
      break;
    }
  }

  /* Learn for the next turn. */
  if (failed) {
    if (link->trying && got <= link->expected / 2 && link->patience < PATIENCE_MAX) link->patience *= 2;
    link->expected = got > 1 ? got : 1;
    link->met = 0;
    link->trying = false;
    return false;
  }
  if (got == link->expected && link->expected < BATCH_MAX) {
    if (link->trying) link->patience = 1;
    link->trying = false;
    if (++link->met >= link->patience) {
      link->expected = link->expected * 2 < BATCH_MAX ? link->expected * 2 : BATCH_MAX;
      link->met = 0;
      link->trying = true;
    }
  }
  return true;
}

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Waits for a readable device. Returns what poll does. */
static int wait_for_frames(struct io *io, int timeout_ms) {
  nfds_t count = (nfds_t)io->attached_count + 1;
  if (timeout_ms > 0 && io->busy) {
    int64_t until = now_us() + SPIN_US;
    do {
      int ready = poll(io->polls, count, 0);
      if (ready != 0) return ready;
      sched_yield();
    } while (now_us() < until);
  }
  return poll(io->polls, count, timeout_ms);
}

/* Waits and receives. Returns the number of descriptors filled, or -errno of a poll that failed. */
static int receive_all(struct io *io, int timeout_ms) {
  if (io->paused_count > 0) timeout_ms = end_pauses(io, timeout_ms);
  if (io->behind) timeout_ms = 0;
  io->behind = false;

  int ready = wait_for_frames(io, timeout_ms);
  io->busy = false;
  /* A signal ends the wait like a time-out: the caller has its own clock and comes back. */
  if (ready < 0) return errno == EINTR ? 0 : -errno;
  if (ready == 0) return 0;
  if (io->polls[0].revents != 0) {
    uint64_t wakes;
    ready--;
    /* Only empties the counter; another thread's reading it first would be as good. */
    if (read(io->polls[0].fd, &wakes, sizeof wakes) < 0 && errno != EAGAIN && errno != EINTR) return -errno;
  }

  struct fill fill = {0, RX_AT};
  unsigned int start = io->attached_count > 0 ? io->rotation++ % (unsigned int)io->attached_count : 0;
  for (int i = 0; i < io->attached_count && ready > 0; i++) {
    int slot = (int)((start + (unsigned int)i) % (unsigned int)io->attached_count);
    short events = io->polls[slot + 1].revents;
    if (io->polls[slot + 1].fd < 0 || events == 0) continue;
    int quota = (BATCH_MAX - fill.count + ready - 1) / ready;
    int room = RX_AT + RX_LENGTH - fill.at;
    int share = room / ready;
    if (share < RECORD_MAX) share = room;
    int before = fill.count;
    bool more = receive_link(io, slot, events, quota, fill.at + share, &fill);
    /* Frames left although the guess was not the limit: the batch was. */
    if (more && fill.count - before < io->links[io->attached[slot]].expected) io->behind = true;
    ready--;
  }
  io->busy = fill.count > 0;
  return fill.count;
}

/* ---- the functions JavaScript sees ---------------------------------------------------------------------------- */

static napi_value turn(napi_env env, napi_callback_info info) {
  napi_value argv[2], self, result;
  int32_t count, timeout_ms;
  if (!read_arguments(env, info, 2, argv, &self)) return NULL;
  struct io *io = unwrap(env, self);
  if (io == NULL || !read_int32(env, argv[0], "txCount", &count) || !read_int32(env, argv[1], "timeoutMs", &timeout_ms)) return NULL;
  if (timeout_ms < 0) return throw_range(env, "timeoutMs must not be negative");
  const char *wrong = check_tx(io, count);
  if (wrong != NULL) return throw_range(env, wrong);
  send_all(io, count);
  int received = receive_all(io, timeout_ms);
  if (received < 0) return throw_errno(env, -received, "poll", NULL);
  return napi_create_int32(env, received, &result) == napi_ok ? result : NULL;
}

static napi_value flush(napi_env env, napi_callback_info info) {
  napi_value argv[1], self, result;
  int32_t count;
  if (!read_arguments(env, info, 1, argv, &self)) return NULL;
  struct io *io = unwrap(env, self);
  if (io == NULL || !read_int32(env, argv[0], "txCount", &count)) return NULL;
  const char *wrong = check_tx(io, count);
  if (wrong != NULL) return throw_range(env, wrong);
  return napi_create_int32(env, send_all(io, count), &result) == napi_ok ? result : NULL;
}

static napi_value attach(napi_env env, napi_callback_info info) {
  napi_value argv[4], self;
  int32_t index, fd, kind;
  bool vnet;
  if (!read_arguments(env, info, 4, argv, &self)) return NULL;
  struct io *io = unwrap(env, self);
  if (io == NULL || !read_int32(env, argv[0], "index", &index) || !read_int32(env, argv[1], "fd", &fd) ||
      !read_int32(env, argv[2], "kind", &kind) || !read_bool(env, argv[3], "vnet", &vnet))
    return NULL;
  if (index < 0 || index >= LINKS_MAX) return throw_range(env, "index must be 0 … 255");
  if (fd < 0) return throw_range(env, "fd must not be negative");
  if (kind != KIND_TUN && kind != KIND_TAP && kind != KIND_PACKET) return throw_range(env, "kind must be one of KIND_*");
  if (io->links[index].attached) return throw_range(env, "the link is attached already");
  io->links[index] = (struct link){.fd = fd, .kind = kind, .attached = true, .vnet = vnet, .expected = 1, .patience = 1};
  rebuild_polls(io);
  return NULL;
}

static napi_value detach(napi_env env, napi_callback_info info) {
  napi_value argv[1], self;
  int32_t index;
  if (!read_arguments(env, info, 1, argv, &self)) return NULL;
  struct io *io = unwrap(env, self);
  if (io == NULL || !read_int32(env, argv[0], "index", &index)) return NULL;
  if (index < 0 || index >= LINKS_MAX) return throw_range(env, "index must be 0 … 255");
  if (!io->links[index].attached) return throw_range(env, "the link is not attached");
  io->links[index].attached = false;
  rebuild_polls(io);
  return NULL;
}

static void release(napi_env env, struct io *io) {
  if (io->closed) return;
  io->closed = true;
  napi_delete_reference(env, io->arena_ref);
  napi_delete_reference(env, io->rx_ref);
  napi_delete_reference(env, io->tx_ref);
}

static napi_value close_io(napi_env env, napi_callback_info info) {
  napi_value self;
  if (!read_arguments(env, info, 0, NULL, &self)) return NULL;
  struct io *io = unwrap(env, self);
  if (io != NULL) release(env, io);
  return NULL;
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)hint;
  release(env, data);
  free(data);
}

/* A typed array of `type` with at least `length` elements, kept alive by `ref`. */
static bool hold(napi_env env, napi_value value, napi_typedarray_type type, size_t length, const char *wrong, void **data,
                 size_t *actual, napi_ref *ref) {
  napi_typedarray_type found;
  if (napi_get_typedarray_info(env, value, &found, actual, data, NULL, NULL) != napi_ok || found != type) {
    throw_type(env, wrong);
    return false;
  }
  if (*actual < length) {
    throw_range(env, wrong);
    return false;
  }
  return napi_create_reference(env, value, 1, ref) == napi_ok;
}

static napi_value create_io(napi_env env, napi_callback_info info) {
  napi_value argv[4], object;
  int32_t wake_fd;
  size_t rx_length, tx_length;
  if (!read_arguments(env, info, 4, argv, NULL) || !read_int32(env, argv[3], "wakeFd", &wake_fd)) return NULL;
  if (wake_fd < 0) return throw_range(env, "wakeFd must not be negative");
  struct io *io = calloc(1, sizeof *io);
  if (io == NULL) return throw_errno(env, ENOMEM, "malloc", NULL);
  io->polls[0] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
  if (!hold(env, argv[0], napi_uint8_array, ARENA_LENGTH, "arena must be a Uint8Array of at least ARENA_LENGTH bytes",
            (void **)&io->arena, &io->arena_length, &io->arena_ref) ||
      !hold(env, argv[1], napi_int32_array, BATCH_MAX * RX_WORDS, "rx must be an Int32Array of at least BATCH_MAX × RX_WORDS",
            (void **)&io->rx, &rx_length, &io->rx_ref) ||
      !hold(env, argv[2], napi_int32_array, TX_MAX * TX_WORDS, "tx must be an Int32Array of at least TX_MAX × TX_WORDS",
            (void **)&io->tx, &tx_length, &io->tx_ref)) {
    if (io->arena_ref != NULL) napi_delete_reference(env, io->arena_ref);
    if (io->rx_ref != NULL) napi_delete_reference(env, io->rx_ref);
    free(io);
    return NULL;
  }
  if (((uintptr_t)io->arena & 3) != 0 || io->arena_length > INT_MAX) {
    release(env, io);
    free(io);
    return throw_range(env, "arena must begin at a multiple of 4 and be shorter than 2 GiB");
  }
  if (napi_create_object(env, &object) != napi_ok || napi_type_tag_object(env, object, &io_tag) != napi_ok ||
      napi_wrap(env, object, io, finalize, NULL, NULL) != napi_ok) {
    release(env, io);
    free(io);
    return NULL;
  }
  set_function(env, object, "attach", attach);
  set_function(env, object, "detach", detach);
  set_function(env, object, "turn", turn);
  set_function(env, object, "flush", flush);
  set_function(env, object, "close", close_io);
  return object;
}

void register_io(napi_env env, napi_value exports) { set_function(env, exports, "createIo", create_io); }
