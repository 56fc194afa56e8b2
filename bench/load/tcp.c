/*
 * New TCP flows, as many as go: connect, 64 bytes, 64 bytes back, closed by the server. One JSON line at the end.
 *
 *   tcp serve PORT SECONDS
 *   tcp flows ADDRESS PORT SERVERS CLIENT CLIENTS CONCURRENCY SECONDS
 *
 * The server closes first, so that TIME-WAIT is on its side and a client's port is free again at once. A client endpoint
 * (one of CLIENTS addresses from CLIENT on, one of PORTS ports) is used again only with another one of SERVERS addresses from
 * ADDRESS on: no two flows of a run have the same tuple, as long as there are fewer than CLIENTS × PORTS × SERVERS, and a run begins at a
 * random place so that the next one differs too.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64
#define EVENTS 256
#define FIRST_PORT 10000
#define PORTS 8192
/* A flow that has not ended after this has failed. */
#define PATIENCE_NS 3000000000

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void watch(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  if (epoll_ctl(epoll, operation, fd, &event) < 0) fail("epoll_ctl");
}

static int serve(int port, double seconds) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (listener < 0 || bind(listener, (struct sockaddr *)&own, sizeof own) < 0 || listen(listener, 4096) < 0) fail("listen");
  int epoll = epoll_create1(0);
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (uint64_t)listener);
  printf("ready\n");
  fflush(stdout);
  uint64_t served = 0;
  char message[MESSAGE] = {0};
  int64_t end = now_ns() + (int64_t)(seconds * 1e9);
  for (int64_t now = now_ns(); now < end; now = now_ns()) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, (int)((end - now) / 1000000) + 1);
    for (int i = 0; i < count; i++) {
      int fd = (int)events[i].data.u64;
      if (fd == listener) {
        for (int peer; (peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) watch(epoll, EPOLL_CTL_ADD, peer, EPOLLIN, (uint64_t)peer);
        continue;
      }
      ssize_t length = recv(fd, message, sizeof message, 0);
      if (length < 0 && errno == EAGAIN) continue;
      if (length > 0 && send(fd, message, sizeof message, MSG_NOSIGNAL) == MESSAGE) served++;
      close(fd);
    }
  }
  printf("{\"served\":%llu}\n", (unsigned long long)served);
  return 0;
}

struct flow {
  int fd;
  bool asked;
  bool answered;
  int64_t started_ns;
};

struct run {
  int epoll;
  uint32_t server;
  uint32_t servers;
  uint32_t client;
  uint32_t clients;
  int port;
  uint64_t next;
  struct flow *flows;
  uint64_t done;
  uint64_t failed;
};

/* Opens the next flow in a place. A local port that is still in use is passed over. */
static void open_flow(struct run *run, int place) {
  struct flow *flow = &run->flows[place];
  for (int attempt = 0; attempt < 64; attempt++) {
    uint64_t number = run->next++;
    uint64_t endpoint = number % ((uint64_t)run->clients * PORTS);
    uint32_t server = (uint32_t)(number / ((uint64_t)run->clients * PORTS) % run->servers);
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(FIRST_PORT + endpoint / run->clients)), .sin_addr.s_addr = htonl(run->client + (uint32_t)(endpoint % run->clients))};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)run->port), .sin_addr.s_addr = htonl(run->server + server)};
    int one = 1;
    flow->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (flow->fd < 0) fail("socket");
    setsockopt(flow->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(flow->fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        (connect(flow->fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS)) {
      flow->asked = false;
      flow->answered = false;
      flow->started_ns = now_ns();
      watch(run->epoll, EPOLL_CTL_ADD, flow->fd, EPOLLOUT, (uint64_t)place);
      return;
    }
    if (errno != EADDRINUSE && errno != EADDRNOTAVAIL) fail("connect");
    close(flow->fd);
  }
  fprintf(stderr, "no local port is free\n");
  exit(1);
}

static void end_flow(struct run *run, int place, bool good) {
  close(run->flows[place].fd);
  if (good) run->done++;
  else run->failed++;
  open_flow(run, place);
}

static void go_on(struct run *run, int place) {
  struct flow *flow = &run->flows[place];
  char message[MESSAGE] = {0};
  if (!flow->asked) {
    if (send(flow->fd, message, sizeof message, MSG_NOSIGNAL) != MESSAGE) {
      end_flow(run, place, false);
      return;
    }
    flow->asked = true;
    watch(run->epoll, EPOLL_CTL_MOD, flow->fd, EPOLLIN, (uint64_t)place);
    return;
  }
  for (;;) {
    ssize_t length = recv(flow->fd, message, sizeof message, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) {
      end_flow(run, place, length == 0 && flow->answered);
      return;
    }
    flow->answered = true;
  }
}

static int flows(struct run *run, int concurrency, double seconds) {
  run->epoll = epoll_create1(0);
  run->flows = calloc((size_t)concurrency, sizeof *run->flows);
  if (run->flows == NULL) fail("calloc");
  struct timespec seed;
  clock_gettime(CLOCK_REALTIME, &seed);
  run->next = ((uint64_t)seed.tv_nsec * 2654435761u) % ((uint64_t)run->clients * PORTS * run->servers);
  int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9), look = start + PATIENCE_NS;
  for (int place = 0; place < concurrency; place++) open_flow(run, place);
  int64_t now = start;
  for (; now < end; now = now_ns()) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(run->epoll, events, EVENTS, 10);
    for (int i = 0; i < count; i++) go_on(run, (int)events[i].data.u64);
    if (now < look) continue;
    look = now + 100000000;
    for (int place = 0; place < concurrency; place++) {
      if (now - run->flows[place].started_ns > PATIENCE_NS) end_flow(run, place, false);
    }
  }
  printf("{\"done\":%llu,\"failed\":%llu,\"seconds\":%.6f}\n", (unsigned long long)run->done, (unsigned long long)run->failed, (double)(now - start) / 1e9);
  return run->done > 0 ? 0 : 1;
}

static uint32_t address(const char *text) {
  struct in_addr in;
  if (inet_pton(AF_INET, text, &in) != 1) {
    fprintf(stderr, "'%s' is not an IPv4 address\n", text);
    exit(2);
  }
  return ntohl(in.s_addr);
}

int main(int argc, char **argv) {
  struct rlimit files = {65536, 65536};
  setrlimit(RLIMIT_NOFILE, &files);
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "serve") == 0 && argc == 4) return serve(atoi(argv[2]), atof(argv[3]));
  if (strcmp(mode, "flows") == 0 && argc == 9) {
    struct run run = {.server = address(argv[2]), .port = atoi(argv[3]), .servers = (uint32_t)atoi(argv[4]), .client = address(argv[5]), .clients = (uint32_t)atoi(argv[6])};
    if (run.servers > 0 && run.clients > 0 && atoi(argv[7]) > 0) return flows(&run, atoi(argv[7]), atof(argv[8]));
  }
  fprintf(stderr, "usage: tcp serve|flows …, see the head of tcp.c\n");
  return 2;
}
