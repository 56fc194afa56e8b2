/*
 * bpf(2), bare: maps, their memory, programs, and a run of a program on a frame for tests. What a program does is written
 * in TypeScript (src/link/bpf.ts, src/table/offload-program.ts); this file only carries it into the kernel.
 */
#include "weir.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

/* What the verifier says last is what matters; it says all of it only when the room suffices. */
#define LOG_BYTES (1024 * 1024)
#define LOG_SHOWN 400
#define INSTRUCTION_BYTES 8

static long bpf(int command, union bpf_attr *attr) { return syscall(SYS_bpf, command, attr, sizeof *attr); }

static bool read_bytes(napi_env env, napi_value value, const char *what, uint8_t **data, size_t *length) {
  napi_typedarray_type type;
  char message[96];
  if (napi_get_typedarray_info(env, value, &type, length, (void **)data, NULL, NULL) == napi_ok && type == napi_uint8_array) return true;
  snprintf(message, sizeof message, "%s must be a Uint8Array", what);
  throw_type(env, message);
  return false;
}

static bool read_number(napi_env env, napi_value object, const char *name, int32_t *out) {
  napi_value value;
  return read_property(env, object, name, &value) && read_int32(env, value, name, out);
}

static bool read_name(napi_env env, napi_value object, char *out) {
  napi_value value;
  return read_property(env, object, "name", &value) && read_text(env, value, "name", out, BPF_OBJ_NAME_LEN);
}

static napi_value number_of(napi_env env, int32_t value) {
  napi_value number;
  return napi_create_int32(env, value, &number) == napi_ok ? number : NULL;
}

/* bpfMap({ kind, name, keyBytes, valueBytes, entries, flags }): its descriptor. */
static napi_value bpf_map(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int32_t kind, key, value, entries, flags;
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  if (!read_arguments(env, info, 1, argv, NULL) || !read_number(env, argv[0], "kind", &kind) ||
      !read_number(env, argv[0], "keyBytes", &key) || !read_number(env, argv[0], "valueBytes", &value) ||
      !read_number(env, argv[0], "entries", &entries) || !read_number(env, argv[0], "flags", &flags) ||
      !read_name(env, argv[0], attr.map_name))
    return NULL;
  attr.map_type = (uint32_t)kind;
  attr.key_size = (uint32_t)key;
  attr.value_size = (uint32_t)value;
  attr.max_entries = (uint32_t)entries;
  attr.map_flags = (uint32_t)flags;
  long fd = bpf(BPF_MAP_CREATE, &attr);
  if (fd < 0) return throw_errno(env, errno, "bpf BPF_MAP_CREATE", attr.map_name);
  return number_of(env, (int32_t)fd);
}

static void unmap(napi_env env, void *data, void *length) {
  (void)env;
  munmap(data, (size_t)(uintptr_t)length);
}

/* bpfMemory(fd, bytes): the memory of an array map made with BPF_F_MMAPABLE, for as long as anyone holds the buffer. */
static napi_value bpf_memory(napi_env env, napi_callback_info info) {
  napi_value argv[2], buffer;
  int32_t fd, bytes;
  if (!read_arguments(env, info, 2, argv, NULL) || !read_int32(env, argv[0], "fd", &fd) || !read_int32(env, argv[1], "bytes", &bytes)) return NULL;
  void *data = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return throw_errno(env, errno, "mmap", "map memory");
  if (napi_create_external_arraybuffer(env, data, (size_t)bytes, unmap, (void *)(uintptr_t)bytes, &buffer) != napi_ok) {
    munmap(data, (size_t)bytes);
    return throw_type(env, "map memory cannot be handed to JavaScript");
  }
  return buffer;
}

