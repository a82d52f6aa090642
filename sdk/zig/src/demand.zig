//! Asking sources for events, for a stage that decides itself when it wants more.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const failure = @import("failure.zig");
const testing = @import("testing.zig");

/// Asks a source, by its name in the pipeline, for `count` further events: `try forebay.ask("letters", 1);`
///
/// `forebay.toml` lists "demand" under `optional`, and the pipeline file subscribes to the source with `ask = "manual"`:
/// of it nothing comes but what is asked for here, in as many calls as the source makes of it.
///
/// It may be called in every call of a consumer or producer-consumer but `terminate`, and counts once that call has
/// succeeded. At most the subscription's `max_demand` is open at a time, asked for and not handed over. What was asked
/// for stays asked for when the source moves to another node. A fresh instance asks anew, in `init`: what is still open
/// of a former one on the same node is part of it.
///
/// `error.Fatal`, with a text, if there is no such subscription; nothing is asked for then.
pub fn ask(source: []const u8, count: u32) failure.Error!void {
    if (!std.unicode.utf8ValidateSlice(source)) {
        return failure.fatal("`{s}` cannot be asked; expected the name of a source, in UTF-8", .{source});
    }
    if (comptime !builtin.cpu.arch.isWasm()) return testing.recordAsk(source, count);
    const hostAsk = @extern(*const fn ([*]const u8, usize, u32, *abi.Answer) callconv(.c) void, .{
        .name = "ask",
        .library_name = "forebay:stage/demand@" ++ abi.wit_version,
    });
    var answer: abi.Answer = undefined;
    hostAsk(source.ptr, source.len, count, &answer);
    if (answer.is_error) return failure.fatal("{s}", .{answer.value.slice()});
}

test "a name that is no text is refused" {
    try std.testing.expectError(error.Fatal, ask("\xff", 1));
    try std.testing.expectEqualStrings("`\u{fffd}` cannot be asked; expected the name of a source, in UTF-8", failure.text());
}

/// Asks for as many events as each payload says.
const Eager = struct {
    const context = @import("context.zig");
    const batch = @import("batch.zig");

    pub const Config = struct {};

    pub fn init(_: context.Context(Config)) !Eager {
        try ask("source", 1);
        return .{};
    }

    pub fn handleEvents(_: *Eager, delivery: batch.Delivery, _: *@import("rejections.zig").Rejections) !void {
        var given = delivery.iterator();
        while (given.next()) |event| {
            try ask("other", std.fmt.parseInt(u32, event.payload, 10) catch return failure.retry("no number", .{}));
        }
    }
};

test "what is asked for counts once its call has succeeded" {
    var stage = try testing.start(Eager, .{});
    defer stage.deinit();
    try std.testing.expectEqual(1, stage.asked("source"));
    _ = try stage.deliver(try stage.texts(&.{ "3", "4" }));
    try testing.expectFailure(error.Retry, "no number", stage.deliver(try stage.texts(&.{ "5", "x" })));
    _ = try stage.deliver(try stage.texts(&.{"1"}));
    try std.testing.expectEqual(8, stage.asked("other"));
    try std.testing.expectEqual(0, stage.asked("none"));
}
