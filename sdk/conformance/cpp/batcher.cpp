/// Joins payloads by commas, a few at a time, and what is left when the clock says so.
#include <cstdint>
#include <forebay.hpp>
#include <optional>
#include <string>
#include <utility>

class Batcher {
  public:
    static forebay::Result<Batcher> init(const forebay::Context &context) {
        Batcher self;
        auto config = context.config();
        config.read<std::uint32_t>("size", self.size, 1, UINT32_MAX);
        config.read("ask", self.source);
        if (auto done = config.done(); !done)
            return std::unexpected(done.error());
        if (auto asked = self.ask(self.size); !asked)
            return std::unexpected(asked.error());
        return self;
    }

    forebay::Status transform(const forebay::Delivery &delivery, forebay::Events &events, forebay::Rejections &) {
        for (const forebay::Event &event : delivery) {
            if (kept > 0)
                joined += ',';
            joined += event.payload();
            if (++kept == size)
                if (auto emitted = emit(events); !emitted)
                    return emitted;
        }
        return {};
    }

    forebay::Status handle_tick(forebay::Events &events) {
        return kept > 0 ? emit(events) : forebay::Status();
    }

  private:
    forebay::Status emit(forebay::Events &events) {
        events.push(joined);
        joined.clear();
        return ask(std::exchange(kept, 0));
    }

    forebay::Status ask(std::uint32_t count) { return source ? forebay::ask(*source, count) : forebay::Status(); }

    std::uint32_t size = 3, kept = 0;
    /// The source that it asks for as many events as it joins.
    std::optional<std::string> source;
    std::string joined;
};

FOREBAY_STAGE(Batcher);
