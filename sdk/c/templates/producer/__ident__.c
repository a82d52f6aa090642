/// Emits numbers, one after the other.
#include <forebay.h>

static int64_t next;

forebay_status stage_init(const forebay_context *context) {
    forebay_config *config = forebay_config_read(context);
    next = forebay_config_int(config, "start", 0);
    return forebay_config_done(config);
}

// Asked for up to `demand` events. Fewer, or none, is fine: the host asks again a little later.
forebay_status stage_handle_demand(uint32_t demand, forebay_events *events) {
    for (uint32_t i = 0; i < demand; i++)
        forebay_events_push_text(events, "%lld", (long long)next++);
    return FOREBAY_OK;
}
