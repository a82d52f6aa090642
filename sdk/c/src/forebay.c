/// The whole SDK as one translation unit: what a build compiles once and links to each stage.
#include "memory.c"
#include "text.c"
#include "buffer.c"
#include "log.c"
#include "status.c"
#include "demand.c"
#include "batch.c"
#include "events.c"
#include "rejections.c"
#include "json_value.c"
#include "json_read.c"
#include "context.c"
#include "config.c"
#ifdef __wasm__
#include "exports.c"
#endif
