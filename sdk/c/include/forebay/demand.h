/// Asking sources for events, for a stage that decides itself when it wants more.
#ifndef FOREBAY_DEMAND_H
#define FOREBAY_DEMAND_H

#include "values.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Asks a source, by its name in the pipeline, for `count` further events. `forebay.toml` lists "demand" under
/// `optional`, and the pipeline file subscribes to the source with `ask = "manual"`: of it nothing comes but what is
/// asked for here, in as many calls as the source makes of it.
///
/// It may be called in every call of a consumer or producer-consumer but `stage_terminate`, and counts once that call
/// has succeeded. At most the subscription's `max_demand` is open at a time, asked for and not handed over. What was
/// asked for stays asked for when the source moves to another node. A fresh instance asks anew, in `stage_init`: what is
/// still open of a former one on the same node is part of it.
///
/// FOREBAY_FATAL, with a text, if there is no such subscription; nothing is asked for then. `return
/// forebay_ask("letters", 1);`
forebay_status forebay_ask(const char *source, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
