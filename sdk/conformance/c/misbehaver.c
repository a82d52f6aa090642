/// Does what a stage must not do, when it is told to.
#include <forebay.h>
#include <stdlib.h>
#include <string.h>

static const char *mode;
static const char *const modes[] = {"ok",    "retry", "fatal",   "other", "trap", "spin",
                                    "allocate", "outside", "twice", "flood", "init"};

forebay_status stage_init(const forebay_context *context) {
    forebay_config *config = forebay_config_read(context);
    mode = forebay_config_text(config, "mode", "ok");
    bool known = false;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        known = known || strcmp(modes[i], mode) == 0;
    if (!known)
        forebay_config_wrong(config, "mode", "is \"%s\"; expected one of ok, retry, fatal, other, trap, spin, allocate, "
                                             "outside, twice, flood, init", mode);
    if (strcmp(mode, "init") == 0)
        return forebay_fatal("told to fail");
    return forebay_config_done(config);
}

static void spin(void) {
    for (volatile uint32_t turns = 0;; turns++)
        ;
}

static void allocate(void) {
    const size_t bytes = 1 << 20;
    for (;;) {
        void *taken = malloc(bytes);
        FOREBAY_ASSERT(taken != NULL);
        memset(taken, 1, bytes);
        // Without this a compiler may leave out memory that nobody reads.
        __asm__ volatile("" : : "r"(taken) : "memory");
    }
}

static forebay_status misbehave(const forebay_event *event, forebay_rejections *rejections) {
    if (strcmp(mode, "retry") == 0)
        return forebay_retry("told to");
    if (strcmp(mode, "fatal") == 0)
        return forebay_fatal("told to");
    if (strcmp(mode, "other") == 0)
        return forebay_other("told to");
    if (strcmp(mode, "trap") == 0)
        FOREBAY_PANIC("told to trap");
    if (strcmp(mode, "spin") == 0)
        spin();
    if (strcmp(mode, "allocate") == 0)
        allocate();
    if (strcmp(mode, "outside") == 0)
        forebay_reject(rejections, UINT32_MAX, "told to");
    for (int i = 0; i < 2 && strcmp(mode, "twice") == 0; i++)
        forebay_reject(rejections, event->index, "told to");
    for (int i = 0; i < 10000 && strcmp(mode, "flood") == 0; i++)
        forebay_info("line %d", i);
    return FOREBAY_OK;
}

forebay_status stage_handle_events(const forebay_delivery *delivery, forebay_rejections *rejections) {
    FOREBAY_FOR_EACH(event, delivery->events) {
        forebay_log_text(FOREBAY_INFO, (const char *)event.payload.data, event.payload.length);
        if (forebay_payload_is(&event, "no"))
            forebay_reject(rejections, event.index, "no");
        forebay_status status = forebay_payload_is(&event, "go") ? misbehave(&event, rejections) : FOREBAY_OK;
        if (status)
            return status;
    }
    return FOREBAY_OK;
}
