/// The numbers that `counter` and `checkpointed` emit, and how many of them.
#ifndef NUMBERS_H
#define NUMBERS_H

#include <forebay.h>
#include <stdio.h>
#include <string.h>

/// The longest payload. Unit: bytes.
#define PAYLOAD_BYTES_MAX (1 << 20)

typedef struct {
    int64_t next, step;
    /// How many are left; negative: without end.
    int64_t left;
    size_t payload_bytes;
} numbers;

static forebay_status numbers_start(numbers *self, const forebay_context *context) {
    forebay_config *config = forebay_config_read(context);
    self->next = forebay_config_int(config, "start", 0);
    self->step = forebay_config_int(config, "step", 1);
    self->left = forebay_config_int_within(config, "limit", -1, 0, INT64_MAX);
    self->payload_bytes = (size_t)forebay_config_int_within(config, "payload_bytes", 0, 0, PAYLOAD_BYTES_MAX);
    if (self->step == 0)
        forebay_config_wrong(config, "step", "is 0; expected any other whole number");
    return forebay_config_done(config);
}

/// Pushes the next number, padded on the left with zeros.
static void numbers_push(const numbers *self, forebay_events *events) {
    static char payload[PAYLOAD_BYTES_MAX]; // too long for the stack
    char text[24];
    size_t length = (size_t)snprintf(text, sizeof text, "%lld", (long long)self->next);
    size_t zeros = self->payload_bytes > length ? self->payload_bytes - length : 0;
    memset(payload, '0', zeros);
    memcpy(payload + zeros, text, length);
    forebay_events_push(events, payload, zeros + length);
}

static forebay_status numbers_emit(numbers *self, uint32_t demand, forebay_events *events) {
    for (; demand > 0 && self->left != 0; demand--) {
        numbers_push(self, events);
        if (__builtin_add_overflow(self->next, self->step, &self->next))
            return forebay_fatal("the number after this one does not fit 64 bits");
        if (self->left > 0)
            self->left--;
    }
    return FOREBAY_OK;
}

#endif
