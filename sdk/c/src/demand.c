/// Asking sources for events.
#include "demand.h"

#include <string.h>

#include "log.h"
#include "text.h"

forebay_status forebay_ask(const char *source, uint32_t count) {
    forebay_text name = {source, strlen(source)}, problem = {"", 0};
    if (!forebay_is_utf8((forebay_bytes){(const uint8_t *)source, name.length}))
        return forebay_fatal("`%s` cannot be asked; expected the name of a source, in UTF-8", source);
    if (forebay_host_ask(name, count, &problem))
        return forebay_fatal("%.*s", (int)problem.length, problem.data);
    return FOREBAY_OK;
}

#ifdef __wasm__
/// A result whose error is a text, as the canonical ABI stores it.
typedef struct {
    uint8_t is_error;
    forebay_text error;
} forebay_abi_asked;

_Static_assert(sizeof(forebay_abi_asked) == 12, "as the WIT's `result<_, string>`");

__attribute__((import_module("forebay:stage/demand@" FOREBAY_WIT_VERSION), import_name("ask"))) void
forebay_abi_ask(const char *source, size_t length, uint32_t count, forebay_abi_asked *asked);

/// A text of the host lies in the arena of the call.
bool forebay_host_ask(forebay_text source, uint32_t count, forebay_text *problem) {
    forebay_abi_asked asked = {0};
    forebay_abi_ask(source.data, source.length, count, &asked);
    if (asked.is_error)
        *problem = asked.error;
    return asked.is_error;
}
#endif
