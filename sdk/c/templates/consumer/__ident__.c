/// Greets whoever it is told about, in the log.
#include <forebay.h>

static const char *greeting;

forebay_status stage_init(const forebay_context *context) {
    forebay_config *config = forebay_config_read(context);
    greeting = forebay_config_text(config, "greeting", "Hello");
    return forebay_config_done(config);
}

// What was delivered is acknowledged after the return, all but the events that are rejected.
forebay_status stage_handle_events(const forebay_delivery *delivery, forebay_rejections *rejections) {
    FOREBAY_FOR_EACH(event, delivery->events) {
        if (forebay_is_utf8(event.payload))
            forebay_info("%s, %.*s!", greeting, (int)event.payload.length, (const char *)event.payload.data);
        else
            forebay_reject(rejections, event.index, "a name is UTF-8");
    }
    return FOREBAY_OK;
}
