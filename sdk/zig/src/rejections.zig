//! Events of a delivery that could not be processed. Whether an index is one of the batch is for the host to say, and
//! for the harness.

const std = @import("std");
const abi = @import("abi.zig");

const Allocator = std.mem.Allocator;

pub const Rejections = struct {
    /// Lives until the call returns.
    allocator: Allocator,
    entries: std.ArrayList(abi.Rejection) = .empty,

    /// Says that the event at `index` cannot be processed, now or later: it becomes a dead letter.
    /// `try rejections.reject(event.index, "a name is UTF-8", .{});`
    pub fn reject(self: *Rejections, index: u32, comptime format: []const u8, arguments: anytype) Allocator.Error!void {
        try self.add(index, false, format, arguments);
    }

    /// Says that the event at `index` could not be processed now: the host delivers it again later.
    pub fn rejectForNow(self: *Rejections, index: u32, comptime format: []const u8, arguments: anytype) Allocator.Error!void {
        try self.add(index, true, format, arguments);
    }

    fn add(self: *Rejections, index: u32, retry: bool, comptime format: []const u8, arguments: anytype) Allocator.Error!void {
        const given = try std.fmt.allocPrint(self.allocator, format, arguments);
        // The host ends an instance that hands over a text that is not UTF-8.
        const reason = try std.fmt.allocPrint(self.allocator, "{f}", .{std.unicode.fmtUtf8(given)});
        try self.entries.append(self.allocator, .{ .index = index, .retry = retry, .reason = .of(reason) });
    }
};
