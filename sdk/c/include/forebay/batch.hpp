/// Events a stage is handed: views that are good until the call returns.
#ifndef FOREBAY_BATCH_HPP
#define FOREBAY_BATCH_HPP

#include <cstdint>
#include <iterator>
#include <string_view>

#include "batch.h"

namespace forebay {

inline std::string_view view(forebay_text text) { return {text.data, text.length}; }
inline std::string_view view(forebay_bytes bytes) {
    return {reinterpret_cast<const char *>(bytes.data), bytes.length};
}

struct Header {
    std::string_view name, value;
};

/// One event.
class Event {
  public:
    explicit Event(const forebay_event &event) : event_(event) {}

    /// Its index in the batch, from 0: what a rejection names it by.
    std::uint32_t index() const { return event_.index; }
    /// The number the source's host gave it; a redelivered event keeps its number. In `handle_ingest`, where nothing
    /// is numbered yet, its index.
    std::uint64_t seq() const { return event_.seq; }
    /// The payload; any bytes.
    std::string_view payload() const { return view(event_.payload); }
    /// Whether the payload is UTF-8.
    bool is_text() const { return forebay_is_utf8(event_.payload); }
    /// The topic; empty when there is none.
    std::string_view topic() const { return view(event_.topic); }
    /// The key; empty when there is none.
    std::string_view key() const { return view(event_.key); }
    /// How many headers it has, and one of them.
    std::size_t headers() const { return event_.headers; }
    Header header(std::size_t index) const {
        forebay_header header = forebay_event_header(&event_, index);
        return {view(header.name), view(header.value)};
    }

    const forebay_event &c() const { return event_; }

  private:
    forebay_event event_;
};

/// Events in order: `for (forebay::Event event : batch)`.
class Batch {
  public:
    explicit Batch(const forebay_batch *batch) : batch_(batch) {}

    class Iterator {
      public:
        using value_type = Event;
        using difference_type = std::ptrdiff_t;

        Iterator() = default;
        explicit Iterator(const forebay_batch *batch) {
            event_.batch = batch;
            ++*this;
        }
        Event operator*() const { return Event(event_); }
        Iterator &operator++() {
            more_ = forebay_next(&event_);
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const { return !more_; }

      private:
        forebay_event event_{};
        bool more_ = false;
    };

    Iterator begin() const { return Iterator(batch_); }
    std::default_sentinel_t end() const { return {}; }
    std::size_t size() const { return forebay_batch_length(batch_); }
    bool empty() const { return size() == 0; }

  private:
    const forebay_batch *batch_;
};

/// Events on their way into a consuming stage, with where they come from.
class Delivery : public Batch {
  public:
    explicit Delivery(const forebay_delivery &delivery) : Batch(delivery.events), delivery_(delivery) {}

    /// The stage that emitted the events, by its name in the pipeline.
    std::string_view source() const { return view(delivery_.source); }
    /// The epoch of the source's claim. (source, epoch, seq) names one event.
    std::uint64_t epoch() const { return delivery_.epoch; }
    /// 1 the first time these events are delivered, one more each time they are delivered again.
    std::uint32_t attempt() const { return delivery_.attempt; }

  private:
    forebay_delivery delivery_;
};

} // namespace forebay

#endif
