/// Memory that lives as long as a call or an instance, and columns that grow.
#ifndef FOREBAY_SRC_MEMORY_H
#define FOREBAY_SRC_MEMORY_H

#include <stdarg.h>

#include "../include/forebay/values.h"

/// What is kept of a column or an arena for the next call, at most. Unit: bytes. A batch of 1,000
/// events of 1 KiB is a quarter of it; larger ones are given back, so that one of them does not fill
/// the memory of a small instance for good.
#define FOREBAY_KEPT_BYTES_MAX ((size_t)4 << 20)

/// Memory that is given back as a whole. `{0}` is an empty one.
typedef struct {
    struct forebay_chunk *last;
    /// Of the last chunk.
    size_t used;
    /// Of all chunks; the size of the first one after a reset.
    size_t total;
} forebay_arena;

/// What lives until the call returns: all that the host handed in, and the texts that are handed out.
extern forebay_arena forebay_call_arena;

/// What lives as long as the instance: its config.
extern forebay_arena forebay_instance_arena;

/// Memory of `size` bytes and one more, which is NUL; NULL when memory is exhausted.
void *forebay_arena_try(forebay_arena *arena, size_t size, size_t alignment);

/// The same; panics when memory is exhausted.
void *forebay_arena_take(forebay_arena *arena, size_t size, size_t alignment);

/// A copy of a text.
forebay_text forebay_arena_text(forebay_arena *arena, const char *data, size_t length);

/// A text formatted as by `printf`.
forebay_text forebay_arena_print(forebay_arena *arena, const char *format, ...) FOREBAY_PRINTF(2, 3);

/// The same with the arguments of a function like it.
forebay_text forebay_arena_print_list(forebay_arena *arena, const char *format, va_list arguments)
    FOREBAY_PRINTF(2, 0);

/// Gives all of it back, but keeps one chunk that would have held it.
void forebay_arena_reset(forebay_arena *arena);

/// Entries of one size that grow in number. `{0}` is an empty one.
typedef struct {
    void *data;
    size_t length;
    size_t capacity;
} forebay_column;

/// Makes room for `count` further entries of `size` bytes; gives the first of them. Panics when
/// memory is exhausted.
void *forebay_column_extend(forebay_column *column, size_t count, size_t size);

/// Empties it, and gives its memory back if it has more than FOREBAY_KEPT_BYTES_MAX.
void forebay_column_clear(forebay_column *column, size_t size);

#endif
