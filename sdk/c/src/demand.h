/// Where asks go: the host, or the test harness.
#ifndef FOREBAY_SRC_DEMAND_H
#define FOREBAY_SRC_DEMAND_H

#include "../include/forebay/demand.h"

/// Asks for `count` events. Gives whether that was refused, and why in `problem`.
bool forebay_host_ask(forebay_text source, uint32_t count, forebay_text *problem);

#endif
