/// Bytes that grow.
#include "../include/forebay/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/forebay/log.h"
#include "memory.h"

/// Room for `length` bytes and the NUL after them.
static uint8_t *forebay_buffer_room(forebay_buffer *buffer, size_t length) {
    if (length == SIZE_MAX)
        FOREBAY_PANIC("out of memory: %zu bytes were asked for", length);
    forebay_column column = {buffer->data, buffer->length, buffer->capacity};
    uint8_t *room = forebay_column_extend(&column, length + 1, 1);
    buffer->data = column.data;
    buffer->capacity = column.capacity;
    return room;
}

void forebay_buffer_append(forebay_buffer *buffer, const void *data, size_t length) {
    uint8_t *room = forebay_buffer_room(buffer, length);
    if (length)
        memcpy(room, data, length);
    room[length] = 0;
    buffer->length += length;
}

void forebay_buffer_print_list(forebay_buffer *buffer, const char *format, va_list arguments) {
    // Most texts are short: they fit what is asked for first, and are formatted once.
    size_t room = 64;
    uint8_t *end = forebay_buffer_room(buffer, room);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf((char *)end, room + 1, format, again);
    va_end(again);
    if (length < 0)
        FOREBAY_PANIC("`%s` cannot be formatted", format);
    if ((size_t)length > room) {
        end = forebay_buffer_room(buffer, (size_t)length);
        vsnprintf((char *)end, (size_t)length + 1, format, arguments);
    }
    buffer->length += (size_t)length;
}

void forebay_buffer_print(forebay_buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    forebay_buffer_print_list(buffer, format, arguments);
    va_end(arguments);
}

forebay_bytes forebay_buffer_bytes(const forebay_buffer *buffer) {
    return (forebay_bytes){buffer->data, buffer->length};
}

void forebay_buffer_clear(forebay_buffer *buffer) {
    buffer->length = 0;
}

void forebay_buffer_free(forebay_buffer *buffer) {
    free(buffer->data);
    *buffer = (forebay_buffer){0};
}
