/// The numbers that `counter` and `checkpointed` emit, and how many of them.
#ifndef NUMBERS_HPP
#define NUMBERS_HPP

#include <cstdint>
#include <forebay.hpp>
#include <optional>
#include <string>

class Numbers {
  public:
    static forebay::Result<Numbers> init(const forebay::Context &context) {
        Numbers self;
        auto config = context.config();
        config.read("start", self.next);
        config.read("step", self.step);
        config.read("limit", self.left);
        config.read("payload_bytes", self.payload_bytes);
        if (self.step == 0)
            config.wrong("step", "is 0; expected any other whole number");
        if (auto done = config.done(); !done)
            return std::unexpected(done.error());
        return self;
    }

    forebay::Status emit(std::uint32_t demand, forebay::Events &events) {
        for (; demand > 0 && left != 0u; demand--) {
            std::string text = std::to_string(next);
            if (text.size() < payload_bytes)
                text.insert(0, payload_bytes - text.size(), '0');
            events.push(text);
            if (__builtin_add_overflow(next, step, &next))
                return forebay::fatal("the number after this one does not fit 64 bits");
            if (left)
                --*left;
        }
        return {};
    }

    std::int64_t next = 0;

  private:
    std::int64_t step = 1;
    std::optional<std::uint64_t> left;
    std::uint32_t payload_bytes = 0;
};

#endif
