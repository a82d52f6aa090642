//! What a stage is told about itself when it starts, with its config read.

const std = @import("std");
const batch = @import("batch.zig");
const config_reader = @import("config.zig");
const failure = @import("failure.zig");

/// What a stage is told about itself. All of it, the texts of the config too, lives as long as the instance.
///
/// `Config` is a struct of booleans, numbers, `[]const u8`, enums, and optionals, slices and structs of these. A field
/// with a default may be left out in the pipeline file; a key that is no field is an error that names it.
pub fn Context(comptime Config: type) type {
    return struct {
        /// The pipeline's name.
        pipeline: []const u8,
        /// The stage's name in the pipeline.
        stage: []const u8,
        /// The name of the node it runs on.
        node: []const u8,
        /// Which instance of the stage on this node, from 0.
        instance: u32,
        config: Config,
        /// Further facts that a later host may add.
        attributes: []const batch.Header,
        /// For what lives longer than a call. Under test it is `std.testing.allocator`, which notices leaks; a stage
        /// with something to free has a function `deinit`, which only the harness calls.
        allocator: std.mem.Allocator,

        /// The value of an attribute, if the host gave it.
        pub fn attribute(self: @This(), name: []const u8) ?[]const u8 {
            for (self.attributes) |given| {
                if (std.mem.eql(u8, given.name, name)) return given.value;
            }
            return null;
        }
    };
}

/// What the host gives, its config not read yet.
pub const Given = struct {
    pipeline: []const u8 = "pipeline",
    stage: []const u8 = "stage",
    node: []const u8 = "node",
    instance: u32 = 0,
    /// As JSON; `null` when the pipeline file has none.
    config: []const u8 = "null",
    attributes: []const batch.Header = &.{},
};

/// The config type of a stage.
pub fn ConfigOf(comptime Stage: type) type {
    return if (@hasDecl(Stage, "Config")) Stage.Config else struct {};
}

/// Reads the config into `kept`, which lives as long as the instance, and starts the stage.
pub fn start(comptime Stage: type, given: Given, kept: std.mem.Allocator, allocator: std.mem.Allocator) !Stage {
    const Config = ConfigOf(Stage);
    const config = config_reader.read(Config, kept, given.config) catch |problem| switch (problem) {
        error.OutOfMemory => return error.OutOfMemory,
        error.Other => return failure.other("config of stage `{s}`: {s}", .{ given.stage, failure.text() }),
        else => unreachable,
    };
    return Stage.init(Context(Config){
        .pipeline = given.pipeline,
        .stage = given.stage,
        .node = given.node,
        .instance = given.instance,
        .config = config,
        .attributes = given.attributes,
        .allocator = allocator,
    });
}
