/// Rejected events. Whether an index is one of the batch is for the host to say, and for the harness.
#include "rejections.h"

#include "text.h"

forebay_rejections forebay_rejected;

static void forebay_add_rejection(forebay_rejections *rejections, uint32_t index, bool retry, const char *format,
                                  va_list arguments) {
    forebay_buffer reason = {0};
    forebay_buffer_print_list(&reason, format, arguments);
    forebay_utf8_clean(&reason, 0);
    forebay_rejection_entry *entry = forebay_column_extend(&rejections->entries, 1, sizeof *entry);
    *entry = (forebay_rejection_entry){
        .index = index,
        .retry = retry,
        .reason = forebay_arena_text(&forebay_call_arena, (const char *)reason.data, reason.length),
    };
    forebay_buffer_free(&reason);
}

void forebay_reject(forebay_rejections *rejections, uint32_t index, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    forebay_add_rejection(rejections, index, false, format, arguments);
    va_end(arguments);
}

void forebay_reject_for_now(forebay_rejections *rejections, uint32_t index, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    forebay_add_rejection(rejections, index, true, format, arguments);
    va_end(arguments);
}
