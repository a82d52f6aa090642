/// Memory that lives as long as a call or an instance, and columns that grow.
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/forebay/log.h"

struct forebay_chunk {
    struct forebay_chunk *before;
    size_t size;
};

/// The first chunk of an arena. Unit: bytes. Holds a small batch, and is one page of wasm less what
/// `malloc` and the chunk need for themselves.
#define FOREBAY_CHUNK_BYTES ((size_t)65000)

forebay_arena forebay_call_arena;
forebay_arena forebay_instance_arena;

static bool forebay_arena_grow(forebay_arena *arena, size_t needed) {
    size_t wanted = arena->last ? arena->last->size * 2 : arena->total;
    size_t size = wanted < FOREBAY_CHUNK_BYTES ? FOREBAY_CHUNK_BYTES : wanted;
    if (size < needed)
        size = needed;
    if (size > SIZE_MAX - sizeof(struct forebay_chunk))
        return false;
    struct forebay_chunk *chunk = malloc(sizeof *chunk + size);
    if (!chunk && size > needed)
        chunk = malloc(sizeof *chunk + (size = needed));
    if (!chunk)
        return false;
    *chunk = (struct forebay_chunk){.before = arena->last, .size = size};
    arena->total = arena->last ? arena->total + size : size;
    arena->last = chunk;
    arena->used = 0;
    return true;
}

/// Room in the last chunk, or NULL. Both its start and the chunk's head are aligned as by `malloc`.
static uint8_t *forebay_arena_cut(forebay_arena *arena, size_t size, size_t alignment) {
    if (!arena->last)
        return NULL;
    size_t start = (arena->used + alignment - 1) & ~(alignment - 1);
    if (start > arena->last->size || arena->last->size - start <= size)
        return NULL;
    arena->used = start + size + 1;
    return (uint8_t *)(arena->last + 1) + start;
}

void *forebay_arena_try(forebay_arena *arena, size_t size, size_t alignment) {
    uint8_t *room = forebay_arena_cut(arena, size, alignment);
    if (!room) {
        if (size >= SIZE_MAX - alignment || !forebay_arena_grow(arena, size + alignment + 1))
            return NULL;
        room = forebay_arena_cut(arena, size, alignment);
    }
    room[size] = 0;
    return room;
}

void *forebay_arena_take(forebay_arena *arena, size_t size, size_t alignment) {
    void *room = forebay_arena_try(arena, size, alignment);
    if (!room)
        FOREBAY_PANIC("out of memory: %zu bytes were asked for", size);
    return room;
}

forebay_text forebay_arena_text(forebay_arena *arena, const char *data, size_t length) {
    char *copy = forebay_arena_take(arena, length, 1);
    if (length)
        memcpy(copy, data, length);
    return (forebay_text){copy, length};
}

forebay_text forebay_arena_print_list(forebay_arena *arena, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        FOREBAY_PANIC("`%s` cannot be formatted", format);
    char *text = forebay_arena_take(arena, (size_t)length, 1);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    return (forebay_text){text, (size_t)length};
}

forebay_text forebay_arena_print(forebay_arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    forebay_text text = forebay_arena_print_list(arena, format, arguments);
    va_end(arguments);
    return text;
}

void forebay_arena_reset(forebay_arena *arena) {
    arena->used = 0;
    if (!arena->last || (!arena->last->before && arena->last->size <= FOREBAY_KEPT_BYTES_MAX))
        return;
    while (arena->last) {
        struct forebay_chunk *before = arena->last->before;
        free(arena->last);
        arena->last = before;
    }
    if (arena->total > FOREBAY_KEPT_BYTES_MAX)
        arena->total = FOREBAY_KEPT_BYTES_MAX;
}

void *forebay_column_extend(forebay_column *column, size_t count, size_t size) {
    if (!column->data || count > column->capacity - column->length) {
        size_t most = SIZE_MAX / size;
        if (count > most - column->length)
            FOREBAY_PANIC("out of memory: %zu further entries of %zu bytes", count, size);
        size_t needed = column->length + count;
        size_t doubled = column->capacity > most / 2 ? most : column->capacity * 2;
        size_t capacity = needed < doubled ? doubled : needed < 64 ? 64 : needed;
        void *data = realloc(column->data, capacity * size);
        if (!data && capacity > needed)
            data = realloc(column->data, (capacity = needed) * size);
        if (!data)
            FOREBAY_PANIC("out of memory: %zu bytes were asked for", capacity * size);
        column->data = data;
        column->capacity = capacity;
    }
    uint8_t *first = (uint8_t *)column->data + column->length * size;
    column->length += count;
    return first;
}

void forebay_column_clear(forebay_column *column, size_t size) {
    column->length = 0;
    if (column->capacity <= FOREBAY_KEPT_BYTES_MAX / size)
        return;
    free(column->data);
    *column = (forebay_column){0};
}
