/*
 * Small datagrams, as fast as they go or at a pace, and what arrives of them. Every program ends by itself after its seconds and
 * prints one JSON line.
 *
 *   udp send ADDRESS PORT FLOWS PAYLOAD_BYTES SECONDS RATE    RATE 0 = as fast as it goes
 *   udp sink PORT WARM_SECONDS SECONDS                        counts what comes later than WARM_SECONDS after the first datagram; says
 *                                                             `counting` when it begins
 *   udp echo ADDRESS PORT SECONDS                             sends everything back, from the address it came to
 *   udp ping ADDRESS PORT COUNT INTERVAL_US SECONDS           one at a time; round-trip times in nanoseconds, sorted
 *
 * A flow is a destination address: flow i goes to ADDRESS + i from one and the same socket, so that ten thousand flows cost the
 * sender no more than one. The receiver's host has the whole prefix as its own.
 *
 * A paced sender sends what is due and then sleeps for some tens of microseconds: bursts stay short, as they are when many senders
 * share a line. How long is random, so that it does not keep step with the kernel's timer tick, by which CPU time is counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST 64
#define ROOM 2048
#define ANY "0.0.0.0"

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int socket_on(const char *address, int port) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) fail("socket");
  int bytes = 8 * 1024 * 1024;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0) fail("setsockopt SO_RCVBUFFORCE");
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0) fail("setsockopt SO_SNDBUFFORCE");
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, address, &own.sin_addr) != 1 || bind(fd, (struct sockaddr *)&own, sizeof own) < 0) fail("bind");
  return fd;
}

static void receive_timeout(int fd, int64_t ns) {
  struct timeval timeout = {.tv_sec = ns / 1000000000, .tv_usec = ns % 1000000000 / 1000};
  if (timeout.tv_sec == 0 && timeout.tv_usec == 0) timeout.tv_usec = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0) fail("setsockopt SO_RCVTIMEO");
}

static uint8_t payloads[BURST][ROOM];
static struct sockaddr_in addresses[BURST];
static struct iovec vectors[BURST];
static struct mmsghdr messages[BURST];

static void prepare(size_t payload_bytes) {
  for (int i = 0; i < BURST; i++) {
    vectors[i] = (struct iovec){payloads[i], payload_bytes};
    messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &addresses[i], .msg_namelen = sizeof addresses[i], .msg_iov = &vectors[i], .msg_iovlen = 1}};
  }
}

static int send_load(const char *address, int port, int flows, int payload_bytes, double seconds, double rate) {
  int fd = socket_on(ANY, 0);
  struct in_addr first;
  if (inet_pton(AF_INET, address, &first) != 1 || payload_bytes < 1 || payload_bytes > ROOM || flows < 1) return 2;
  prepare((size_t)payload_bytes);
  uint64_t sent = 0, failed = 0;
  uint32_t next = 0;
  int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9);
  unsigned int random = 1;
  /* Sleeps end when they should, not up to 50 µs later. */
  if (prctl(PR_SET_TIMERSLACK, 1UL) < 0) fail("prctl PR_SET_TIMERSLACK");
  for (int64_t now = start; now < end; now = now_ns()) {
    int count = BURST;
    if (rate > 0) {
      double due = rate * (double)(now - start) / 1e9 - (double)(sent + failed);
      if (due < 1) {
        struct timespec pause = {.tv_nsec = 10000 + rand_r(&random) % 60000};
        nanosleep(&pause, NULL);
        continue;
      }
      if (due < BURST) count = (int)due;
    }
    for (int i = 0; i < count; i++) {
      addresses[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(ntohl(first.s_addr) + next)};
      if (++next == (uint32_t)flows) next = 0;
    }
    int done = sendmmsg(fd, messages, (unsigned int)count, 0);
    if (done < 0) {
      if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR && errno != EHOSTUNREACH && errno != ECONNREFUSED) fail("sendmmsg");
      failed += (uint64_t)count;
    } else {
      sent += (uint64_t)done;
    }
  }
  printf("{\"sent\":%llu,\"failed\":%llu,\"seconds\":%.6f}\n", (unsigned long long)sent, (unsigned long long)failed, (double)(now_ns() - start) / 1e9);
  return 0;
}

