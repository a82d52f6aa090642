//! Runs a stage in `zig test`: no WebAssembly, no host. A `Harness` makes the calls a host makes, refuses what a host
//! refuses with `error.HostRefuses` after saying why, and keeps what the stage logged and asked for.
//!
//! ```zig
//! test "counts from where it is told to" {
//!     var stage = try forebay.testing.start(Counter, .{ .config = "{\"start\": 5}" });
//!     defer stage.deinit();
//!     try forebay.testing.expectTexts(&.{ "5", "6", "7" }, try stage.demand(3));
//! }
//! ```

const std = @import("std");
const abi = @import("abi.zig");
const batch = @import("batch.zig");
const context = @import("context.zig");
const failure = @import("failure.zig");
const log = @import("log.zig");
const Events = @import("events.zig").Events;
const Rejections = @import("rejections.zig").Rejections;

pub const Setup = context.Given;

/// One line a stage logged.
pub const Line = struct { level: log.Level, message: []const u8 };

/// One event a stage rejected.
pub const Rejection = struct { index: u32, retry: bool, reason: []const u8 };

/// What a producer-consumer made of one delivery.
pub const Transformed = struct { events: batch.Batch, rejections: []const Rejection };

/// The lines logged by the stage that was started last. Tests run one after the other.
var lines: std.ArrayList(Line) = .empty;
var lines_arena: ?*std.heap.ArenaAllocator = null;

/// Takes one line. One from outside of a harness goes to stderr.
pub fn record(level: log.Level, message: []const u8) void {
    const arena = lines_arena orelse return std.debug.print("{s}: {s}\n", .{ @tagName(level), message });
    const kept = arena.allocator().dupe(u8, message) catch @panic("out of memory");
    lines.append(arena.allocator(), .{ .level = level, .message = kept }) catch @panic("out of memory");
}

/// How many events a source was asked for.
const Asked = struct { source: []const u8, count: u32 };

/// What the stage that was started last asked for; the first `asks_kept` in calls that succeeded, the others in the one
/// under way.
var asks: std.ArrayList(Asked) = .empty;
var asks_kept: usize = 0;

/// Takes one call of `forebay.ask`. One from outside of a harness is let go of.
pub fn recordAsk(source: []const u8, count: u32) void {
    const arena = lines_arena orelse return;
    const kept = arena.allocator().dupe(u8, source) catch @panic("out of memory");
    asks.append(arena.allocator(), .{ .source = kept, .count = count }) catch @panic("out of memory");
}

/// What a call gave. A host lets go of what a call asked for that failed.
fn settled(result: anytype) @TypeOf(result) {
    if (result) |_| {
        asks_kept = asks.items.len;
    } else |_| {
        asks.shrinkRetainingCapacity(asks_kept);
    }
    return result;
}

/// Starts a stage. One that is refused gives `error.Other`, or what its `init` gives; `forebay.errorText()` says why.
pub fn start(comptime Stage: type, setup: Setup) !Harness(Stage) {
    const arena = try std.testing.allocator.create(std.heap.ArenaAllocator);
    errdefer std.testing.allocator.destroy(arena);
    arena.* = .init(std.testing.allocator);
    errdefer arena.deinit();
    lines = .empty;
    asks = .empty;
    asks_kept = 0;
    lines_arena = arena;
    errdefer lines_arena = null;
    const config = try arena.allocator().dupe(u8, setup.config);
    var given = setup;
    given.config = config;
    const stage = try settled(context.start(Stage, given, arena.allocator(), std.testing.allocator));
    return .{ .stage = stage, .arena = arena };
}

/// Expects that a stage does not start with a config, and why.
pub fn expectRefused(comptime Stage: type, config: []const u8, expected: []const u8) !void {
    if (start(Stage, .{ .config = config })) |started| {
        var stage = started;
        stage.deinit();
        return error.TestExpectedError;
    } else |_| try std.testing.expectEqualStrings(expected, failure.text());
}

/// Expects events with exactly these payloads.
pub fn expectTexts(expected: []const []const u8, found: batch.Batch) !void {
    var events = found.iterator();
    for (expected) |text| {
        const event = events.next() orelse return fail("{d} events were emitted, expected {d}", .{ found.len(), expected.len });
        try std.testing.expectEqualStrings(text, event.payload);
    }
    if (events.next() != null) return fail("{d} events were emitted, expected {d}", .{ found.len(), expected.len });
}

/// Expects that the stage failed with one of `forebay.retry`, `forebay.fatal` and `forebay.other`, and this text.
pub fn expectFailure(expected: failure.Error, text: []const u8, found: anytype) !void {
    try std.testing.expectError(expected, found);
    try std.testing.expectEqualStrings(text, failure.text());
}

fn fail(comptime format: []const u8, arguments: anytype) error{TestUnexpectedResult} {
    std.debug.print(format ++ "\n", arguments);
    return error.TestUnexpectedResult;
}

fn refuse(comptime format: []const u8, arguments: anytype) error{HostRefuses} {
    // Not by `std.log`: the test runner counts errors that were logged as failures.
    std.debug.print("a host refuses: " ++ format ++ "\n", arguments);
    return error.HostRefuses;
}

