/// The harness as one translation unit. `forebay test` defines the role and the optional interfaces of the
/// stage that is tested, as `forebay build` does; FOREBAY_TEST_NO_STAGE is for the SDK's own tests.
#define _POSIX_C_SOURCE 200809L
#include "testing_calls.c"
#include "testing_checks.c"
#include "testing_main.c"
