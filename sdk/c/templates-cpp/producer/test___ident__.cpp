#include <forebay/testing.hpp>

using namespace forebay::testing;

TEST(counts_from_where_it_is_told_to) {
    CHECK_OK(start(R"({"start": 5})"));
    CHECK_TEXTS(demand(3), "5", "6", "7");
    CHECK_TEXTS(demand(1), "8");
}

TEST(a_text_is_no_number) {
    CHECK_ERROR(start(R"({"start": "five"})"), FOREBAY_OTHER,
                "config of stage `stage`: at `start`: found text \"five\", expected a whole number");
}
