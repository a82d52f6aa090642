/// Bytes that grow: snapshots, answers, and whatever a stage keeps from call to call.
#ifndef FOREBAY_BUFFER_H
#define FOREBAY_BUFFER_H

#include <stdarg.h>

#include "values.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Bytes that grow. `{0}` is an empty one. A NUL that is not counted follows the last byte as soon
/// as something was appended.
typedef struct {
    uint8_t *data;
    size_t length;
    size_t capacity;
} forebay_buffer;

/// Appends a copy of some bytes. Panics when memory is exhausted.
void forebay_buffer_append(forebay_buffer *buffer, const void *data, size_t length);

/// Appends a text formatted as by `printf`.
void forebay_buffer_print(forebay_buffer *buffer, const char *format, ...) FOREBAY_PRINTF(2, 3);

/// The same with the arguments of a function like it.
void forebay_buffer_print_list(forebay_buffer *buffer, const char *format, va_list arguments)
    FOREBAY_PRINTF(2, 0);

/// What it holds.
forebay_bytes forebay_buffer_bytes(const forebay_buffer *buffer);

/// Empties it and keeps its memory for what comes next.
void forebay_buffer_clear(forebay_buffer *buffer);

/// Empties it and gives its memory back.
void forebay_buffer_free(forebay_buffer *buffer);

#ifdef __cplusplus
}
#endif

#endif
