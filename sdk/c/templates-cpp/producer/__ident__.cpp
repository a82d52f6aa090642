/// Emits numbers, one after the other.
#include <cstdint>
#include <forebay.hpp>
#include <string>

class __Type__ {
  public:
    static forebay::Result<__Type__> init(const forebay::Context &context) {
        __Type__ self;
        auto config = context.config();
        config.read("start", self.next);
        if (auto done = config.done(); !done)
            return std::unexpected(done.error());
        return self;
    }

    // Asked for up to `demand` events. Fewer, or none, is fine: the host asks again a little later.
    forebay::Status handle_demand(std::uint32_t demand, forebay::Events &events) {
        for (std::uint32_t i = 0; i < demand; i++)
            events.push(std::to_string(next++));
        return {};
    }

  private:
    std::int64_t next = 0;
};

FOREBAY_STAGE(__Type__);
