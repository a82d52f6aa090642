//! Does what a stage must not do, when it is told to.

const forebay = @import("forebay");
const std = @import("std");
const Misbehaver = @This();

const Mode = enum { ok, retry, fatal, other, trap, spin, allocate, outside, twice, flood, init };

pub const Config = struct { mode: Mode = .ok };

mode: Mode,
allocator: std.mem.Allocator,

pub fn init(context: forebay.Context(Config)) !Misbehaver {
    if (context.config.mode == .init) return forebay.fatal("told to fail", .{});
    return .{ .mode = context.config.mode, .allocator = context.allocator };
}

pub fn handleEvents(self: *Misbehaver, delivery: forebay.Delivery, rejections: *forebay.Rejections) !void {
    var given = delivery.iterator();
    while (given.next()) |event| {
        forebay.log.info("{s}", .{event.payload});
        if (std.mem.eql(u8, event.payload, "no")) try rejections.reject(event.index, "no", .{});
        if (std.mem.eql(u8, event.payload, "go")) try self.misbehave(event.index, rejections);
    }
}

fn misbehave(self: *Misbehaver, index: u32, rejections: *forebay.Rejections) !void {
    switch (self.mode) {
        .ok, .init => {},
        .retry => return forebay.retry("told to", .{}),
        .fatal => return forebay.fatal("told to", .{}),
        .other => return forebay.other("told to", .{}),
        .trap => forebay.panicAt(@src(), "told to trap", .{}),
        .spin => spin(),
        .allocate => try self.allocate(),
        .outside => try rejections.reject(std.math.maxInt(u32), "told to", .{}),
        .twice => for (0..2) |_| try rejections.reject(index, "told to", .{}),
        .flood => for (0..10_000) |line| forebay.log.info("line {d}", .{line}),
    }
}

fn spin() noreturn {
    var turns: u32 = 0;
    while (true) {
        turns +%= 1;
        std.mem.doNotOptimizeAway(turns);
    }
}

fn allocate(self: *Misbehaver) !void {
    while (true) {
        const taken = try self.allocator.alloc(u8, 1 << 20);
        @memset(taken, 1);
        // Without this a compiler may leave out memory that nobody reads.
        std.mem.doNotOptimizeAway(taken.ptr);
    }
}

const testing = forebay.testing;

fn started(comptime config: []const u8) !testing.Harness(Misbehaver) {
    return testing.start(Misbehaver, .{ .config = config });
}

test "it logs what it is given" {
    var stage = try started("null");
    defer stage.deinit();
    const rejections = try stage.deliver(try stage.texts(&.{ "a", "go", "no" }));
    try std.testing.expectEqualDeep(@as([]const testing.Rejection, &.{.{ .index = 2, .retry = false, .reason = "no" }}), rejections);
    try std.testing.expectEqual(3, stage.logs().len);
    try std.testing.expectEqualStrings("a", stage.logs()[0].message);
}

test "it fails as it is told to" {
    inline for (.{ .{ "retry", error.Retry }, .{ "fatal", error.Fatal }, .{ "other", error.Other } }) |case| {
        var stage = try started("{\"mode\": \"" ++ case[0] ++ "\"}");
        defer stage.deinit();
        try testing.expectFailure(case[1], "told to", stage.deliver(try stage.texts(&.{"go"})));
    }
    try testing.expectRefused(Misbehaver, "{\"mode\": \"init\"}", "told to fail");
}

test "rejections a host refuses are refused" {
    inline for (.{ "outside", "twice" }) |mode| {
        var stage = try started("{\"mode\": \"" ++ mode ++ "\"}");
        defer stage.deinit();
        try std.testing.expectError(error.HostRefuses, stage.deliver(try stage.texts(&.{"go"})));
    }
}

test "a flood is ten thousand lines" {
    var stage = try started("{\"mode\": \"flood\"}");
    defer stage.deinit();
    _ = try stage.deliver(try stage.texts(&.{"go"}));
    try std.testing.expectEqual(10_001, stage.logs().len);
}

test "a mode that is not known is refused" {
    try testing.expectRefused(Misbehaver, "{\"mode\": \"odd\"}", "config of stage `stage`: at `mode`: found text \"odd\", expected one of " ++
        "`ok`, `retry`, `fatal`, `other`, `trap`, `spin`, `allocate`, `outside`, `twice`, `flood` or `init`");
}
