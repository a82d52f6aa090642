/// Greets whoever it is told about, in the log.
#include <forebay.hpp>
#include <string>

class __Type__ {
  public:
    static forebay::Result<__Type__> init(const forebay::Context &context) {
        __Type__ self;
        auto config = context.config();
        config.read("greeting", self.greeting);
        if (auto done = config.done(); !done)
            return std::unexpected(done.error());
        return self;
    }

    // What was delivered is acknowledged after the return, all but the events that are rejected.
    forebay::Status handle_events(const forebay::Delivery &delivery, forebay::Rejections &rejections) {
        for (const forebay::Event &event : delivery) {
            if (event.is_text())
                forebay::info(greeting + ", " + std::string(event.payload()) + "!");
            else
                rejections.reject(event, "a name is UTF-8");
        }
        return {};
    }

  private:
    std::string greeting = "Hello";
};

FOREBAY_STAGE(__Type__);
