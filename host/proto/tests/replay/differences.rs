//! Where ours does something else than the recorded GenStage on purpose, and why.

/// A step in which ours does something else, and what it does.
pub(crate) struct Difference {
    pub(crate) scenario: &'static str,
    pub(crate) step: u64,
    pub(crate) does: &'static [&'static str],
    pub(crate) why: &'static str,
}

const STRANDED: &str = "the original leaves an event in the buffer although a consumer has open demand, and later events \
    overtake it; ours hands out all it has before it takes new ones";
const REVERSED: &str = "the original counts the demand of a consumer that has left, handles messages for nobody, and \
    turns its buffer round; ours takes a message only while somebody waits, and keeps the order";
const EXCESS: &str = "the original logs surplus events and handles them; here a grant is what bounds memory on both \
    sides, so the producer that breaks it is cut off";
const CUT: &str = "the original lets a consumer ask for more than its max_demand; here that bounds memory on both sides, so what \
    is more is cut off, and told";
const SHUFFLE: &str = "the original's shuffle may put a consumer without demand in front and then serves nobody; ours \
    shuffles those that wait";
const HELD_BACK: &str = "the original keeps events without limit while demand accumulates, and applies buffer_size once it is \
    forwarded; ours keeps what the buffer holds at any time";
const SUMMED: &str = "the original makes one call for each ask that has accumulated, also for one that was made before a \
    slower consumer came; ours asks once for what can be handed out";
const TWICE: &str = "the original refuses a second subscription of one process, and then forgets the first; here a consumer \
    whose link broke subscribes again before the loss of the first is known, and shares with itself until then";
const ORDER: &str = "what a selector has refused is asked for again in another order; every consumer gets the same";
const AT_ITS_END: &str = "the original stops with its last event; ours stays, to hand out again what is not acknowledged, and \
    says that it has come to its end";
const COUNT: &str = "the original logs an error when a consumer is asked for its count; ours answers that none wait";
const NO_INFO: &str = "messages that a stage sends itself behind its events are not there: what is to follow an event is an \
    event; they split messages, and the synchronous form answers";
const QUEUE_STAYS: &str = "the original loses what is queued for a partition whose consumer leaves; ours keeps it for the \
    next, and asks for nothing in its place";
const UNROUTABLE: &str = "the original asks for nothing in the place of an event that its hash function drops, and crashes on a \
    partition that there is not; ours settles both, counts and logs them, and asks anew";
const SHARED_OUT: &str =
    "the original crashes on a subscription without a partition; here it gets a fair share of them";
const REFUSED: &str = "the original crashes on a wrong or a taken partition, and with it every permanent consumer; ours refuses \
    the subscription";
