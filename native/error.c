/* Errors in the shape Node gives its own, and readers of arguments that throw when JavaScript passes something else. */
#include "weir.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *errno_name(int error) {
  const char *name = strerrorname_np(error);
  return name == NULL ? "EUNKNOWN" : name;
}

napi_value throw_errno(napi_env env, int error, const char *syscall, const char *subject) {
  char reason[128];
  char message[512];
  const char *text = strerror_r(error, reason, sizeof reason);
  if (subject == NULL || subject[0] == 0)
    snprintf(message, sizeof message, "%s: %c%s, %s", errno_name(error), tolower((unsigned char)text[0]), text + 1, syscall);
  else
    snprintf(message, sizeof message, "%s: %c%s, %s '%s'", errno_name(error), tolower((unsigned char)text[0]), text + 1, syscall,
             subject);

  napi_value code, words, exception;
  if (napi_create_string_utf8(env, errno_name(error), NAPI_AUTO_LENGTH, &code) != napi_ok ||
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &words) != napi_ok ||
      napi_create_error(env, code, words, &exception) != napi_ok)
    return NULL;
  set_int32(env, exception, "errno", -error);
  set_text(env, exception, "syscall", syscall);
  napi_throw(env, exception);
  return NULL;
}

napi_value throw_type(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

napi_value throw_range(napi_env env, const char *message) {
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
  return NULL;
}

bool read_arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *argv, napi_value *self) {
  size_t given = wanted;
  if (napi_get_cb_info(env, info, &given, argv, self, NULL) != napi_ok || given < wanted) {
    throw_type(env, "too few arguments");
    return false;
  }
  return true;
}

bool read_int32(napi_env env, napi_value value, const char *what, int32_t *out) {
  double number;
  char message[128];
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    snprintf(message, sizeof message, "%s must be a number", what);
    throw_type(env, message);
    return false;
  }
  /* The comparison is false for NaN, which is refused with the rest. */
  if (!(number >= INT32_MIN && number <= INT32_MAX) || number != (double)(int32_t)number) {
    snprintf(message, sizeof message, "%s must be a 32-bit integer", what);
    throw_range(env, message);
    return false;
  }
  *out = (int32_t)number;
  return true;
}

bool read_bool(napi_env env, napi_value value, const char *what, bool *out) {
  char message[128];
  if (napi_get_value_bool(env, value, out) == napi_ok) return true;
  snprintf(message, sizeof message, "%s must be a boolean", what);
  throw_type(env, message);
  return false;
}

bool read_text(napi_env env, napi_value value, const char *what, char *out, size_t size) {
  size_t length;
  char message[128];
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
    snprintf(message, sizeof message, "%s must be a string", what);
    throw_type(env, message);
    return false;
  }
  if (length >= size) {
    snprintf(message, sizeof message, "%s must be at most %zu bytes", what, size - 1);
    throw_range(env, message);
    return false;
  }
  napi_get_value_string_utf8(env, value, out, size, &length);
  if (strlen(out) != length) {
    snprintf(message, sizeof message, "%s must not contain a zero byte", what);
    throw_range(env, message);
    return false;
  }
  return true;
}

bool read_property(napi_env env, napi_value object, const char *name, napi_value *out) {
  char message[128];
  napi_valuetype type;
  if (napi_get_named_property(env, object, name, out) == napi_ok && napi_typeof(env, *out, &type) == napi_ok &&
      type != napi_undefined)
    return true;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) {
    snprintf(message, sizeof message, "property %s is missing", name);
    throw_type(env, message);
  }
  return false;
}

bool read_netns(napi_env env, napi_value object, char *out) {
  napi_value value;
  napi_valuetype type;
  out[0] = 0;
  if (napi_get_named_property(env, object, "netns", &value) != napi_ok || napi_typeof(env, value, &type) != napi_ok) {
    throw_type(env, "options must be an object");
    return false;
  }
  return type == napi_undefined || read_text(env, value, "netns", out, NETNS_PATH_MAX);
}

void set_int32(napi_env env, napi_value object, const char *name, int32_t value) {
  napi_value number;
  if (napi_create_int32(env, value, &number) == napi_ok) napi_set_named_property(env, object, name, number);
}

void set_text(napi_env env, napi_value object, const char *name, const char *value) {
  napi_value text;
  if (napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &text) == napi_ok) napi_set_named_property(env, object, name, text);
}

void set_bool(napi_env env, napi_value object, const char *name, bool value) {
  napi_value boolean;
  if (napi_get_boolean(env, value, &boolean) == napi_ok) napi_set_named_property(env, object, name, boolean);
}

void set_function(napi_env env, napi_value object, const char *name, napi_callback callback) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok)
    napi_set_named_property(env, object, name, function);
}
