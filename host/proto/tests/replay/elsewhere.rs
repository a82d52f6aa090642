//! Recordings that are not replayed message by message, and where what they show is.

/// Why a recording is not replayed here, and where what it shows is.
pub(crate) struct Elsewhere {
    pub(crate) scenarios: &'static [&'static str],
    pub(crate) why: &'static str,
}

pub(crate) const ELSEWHERE: &[Elsewhere] = &[
    Elsewhere {
        scenarios: &[
            "bad_producer_option_buffer_keep",
            "bad_producer_option_buffer_size",
            "bad_producer_option_demand",
            "bad_producer_option_dispatcher",
            "bad_producer_option_unknown",
            "bad_subscription_option_cancel_unknown",
            "bad_subscription_option_max_infinity",
            "bad_subscription_option_max_zero",
            "bad_subscription_option_min_above_max",
            "bad_subscription_option_min_negative",
            "broadcast_bad_selector",
            "buffer_size_zero",
            "galena_topics_not_a_list",
        ],
        why: "an option is a key of the pipeline file, which is checked before any stage starts: see \
            `what_genstage_refuses_is_refused_at_load`",
    },
    Elsewhere {
        scenarios: &["resubscribe", "resubscribe_permanent_stops"],
        why: "other options of a subscription are another version of the pipeline: `forebay deploy` drains the stage and \
            starts it with them, so that a subscription never replaces one of its own stage",
    },
    Elsewhere {
        scenarios: &[
            "supervisor_child_not_started",
            "supervisor_max3_min0",
            "supervisor_max5_min3",
            "supervisor_permanent_children_refused",
            "supervisor_transient_restart",
        ],
        why: "there is no process for each event: a stage of node scope with min_demand = 0 and max_demand = n handles n \
            at once in batches, and a trap is retried event by event (poison.rs)",
    },
    Elsewhere {
        scenarios: &[
            "init_subscribe_to_dead_producer",
            "init_subscribe_to_dead_producer_temporary",
            "subscribe_to_dead_producer_permanent",
            "subscribe_to_dead_producer_temporary",
            "subscribe_to_dead_producer_transient",
        ],
        why: "a source is a name and no process: whoever subscribes waits until the name has an owner, see \
            `a_source_without_an_owner_is_waited_for`",
    },
    Elsewhere {
        scenarios: &["galena_ingest_from_itself", "galena_stray_message"],
        why: "a crash by a mistake in the library, and a message that belongs to no protocol: a plugin emits what it \
            returns, and has no mailbox; what a peer sends beside the protocol closes its stream (wire/tests.rs)",
    },
];
