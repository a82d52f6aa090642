/// Lines for the node's log, and the end of an instance.
#include "../include/forebay/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "text.h"

#ifdef __wasm__
__attribute__((import_module("forebay:stage/host@" FOREBAY_WIT_VERSION), import_name("log"))) void
forebay_host_log(uint32_t level, const char *text, size_t length);
#endif

void forebay_log_text(forebay_level level, const char *text, size_t length) {
    if (forebay_is_utf8((forebay_bytes){(const uint8_t *)text, length})) {
        forebay_host_log(level, text, length);
        return;
    }
    forebay_buffer cleaned = {0};
    forebay_buffer_append(&cleaned, text, length);
    forebay_utf8_clean(&cleaned, 0);
    forebay_host_log(level, (const char *)cleaned.data, cleaned.length);
    forebay_buffer_free(&cleaned);
}

void forebay_log(forebay_level level, const char *format, ...) {
    static forebay_buffer line;
    forebay_buffer_clear(&line);
    va_list arguments;
    va_start(arguments, format);
    forebay_buffer_print_list(&line, format, arguments);
    va_end(arguments);
    forebay_log_text(level, (const char *)line.data, line.length);
}

/// Allocates nothing unless the text is not UTF-8: memory may be what is exhausted.
void forebay_panic_at(const char *file, int line, const char *format, ...) {
    static char text[2048];
    const size_t most = sizeof text - 1;
    int head = snprintf(text, sizeof text, "panicked at %s:%d: ", file, line);
    size_t start = head < 0 ? 0 : (size_t)head > most ? most : (size_t)head;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + start, sizeof text - start, format, arguments);
    va_end(arguments);
    forebay_log_text(FOREBAY_ERROR, text, strlen(text));
    forebay_trap();
}

#ifdef __wasm__
void forebay_trap(void) {
    __builtin_trap();
}

// libc's own would write to stderr, which the node does not tell apart from other output, and pull
// in its streams. These take their place when the component is linked.

_Noreturn void __assert_fail(const char *condition, const char *file, int line, const char *function) {
    forebay_panic_at(file, line, "assertion `%s` failed in %s", condition, function);
}

/// Weak, as libc++ may bring libc's along with what else its file defines.
__attribute__((weak)) _Noreturn void abort(void) {
    const char *text = "panicked: abort() was called";
    forebay_log_text(FOREBAY_ERROR, text, strlen(text));
    forebay_trap();
}

/// `std::__libcpp_verbose_abort` of libc++, which lets programs replace it: where a `new` without memory, an index out of
/// range and a `value()` without one end, as there are no exceptions. Nothing of it is linked to a stage in C.
_Noreturn void forebay_libcpp_abort(const char *format, ...) __asm__("_ZNSt3__122__libcpp_verbose_abortEPKcz");
_Noreturn void forebay_libcpp_abort(const char *format, ...) {
    static char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    forebay_log(FOREBAY_ERROR, "panicked in the C++ library: %s", text);
    forebay_trap();
}
#endif
