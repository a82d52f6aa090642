//! Counts, lets numbers be pushed in from outside, and tells and sets where it stands.

const forebay = @import("forebay");
const std = @import("std");
const Numbers = @import("numbers.zig");
const Counter = @This();

pub const Config = Numbers.Config;

numbers: Numbers,

pub fn init(context: forebay.Context(Config)) !Counter {
    return .{ .numbers = try Numbers.init(context) };
}

pub fn handleDemand(self: *Counter, demand: u32, events: *forebay.Events) !void {
    try self.numbers.emit(demand, events);
}

pub fn handleIngest(_: *Counter, incoming: forebay.Batch, events: *forebay.Events) !void {
    var given = incoming.iterator();
    while (given.next()) |event| {
        var copy = event;
        copy.topic = "ingested";
        try events.pushEvent(copy);
    }
}

pub fn handleCall(self: *Counter, request: []const u8, allocator: std.mem.Allocator) ![]const u8 {
    const asked = std.json.parseFromSliceLeaky(std.json.Value, allocator, request, .{}) catch return unknown(request);
    if (asked != .object or asked.object.count() > 1) return unknown(request);
    if (asked.object.count() == 1) {
        const set = asked.object.get("set") orelse return unknown(request);
        if (set != .integer) return unknown(request);
        self.numbers.next = set.integer;
    }
    return std.fmt.allocPrint(allocator, "{{\"next\":{d}}}", .{self.numbers.next});
}

fn unknown(request: []const u8) forebay.Error {
    return forebay.other("unknown request: {s}", .{request});
}

const testing = forebay.testing;

test "counts by steps up to the limit" {
    var stage = try testing.start(Counter, .{ .config = "{\"start\": 5, \"step\": -3, \"limit\": 4}" });
    defer stage.deinit();
    try testing.expectTexts(&.{ "5", "2", "-1" }, try stage.demand(3));
    try testing.expectTexts(&.{"-4"}, try stage.demand(3));
    try testing.expectTexts(&.{}, try stage.demand(3));
}

test "payloads are padded" {
    var stage = try testing.start(Counter, .{ .config = "{\"start\": 99, \"payload_bytes\": 4}" });
    defer stage.deinit();
    try testing.expectTexts(&.{ "0099", "0100" }, try stage.demand(2));
}

test "a config that is wrong is refused" {
    try testing.expectRefused(Counter, "{\"start\": \"x\"}", "config of stage `stage`: at `start`: found text \"x\", expected a whole number");
    try testing.expectRefused(Counter, "{\"strat\": 1}", "config of stage `stage`: at `strat`: found an unknown key, expected `start`, `step`, `limit` or `payload_bytes`");
    try testing.expectRefused(Counter, "{\"step\": 0}", "`step` is 0; expected any other whole number");
}

test "the last number is not passed" {
    var stage = try testing.start(Counter, .{ .config = "{\"start\": 9223372036854775806}" });
    defer stage.deinit();
    try testing.expectTexts(&.{"9223372036854775806"}, try stage.demand(1));
    try testing.expectFailure(error.Fatal, "the number after this one does not fit 64 bits", stage.demand(1));
}

test "events from outside keep key and headers" {
    var stage = try testing.start(Counter, .{});
    defer stage.deinit();
    var outside = stage.newEvents();
    try outside.push(.{ .payload = "a" });
    try outside.push(.{ .payload = "b", .topic = "other", .key = "k", .headers = &.{.{ .name = "unit", .value = "W" }} });
    const emitted = try stage.ingest(outside);
    try testing.expectTexts(&.{ "a", "b" }, emitted);
    var events = emitted.iterator();
    while (events.next()) |event| {
        try std.testing.expectEqualStrings("ingested", event.topic);
        try std.testing.expectEqual(event.index, event.key.len);
        try std.testing.expectEqual(event.index, event.headers.len());
    }
}

test "calls set and tell the next number" {
    var stage = try testing.start(Counter, .{});
    defer stage.deinit();
    try std.testing.expectEqualStrings("{\"next\":40}", try stage.call("{\"set\": 40}"));
    try testing.expectTexts(&.{"40"}, try stage.demand(1));
    try std.testing.expectEqualStrings("{\"next\":41}", try stage.call("{}"));
    for ([_][]const u8{ "{\"set\": \"x\"}", "{\"sett\": 1}", "{\"set\": 1, \"b\": 2}", "[]", "what" }) |request| {
        var expected: [64]u8 = undefined;
        try testing.expectFailure(error.Other, try std.fmt.bufPrint(&expected, "unknown request: {s}", .{request}), stage.call(request));
    }
}
