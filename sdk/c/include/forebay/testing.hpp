/// Tests a stage natively, in C++: the harness of testing.h with C++ arguments. See there what it does.
///
///     #include <forebay/testing.hpp>
///     using namespace forebay::testing;
///
///     TEST(counts_from_where_it_is_told_to) {
///         CHECK_OK(start(R"({"start": 5})"));
///         CHECK_TEXTS(demand(3), "5", "6", "7");
///     }
#ifndef FOREBAY_TESTING_HPP
#define FOREBAY_TESTING_HPP

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "../forebay.hpp"
#include "testing.h"

namespace forebay::testing {

/// What a call gave; `forebay::Batch(result.events)` goes through its events.
using Result = forebay_test_result;

inline Result start(const std::string &config) { return forebay_test_start(config.c_str()); }
inline Result demand(std::uint32_t count) { return forebay_test_demand(count); }
inline Result deliver(forebay_events *events) { return forebay_test_deliver(events); }
inline Result snapshot() { return forebay_test_snapshot(); }
inline Result restore(std::string_view snapshot) { return forebay_test_restore(snapshot.data(), snapshot.size()); }
inline Result tick() { return forebay_test_tick(); }
inline Result ingest(forebay_events *events) { return forebay_test_ingest(events); }
inline Result call(const std::string &request) { return forebay_test_call(request.c_str()); }
inline std::uint32_t asked(const std::string &source) { return forebay_test_asked(source.c_str()); }
inline void terminate(const std::string &reason) { forebay_test_terminate(reason.c_str()); }

/// The snapshot or the answer of a result.
inline std::string_view answer(const Result &result) { return view(result.answer); }

/// Events with these payloads, to which `forebay::Events` can add.
inline forebay_events *texts(std::initializer_list<std::string_view> payloads) {
    forebay_events *events = forebay_test_events();
    for (std::string_view payload : payloads)
        forebay_events_push(events, payload.data(), payload.size());
    return events;
}

inline void check_texts(const char *file, int line, const Result &result, std::initializer_list<const char *> expected) {
    std::vector<const char *> ended(expected);
    ended.push_back(nullptr);
    forebay_test_check_texts(file, line, result, ended.data());
}

} // namespace forebay::testing

// Arrays in braces are no arguments in C++.
#undef TEXTS
#define TEXTS(...) forebay::testing::texts({__VA_ARGS__})
#undef CHECK_TEXTS
#define CHECK_TEXTS(result, ...) forebay::testing::check_texts(__FILE__, __LINE__, result, {__VA_ARGS__})
#undef CHECK_NO_EVENTS
#define CHECK_NO_EVENTS(result) forebay::testing::check_texts(__FILE__, __LINE__, result, {})

#endif
