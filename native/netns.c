/*
 * Work inside a named network namespace. setns() moves only the calling thread, and everything here is synchronous,
 * so neither other threads nor other callbacks of this thread ever see the foreign namespace.
 */
#include "weir.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool enter_netns(struct netns *netns, const char *path, struct failure *failure) {
  netns->home = -1;
  if (path[0] == 0) return true;

  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) {
    *failure = (struct failure){errno, "open /proc/thread-self/ns/net"};
    return false;
  }
  int target = open(path, O_RDONLY | O_CLOEXEC);
  if (target < 0) {
    *failure = (struct failure){errno, "open"};
    close(home);
    return false;
  }
  int result = setns(target, CLONE_NEWNET);
  int error = errno;
  close(target);
  if (result < 0) {
    *failure = (struct failure){error, "setns"};
    close(home);
    return false;
  }
  netns->home = home;
  return true;
}

void leave_netns(struct netns *netns) {
  if (netns->home < 0) return;
  /* The right to switch was proven a moment ago. A thread stranded in a foreign namespace would open the next device or
   * the API's sockets in the wrong place without anyone noticing, so there is nothing better than to stop. */
  if (setns(netns->home, CLONE_NEWNET) < 0) {
    perror("weir: setns back to the own network namespace");
    abort();
  }
  close(netns->home);
  netns->home = -1;
}