/// A started stage, and the calls a host makes. What they give is good until `deinit`.
pub fn Harness(comptime Stage: type) type {
    return struct {
        stage: Stage,
        arena: *std.heap.ArenaAllocator,
        /// Where deliveries come from.
        source: []const u8 = "source",
        epoch: u64 = 1,
        attempt: u32 = 1,
        next_seq: u64 = 0,

        const Self = @This();

        /// Ends the test of this stage; calls the stage's own `deinit` if it has one.
        pub fn deinit(self: *Self) void {
            if (@hasDecl(Stage, "deinit")) self.stage.deinit();
            lines_arena = null;
            self.arena.deinit();
            std.testing.allocator.destroy(self.arena);
        }

        /// The lines logged since the start.
        pub fn logs(_: *const Self) []const Line {
            return lines.items;
        }

        /// How many events the stage asked a source for since the start, in calls that succeeded.
        pub fn asked(_: *const Self, source: []const u8) u32 {
            var sum: u32 = 0;
            for (asks.items[0..asks_kept]) |each| {
                if (std.mem.eql(u8, each.source, source)) sum +|= each.count;
            }
            return sum;
        }

        /// Events to hand over, to be filled by `push` and its like.
        pub fn newEvents(self: *Self) Events {
            return .{ .allocator = self.arena.allocator(), .texts = self.arena.allocator() };
        }

        /// Events with these payloads.
        pub fn texts(self: *Self, payloads: []const []const u8) !Events {
            var events = self.newEvents();
            for (payloads) |payload| try events.push(.{ .payload = payload });
            return events;
        }

        /// Asks a producer for events; refuses more than `demand_`.
        pub fn demand(self: *Self, demand_: u32) !batch.Batch {
            var events = self.newEvents();
            try settled(self.stage.handleDemand(demand_, &events));
            if (events.len() > demand_) return refuse("{d} events were emitted for a demand of {d}", .{ events.len(), demand_ });
            return .{ .columns = try events.columns() };
        }

        /// Hands events to a consumer, numbered as by the source's host.
        pub fn deliver(self: *Self, given: Events) ![]const Rejection {
            const delivery_ = try self.delivery(given);
            var rejections = Rejections{ .allocator = self.arena.allocator() };
            try settled(self.stage.handleEvents(delivery_, &rejections));
            return self.checked(rejections, delivery_.events.len());
        }

        /// Hands events to a producer-consumer, numbered as by the source's host.
        pub fn transform(self: *Self, given: Events) !Transformed {
            const delivery_ = try self.delivery(given);
            var events = self.newEvents();
            var rejections = Rejections{ .allocator = self.arena.allocator() };
            try settled(self.stage.transform(delivery_, &events, &rejections));
            const checked_ = try self.checked(rejections, delivery_.events.len());
            return .{ .events = .{ .columns = try events.columns() }, .rejections = checked_ };
        }

        pub fn snapshot(self: *Self) ![]const u8 {
            return settled(self.stage.snapshot(self.arena.allocator()));
        }

        pub fn restore(self: *Self, given: []const u8) !void {
            return settled(self.stage.restore(given));
        }

        /// Says that the `tick` interval has passed.
        pub fn tick(self: *Self) !batch.Batch {
            var events = self.newEvents();
            try settled(self.stage.handleTick(&events));
            if (!@hasDecl(Stage, "handleDemand") and !@hasDecl(Stage, "transform") and events.len() > 0) {
                return refuse("a consumer emitted {d} events, expected none", .{events.len()});
            }
            return .{ .columns = try events.columns() };
        }

        /// Pushes events in from outside.
        pub fn ingest(self: *Self, given: Events) !batch.Batch {
            var incoming = given;
            var events = self.newEvents();
            try settled(self.stage.handleIngest(.{ .columns = try incoming.columns() }, &events));
            return .{ .columns = try events.columns() };
        }

        /// Asks the stage something.
        pub fn call(self: *Self, request: []const u8) ![]const u8 {
            return settled(self.stage.handleCall(request, self.arena.allocator()));
        }

        pub fn terminate(self: *Self, reason: []const u8) void {
            self.stage.terminate(reason);
        }

        fn delivery(self: *Self, given: Events) !batch.Delivery {
            var events = given;
            const runs = try self.arena.allocator().alloc(abi.Run, 1);
            runs[0] = .{ .first = self.next_seq, .count = @intCast(events.len()) };
            self.next_seq += events.len();
            return .{
                .source = self.source,
                .epoch = self.epoch,
                .attempt = self.attempt,
                .events = .{ .columns = try events.columns(), .runs = runs },
            };
        }

        fn checked(self: *Self, given: Rejections, delivered: usize) ![]const Rejection {
            const entries = given.entries.items;
            const rejections = try self.arena.allocator().alloc(Rejection, entries.len);
            for (rejections, entries, 0..) |*rejection, entry, index| {
                if (entry.index >= delivered) return refuse("a rejection of event {d}, but {d} were delivered, counted from 0", .{ entry.index, delivered });
                for (entries[0..index]) |before| {
                    if (before.index == entry.index) return refuse("event {d} was rejected twice; once is allowed", .{entry.index});
                }
                rejection.* = .{ .index = entry.index, .retry = entry.retry, .reason = entry.reason.slice() };
            }
            return rejections;
        }
    };
}
