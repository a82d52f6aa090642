/// From the calls the host makes to the functions of a class.
#ifndef FOREBAY_STAGE_HPP
#define FOREBAY_STAGE_HPP

#include <optional>
#include <string>
#include <utility>

#include "config.hpp"
#include "events.hpp"
#include "stage.h"

namespace forebay {

template <typename T>
concept HasInit = requires(const Context &context) {
    { T::init(context) } -> std::same_as<Result<T>>;
};
template <typename T>
concept IsProducer = requires(T &stage, std::uint32_t demand, Events &events) {
    { stage.handle_demand(demand, events) } -> std::same_as<Status>;
};
template <typename T>
concept IsConsumer = requires(T &stage, const Delivery &delivery, Rejections &rejections) {
    { stage.handle_events(delivery, rejections) } -> std::same_as<Status>;
};
template <typename T>
concept IsProducerConsumer = requires(T &stage, const Delivery &delivery, Events &events, Rejections &rejections) {
    { stage.transform(delivery, events, rejections) } -> std::same_as<Status>;
};
template <typename T>
concept HasCheckpoint = requires(T &stage, std::string_view bytes) {
    { stage.snapshot() } -> std::same_as<Result<std::string>>;
    { stage.restore(bytes) } -> std::same_as<Status>;
};
template <typename T>
concept HasTimer = requires(T &stage, Events &events) {
    { stage.handle_tick(events) } -> std::same_as<Status>;
};
template <typename T>
concept HasIngest = requires(T &stage, const Batch &incoming, Events &events) {
    { stage.handle_ingest(incoming, events) } -> std::same_as<Status>;
};
template <typename T>
concept HasCall = requires(T &stage, std::string_view request) {
    { stage.handle_call(request) } -> std::same_as<Result<std::string>>;
};
template <typename T>
concept HasTerminate = requires(T &stage, std::string_view reason) { stage.terminate(reason); };

/// The one stage of a component.
template <typename T> std::optional<T> &the_stage() {
    static std::optional<T> stage;
    return stage;
}

inline forebay_status keep(const Error &error) {
    const char *text = error.text.c_str();
    switch (error.status) {
    case FOREBAY_RETRY:
        return forebay_retry("%s", text);
    case FOREBAY_FATAL:
        return forebay_fatal("%s", text);
    default:
        return forebay_other("%s", text);
    }
}

inline forebay_status ended(const Status &status) { return status ? FOREBAY_OK : keep(status.error()); }

template <typename T> forebay_status start(const forebay_context *context) {
    the_stage<T>().reset();
    Result<T> started = T::init(Context(*context));
    if (!started)
        return keep(started.error());
    the_stage<T>().emplace(std::move(*started));
    return FOREBAY_OK;
}

inline forebay_status answered(const Result<std::string> &result, forebay_buffer *answer) {
    if (!result)
        return keep(result.error());
    forebay_buffer_append(answer, result->data(), result->size());
    return FOREBAY_OK;
}

} // namespace forebay

// Role and optional interfaces are defined by `forebay build` and `forebay test` from forebay.toml. An editor knows none
// of them, and then nothing is checked but `init`.

#ifdef FOREBAY_ROLE_PRODUCER
#define FOREBAY_ROLE_(T)                                                                                               \
    static_assert(forebay::IsProducer<T>,                                                                              \
                  #T " has to be a producer, says forebay.toml, and so needs: forebay::Status "                       \
                     "handle_demand(std::uint32_t demand, forebay::Events &events)");                                  \
    extern "C" forebay_status stage_handle_demand(std::uint32_t demand, forebay_events *events) {                      \
        forebay::Events emitted(events);                                                                               \
        return forebay::ended(forebay::the_stage<T>()->handle_demand(demand, emitted));                                \
    }
#elif defined(FOREBAY_ROLE_CONSUMER)
#define FOREBAY_ROLE_(T)                                                                                               \
    static_assert(forebay::IsConsumer<T>,                                                                              \
                  #T " has to be a consumer, says forebay.toml, and so needs: forebay::Status "                       \
                     "handle_events(const forebay::Delivery &delivery, forebay::Rejections &rejections)");             \
    extern "C" forebay_status stage_handle_events(const forebay_delivery *delivery, forebay_rejections *rejections) {  \
        forebay::Rejections rejected(rejections);                                                                      \
        return forebay::ended(forebay::the_stage<T>()->handle_events(forebay::Delivery(*delivery), rejected));         \
    }
#elif defined(FOREBAY_ROLE_PRODUCER_CONSUMER)
#define FOREBAY_ROLE_(T)                                                                                               \
    static_assert(forebay::IsProducerConsumer<T>,                                                                      \
                  #T " has to be a producer-consumer, says forebay.toml, and so needs: forebay::Status "              \
                     "transform(const forebay::Delivery &delivery, forebay::Events &events, "                          \
                     "forebay::Rejections &rejections)");                                                              \
    extern "C" forebay_status stage_transform(const forebay_delivery *delivery, forebay_events *events,                \
                                              forebay_rejections *rejections) {                                        \
        forebay::Events emitted(events);                                                                               \
        forebay::Rejections rejected(rejections);                                                                      \
        return forebay::ended(forebay::the_stage<T>()->transform(forebay::Delivery(*delivery), emitted, rejected));    \
    }