/* bpfProgram({ type, name, license, instructions }): its descriptor. When it is refused the error ends with the verifier's last words. */
static napi_value bpf_program(napi_env env, napi_callback_info info) {
  napi_value argv[1], value;
  int32_t type;
  uint8_t *instructions;
  size_t length;
  char license[32];
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  if (!read_arguments(env, info, 1, argv, NULL) || !read_number(env, argv[0], "type", &type) || !read_name(env, argv[0], attr.prog_name) ||
      !read_property(env, argv[0], "license", &value) || !read_text(env, value, "license", license, sizeof license) ||
      !read_property(env, argv[0], "instructions", &value) || !read_bytes(env, value, "instructions", &instructions, &length))
    return NULL;
  attr.prog_type = (uint32_t)type;
  attr.insns = (uintptr_t)instructions;
  attr.insn_cnt = (uint32_t)(length / INSTRUCTION_BYTES);
  attr.license = (uintptr_t)license;
  long fd = bpf(BPF_PROG_LOAD, &attr);
  if (fd >= 0) return number_of(env, (int32_t)fd);
  int error = errno;
  char *log = error == EPERM ? NULL : calloc(1, LOG_BYTES);
  char subject[LOG_SHOWN + 64];
  snprintf(subject, sizeof subject, "%s", attr.prog_name);
  if (log != NULL) {
    attr.log_buf = (uintptr_t)log;
    attr.log_size = LOG_BYTES;
    attr.log_level = 1;
    long again = bpf(BPF_PROG_LOAD, &attr);
    if (again >= 0) close((int)again);
    size_t said = strnlen(log, LOG_BYTES);
    snprintf(subject, sizeof subject, "%s: …%s", attr.prog_name, log + (said > LOG_SHOWN ? said - LOG_SHOWN : 0));
  }
  free(log);
  return throw_errno(env, error, "bpf BPF_PROG_LOAD", subject);
}

/*
 * bpfRun(fd, frame, context, times): runs a program on a copy of the frame. { result, frame, length, context, nanoseconds }: so much of the frame is left; context is
 * a struct __sk_buff; a run took so long on average.
 */
static napi_value bpf_run(napi_env env, napi_callback_info info) {
  napi_value argv[4], object, frame_out, context_out, buffer;
  int32_t fd, times;
  uint8_t *frame, *context, *out;
  size_t frame_length, context_length;
  if (!read_arguments(env, info, 4, argv, NULL) || !read_int32(env, argv[0], "fd", &fd) || !read_bytes(env, argv[1], "frame", &frame, &frame_length) ||
      !read_bytes(env, argv[2], "context", &context, &context_length) || !read_int32(env, argv[3], "times", &times))
    return NULL;
  if (napi_create_arraybuffer(env, frame_length, (void **)&out, &buffer) != napi_ok) return NULL;
  struct __sk_buff after;
  memset(&after, 0, sizeof after);
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.test.prog_fd = (uint32_t)fd;
  attr.test.data_in = (uintptr_t)frame;
  attr.test.data_size_in = (uint32_t)frame_length;
  attr.test.data_out = (uintptr_t)out;
  attr.test.data_size_out = (uint32_t)frame_length;
  attr.test.ctx_in = (uintptr_t)context;
  attr.test.ctx_size_in = (uint32_t)context_length;
  attr.test.ctx_out = (uintptr_t)&after;
  attr.test.ctx_size_out = sizeof after;
  attr.test.repeat = (uint32_t)times;
  if (bpf(BPF_PROG_TEST_RUN, &attr) < 0) return throw_errno(env, errno, "bpf BPF_PROG_TEST_RUN", NULL);
  void *copy;
  if (napi_create_object(env, &object) != napi_ok || napi_create_typedarray(env, napi_uint8_array, frame_length, buffer, 0, &frame_out) != napi_ok ||
      napi_create_arraybuffer(env, sizeof after, &copy, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_uint8_array, sizeof after, buffer, 0, &context_out) != napi_ok)
    return NULL;
  memcpy(copy, &after, sizeof after);
  set_int32(env, object, "result", (int32_t)attr.test.retval);
  set_int32(env, object, "length", (int32_t)attr.test.data_size_out);
  set_int32(env, object, "nanoseconds", (int32_t)attr.test.duration);
  napi_set_named_property(env, object, "frame", frame_out);
  napi_set_named_property(env, object, "context", context_out);
  return object;
}

/* attachFilter(socket, program): the socket receives only what the program lets through. */
static napi_value attach_filter(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  int32_t fd, program;
  if (!read_arguments(env, info, 2, argv, NULL) || !read_int32(env, argv[0], "fd", &fd) || !read_int32(env, argv[1], "program", &program)) return NULL;
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) < 0) return throw_errno(env, errno, "setsockopt SO_ATTACH_BPF", NULL);
  return NULL;
}

void register_bpf(napi_env env, napi_value exports) {
  set_function(env, exports, "bpfMap", bpf_map);
  set_function(env, exports, "bpfMemory", bpf_memory);
  set_function(env, exports, "bpfProgram", bpf_program);
  set_function(env, exports, "bpfRun", bpf_run);
  set_function(env, exports, "attachFilter", attach_filter);
}
