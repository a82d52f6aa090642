//! The numbers that `counter` and `checkpointed` emit, and how many of them.

const forebay = @import("forebay");
const std = @import("std");
const Numbers = @This();

pub const Config = struct {
    start: i64 = 0,
    step: i64 = 1,
    limit: ?u63 = null,
    payload_bytes: u32 = 0,
};

next: i64,
step: i64,
left: ?u63,
payload_bytes: u32,

pub fn init(context: forebay.Context(Config)) !Numbers {
    const config = context.config;
    if (config.step == 0) return forebay.fatal("`step` is 0; expected any other whole number", .{});
    return .{ .next = config.start, .step = config.step, .left = config.limit, .payload_bytes = config.payload_bytes };
}

pub fn emit(self: *Numbers, demand: u32, events: *forebay.Events) !void {
    for (0..demand) |_| {
        if (self.left) |*left| {
            if (left.* == 0) return;
            left.* -= 1;
        }
        try self.push(events);
        self.next = std.math.add(i64, self.next, self.step) catch
            return forebay.fatal("the number after this one does not fit 64 bits", .{});
    }
}

/// Pushes the next number, padded on the left with zeros.
fn push(self: *const Numbers, events: *forebay.Events) !void {
    var buffer: [24]u8 = undefined;
    const text = try std.fmt.bufPrint(&buffer, "{d}", .{self.next});
    const payload = try events.allocator.alloc(u8, @max(text.len, self.payload_bytes));
    defer events.allocator.free(payload);
    @memset(payload, '0');
    @memcpy(payload[payload.len - text.len ..], text);
    try events.push(.{ .payload = payload });
}
