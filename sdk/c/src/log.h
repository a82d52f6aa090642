/// Where log lines and traps go: the host, or the test harness.
#ifndef FOREBAY_SRC_LOG_H
#define FOREBAY_SRC_LOG_H

#include <stddef.h>
#include <stdint.h>

/// The version of the WIT package `forebay:stage` these sources are written against. It is part of
/// the name of every import and export.
#define FOREBAY_WIT_VERSION "0.1.1"

/// Takes one line in UTF-8.
void forebay_host_log(uint32_t level, const char *text, size_t length);

/// Ends the instance.
_Noreturn void forebay_trap(void);

#endif
