//! One suite for every engine of the bus: what `src/bus.rs` promises, case by case.
//!
//! Each case of each engine is a test of its own, `ENGINE::MODULE::CASE`. To add an engine, write its factory in
//! `support/stores.rs` and add one `conform!` line. A case is added to its module and to the list below; one that is not
//! listed does not compile without a warning.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::similar_names,
    reason = "a case that cannot go on has failed; its names are short"
)]

#[path = "support/embedded_store.rs"]
mod embedded_store;
#[path = "conformance/groups.rs"]
mod groups;
#[path = "conformance/holding.rs"]
mod holding;
#[path = "conformance/housekeeping.rs"]
mod housekeeping;
#[path = "conformance/leases.rs"]
mod leases;
#[path = "conformance/model.rs"]
mod model;
#[path = "conformance/moving.rs"]
mod moving;
#[path = "support/redis_store.rs"]
mod redis_store;
#[path = "conformance/say.rs"]
mod say;
#[path = "conformance/state.rs"]
mod state;
#[path = "support/stores.rs"]
mod stores;
#[path = "conformance/tools.rs"]
mod tools;
#[path = "conformance/view.rs"]
mod view;

/// Makes the tests of one engine from lists of cases.
macro_rules! run {
    ($factory:path; $( $module:ident { $($case:ident)* } )*) => { $(
        mod $module { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let case = crate::$module::$case(&$factory);
                tokio::time::timeout(crate::tools::CASE_DEADLINE, case).await.expect("the case hangs");
            }
        )* }
    )* };
}

/// The whole suite for one engine; `histories` is how many random histories it is put through.
macro_rules! conform {
    ($engine:ident, $factory:path, $histories:literal) => {
        mod $engine {
            run! { $factory;
                say {
                    ids_ascend_in_the_order_of_appends
                    ids_ascend_when_the_clock_steps_back
                    an_append_is_announced_with_its_envelope
                    a_silent_append_is_not_announced
                    a_notice_is_heard_and_not_stored
                    bare_bodies_are_heard
                    listeners_hear_only_their_channels
                    a_slow_listener_loses_and_is_told_how_many
                    bodies_survive_byte_for_byte
                    a_used_key_answers_with_the_first_ids
                    a_key_used_by_many_at_once_appends_once
                    units_of_one_call_are_independent
                    an_empty_unit_is_committed
                    lease_then_key_then_acknowledgement_are_checked
                    a_refused_unit_leaves_no_trace
                    a_foreign_stream_refuses_the_unit
                }
                groups {
                    a_group_starts_at_the_beginning
                    a_group_is_created_once
                    consumers_share_and_get_each_message_once
                    every_group_gets_every_message
                    reads_are_handed_out_started_then_ahead
                    several_channels_are_read_together
                    calls_without_a_group_say_so
                    a_group_deleted_by_hand_resumes
                    a_dropped_group_is_gone_with_what_it_held
                    an_empty_read_waits_as_long_as_asked
                    a_waiting_read_wakes
                    a_dropped_read_loses_nothing
                    acknowledging_is_won_by_the_first
                    who_holds_a_message_does_not_matter_for_its_acknowledgement
                    several_acknowledgements_are_all_or_nothing
                    what_was_not_handed_out_cannot_be_acknowledged
                }
                holding {
                    a_start_raises_the_attempts_and_is_taken_back
                    a_start_by_another_consumer_refuses_the_unit
                    own_pending_is_in_order_with_attempts
                    own_pending_is_only_own
                    own_pending_stops_at_the_limit
                    stale_messages_are_taken_over_with_their_attempts
                    looking_for_stale_messages_is_a_sign_of_life
                    the_oldest_stale_messages_come_first
                    extending_keeps_messages
                    extending_names_what_was_lost
                    starting_keeps_a_message
                    released_messages_are_taken_at_once
                    only_ones_own_messages_are_released
                    removed_messages_are_reported_to_their_holder
                    removed_messages_are_reported_to_who_takes_over
                }
                view {
                    ranges_have_bounds_and_directions
                    ranges_are_limited
                    ranges_go_by_time
                    the_newest_entries_are_known
                    a_watch_returns_what_is_there
                    a_watch_wakes_for_another_handle
                    an_empty_watch_waits_as_long_as_asked
                }
                state {
                    documents_are_created_once
                    documents_change_by_version
                    fields_are_set_and_removed
                    texts_in_documents_survive
                    concurrent_changes_of_a_version_have_one_winner
                    a_time_to_live_ends
                    a_time_to_live_is_kept
                    a_time_to_live_is_cleared
                    counters_stop_at_their_ceiling
                    counters_go_down
                    counters_reach_the_edge_of_the_range
                    counters_refuse_what_is_no_number
                    a_ceiling_holds_within_a_unit
                    a_ceiling_holds_among_many
                    changes_of_one_unit_see_each_other
                    strings_are_set
                    lists_are_bounded
                    sets_and_sorted_sets_change
                    the_wrong_type_is_refused
                    foreign_types_are_reported
                    deletes_have_expectations
                    a_deleted_document_starts_afresh
                    scans_page_every_key_once
                    scans_take_the_prefix_literally
                    several_keys_are_read_in_one_go
                    case_matters
                }
                leases {
                    a_lease_is_exclusive_and_renewed_by_its_owner
                    a_lease_ends_and_its_number_rises
                    a_lease_that_is_given_up_is_free
                    an_old_holder_is_fenced
                    a_number_never_given_is_fenced
                    timers_fire_once_in_order_and_not_before
                    timers_fire_up_to_the_limit
                    timers_are_replaced_and_cancelled
                    timers_need_the_lease
                    timers_never_fire_twice
                    fired_messages_are_announced
                }
                housekeeping {
                    trimming_keeps_the_newest
                    trimming_goes_by_age
                    trimming_spares_what_a_group_needs
                    ids_go_on_after_everything_was_trimmed
                    inspect_counts
                    inspect_of_an_empty_channel
                    stores_do_not_see_each_other
                    health_is_good
                    a_closed_bus_refuses
                }
                moving {
                    everything_is_put_back
                    a_moved_store_goes_on
                    an_import_wants_an_empty_store
                    a_record_that_does_not_fit_is_refused
                    an_export_stops_when_nobody_takes_it
                }
            }

            #[test]
            fn random_histories() {
                crate::model::random_histories(&$factory, $histories);
            }
        }
    };
}

conform!(memory, crate::stores::Memory, 400);
conform!(redis, crate::redis_store::Redis, 25);
conform!(embedded, crate::embedded_store::Embedded, 25);

/// Moves between engines: `FROM_to_TO`.
macro_rules! moves {
    ($($name:ident: $from:path => $to:path;)*) => {
        mod between { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::moving::everything_moves(&$from, &$to).await;
            }
        )* }
    };
}

moves! {
    memory_to_memory: crate::stores::Memory => crate::stores::Memory;
    embedded_to_redis: crate::embedded_store::Embedded => crate::redis_store::Redis;
    redis_to_embedded: crate::redis_store::Redis => crate::embedded_store::Embedded;
    redis_to_redis: crate::redis_store::Redis => crate::redis_store::Redis;
    embedded_to_embedded: crate::embedded_store::Embedded => crate::embedded_store::Embedded;
    memory_to_embedded: crate::stores::Memory => crate::embedded_store::Embedded;
    redis_to_memory: crate::redis_store::Redis => crate::stores::Memory;
}
