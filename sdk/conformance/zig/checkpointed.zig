//! Counts, and goes on elsewhere from where it was.

const forebay = @import("forebay");
const std = @import("std");
const Numbers = @import("numbers.zig");
const Checkpointed = @This();

pub const Config = Numbers.Config;

numbers: Numbers,

pub fn init(context: forebay.Context(Config)) !Checkpointed {
    return .{ .numbers = try Numbers.init(context) };
}

pub fn handleDemand(self: *Checkpointed, demand: u32, events: *forebay.Events) !void {
    try self.numbers.emit(demand, events);
}

pub fn snapshot(self: *Checkpointed, allocator: std.mem.Allocator) ![]const u8 {
    return std.fmt.allocPrint(allocator, "{d}", .{self.numbers.next});
}

pub fn restore(self: *Checkpointed, taken: []const u8) !void {
    // The library takes `1_000` as well.
    const digits = if (std.mem.indexOfScalar(u8, taken, '_') == null) taken else "";
    self.numbers.next = std.fmt.parseInt(i64, digits, 10) catch
        return forebay.other("snapshot `{s}`: expected a number", .{taken});
}

pub fn terminate(_: *Checkpointed, reason: []const u8) void {
    forebay.log.info("terminated: {s}", .{reason});
}

const testing = forebay.testing;

test "it goes on from a snapshot" {
    var first = try testing.start(Checkpointed, .{ .config = "{\"start\": 7}" });
    defer first.deinit();
    try testing.expectTexts(&.{ "7", "8" }, try first.demand(2));
    const taken = try first.snapshot();
    try std.testing.expectEqualStrings("9", taken);
    var second = try testing.start(Checkpointed, .{ .config = "{\"start\": 100}" });
    defer second.deinit();
    try second.restore(taken);
    try testing.expectTexts(&.{"9"}, try second.demand(1));
}

test "a snapshot that is no number is refused" {
    var stage = try testing.start(Checkpointed, .{});
    defer stage.deinit();
    try testing.expectFailure(error.Other, "snapshot `nine`: expected a number", stage.restore("nine"));
    try testing.expectFailure(error.Other, "snapshot ``: expected a number", stage.restore(""));
}

test "its end is logged" {
    var stage = try testing.start(Checkpointed, .{});
    defer stage.deinit();
    stage.terminate("drain");
    try std.testing.expectEqual(.info, stage.logs()[0].level);
    try std.testing.expectEqualStrings("terminated: drain", stage.logs()[0].message);
}
