//! Emits every event as often as it is told to.

const forebay = @import("forebay");
const std = @import("std");
const Double = @This();

const copies_max = 1000;

pub const Config = struct { copies: std.math.IntFittingRange(0, copies_max) = 2 };

copies: usize,

pub fn init(context: forebay.Context(Config)) !Double {
    const copies = context.config.copies;
    if (copies > copies_max) return forebay.fatal("`copies` is {d}; expected a whole number from 0 to {d}", .{ copies, copies_max });
    return .{ .copies = copies };
}

pub fn transform(self: *Double, delivery: forebay.Delivery, events: *forebay.Events, _: *forebay.Rejections) !void {
    var given = delivery.iterator();
    while (given.next()) |event| {
        for (0..self.copies) |_| try events.pushEvent(event);
    }
}

const testing = forebay.testing;

test "every event is emitted twice with all that it has" {
    var stage = try testing.start(Double, .{});
    defer stage.deinit();
    var given = stage.newEvents();
    try given.push(.{ .payload = "a" });
    try given.push(.{ .payload = "b", .topic = "t", .key = "k", .headers = &.{.{ .name = "n", .value = "v" }} });
    const made = try stage.transform(given);
    try testing.expectTexts(&.{ "a", "a", "b", "b" }, made.events);
    var events = made.events.iterator();
    while (events.next()) |event| {
        const second = event.index > 1;
        try std.testing.expectEqualStrings(if (second) "t" else "", event.topic);
        try std.testing.expectEqualStrings(if (second) "k" else "", event.key);
        try std.testing.expectEqual(@intFromBool(second), event.headers.len());
    }
}

test "copies may be none" {
    var stage = try testing.start(Double, .{ .config = "{\"copies\": 0}" });
    defer stage.deinit();
    try testing.expectTexts(&.{}, (try stage.transform(try stage.texts(&.{"a"}))).events);
}

test "too many copies are refused" {
    try testing.expectRefused(Double, "{\"copies\": 1001}", "`copies` is 1001; expected a whole number from 0 to 1000");
    try testing.expectRefused(Double, "{\"copies\": -1}", "config of stage `stage`: at `copies`: found number -1, expected a whole number from 0 to 1023");
}
