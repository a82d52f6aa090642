/// Makes a greeting of each name.
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

    // Pushes what it makes of a batch: fewer events, as many, or more.
    forebay::Status transform(const forebay::Delivery &delivery, forebay::Events &events,
                              forebay::Rejections &rejections) {
        for (const forebay::Event &event : delivery) {
            if (event.is_text())
                events.push(greeting + ", " + std::string(event.payload()) + "!");
            else
                rejections.reject(event, "a name is UTF-8");
        }
        return {};
    }

  private:
    std::string greeting = "Hello";
};

FOREBAY_STAGE(__Type__);
