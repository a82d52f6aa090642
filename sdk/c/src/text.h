/// UTF-8: the host ends an instance that hands over anything else as a text.
#ifndef FOREBAY_SRC_TEXT_H
#define FOREBAY_SRC_TEXT_H

#include "../include/forebay/buffer.h"

/// How many bytes the character at the start of `data` has; 0 when it is none.
size_t forebay_utf8_length(const uint8_t *data, size_t length);

/// Replaces what is not UTF-8 from `start` on by U+FFFD.
void forebay_utf8_clean(forebay_buffer *buffer, size_t start);

/// Appends a character; `code` is no surrogate and at most 0x10FFFF. Gives the bytes written, 4 at most.
size_t forebay_utf8_write(uint32_t code, char *into);

#endif
