//! The functions the host calls, by the canonical ABI of the component model.
//!
//! The host hands over lists in memory it takes with `cabi_realloc`: the arena of the call. What a call returns is read
//! by the host before it calls the post-return function, which empties the arena and the columns. So nothing is freed
//! piece by piece and nothing can leak from call to call.

const std = @import("std");
const abi = @import("abi.zig");
const batch = @import("batch.zig");
const context = @import("context.zig");
const failure = @import("failure.zig");
const log = @import("log.zig");
const Events = @import("events.zig").Events;
const Rejections = @import("rejections.zig").Rejections;

pub const Role = enum { producer, consumer, producer_consumer };

/// Which of the optional interfaces a stage exports, and whether it imports `demand`.
pub const Optional = struct {
    checkpoint: bool = false,
    timer: bool = false,
    ingest: bool = false,
    call: bool = false,
    terminate: bool = false,
    demand: bool = false,
};

const allocator = std.heap.wasm_allocator;

/// What is kept of the arena for the next call, at most. Unit: bytes; as the columns of `Events`.
const arena_kept_bytes_max = 4 << 20;

/// What lives until the call returns. That of `init` is never emptied: it holds the config.
var arena: std.heap.ArenaAllocator = .init(allocator);
var events: Events = .{ .allocator = allocator, .texts = undefined };
var rejections: Rejections = .{ .allocator = undefined };
/// What the call under way returns. There is one call at a time.
var outcome: abi.Outcome = undefined;
var answer: abi.Answer = undefined;

/// Called by the host before a call, when nothing may be logged: a failure is a bare trap.
fn realloc(old: ?[*]u8, old_len: usize, alignment: usize, new_len: usize) callconv(.c) [*]u8 {
    const wanted = std.mem.Alignment.fromByteUnits(alignment);
    const new = arena.allocator().rawAlloc(@max(new_len, 1), wanted, @returnAddress()) orelse @trap();
    if (old) |from| @memcpy(new[0..@min(old_len, new_len)], from[0..@min(old_len, new_len)]);
    return new;
}

fn begin() void {
    events.texts = arena.allocator();
    rejections = .{ .allocator = arena.allocator() };
}

fn callIsOver(_: *const anyopaque) callconv(.c) void {
    events.clear();
    _ = arena.reset(.{ .retain_with_limit = arena_kept_bytes_max });
}

fn initIsOver(_: *const anyopaque) callconv(.c) void {
    arena = .init(allocator);
}

fn isOurs(problem: anyerror) bool {
    return problem == error.Retry or problem == error.Fatal or problem == error.Other;
}

/// An error that is not one of ours says that the stage is wrong: it is logged and ends the instance.
fn unexpected(comptime Stage: type, comptime name: []const u8, problem: anyerror) noreturn {
    log.err("{s}.zig: {s} failed with error.{s}", .{ @typeName(Stage), name, @errorName(problem) });
    @trap();
}

fn failed(comptime Stage: type, comptime name: []const u8, problem: anyerror) *const abi.Outcome {
    if (!isOurs(problem)) unexpected(Stage, name, problem);
    const kind: u8 = if (problem == error.Retry) 0 else if (problem == error.Fatal) 1 else 2;
    outcome = .{ .is_error = true, .value = .{ .failure = .{ .kind = kind, .text = .of(failure.text()) } } };
    return &outcome;
}

fn emit(comptime Stage: type, comptime name: []const u8, result: anytype) *const abi.Outcome {
    result catch |problem| return failed(Stage, name, problem);
    const columns = events.columns() catch |problem| unexpected(Stage, name, problem);
    outcome = .{ .is_error = false, .value = .{ .events = columns } };
    return &outcome;
}

/// An answer that is bytes, or the error.
fn answerWith(comptime Stage: type, comptime name: []const u8, result: anytype) *const abi.Answer {
    if (result) |value| {
        answer = .{ .is_error = false, .value = if (@TypeOf(value) == void) .{} else .of(value) };
    } else |problem| {
        if (!isOurs(problem)) unexpected(Stage, name, problem);
        answer = .{ .is_error = true, .value = .of(failure.text()) };
    }
    return &answer;
}

fn delivery(given: *const abi.Delivery) batch.Delivery {
    return .{
        .source = given.source.slice(),
        .epoch = given.epoch,
        .attempt = given.attempt,
        .events = .{ .columns = given.events, .runs = given.seqs.slice() },
    };
}

