/// Does what a stage must not do, when it is told to.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <forebay.hpp>
#include <string>

class Misbehaver {
  public:
    static forebay::Result<Misbehaver> init(const forebay::Context &context) {
        Misbehaver self;
        auto config = context.config();
        config.read("mode", self.mode);
        if (std::ranges::find(modes, self.mode) == std::end(modes))
            config.wrong("mode", "is \"" + self.mode + "\"; expected one of " + joined());
        if (self.mode == "init")
            return forebay::fatal("told to fail");
        if (auto done = config.done(); !done)
            return std::unexpected(done.error());
        return self;
    }

    forebay::Status handle_events(const forebay::Delivery &delivery, forebay::Rejections &rejections) {
        for (const forebay::Event &event : delivery) {
            forebay::info(event.payload());
            if (event.payload() == "no")
                rejections.reject(event, "no");
            if (event.payload() != "go")
                continue;
            if (auto status = misbehave(event, rejections); !status)
                return status;
        }
        return {};
    }

  private:
    static constexpr std::string_view modes[] = {"ok",       "retry",   "fatal", "other", "trap", "spin",
                                                 "allocate", "outside", "twice", "flood", "init"};

    static std::string joined() {
        std::string text;
        for (std::string_view mode : modes)
            text.append(text.empty() ? "" : ", ").append(mode);
        return text;
    }

    forebay::Status misbehave(const forebay::Event &event, forebay::Rejections &rejections) {
        if (mode == "retry")
            return forebay::retry("told to");
        if (mode == "fatal")
            return forebay::fatal("told to");
        if (mode == "other")
            return forebay::other("told to");
        if (mode == "trap")
            FOREBAY_PANIC("told to trap");
        if (mode == "spin")
            spin();
        if (mode == "allocate")
            allocate();
        if (mode == "outside")
            rejections.reject(UINT32_MAX, "told to");
        for (int i = 0; i < 2 && mode == "twice"; i++)
            rejections.reject(event, "told to");
        for (int i = 0; i < 10000 && mode == "flood"; i++)
            forebay::info("line " + std::to_string(i));
        return {};
    }

    [[noreturn]] static void spin() {
        volatile std::uint32_t turns = 0;
        for (;;)
            turns = turns + 1;
    }

    [[noreturn]] static void allocate() {
        constexpr std::size_t bytes = 1 << 20;
        for (;;) {
            // Ends in std::terminate when memory is refused, as any `new` without exceptions.
            char *taken = new char[bytes];
            std::memset(taken, 1, bytes);
            // Without this a compiler may leave out memory that nobody reads.
            asm volatile("" : : "r"(taken) : "memory");
        }
    }

    std::string mode = "ok";
};

FOREBAY_STAGE(Misbehaver);
