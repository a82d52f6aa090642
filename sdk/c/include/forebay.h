/// Stages for Forebay in C11. A stage is a source file that defines the functions of its role:
///
///   producer           stage_init, stage_handle_demand
///   consumer           stage_init, stage_handle_events
///   producer-consumer  stage_init, stage_transform
///
/// and those of the optional interfaces that `forebay.toml` lists for it. forebay/stage.h declares
/// all of them. The host makes one call at a time, so a stage keeps its state in static variables.
#ifndef FOREBAY_H
#define FOREBAY_H

#include "forebay/batch.h"
#include "forebay/buffer.h"
#include "forebay/config.h"
#include "forebay/demand.h"
#include "forebay/events.h"
#include "forebay/json.h"
#include "forebay/log.h"
#include "forebay/stage.h"
#include "forebay/values.h"

#endif
