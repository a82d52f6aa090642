#include <forebay/testing.hpp>

using namespace forebay::testing;

TEST(it_goes_on_from_a_snapshot) {
    CHECK_OK(start(R"({"start": 7})"));
    CHECK_TEXTS(demand(2), "7", "8");
    auto taken = snapshot();
    CHECK(answer(taken) == "9");
    CHECK_OK(start(R"({"start": 100})"));
    CHECK_OK(restore(answer(taken)));
    CHECK_TEXTS(demand(1), "9");
}

TEST(a_snapshot_that_is_no_number_is_refused) {
    CHECK_OK(start("null"));
    CHECK_ERROR(restore("nine"), FOREBAY_OTHER, "snapshot `nine`: expected a number");
    CHECK_ERROR(restore(""), FOREBAY_OTHER, "snapshot ``: expected a number");
}

TEST(its_end_is_logged) {
    CHECK_OK(start("null"));
    terminate("drain");
    CHECK_LOGGED(FOREBAY_INFO, "terminated: drain");
}