/// The functions the host calls, for one stage.
fn Calls(comptime Stage: type) type {
    return struct {
        var stage: Stage = undefined;

        // The order of the parameters is that of the record `context`.
        fn init(
            pipeline: ?[*]const u8,
            pipeline_len: usize,
            name: ?[*]const u8,
            name_len: usize,
            node: ?[*]const u8,
            node_len: usize,
            instance: u32,
            config: ?[*]const u8,
            config_len: usize,
            attributes: ?[*]const abi.Attribute,
            attributes_len: usize,
        ) callconv(.c) *const abi.Answer {
            const given = context.Given{
                .pipeline = (abi.Text{ .ptr = pipeline, .len = pipeline_len }).slice(),
                .stage = (abi.Text{ .ptr = name, .len = name_len }).slice(),
                .node = (abi.Text{ .ptr = node, .len = node_len }).slice(),
                .instance = instance,
                .config = (abi.Text{ .ptr = config, .len = config_len }).slice(),
                .attributes = headers((abi.List(abi.Attribute){ .ptr = attributes, .len = attributes_len }).slice()) catch |problem|
                    unexpected(Stage, "init", problem),
            };
            if (context.start(Stage, given, arena.allocator(), allocator)) |started| {
                stage = started;
                return answerWith(Stage, "init", @as(anyerror!void, {}));
            } else |problem| {
                return answerWith(Stage, "init", @as(anyerror!void, problem));
            }
        }

        fn headers(attributes: []const abi.Attribute) ![]const batch.Header {
            const all = try arena.allocator().alloc(batch.Header, attributes.len);
            for (all, attributes) |*one, given| one.* = .{ .name = given.name.slice(), .value = given.value.slice() };
            return all;
        }

        fn handleDemand(demand: u32) callconv(.c) *const abi.Outcome {
            begin();
            return emit(Stage, "handleDemand", stage.handleDemand(demand, &events));
        }

        fn handleEvents(given: *const abi.Delivery) callconv(.c) *const abi.Outcome {
            begin();
            stage.handleEvents(delivery(given), &rejections) catch |problem| return failed(Stage, "handleEvents", problem);
            outcome = .{ .is_error = false, .value = .{ .rejections = .of(rejections.entries.items) } };
            return &outcome;
        }

        fn transform(given: *const abi.Delivery) callconv(.c) *const abi.Outcome {
            begin();
            stage.transform(delivery(given), &events, &rejections) catch |problem| return failed(Stage, "transform", problem);
            const columns = events.columns() catch |problem| unexpected(Stage, "transform", problem);
            outcome = .{ .is_error = false, .value = .{ .output = .{ .events = columns, .rejections = .of(rejections.entries.items) } } };
            return &outcome;
        }

        fn snapshot() callconv(.c) *const abi.Answer {
            return answerWith(Stage, "snapshot", stage.snapshot(arena.allocator()));
        }

        fn restore(ptr: ?[*]const u8, len: usize) callconv(.c) *const abi.Answer {
            return answerWith(Stage, "restore", stage.restore((abi.Text{ .ptr = ptr, .len = len }).slice()));
        }

        fn handleTick() callconv(.c) *const abi.Outcome {
            begin();
            return emit(Stage, "handleTick", stage.handleTick(&events));
        }

        // The record `batch` has few enough fields to be handed over as parameters, in its order.
        fn handleIngest(
            payloads: ?[*]const u8,
            payloads_len: usize,
            ends: ?[*]const u32,
            ends_len: usize,
            topics: ?[*]const abi.Text,
            topics_len: usize,
            topic_of: ?[*]const u16,
            topic_of_len: usize,
            keys: ?[*]const u8,
            keys_len: usize,
            key_ends: ?[*]const u32,
            key_ends_len: usize,
            entries: ?[*]const abi.Header,
            entries_len: usize,
        ) callconv(.c) *const abi.Outcome {
            begin();
            const incoming = batch.Batch{ .columns = .{
                .payloads = .{ .ptr = payloads, .len = payloads_len },
                .ends = .{ .ptr = ends, .len = ends_len },
                .topics = .{ .ptr = topics, .len = topics_len },
                .topic_of = .{ .ptr = topic_of, .len = topic_of_len },
                .keys = .{ .ptr = keys, .len = keys_len },
                .key_ends = .{ .ptr = key_ends, .len = key_ends_len },
                .headers = .{ .ptr = entries, .len = entries_len },
            } };
            return emit(Stage, "handleIngest", stage.handleIngest(incoming, &events));
        }

        fn handleCall(ptr: ?[*]const u8, len: usize) callconv(.c) *const abi.Answer {
            const request = (abi.Text{ .ptr = ptr, .len = len }).slice();
            return answerWith(Stage, "handleCall", stage.handleCall(request, arena.allocator()));
        }

        fn terminate(ptr: ?[*]const u8, len: usize) callconv(.c) void {
            stage.terminate((abi.Text{ .ptr = ptr, .len = len }).slice());
            callIsOver(&answer);
        }
    };
}

