/// What a stage makes: events to emit, and rejections of events it was handed.
#ifndef FOREBAY_EVENTS_HPP
#define FOREBAY_EVENTS_HPP

#include <string>

#include "batch.hpp"
#include "events.h"

namespace forebay {

/// Events to emit, in order. What is pushed is copied.
class Events {
  public:
    explicit Events(forebay_events *events) : events_(events) {}

    /// The event pushed last, to be given a topic, a key and headers:
    /// `events.push("12.5").topic("power").key("meter-7").header("unit", "W");`
    class Pushed {
      public:
        explicit Pushed(forebay_events *events) : events_(events) {}
        /// What subscriptions choose by; empty: none.
        Pushed &topic(std::string_view topic) {
            forebay_events_topic(events_, std::string(topic).c_str());
            return *this;
        }
        /// Events of one key go to the same consumer when the dispatcher partitions by it.
        Pushed &key(std::string_view key) {
            forebay_events_key(events_, key.data(), key.size());
            return *this;
        }
        /// The same name may be added more than once.
        Pushed &header(std::string_view name, std::string_view value) {
            forebay_events_header(events_, std::string(name).c_str(), std::string(value).c_str());
            return *this;
        }

      private:
        forebay_events *events_;
    };

    /// Adds an event with this payload.
    Pushed push(std::string_view payload) {
        forebay_events_push(events_, payload.data(), payload.size());
        return Pushed(events_);
    }
    /// Adds a copy of an event that was delivered, with its topic, key and headers.
    Pushed push(const Event &event) {
        forebay_events_push_event(events_, &event.c());
        return Pushed(events_);
    }
    std::size_t size() const { return forebay_events_length(events_); }

  private:
    forebay_events *events_;
};

/// Events of a delivery that could not be processed.
class Rejections {
  public:
    explicit Rejections(forebay_rejections *rejections) : rejections_(rejections) {}

    /// The event cannot be processed, now or later: it becomes a dead letter.
    void reject(std::uint32_t index, std::string_view reason) {
        forebay_reject(rejections_, index, "%.*s", static_cast<int>(reason.size()), reason.data());
    }
    void reject(const Event &event, std::string_view reason) { reject(event.index(), reason); }
    /// The event could not be processed now: the host delivers it again later.
    void retry(const Event &event, std::string_view reason) {
        forebay_reject_for_now(rejections_, event.index(), "%.*s", static_cast<int>(reason.size()), reason.data());
    }

  private:
    forebay_rejections *rejections_;
};

} // namespace forebay

#endif
