/// Counts, and goes on elsewhere from where it was.
#include "numbers.hpp"

#include <charconv>

class Checkpointed {
  public:
    static forebay::Result<Checkpointed> init(const forebay::Context &context) {
        auto numbers = Numbers::init(context);
        if (!numbers)
            return std::unexpected(numbers.error());
        return Checkpointed(*numbers);
    }

    forebay::Status handle_demand(std::uint32_t demand, forebay::Events &events) {
        return numbers.emit(demand, events);
    }

    forebay::Result<std::string> snapshot() { return std::to_string(numbers.next); }

    forebay::Status restore(std::string_view snapshot) {
        const char *end = snapshot.data() + snapshot.size();
        auto [read, problem] = std::from_chars(snapshot.data(), end, numbers.next);
        if (problem != std::errc() || read != end)
            return forebay::other("snapshot `" + std::string(snapshot) + "`: expected a number");
        return {};
    }

    void terminate(std::string_view reason) { forebay::info("terminated: " + std::string(reason)); }

  private:
    explicit Checkpointed(Numbers numbers) : numbers(numbers) {}

    Numbers numbers;
};

FOREBAY_STAGE(Checkpointed);
