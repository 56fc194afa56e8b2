/*
 * Memory: asking for huge pages. A flow table is looked at all over, and with 4 KiB pages nearly every look also misses the
 * address translation cache.
 */
#include "weir.h"

#include <stdint.h>
#include <sys/mman.h>

#define HUGE_PAGE ((uintptr_t)2 * 1024 * 1024)

/* useHugePages(array): true when the kernel took the advice for the whole huge pages inside of the array. */
static napi_value use_huge_pages(napi_env env, napi_callback_info info) {
  napi_value argv[1], result;
  napi_typedarray_type type;
  size_t length;
  void *data;
  if (!read_arguments(env, info, 1, argv, NULL)) return NULL;
  if (napi_get_typedarray_info(env, argv[0], &type, &length, &data, NULL, NULL) != napi_ok) return throw_type(env, "array must be a typed array");
  size_t width = type == napi_int32_array ? sizeof(int32_t) : type == napi_float64_array ? sizeof(double) : 1;
  if (type != napi_int32_array && type != napi_float64_array && type != napi_uint8_array)
    return throw_type(env, "array must be an Int32Array, a Float64Array or a Uint8Array");
  uintptr_t from = ((uintptr_t)data + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
  uintptr_t to = ((uintptr_t)data + length * width) & ~(HUGE_PAGE - 1);
  bool advised = from < to && madvise((void *)from, to - from, MADV_HUGEPAGE) == 0;
  return napi_get_boolean(env, advised, &result) == napi_ok ? result : NULL;
}

void register_memory(napi_env env, napi_value exports) { set_function(env, exports, "useHugePages", use_huge_pages); }
