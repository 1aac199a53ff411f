//! Fullsend: a terminal control room for a go-to-market team of agents. This version has its ground, its minds and its screen: the bus, those
//! who understand, decide, approve and remember, and the room in which a person sees and steers it all.
//!
//! **bus → message → store → screen; key → message → update → effect → bus. Nothing else crosses.**
//! A service never calls another service, and no screen ever calls a service: both read and write the bus.
//!
//! # The map
//!
//! | module | what it owns |
//! |---|---|
//! | [`contracts`] | everything that is said on the bus: channels, messages, ids, schemas, keys, the wiring table |
//! | [`bus`] | the port and its engines ([`bus::redis`], [`bus::embedded`], [`bus::memory`] for tests); the consumer loop, effects, dead letters, bridge, timers, retention |
//! | [`config`] | settings in layers (defaults < file < environment < flags) |
//! | [`telemetry`] | logs, redaction, reports of errors and panics |
//! | [`llm`] | the questions that the system asks, and who answers them: tasks, prompts, providers, costs |
//! | [`memory`] | what the team knows: notes with all their versions, and what is loaded for a decision |
//! | [`experiments`] | what experiments are made of: specification, criteria, statistics, schedules |
//! | [`tools`] | programs that experiments run: their contract, registry, runner, sandbox |
//! | [`approvals`] | what needs a yes: risk classes, policy, proposals and what came of them |
//! | [`services`] | the team: watcher, orchestrator, FULLSEND, executor, `redis_agent`, gate, mirror; and `echo` |
//! | [`supervisor`] | start, heartbeat, restart, ordered stop |
//! | [`tui`] | the control room: feed, store, model, screens, layers, themes, the loop |
//! | [`cli`] | one file per verb |
//!
//! Dependencies point one way: contracts ← bus ← (memory ← llm, approvals, experiments ← tools) ← services ← supervisor ← tui ← cli ← main. `contracts` imports nothing of ours; `config` and
//! `telemetry` know no engine. A module is `foo.rs` beside its folder `foo/`, and opens by saying what it owns and what it must never do.
//!
//! # Invariants, and the tests that hold them
//!
//! `conformance` runs its cases on every engine. `faults` is real processes that are killed.
//!
//! | what holds | held by |
//! |---|---|
//! | Wiring is typed: a message that the table does not grant does not compile, and no channel lacks a publisher or a reader | the doctest of [`contracts::wiring::Says`], `topology::the_table_is_the_contract`, `topology::no_channel_is_an_orphan`, `verbs::wiring_holds` |
//! | What a channel carries is described, and its example fits | `schema::every_example_reads_back_as_its_type_and_fits_its_schema`, `schema::every_field_of_every_schema_is_described` |
//! | Work is never only published: append and announcement are one step | `conformance::say::an_append_is_announced_with_its_envelope`, `faults::malformed::bare_bodies` |
//! | A unit is applied whole or not at all | `conformance::say::a_refused_unit_leaves_no_trace`, `conformance::model::random_histories`, `embedded_engine::a_kill_at_any_step_leaves_each_unit_whole` |
//! | Effects are committed with the acknowledgement, once; the first commit wins | `conformance::groups::acknowledging_is_won_by_the_first`, `consumer::an_answer_that_was_lost_does_not_repeat_effects`, `faults::kill_points::embedded`, `faults::kill_points::redis` |
//! | No acknowledged message is lost by a kill | `embedded_engine::a_process_killed_at_any_moment_loses_nothing_it_was_told`, `redis_engine::outages::nothing_acknowledged_is_lost_by_a_kill_of_the_server`, `faults::chaos::embedded`, `faults::chaos::redis` |
//! | A conflict runs the handler again and is no attempt; an attempt counts when a handler starts | `consumer::a_version_conflict_runs_the_handler_again_and_is_no_attempt`, `consumer::a_message_that_kills_its_process_is_given_up_and_its_neighbours_are_not` |
//! | What cannot be handled is kept with the reason, said aloud, and replayable | `consumer::a_failing_message_is_tried_five_times_and_becomes_a_dead_letter_with_an_alert`, `dead_letters::a_replay_says_the_same_again_in_the_same_chain` |
//! | Work of the dead is taken over; a slot has one holder | `faults::takeover::embedded`, `faults::takeover::redis`, `consumer::two_consumers_on_one_host_take_two_slots_and_a_lost_one_ends_its_consumer` |
//! | What stands still is stopped and started again, and nobody says that it is alive | `supervisor::one_that_stands_still_is_stopped_and_started_again_and_nobody_says_it_is_alive`, `supervisor::what_waits_and_what_works_is_not_taken_for_standing_still` |
//! | A singleton that lost its lease writes nothing | `conformance::leases::an_old_holder_is_fenced`, `conformance::leases::timers_never_fire_twice` |
//! | Trimming spares what a group needs | `conformance::housekeeping::trimming_spares_what_a_group_needs` |
//! | Every wait ends | `consumer::panics_and_timeouts_are_failed_attempts`, `conformance::groups::an_empty_read_waits_as_long_as_asked`, `redis_engine::outages::a_silent_server_is_told_from_one_that_is_not_there` |
//! | Every buffer has a cap, every drop a counter | `clippy.toml` (no unbounded channel), `conformance::say::a_slow_listener_loses_and_is_told_how_many` |
//! | Time and chance come from outside | `clippy.toml`, `faults::clocks::embedded_clock_jumps`, `faults::clocks::redis_clock_jumps` |
//! | Untrusted text is a type; only a harmless form is printed or logged | `untrusted::nothing_harmful_comes_out`, `tail::a_message_is_one_harmless_line`, `telemetry::control_characters_do_not_reach_the_log` |
//! | Only our own sequences reach the terminal, and it is given back whatever happens | `hostile::only_our_own_sequences_leave`, `room::a_resize_storm_and_a_signal_leave_a_clean_terminal` |
//! | No letter acts while a text field has the keys, and no answer counts before it could be read | `actions::no_letter_acts_where_a_text_field_has_the_keys`, `doing::keys_answer_only_after_the_request_was_on_the_screen_for_a_moment` |
//! | No secret is shown or logged | `cli::a_password_is_never_shown`, `telemetry::no_secret_reaches_the_log` |
//! | What is read back of the past joins what is kept without a seam, and all that the feed hands over is shown | `feed::tests::whatever_is_read_back_and_said_meanwhile_the_lines_are_those_of_the_streams`, `run::tests::whatever_waits_is_taken_in_whole` |
//! | What a yes is to can be read to its last word, in every size of the terminal | `app::tests::orders::every_word_of_what_a_yes_is_to_can_be_seen` |
//! | The key that holds never lets go, and what acts at once acts on what is shown | `app::tests::orders::whoever_leans_on_the_key_of_the_hold_lets_nobody_go`, `app::tests::actions::what_is_done_with_what_is_selected_is_not_done_unseen` |
//! | Nothing that was written is lost: by a crash, another room, a recall or a form | `run::tests::two_rooms_of_one_home_do_not_undo_each_other`, `app::tests::orders::recalling_what_was_said_keeps_what_is_being_written` |
//! | Rooms on one bus agree at every step | `room::together::two_rooms_on_one_file_agree`, `room::together::two_rooms_on_one_server_agree` |
//! | A replay says nothing on a bus, and shows the same however one went there | `replay::tests::in_a_replay_nothing_is_said_and_that_is_told`, `replay::tests::wherever_it_goes_the_room_is_as_if_it_had_been_played_until_there` |
//! | The pictures are what the program draws | `pictures::the_pictures_are_what_the_program_draws` |
//! | No version of a note is lost, and no line of anybody's by a clean merge | `memory::tests::a_clean_merge_loses_no_line_of_anybody`, `memory::tests::every_version_can_be_had_again`, `memory::a_bus_that_knows_no_note_gets_it_from_its_file`, `memory::a_bus_that_went_back_to_an_older_version_loses_none_of_the_files_lines`, `memory::a_mirror_that_is_killed_loses_no_line_on_embedded` |
//! | Risk and policy are the table of the contract, by code | `approvals::tests::an_action_has_the_class_of_the_table`, `approvals::tests::the_policy_is_the_table`, `policies::of_two_gates_in_different_modes_the_stricter_counts_whoever_is_asked` |
//! | What is approved is committed whole, as it was shown, with its record; the first verdict counts, one from outside never | `verdicts::a_yes_commits_exactly_what_was_shown`, `verdicts::the_first_verdict_counts_and_the_late_one_is_told_so`, `verdicts::an_answer_that_does_not_count_changes_nothing`, `policies::several_intents_happen_together_or_not_at_all`, `gate::a_gate_that_is_killed_commits_each_yes_once_and_leaves_its_chain_whole` |
//! | Nothing is committed on facts that changed; silence means no | `verdicts::a_yes_on_facts_that_changed_is_asked_again_with_the_difference`, `verdicts::silence_escalates_at_half_time_and_then_means_no` |
//! | The audit chain has one order, and shows what was done to it; each chain has a copy of its own | `policies::two_gates_keep_one_chain`, `audit::the_first_bad_record_is_named`, `notified::two_chains_in_one_home_are_two_files`, `notified::a_copy_that_the_bus_does_not_go_on_from_is_set_aside_and_told` |
//! | On the team's own channels (proposals, approvals, alerts, audit, dead letters) only the team's word counts | `bridge::tests::where_only_the_team_speaks_a_bare_body_is_a_dead_letter`, `notified::what_the_gate_did_not_say_is_no_record_and_is_told_once`, `orchestrator::tests::a_forged_answer_decides_nothing`, `publish::tests::what_is_not_the_operators_to_say_wants_force_and_the_teams_own_word_is_never_said` |
//! | A kill is state first, in one commit; a hold is heeded within half a second | `control::a_kill_is_state_first_all_of_it_and_can_be_taken_back`, `hold::on_hold_nothing_starts_and_what_runs_comes_to_its_end` |
//! | An idea becomes a proposal with reasons, an answer and a record; the same one is the same proposal | `orchestrator::tests::an_idea_becomes_a_proposal_with_reasons_an_answer_and_a_record`, `orchestrator::tests::the_same_idea_is_the_same_proposal` |
//! | A run is decided upon once, whoever reports it | `orchestrator::tests::a_run_that_two_report_is_decided_upon_once` |
//! | Whatever a provider does, whoever asked is answered, and told where a person should look | `minds::faults::whatever_a_provider_does_the_person_is_answered` |
//! | A thought that takes too long is said aloud, kept, and decided in the end; it keeps nobody else waiting | `minds::time::a_thought_that_takes_too_long_is_said_once_kept_and_decided_in_the_end`, `minds::time::a_slow_thought_keeps_nobody_else_waiting` |
//! | A model's answer is paid once, wherever its process dies | `minds::paid_once::a_decision_is_paid_once_wherever_its_process_dies` |
//! | No hostile message changes a class, reaches the instructions, or passes an approval, though the model obeys it | `minds::hostile::a_model_that_obeys_a_hostile_message_changes_no_class_and_passes_no_approval` |
//! | What somebody outside says of a run moves nothing, and takes the place of nothing | `minds::founding::what_somebody_outside_says_of_a_run_moves_nothing_and_hides_nothing` |
//! | A decision names only what exists; an unknown action is an error, not nothing | `decide::tests::what_does_not_exist_or_is_missing_is_a_fault`, `decide::tests::an_unknown_action_is_an_error_and_not_nothing` |
//! | A moment of a schedule is run once, whatever the number of executors; a change of the clock takes none away and repeats none | `executor::tests::schedules::each_moment_is_claimed_once_whatever_the_number_of_executors`, `schedule::tests::what_the_clock_leaves_out_comes_when_it_goes_on_and_once`, `schedule::tests::moments_ascend` |
//! | A run goes on after its last ended step, whoever died; one that kills whoever runs it is given up | `executor::tests::runs::a_run_whose_executor_is_killed_goes_on_after_the_last_ended_step`, `executor::tests::runs::a_run_that_kills_whoever_runs_it_is_given_up` |
//! | An outward act is written down before it is done, and never done twice; what nobody knows, a person decides | `executor::tests::outward::an_act_whose_end_nobody_knows_is_not_done_again_and_a_person_is_asked`, `executor::tests::outward::what_goes_out_has_a_record_an_event_and_a_count`, `reaching::what_is_not_known_is_asked_about_and_not_repeated_by_the_next_run`, `reaching::a_holder_that_was_taken_over_from_begins_no_act` |
//! | Nobody is reached who is suppressed, in quiet hours, twice within the gap, above the limits, on hold, or without an approval | `outward::the_suppressed_and_those_whom_another_experiment_reached_lately_are_left_out`, `outward::in_quiet_hours_of_their_zone_people_are_left_for_later`, `outward::above_the_limit_of_a_day_it_goes_on_the_next_day`, `reaching::two_experiments_at_one_time_reach_nobody_twice`, `reaching::after_a_hold_it_is_looked_anew_who_may_be_reached`, `reaching::a_bus_that_is_away_during_a_hold_lets_nothing_out`, `outward::between_two_messages_there_is_a_pause_and_on_hold_none_goes_out`, `executor::tests::runs::a_live_one_that_nobody_approved_is_not_run` |
//! | A run that is cancelled or killed has stopped within two seconds | `executor::tests::runs::a_run_that_is_cancelled_or_killed_stops_within_two_seconds` |
//! | Runs of one experiment overlap only where it says so, and do each act once all the same | `side_by_side::two_runs_go_side_by_side_only_where_that_is_allowed`, `side_by_side::two_runs_that_write_to_the_same_people_write_to_each_once` |
//! | A sample reaches the operator alone, counts for nothing and stands in the way of nothing | `samples::one_mail_goes_to_the_operator_and_stands_in_nobodys_way`, `samples::a_sample_reaches_no_recipient_and_says_why_it_went_nowhere`, `shipped::mail::a_sample_goes_to_one_address_alone_and_concerns_nobody_else` |
//! | The work folder of a run that is not over stays | `folders::tests::what_is_over_goes_from_the_disk_and_what_runs_stays` |
//! | Status answers come from state | `watcher::tests::a_question_about_how_things_stand_is_answered_from_state` |
//! | A chain is shown whole: every message of it is in its tree, once, whatever caused what | `chain::tests::whatever_caused_what_every_message_is_in_the_tree_once`, `feed::chain::tests::a_chain_is_read_from_the_streams_with_its_documents` |
//! | A recording holds no secret; a replay is the same room, and says nothing | `recording::tests::no_secret_is_recorded_and_what_is_left_can_be_read`, `replay::tests::wherever_it_goes_the_room_is_as_if_it_had_been_played_until_there`, `replay::tests::in_a_replay_nothing_is_said_and_that_is_told` |
//! | A specification of anybody's is read, or refused with all reasons at once; what is put right runs | `experiments::read::tests::what_others_wrote_is_accepted_or_refused_with_reasons`, `specs::four_of_those_that_others_wrote_run_dry_from_end_to_end` |
//! | Whatever an idea says, what comes of it could be published, and reaches nobody by its words alone | `design_experiment::tests::every_idea_becomes_an_experiment_that_could_be_published` |
//! | A draft and the request that it goes live are one commit, and the request rests on the whole draft | `fullsend::tests::an_idea_becomes_a_draft_and_a_request_that_shows_what_would_go_out`, `fullsend::tests::a_draft_that_changed_is_asked_about_again` |
//! | All that wait for a tool go on when it is there; a wait ends aloud | `fullsend::tests::all_that_wait_for_a_tool_go_on_when_it_is_there`, `fullsend::tests::a_wait_ends_aloud_and_a_build_that_failed_ends_it_too`, `fullsend::tests::a_wait_for_a_tool_that_nobody_builds_lapses_aloud_after_three_days_whoever_joins_it`, `executor::tests::runs::an_experiment_whose_tool_is_gone_stays_ready_and_runs_when_it_is_back` |
//! | What a change takes the place of ends with the yes to it, however long it waited | `fullsend::tests::goes_live::a_change_that_waited_for_a_tool_ends_what_it_takes_the_place_of` |
//! | A yes is shown those whom the run would reach, and all that they get | `fullsend::tests::goes_live::a_yes_is_asked_with_the_people_as_the_run_has_them_and_all_that_they_get` |
//! | What was learned names what decided it and how sure that is, and what reached nobody is called so | `experiments::learned::tests::it_names_the_criterion_that_decided_it_and_how_sure_that_is`, `fullsend::tests::learned::a_run_teaches_numbers_that_say_something_and_is_called_what_it_was` |
//! | What comes out of a step, or from a person's fields, is data | `experiments::steps::tests::what_a_step_gave_is_data`, `outreach::tests::what_a_person_is_called_is_never_a_template` |
//! | A store moves to another engine and back with nothing lost | `stores::a_bus_moves_to_redis_and_back`, `conformance::moving::a_moved_store_goes_on` |
//! | A tool reaches nothing but what its manifest and its parameters name; where it cannot be shut in it does not run | `tools::escapes::it_writes_its_work_folder_and_temporary_files_and_nothing_else`, `tools::escapes::it_opens_no_network_and_sees_none`, `tools::escapes::it_sees_no_other_process_and_calls_nothing_that_it_should_not`, `tools::escapes::without_a_layer_nothing_runs_unless_the_operator_says_so`, `tools::network::no_other_place_is_reached_beside_a_named_one` |
//! | Every tool ends within two seconds of a stop or its time, and nothing of it is left | `tools::ends::one_that_hangs_and_ignores_every_signal_is_killed_within_two_seconds`, `tools::ends::a_stop_is_heeded_within_two_seconds_and_what_was_done_is_still_heard`, `tools::ends::one_that_makes_more_processes_than_it_may_is_ended`, `tools::ends::a_fork_bomb_stays_within_its_limit_whoever_starts_it` |
//! | A tool gets the secrets that it names, on its input only, and passes none on | `tools::escapes::nothing_of_the_environment_comes_along_and_secrets_come_by_name_only`, `secrets::tests::the_programs_own_are_not_for_tools` |
//! | The tools that the README shows are sound and pass their tests | `tools::readme::the_tools_of_the_readme_work_as_it_says` |
//! | The README's pictures are what the program draws | `pictures::the_pictures_are_what_the_program_draws` |
//! | Criteria have one language; what is unknown is neither true nor false | `criteria::tests::what_is_written_reads_back_the_same`, `criteria::tests::unknown_is_a_value` |
//! | Each event is counted once, whoever is killed | `numbers::each_event_is_counted_once_whoever_is_killed_on_embedded`, `numbers::each_event_is_counted_once_whoever_is_killed_on_redis`, `numbers::a_flood_is_counted_whole_in_bounded_memory_on_redis`, `together::what_came_together_is_one_unit` |
//! | A verdict is wrong at most as often as it says, however often one looks; a kill is recommended only by one | `statistics::tests::on_the_line_the_average_of_the_evidence_is_one`, `redis_agent::tests::a_kill_is_recommended_when_the_evidence_says_so` |
//! | An alert is raised on the edge, once, across restarts; none for what is archived | `redis_agent::tests::an_alert_fires_on_the_edge_and_is_armed_again_when_it_is_over`, `redis_agent::tests::a_restart_forgets_nothing`, `redis_agent::tests::what_is_archived_raises_no_alert` |
//! | Mail goes out only with a postal address and a way to unsubscribe, once a person, asked for before; what may have gone out is not called sent | `shipped::mail::without_a_postal_address_or_a_way_to_unsubscribe_nothing_is_sent`, `shipped::mail::mail_goes_out_and_each_is_asked_for_before`, `shipped::mail::what_was_handed_over_without_an_answer_is_not_called_sent` |
//! | No field of a person becomes a header; no password goes over a connection that is not encrypted, or to a server that is not who it says | `shipped::mail::no_field_of_a_person_becomes_a_header`, `shipped::mail::no_password_goes_to_a_server_without_encryption`, `shipped::mail::encryption_is_demanded_and_the_server_must_be_who_it_says` |
//! | A dry run reaches nobody, and what is simulated is called so | `shipped::mail::a_dry_run_connects_to_nobody_and_shows_what_would_go_out`, `shipped::posts::a_dry_run_posts_nothing`, `simulated_audience::tests::it_is_called_a_simulation_wherever_it_is_seen` |
//! | What is read of a mailbox counts once, however often it is read and whoever is killed; what is about another experiment does not | `executor::tests::mailbox::what_came_of_mail_counts_once_for_whichever_run_and_whoever_leaves_is_left_alone`, `executor::what_came_of_mail_counts_once_wherever_its_reader_dies_on_embedded`, `executor::what_came_of_mail_counts_once_wherever_its_reader_dies_on_redis`, `email_replies::tests::a_mail_about_another_experiment_or_about_nothing_of_ours_counts_for_nothing` |
//! | Whoever leaves is left alone, whatever became of the experiment and from whatever account | `mailbox::whoever_leaves_is_heard_though_the_experiment_was_killed_and_from_whatever_account` |
//! | Nobody who wants no more mail is overheard by a model | `classify_reply::tests::nobody_who_wants_out_is_overheard_by_a_model` |
//! | Whoever is forgotten is not written to from the first moment, and is taken out of all state; what remains is told | `forget::tests::a_person_is_taken_out_of_all_state_and_what_remains_is_told`, `suppressions::tests::whoever_is_forgotten_is_on_the_list_and_what_remains_is_told`, `control::whoever_is_not_to_be_written_to_is_on_record_and_only_the_operator_lifts_it` |
//! | The README shows what there is | `readme::every_verb_is_shown`, `readme::every_command_line_is_taken` |
//!
//! # How do I add a …
//!
//! - **message type**: a struct with documented fields and [`contracts::body::Example`] in the file of its channel below
//!   `contracts/messages/`, and a line in that file's `bodies!`. Texts from outside are [`contracts::Untrusted`]. Schema, example and check
//!   follow from it; the list in the test of `contracts/topology.rs` is to be told.
//! - **channel**: a row in `wiring!` ([`contracts::wiring`]): kind, body, publishers, groups; and the same in the test of
//!   `contracts/topology.rs`. The constant, the grants and the groups follow from it.
//! - **service**: its row with `built true` in [`contracts::channel`], a module below `services/` that implements [`bus::Handler`] (returns its
//!   effects, never does them), and an arm in `cli/serve.rs` that gives it to the supervisor.
//! - **singleton** (one of a kind on a bus): implement [`bus::leased::Singleton`] (it comes round at
//!   least twice a minute), and add it in `cli/serve.rs` as a
//!   [`supervisor::LeasedService`].
//! - **tool that is shipped**: see [`tools::shipped`]; one of the home: see the README.
//! - **action, screen, layer, theme** of the control room: see [`tui`].
//! - **verb**: see [`cli`]; and its line and example in the README.
//! - **setting**: a field of [`config::Config`] and a row in `Config::rows`. File, environment, `fullsend config` and the template follow
//!   from it; a flag is a field of `SettingFlags` in `cli.rs`.
//! - **key**: a family in [`contracts::keys`], with its type.
//! - **engine**: implement [`bus::Bus`], an `Engine` for tests beside those in `tests/support/`, a line `conform!` in
//!   `tests/conformance.rs` (and `moves!` to and from the others), and an arm in `cli/open.rs`.

pub mod approvals;
pub mod bus;
pub mod cli;
pub mod config;
pub mod contracts;
pub mod experiments;
pub mod llm;
pub mod memory;
pub mod services;
pub mod supervisor;
pub mod telemetry;
pub mod tools;
pub mod tui;