const BOUNDED: &str = "the original's queue of a partition grows without limit; ours holds as much as the buffer, and what was \
    discarded is asked for anew";

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        scenario: "demand_cancel_events_come_before_new_ask",
        step: 6,
        does: &["send P>C2 events [1,2,3]"],
        why: STRANDED,
    },
    Difference {
        scenario: "demand_cancel_events_come_before_new_ask",
        step: 7,
        does: &["handle_demand 3 -> []"],
        why: STRANDED,
    },
    Difference {
        scenario: "demand_consumer_dies_with_pending",
        step: 7,
        does: &["send P>C2 events [3]"],
        why: STRANDED,
    },
    Difference {
        scenario: "demand_consumer_dies_with_pending",
        step: 9,
        does: &["handle_demand 1 -> []"],
        why: STRANDED,
    },
    Difference { scenario: "pc_downstream_cancel", step: 6, does: &[], why: REVERSED },
    Difference { scenario: "pc_downstream_cancel", step: 7, does: &[], why: REVERSED },
    Difference {
        scenario: "pc_downstream_cancel",
        step: 9,
        does: &["handle_events A>B [2,3] -> [2,3]", "send B>D events [2,3]", "send A>B ask 3"],
        why: REVERSED,
    },
    Difference {
        scenario: "pc_downstream_cancel",
        step: 10,
        does: &["handle_events A>B [4] -> [4]", "send B>D events [4]"],
        why: REVERSED,
    },
    Difference {
        scenario: "consumer_excess_events",
        step: 2,
        does: &[
            "send P>C cancel protocol broken: 3 events more than asked for",
            "log refused",
            "handle_cancel P>C cancel protocol broken: 3 events more than asked for",
            "log consumer_stopping_after_cancel",
            "stop protocol broken: 3 events more than asked for",
        ],
        why: EXCESS,
    },
    Difference { scenario: "consumer_excess_events", step: 3, does: &[], why: EXCESS },
    Difference {
        scenario: "consumer_excess_events_default_min",
        step: 2,
        does: &[
            "send P>C cancel protocol broken: 7 events more than asked for",
            "log refused",
            "handle_cancel P>C cancel protocol broken: 7 events more than asked for",
            "log consumer_stopping_after_cancel",
            "stop protocol broken: 7 events more than asked for",
        ],
        why: EXCESS,
    },
    Difference { scenario: "consumer_excess_events_default_min", step: 3, does: &[], why: EXCESS },
    Difference {
        scenario: "demand_shuffle_zero_demand_in_front",
        step: 6,
        does: &["send P>C1 events [1,2,3]"],
        why: SHUFFLE,
    },
    Difference {
        scenario: "demand_shuffle_zero_demand_in_front",
        step: 7,
        does: &["send P>C2 events [4,5]"],
        why: SHUFFLE,
    },
    Difference {
        scenario: "demand_shuffle_zero_demand_in_front",
        step: 8,
        does: &["handle_demand 2 -> []"],
        why: SHUFFLE,
    },
    Difference {
        scenario: "demand_shuffle_zero_demand_in_front",
        step: 9,
        does: &["handle_demand 1 -> []"],
        why: SHUFFLE,
    },
    Difference {
        scenario: "accumulate_broadcast",
        step: 7,
        does: &[
            "handle_demand 2 -> [0,1]",
            "send P>C3 events [0,1]",
            "send P>C2 events [0,1]",
            "send P>C1 events [0,1]",
        ],
        why: SUMMED,
    },
    Difference { scenario: "accumulate_events", step: 1, does: &["log buffer_discarded 2"], why: HELD_BACK },
    Difference { scenario: "accumulate_events", step: 4, does: &["log buffer_discarded 1"], why: HELD_BACK },
    Difference { scenario: "accumulate_events", step: 5, does: &["send P>C events [4,5]"], why: HELD_BACK },
    Difference {
        scenario: "accumulate_events",
        step: 6,
        does: &["handle_demand 3 -> []", "log demand_above_dispatcher_max"],
        why: HELD_BACK,
    },
    Difference {
        scenario: "accumulate_then_forward",
        step: 6,
        does: &["handle_demand 6 -> [0,1,2,3,4,5]", "send P>C1 events [0,1,2,3]", "send P>C2 events [4,5]"],
        why: SUMMED,
    },
    Difference {
        scenario: "broadcast_all_leave_then_new",
        step: 7,
        does: &["send P>C2 events [3]", "handle_demand 1 -> []"],
        why: STRANDED,
    },
    Difference {
        scenario: "broadcast_late_joiner",
        step: 8,
        does: &["send P>C3 events [2]", "send P>C2 events [2]", "send P>C1 events [2]"],
        why: STRANDED,
    },
    Difference {
        scenario: "broadcast_late_joiner",
        step: 9,
        does: &["send P>C3 events [3]", "send P>C2 events [3]", "send P>C1 events [3]"],
        why: STRANDED,
    },
    Difference {
        scenario: "broadcast_late_joiner",
        step: 12,
        does: &["send P>C3 events [5]", "send P>C2 events [5]", "send P>C1 events [5]"],
        why: STRANDED,
    },
    Difference {
        scenario: "broadcast_late_joiner",
        step: 13,
        does: &["send P>C1 events [6]", "send P>C3 events [6]", "send P>C2 events [6]"],
        why: STRANDED,
    },
    Difference {
        scenario: "broadcast_late_joiner",
        step: 14,
        does: &["send P>C2 events [7]", "send P>C1 events [7]", "send P>C3 events [7]", "handle_demand 1 -> []"],
        why: STRANDED,
    },
    Difference { scenario: "broadcast_same_process_twice", step: 3, does: &[], why: TWICE },
    Difference {
        scenario: "broadcast_same_process_twice",
        step: 6,
        does: &["handle_demand 2 -> [4,5]", "send P>C1#3 events [4,5]"],
        why: TWICE,
    },
    Difference {
        scenario: "broadcast_same_process_twice",
        step: 7,
        does: &["handle_demand 2 -> [6,7]", "send P>C1 events [6,7]"],
        why: TWICE,
    },
    Difference {
        scenario: "broadcast_selector_real_consumers",
        step: 13,
        does: &[
            "handle_demand 2 -> [7,8]",
            "send P>C1 events [8]",
            "send P>C3 events [7,8]",
            "send P>C2 events [7]",
            "handle_demand 1 -> [9]",
            "send P>C2 events [9]",
            "send P>C3 events [9]",
            "handle_demand 1 -> [10]",
            "send P>C1 events [10]",
            "send P>C3 events [10]",
        ],
        why: ORDER,
    },
    Difference { scenario: "enumerable_exact_end", step: 4, does: &[], why: AT_ITS_END },
    Difference { scenario: "enumerable_on_cancel_stop", step: 3, does: &["send P>C cancel normal"], why: AT_ITS_END },
    Difference {
        scenario: "enumerable_to_the_end",
        step: 4,
        does: &["send P>C events [5]", "log demand_above_dispatcher_max"],
        why: AT_ITS_END,
    },
    Difference {
        scenario: "enumerable_two_consumers",
        step: 5,
        does: &["send P>C1 events [5]", "log demand_above_dispatcher_max"],
        why: AT_ITS_END,
    },
    Difference { scenario: "estimate_buffered_count", step: 7, does: &["reply 0"], why: COUNT },
    Difference { scenario: "info_behind_buffer_infinity", step: 7, does: &["send P>C events [3,4]"], why: NO_INFO },
    Difference { scenario: "info_behind_buffered_events", step: 4, does: &[], why: NO_INFO },
    Difference { scenario: "info_behind_buffered_events", step: 8, does: &["send P>C events [3,4]"], why: NO_INFO },
    Difference { scenario: "info_empty_buffer", step: 5, does: &[], why: NO_INFO },
    Difference {
        scenario: "info_partition_queues",
        step: 10,
        does: &["send P>C0 events [6,8]", "handle_demand 2 -> []"],
        why: NO_INFO,
    },
    Difference {
        scenario: "partition_cancel_discards_queue",
        step: 4,
        does: &["send P>C1 cancel normal", "handle_cancel P>C1 cancel normal"],
        why: QUEUE_STAYS,
    },
    Difference {
        scenario: "partition_cancel_discards_queue",
        step: 5,
        does: &["handle_demand 1 -> [5]"],
        why: QUEUE_STAYS,
    },
    Difference {
        scenario: "partition_hash_none",
        step: 3,
        does: &[
            "handle_demand 3 -> [0,1,2]",
            "send P>C0 events [2]",
            "handle_demand 1 -> [3]",
            "handle_demand 1 -> [4]",
            "send P>C0 events [4]",
            "log unroutable 1",
            "log unroutable 1",
        ],
        why: UNROUTABLE,
    },
    Difference {
        scenario: "partition_hash_none",
        step: 4,
        does: &[
            "send P>C1 events [1]",
            "handle_demand 3 -> [5,6,7]",
            "send P>C1 events [5,7]",
            "handle_demand 1 -> [8]",
            "send P>C0 events [8]",
            "log unroutable 1",
        ],
        why: UNROUTABLE,
    },
    Difference {
        scenario: "partition_hash_none",
        step: 5,
        does: &["handle_demand 2 -> [9,10]", "send P>C0 events [10]", "handle_demand 1 -> [11]", "log unroutable 1"],
        why: UNROUTABLE,
    },
    Difference {
        scenario: "partition_hash_none",
        step: 6,
        does: &[
            "send P>C1 events [11]",
            "handle_demand 2 -> [12,13]",
            "send P>C1 events [13]",
            "handle_demand 1 -> [14]",
            "send P>C0 events [14]",
            "log unroutable 1",
        ],
        why: UNROUTABLE,
    },
    Difference { scenario: "partition_hash_none", step: 7, does: &[], why: UNROUTABLE },
    Difference { scenario: "partition_not_given", step: 1, does: &[], why: SHARED_OUT },
    Difference {
        scenario: "partition_out_of_range",
        step: 1,
        does: &["send P>C0 cancel refused: partition `5` is none of `0` to `1`", "log refused"],
        why: REFUSED,
    },
    Difference { scenario: "partition_queue_not_limited", step: 3, does: &["log buffer_discarded 6"], why: BOUNDED },
    Difference {
        scenario: "partition_queue_not_limited",
        step: 5,
        does: &["send P>C1 events [1,3]", "send P>C1 events [17,19]", "handle_demand 26 -> []"],
        why: BOUNDED,
    },
    Difference {
        scenario: "partition_taken",
        step: 2,
        does: &["send P>C0b cancel refused: partition `0` is taken by `c0` on n", "log refused"],
        why: REFUSED,
    },
    Difference {
        scenario: "partition_unknown_partition",
        step: 4,
        does: &["handle_demand 1 -> []", "log unroutable 1"],
        why: UNROUTABLE,
    },
    Difference {
        scenario: "manual_excess_events",
        step: 2,
        does: &[
            "send P>C cancel protocol broken: 3 events more than asked for",
            "log refused",
            "handle_cancel P>C cancel protocol broken: 3 events more than asked for",
            "log consumer_stopping_after_cancel",
            "stop protocol broken: 3 events more than asked for",
        ],
        why: EXCESS,
    },
    Difference { scenario: "manual_excess_events", step: 3, does: &[], why: EXCESS },
    Difference { scenario: "manual_excess_events", step: 4, does: &[], why: EXCESS },
    Difference { scenario: "manual_explicit_ask", step: 6, does: &["send P>C ask 4", "log ask_cut 10 4"], why: CUT },
    Difference {
        scenario: "manual_explicit_ask",
        step: 7,
        does: &["handle_demand 4 -> [3,4,5,6]", "send P>C events [3,4,5,6]", "log demand_above_dispatcher_max"],
        why: CUT,
    },
    Difference { scenario: "manual_explicit_ask", step: 8, does: &["handle_events P>C [3,4,5,6] -> []"], why: CUT },
    Difference {
        scenario: "manual_explicit_ask",
        step: 12,
        does: &["handle_demand 1 -> [7]", "send P>C events [7]"],
        why: CUT,
    },
    Difference {
        scenario: "manual_explicit_ask",
        step: 13,
        does: &["handle_demand 2 -> [8,9]", "send P>C events [8,9]"],
        why: CUT,
    },
    Difference { scenario: "manual_explicit_ask", step: 14, does: &["handle_events P>C [7] -> []"], why: CUT },
    Difference { scenario: "manual_explicit_ask", step: 15, does: &["handle_events P>C [8,9] -> []"], why: CUT },
];
