#include <forebay/testing.h>

TEST(it_goes_on_from_a_snapshot) {
    CHECK_OK(forebay_test_start("{\"start\": 7}"));
    CHECK_TEXTS(forebay_test_demand(2), "7", "8");
    forebay_test_result taken = forebay_test_snapshot();
    CHECK_TEXT((const char *)taken.answer.data, "9");
    CHECK_OK(forebay_test_start("{\"start\": 100}"));
    CHECK_OK(forebay_test_restore(taken.answer.data, taken.answer.length));
    CHECK_TEXTS(forebay_test_demand(1), "9");
}

TEST(a_snapshot_that_is_no_number_is_refused) {
    CHECK_OK(forebay_test_start("null"));
    CHECK_ERROR(forebay_test_restore("nine", 4), FOREBAY_OTHER, "snapshot `nine`: expected a number");
    CHECK_ERROR(forebay_test_restore("", 0), FOREBAY_OTHER, "snapshot ``: expected a number");
}

TEST(its_end_is_logged) {
    CHECK_OK(forebay_test_start("null"));
    forebay_test_terminate("drain");
    CHECK_LOGGED(FOREBAY_INFO, "terminated: drain");
}