/// Exports a stage as `forebay.toml` says. A function that is missing, or is there and not listed, is a compile error.
pub fn exportStage(comptime Stage: type, comptime role: Role, comptime optional: Optional) void {
    comptime {
        @export(&realloc, .{ .name = "cabi_realloc" });
        const calls = Calls(Stage);
        needs(Stage, "init", "every stage", "pub fn init(context: forebay.Context(Config)) !@This()");
        function("lifecycle", "init", &calls.init, &initIsOver);
        exportRole(Stage, role, calls);
        if (listed(Stage, optional.checkpoint, "checkpoint", "snapshot", "pub fn snapshot(self: *@This(), allocator: std.mem.Allocator) ![]const u8")) {
            function("checkpoint", "snapshot", &calls.snapshot, &callIsOver);
        }
        if (listed(Stage, optional.checkpoint, "checkpoint", "restore", "pub fn restore(self: *@This(), snapshot: []const u8) !void")) {
            function("checkpoint", "restore", &calls.restore, &callIsOver);
        }
        if (listed(Stage, optional.timer, "timer", "handleTick", "pub fn handleTick(self: *@This(), events: *forebay.Events) !void")) {
            function("timer", "handle-tick", &calls.handleTick, &callIsOver);
        }
        if (listed(Stage, optional.ingest, "ingest", "handleIngest", "pub fn handleIngest(self: *@This(), incoming: forebay.Batch, events: *forebay.Events) !void")) {
            function("ingest", "handle-ingest", &calls.handleIngest, &callIsOver);
        }
        if (listed(Stage, optional.call, "call", "handleCall", "pub fn handleCall(self: *@This(), request: []const u8, allocator: std.mem.Allocator) ![]const u8")) {
            function("call", "handle-call", &calls.handleCall, &callIsOver);
        }
        if (listed(Stage, optional.terminate, "terminate", "terminate", "pub fn terminate(self: *@This(), reason: []const u8) void")) {
            @export(&calls.terminate, .{ .name = exportName("terminate", "terminate") });
        }
    }
}

/// The function of a role, which no other role has.
fn ownFunction(comptime role: Role) []const u8 {
    return switch (role) {
        .producer => "handleDemand",
        .consumer => "handleEvents",
        .producer_consumer => "transform",
    };
}

fn exportRole(comptime Stage: type, comptime role: Role, comptime calls: type) void {
    for (std.enums.values(Role)) |other| {
        if (@hasDecl(Stage, ownFunction(other)) and !@hasDecl(Stage, ownFunction(role))) {
            @compileError(@typeName(Stage) ++ ".zig has `" ++ ownFunction(other) ++ "` of a " ++ @tagName(other) ++
                ", but the role in forebay.toml is " ++ @tagName(role) ++ ", which needs `" ++ ownFunction(role) ++
                "`; correct the one or the other");
        }
    }
    switch (role) {
        .producer => {
            needs(Stage, "handleDemand", "a producer", "pub fn handleDemand(self: *@This(), demand: u32, events: *forebay.Events) !void");
            function("produce", "handle-demand", &calls.handleDemand, &callIsOver);
        },
        .consumer => {
            needs(Stage, "handleEvents", "a consumer", "pub fn handleEvents(self: *@This(), delivery: forebay.Delivery, rejections: *forebay.Rejections) !void");
            function("consume", "handle-events", &calls.handleEvents, &callIsOver);
        },
        .producer_consumer => {
            needs(Stage, "transform", "a producer-consumer", "pub fn transform(self: *@This(), delivery: forebay.Delivery, events: *forebay.Events, rejections: *forebay.Rejections) !void");
            function("transform", "handle-events", &calls.transform, &callIsOver);
        },
    }
}

fn exportName(comptime interface: []const u8, comptime name: []const u8) []const u8 {
    return "forebay:stage/" ++ interface ++ "@" ++ abi.wit_version ++ "#" ++ name;
}

fn function(comptime interface: []const u8, comptime name: []const u8, comptime call: anytype, comptime after: anytype) void {
    @export(call, .{ .name = exportName(interface, name) });
    @export(after, .{ .name = "cabi_post_" ++ exportName(interface, name) });
}

fn needs(comptime Stage: type, comptime name: []const u8, comptime whom: []const u8, comptime written: []const u8) void {
    if (!@hasDecl(Stage, name)) {
        @compileError(@typeName(Stage) ++ ".zig has no `" ++ name ++ "`, which " ++ whom ++ " needs; expected `" ++ written ++
            "`");
    }
}

fn listed(comptime Stage: type, comptime wanted: bool, comptime interface: []const u8, comptime name: []const u8, comptime written: []const u8) bool {
    if (wanted) needs(Stage, name, "`optional` with \"" ++ interface ++ "\" in forebay.toml", written);
    if (!wanted and @hasDecl(Stage, name)) {
        @compileError(@typeName(Stage) ++ ".zig has a public `" ++ name ++ "`, but `optional` in forebay.toml does not list \"" ++
            interface ++ "\"; add it there, or rename the function");
    }
    return wanted;
}
