#include <forebay/testing.h>

TEST(counts_from_where_it_is_told_to) {
    CHECK_OK(forebay_test_start("{\"start\": 5}"));
    CHECK_TEXTS(forebay_test_demand(3), "5", "6", "7");
    CHECK_TEXTS(forebay_test_demand(1), "8");
}

TEST(a_text_is_no_number) {
    CHECK_ERROR(forebay_test_start("{\"start\": \"five\"}"), FOREBAY_OTHER,
                "config of stage `stage`: at `start`: found text \"five\", expected a whole number");
}