static int sink(const char *address, int port, double warm_seconds, double seconds, int answer) {
  int fd = socket_on(address, port);
  prepare(ROOM);
  uint64_t received = 0;
  int64_t first = 0, start = 0, end = now_ns() + 30000000000;
  printf("ready\n");
  fflush(stdout);
  for (int64_t now = now_ns(); now < end; now = now_ns()) {
    receive_timeout(fd, end - now);
    for (int i = 0; i < BURST; i++) messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
    int count = recvmmsg(fd, messages, BURST, MSG_WAITFORONE, NULL);
    if (count < 0) {
      if (errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) fail("recvmmsg");
      continue;
    }
    now = now_ns();
    if (first == 0) {
      first = now;
      end = first + (int64_t)((warm_seconds + seconds) * 1e9);
    }
    if (start == 0 && now - first >= (int64_t)(warm_seconds * 1e9)) {
      start = now;
      end = start + (int64_t)(seconds * 1e9);
      printf("counting\n");
      fflush(stdout);
    }
    if (start != 0) received += (uint64_t)count;
    if (!answer) continue;
    for (int i = 0; i < count; i++) {
      if (sendto(fd, payloads[i], messages[i].msg_len, 0, (struct sockaddr *)&addresses[i], sizeof addresses[i]) < 0 && errno != ENOBUFS) fail("sendto");
    }
  }
  printf("{\"received\":%llu,\"seconds\":%.6f}\n", (unsigned long long)received, start == 0 ? 0 : (double)(now_ns() - start) / 1e9);
  return received > 0 ? 0 : 1;
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

static int ping(const char *address, int port, int count, int interval_us, double seconds) {
  int fd = socket_on(ANY, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || count < 1) return 2;
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  receive_timeout(fd, 100000000);
  int64_t *times = malloc(sizeof *times * (size_t)count);
  if (times == NULL) fail("malloc");
  int got = 0, lost = 0;
  unsigned int random = 2;
  int64_t end = now_ns() + (int64_t)(seconds * 1e9);
  for (uint64_t number = 1; got < count && now_ns() < end; number++) {
    uint64_t answer = 0;
    int64_t start = now_ns();
    if (send(fd, &number, sizeof number, 0) < 0 && errno != ENOBUFS) fail("send");
    ssize_t length;
    /* An answer that comes too late belongs to an earlier question. */
    do length = recv(fd, &answer, sizeof answer, 0);
    while (length >= 0 && answer != number);
    if (length < 0) lost++;
    else times[got++] = now_ns() - start;
    struct timespec pause = {.tv_nsec = (long)(interval_us / 2 + rand_r(&random) % (interval_us + 1)) * 1000};
    nanosleep(&pause, NULL);
  }
  qsort(times, (size_t)got, sizeof *times, compare);
  printf("{\"lost\":%d,\"nanoseconds\":[", lost);
  for (int i = 0; i < got; i++) printf("%s%lld", i > 0 ? "," : "", (long long)times[i]);
  printf("]}\n");
  return got > 0 ? 0 : 1;
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "send") == 0 && argc == 8) return send_load(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atof(argv[6]), atof(argv[7]));
  if (strcmp(mode, "sink") == 0 && argc == 5) return sink(ANY, atoi(argv[2]), atof(argv[3]), atof(argv[4]), 0);
  if (strcmp(mode, "echo") == 0 && argc == 5) return sink(argv[2], atoi(argv[3]), 0, atof(argv[4]), 1);
  if (strcmp(mode, "ping") == 0 && argc == 7) return ping(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atof(argv[6]));
  fprintf(stderr, "usage: udp send|sink|echo|ping …, see the head of udp.c\n");
  return 2;
}
