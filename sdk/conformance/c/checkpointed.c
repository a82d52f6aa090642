/// Counts, and goes on elsewhere from where it was.
#include "numbers.h"

static numbers self;

forebay_status stage_init(const forebay_context *context) {
    return numbers_start(&self, context);
}

forebay_status stage_handle_demand(uint32_t demand, forebay_events *events) {
    return numbers_emit(&self, demand, events);
}

forebay_status stage_snapshot(forebay_buffer *snapshot) {
    forebay_buffer_print(snapshot, "%lld", (long long)self.next);
    return FOREBAY_OK;
}

forebay_status stage_restore(forebay_bytes snapshot) {
    const forebay_json *value;
    if (forebay_json_read(snapshot, &value) || !forebay_json_int(value, &self.next))
        return forebay_other("snapshot `%.*s`: expected a number", (int)snapshot.length, (const char *)snapshot.data);
    return FOREBAY_OK;
}

void stage_terminate(const char *reason) {
    forebay_info("terminated: %s", reason);
}
