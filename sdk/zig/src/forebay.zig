//! Stages for Forebay. A stage is a file: its fields are the state, and its public functions are what the host calls.
//!
//! ```zig
//! const forebay = @import("forebay");
//! const Counter = @This();
//!
//! pub const Config = struct { start: i64 = 0 };
//!
//! next: i64,
//!
//! pub fn init(context: forebay.Context(Config)) !Counter {
//!     return .{ .next = context.config.start };
//! }
//!
//! pub fn handleDemand(self: *Counter, demand: u32, events: *forebay.Events) !void {
//!     for (0..demand) |_| {
//!         try events.print("{d}", .{self.next});
//!         self.next += 1;
//!     }
//! }
//! ```
//!
//! | role              | functions                                                                       |
//! |-------------------|---------------------------------------------------------------------------------|
//! | every stage       | `init(context: forebay.Context(Config)) !Self`                                  |
//! | producer          | `handleDemand(self: *Self, demand: u32, events: *forebay.Events) !void`         |
//! | consumer          | `handleEvents(self: *Self, delivery: forebay.Delivery, rejections: *forebay.Rejections) !void` |
//! | producer-consumer | `transform(self: *Self, delivery: forebay.Delivery, events: *forebay.Events, rejections: *forebay.Rejections) !void` |
//! | checkpoint        | `snapshot(self: *Self, allocator: Allocator) ![]const u8`, `restore(self: *Self, snapshot: []const u8) !void` |
//! | timer             | `handleTick(self: *Self, events: *forebay.Events) !void`                        |
//! | ingest            | `handleIngest(self: *Self, incoming: forebay.Batch, events: *forebay.Events) !void` |
//! | call              | `handleCall(self: *Self, request: []const u8, allocator: Allocator) ![]const u8` |
//! | terminate         | `terminate(self: *Self, reason: []const u8) void`                               |
//! | demand            | calls `forebay.ask(source: []const u8, count: u32)`                             |
//!
//! `forebay.toml` says the role and which of the optional ones a stage has; `forebay build` checks them against the file.

const failure = @import("failure.zig");

pub const Batch = @import("batch.zig").Batch;
pub const Delivery = @import("batch.zig").Delivery;
pub const Event = @import("batch.zig").Event;
pub const Header = @import("batch.zig").Header;
pub const Events = @import("events.zig").Events;
pub const Rejections = @import("rejections.zig").Rejections;
pub const Context = @import("context.zig").Context;
pub const ask = @import("demand.zig").ask;
pub const log = @import("log.zig");
pub const testing = @import("testing.zig");

/// What a call of the host may fail with. Any other error ends the instance, after it was logged.
pub const Error = failure.Error;
/// A passing trouble: the host makes the call again, later. `return forebay.retry("no answer from {s}", .{host});`
pub const retry = failure.retry;
/// The stage cannot go on: the host ends this instance and applies the restart policy.
pub const fatal = failure.fatal;
/// Anything else; treated as fatal.
pub const other = failure.other;
/// The text that goes with the last of these errors.
pub const errorText = failure.text;

/// Ends the instance: logs the place in the source and the text with level error, and traps.
/// `forebay.panicAt(@src(), "told to trap", .{})`. A plain `@panic` is logged as well, without its place.
pub const panicAt = log.panicAt;

// What the root that `forebay build` writes refers to.
pub const panic = @import("std").debug.FullPanic(log.panicked);
pub const std_options = log.std_options;
pub const exportStage = @import("exports.zig").exportStage;

test {
    _ = @import("config.zig");
    _ = @import("events.zig");
    _ = @import("batch.zig");
    _ = @import("failure.zig");
    _ = @import("demand.zig");
}
