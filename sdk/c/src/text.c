/// UTF-8: the host ends an instance that hands over anything else as a text.
#include "text.h"

#include <stdlib.h>
#include <string.h>

bool forebay_text_is(forebay_text text, const char *expected) {
    size_t length = strlen(expected);
    return text.length == length && memcmp(text.data, expected, length) == 0;
}

/// RFC 3629, section 4: what the second byte may be depends on the first.
size_t forebay_utf8_length(const uint8_t *data, size_t length) {
    uint8_t first = data[0];
    if (first < 0x80)
        return 1;
    size_t bytes = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (bytes == 0 || bytes > length)
        return 0;
    uint8_t least = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t most = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (data[1] < least || data[1] > most)
        return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((data[i] & 0xC0) != 0x80)
            return 0;
    return bytes;
}

bool forebay_is_utf8(forebay_bytes bytes) {
    for (size_t at = 0; at < bytes.length;) {
        size_t length = forebay_utf8_length(bytes.data + at, bytes.length - at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

void forebay_utf8_clean(forebay_buffer *buffer, size_t start) {
    forebay_bytes given = {buffer->data + start, buffer->length - start};
    if (given.length == 0 || forebay_is_utf8(given))
        return;
    forebay_buffer cleaned = {0};
    for (size_t at = 0; at < given.length;) {
        size_t length = forebay_utf8_length(given.data + at, given.length - at);
        if (length)
            forebay_buffer_append(&cleaned, given.data + at, length);
        else
            forebay_buffer_append(&cleaned, "\xEF\xBF\xBD", 3);
        at += length ? length : 1;
    }
    buffer->length = start;
    forebay_buffer_append(buffer, cleaned.data, cleaned.length);
    forebay_buffer_free(&cleaned);
}

size_t forebay_utf8_write(uint32_t code, char *into) {
    if (code < 0x80) {
        into[0] = (char)code;
        return 1;
    }
    size_t bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = bytes - 1; i > 0; i--) {
        into[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    into[0] = (char)(marks[bytes] | code);
    return bytes;
}