#else
#define FOREBAY_ROLE_(T)
#endif

#if defined(FOREBAY_ROLE_PRODUCER) || defined(FOREBAY_ROLE_CONSUMER) || defined(FOREBAY_ROLE_PRODUCER_CONSUMER)
#define FOREBAY_UNLISTED_(T, concept, function, interface)                                                             \
    static_assert(!forebay::concept<T>, #T " has " function ", but `optional` in forebay.toml does not list \""        \
                                           interface "\"; add it there, or rename the function");
#else
#define FOREBAY_UNLISTED_(T, concept, function, interface)
#endif

#ifdef FOREBAY_OPTIONAL_CHECKPOINT
#define FOREBAY_CHECKPOINT_(T)                                                                                         \
    static_assert(forebay::HasCheckpoint<T>,                                                                           \
                  #T " has a checkpoint, says forebay.toml, and so needs: forebay::Result<std::string> snapshot() "    \
                     "and forebay::Status restore(std::string_view snapshot)");                                        \
    extern "C" forebay_status stage_snapshot(forebay_buffer *snapshot) {                                               \
        return forebay::answered(forebay::the_stage<T>()->snapshot(), snapshot);                                       \
    }                                                                                                                  \
    extern "C" forebay_status stage_restore(forebay_bytes snapshot) {                                                  \
        return forebay::ended(forebay::the_stage<T>()->restore(forebay::view(snapshot)));                              \
    }
#else
#define FOREBAY_CHECKPOINT_(T) FOREBAY_UNLISTED_(T, HasCheckpoint, "snapshot() and restore()", "checkpoint")
#endif

#ifdef FOREBAY_OPTIONAL_TIMER
#define FOREBAY_TIMER_(T)                                                                                              \
    static_assert(forebay::HasTimer<T>, #T " has a timer, says forebay.toml, and so needs: forebay::Status "           \
                                           "handle_tick(forebay::Events &events)");                                    \
    extern "C" forebay_status stage_handle_tick(forebay_events *events) {                                              \
        forebay::Events emitted(events);                                                                               \
        return forebay::ended(forebay::the_stage<T>()->handle_tick(emitted));                                          \
    }
#else
#define FOREBAY_TIMER_(T) FOREBAY_UNLISTED_(T, HasTimer, "handle_tick()", "timer")
#endif

#ifdef FOREBAY_OPTIONAL_INGEST
#define FOREBAY_INGEST_(T)                                                                                             \
    static_assert(forebay::HasIngest<T>, #T " takes events from outside, says forebay.toml, and so needs: "            \
                                            "forebay::Status handle_ingest(const forebay::Batch &incoming, "           \
                                            "forebay::Events &events)");                                               \
    extern "C" forebay_status stage_handle_ingest(const forebay_batch *incoming, forebay_events *events) {             \
        forebay::Events emitted(events);                                                                               \
        return forebay::ended(forebay::the_stage<T>()->handle_ingest(forebay::Batch(incoming), emitted));              \
    }
#else
#define FOREBAY_INGEST_(T) FOREBAY_UNLISTED_(T, HasIngest, "handle_ingest()", "ingest")
#endif

#ifdef FOREBAY_OPTIONAL_CALL
#define FOREBAY_CALL_(T)                                                                                               \
    static_assert(forebay::HasCall<T>, #T " answers calls, says forebay.toml, and so needs: "                          \
                                          "forebay::Result<std::string> handle_call(std::string_view request)");       \
    extern "C" forebay_status stage_handle_call(forebay_bytes request, forebay_buffer *answer) {                       \
        return forebay::answered(forebay::the_stage<T>()->handle_call(forebay::view(request)), answer);                \
    }
#else
#define FOREBAY_CALL_(T) FOREBAY_UNLISTED_(T, HasCall, "handle_call()", "call")
#endif

#ifdef FOREBAY_OPTIONAL_TERMINATE
#define FOREBAY_TERMINATE_(T)                                                                                          \
    static_assert(forebay::HasTerminate<T>, #T " wants to know of its end, says forebay.toml, and so needs: "          \
                                               "void terminate(std::string_view reason)");                             \
    extern "C" void stage_terminate(const char *reason) { forebay::the_stage<T>()->terminate(reason); }
#else
#define FOREBAY_TERMINATE_(T) FOREBAY_UNLISTED_(T, HasTerminate, "terminate()", "terminate")
#endif

/// Exports a class as the stage of its component. Once in its sources.
#define FOREBAY_STAGE(T)                                                                                               \
    static_assert(forebay::HasInit<T>,                                                                                 \
                  #T " needs: static forebay::Result<" #T "> init(const forebay::Context &context)");                 \
    extern "C" forebay_status stage_init(const forebay_context *context) { return forebay::start<T>(context); }        \
    FOREBAY_ROLE_(T)                                                                                                   \
    FOREBAY_CHECKPOINT_(T)                                                                                             \
    FOREBAY_TIMER_(T)                                                                                                  \
    FOREBAY_INGEST_(T)                                                                                                 \
    FOREBAY_CALL_(T)                                                                                                   \
    FOREBAY_TERMINATE_(T)                                                                                              \
    static_assert(true)

#endif
