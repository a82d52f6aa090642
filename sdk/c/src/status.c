/// The error a call ends with.
#include "status.h"

#include "text.h"

static forebay_buffer forebay_kept_error;

static forebay_status forebay_keep(forebay_status status, const char *format, va_list arguments) {
    // Into a buffer of its own first: the arguments may be the text that is kept by now.
    forebay_buffer text = {0};
    forebay_buffer_print_list(&text, format, arguments);
    forebay_utf8_clean(&text, 0);
    forebay_buffer_free(&forebay_kept_error);
    forebay_kept_error = text;
    return status;
}

forebay_status forebay_retry(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    forebay_status status = forebay_keep(FOREBAY_RETRY, format, arguments);
    va_end(arguments);
    return status;
}

forebay_status forebay_fatal(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    forebay_status status = forebay_keep(FOREBAY_FATAL, format, arguments);
    va_end(arguments);
    return status;
}

forebay_status forebay_other(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    forebay_status status = forebay_keep(FOREBAY_OTHER, format, arguments);
    va_end(arguments);
    return status;
}

forebay_text forebay_error_text(void) {
    if (forebay_kept_error.length == 0)
        return (forebay_text){"", 0};
    return (forebay_text){(const char *)forebay_kept_error.data, forebay_kept_error.length};
}

void forebay_error_clear(void) {
    forebay_buffer_clear(&forebay_kept_error);
}
