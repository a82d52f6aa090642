/// Joins payloads by commas, a few at a time, and what is left when the clock says so.
#include <cstdint>
#include <forebay.hpp>
#include <string>

class Batcher {
  public:
    static forebay::Result<Batcher> init(const forebay::Context &context) {
        Batcher self;
        auto config = context.config();
        config.read<std::int64_t>("size", self.size, 1, INT64_MAX);
        if (auto done = config.done(); !done)
            return std::unexpected(done.error());
        return self;
    }

    forebay::Status transform(const forebay::Delivery &delivery, forebay::Events &events, forebay::Rejections &) {
        for (const forebay::Event &event : delivery) {
            if (kept > 0)
                joined += ',';
            joined += event.payload();
            if (++kept == size)
                emit(events);
        }
        return {};
    }

    forebay::Status handle_tick(forebay::Events &events) {
        if (kept > 0)
            emit(events);
        return {};
    }

  private:
    void emit(forebay::Events &events) {
        events.push(joined);
        joined.clear();
        kept = 0;
    }

    std::int64_t size = 3, kept = 0;
    std::string joined;
};

FOREBAY_STAGE(Batcher);
