mod reading;

use std::sync::Arc;

use chrono::TimeDelta;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::contracts::messages::RunState;
use crate::tui::app::tests::{Speaker, document, empty, furnished, need, now};

fn store(lines: usize, bytes: usize) -> Store {
    let mut store = Store::new(Caps { lines, bytes });
    store.tick(now());
    store
}

fn chat(store: &mut Store, speaker: &mut Speaker, words: &str) {
    let row = speaker.row(ChannelName::DiscordRaw, "discord", &json!({ "content": words }));
    store.apply(Item::Message(Arc::new(row)));
}

proptest! {
    #[test]
    fn a_ring_never_holds_more_than_its_caps_and_counts_what_it_forgot(lengths in prop::collection::vec(0_usize..5_000, 0..60)) {
        let mut store = store(20, 20_000);
        let mut speaker = Speaker::new();
        for length in &lengths {
            chat(&mut store, &mut speaker, &"x".repeat(*length));
            prop_assert!(store.all.len() <= 20 && store.all.bytes() <= 20_000);
        }
        prop_assert_eq!(store.all.len() + usize::try_from(store.all.dropped()).unwrap(), lengths.len());
        let weights: usize = store.all.shown().iter().map(|line| line.row().unwrap().weight()).sum();
        prop_assert_eq!(weights, store.all.bytes());
    }
}

#[test]
fn a_line_that_is_larger_than_the_ring_is_dropped_and_counted() {
    let mut store = store(100, 10_000);
    chat(&mut store, &mut Speaker::new(), &"x".repeat(20_000));
    assert_eq!((store.all.len(), store.all.bytes(), store.all.dropped()), (0, 0, 1));
}

#[test]
fn numbers_name_lines_for_ever() {
    let mut store = store(10, 1 << 20);
    let mut speaker = Speaker::new();
    (0..25).for_each(|at| chat(&mut store, &mut speaker, &at.to_string()));
    let numbers: Vec<u64> = store.all.shown().iter().map(|line| line.number - FIRST_LINE).collect();
    assert_eq!(numbers, (15..25).collect::<Vec<_>>());
    let position = |number| store.all.position(FIRST_LINE + number);
    assert_eq!((position(17), position(2), position(98)), (2, 0, 10));
}

#[test]
fn a_filter_holds_for_what_is_there_what_comes_and_what_is_forgotten() {
    let mut store = store(10, 1 << 20);
    let mut speaker = Speaker::new();
    for at in 0..8 {
        chat(&mut store, &mut speaker, if at % 2 == 0 { "even" } else { "odd" });
    }
    store.set_filter("even".parse().unwrap());
    assert_eq!(store.all.shown().len(), 4);
    for at in 8..14 {
        chat(&mut store, &mut speaker, if at % 2 == 0 { "even" } else { "odd" });
    }
    assert_eq!((store.all.shown().len(), store.all.len()), (5, 10));
    let shown = &store.channel(ChannelName::DiscordRaw).unwrap().ring;
    assert!(shown.shown().iter().all(|line| line.row().unwrap().gist().contains("even")));
    store.set_filter(Filter::default());
    assert_eq!(store.all.shown().len(), 10);
}

/// So many that two threads look through them.
#[test]
fn of_very_many_lines_the_same_match_as_of_few() {
    let mut store = store(40_000, 64 << 20);
    let mut speaker = Speaker::new();
    (0..20_000).for_each(|at| chat(&mut store, &mut speaker, &format!("number {at}")));
    for filter in ["number 1", "number 19", "-7", "type:nothing", ""] {
        store.set_filter(filter.parse().unwrap());
        let filter: Filter = filter.parse().unwrap();
        let wanted: Vec<u64> =
            store.all.lines().filter(|line| line.is_wanted(&filter)).map(|line| line.number).collect();
        let shown: Vec<u64> = store.all.shown().iter().map(|line| line.number).collect();
        assert_eq!(shown, wanted, "{filter:?}");
        let at = shown.len() / 2;
        assert_eq!(shown.get(at).map(|number| store.all.position(*number)), shown.get(at).map(|_| at));
    }
}

#[test]
fn a_gap_is_shown_in_every_list_whatever_the_filter() {
    let mut store = store(100, 1 << 20);
    store.set_filter("nothing-matches-this".parse().unwrap());
    store.apply(Item::Gap("the bus was away".to_owned()));
    assert_eq!(store.all.shown().len(), 1);
    assert!(ChannelName::ALL.iter().all(|name| store.channel(*name).unwrap().ring.shown().len() == 1));
}

#[test]
fn heartbeats_are_with_their_channel_and_not_among_all() {
    let model = furnished(80, 24);
    let kinds: Vec<String> = model.store.all.shown().iter().map(|line| line.row().unwrap().kind()).collect();
    assert_eq!(kinds, ["discord_message", "escalation", "status_update"]);
    assert_eq!(model.store.channel(ChannelName::Health).unwrap().ring.len(), 4);
}

#[test]
fn who_says_nothing_for_a_while_is_silent_and_not_well() {
    let mut model = furnished(80, 24);
    let watcher = model.store.services.of("watcher").unwrap().clone();
    assert_eq!((watcher.state, watcher.handled, watcher.is_silent(now())), (RunState::Running, 12, false));
    assert!(watcher.is_silent(now() + TimeDelta::minutes(2)));
    let stopped = json!({ "type": "service_state", "service": "watcher", "instance": "host/4711", "state": "stopped", "restarts": 0 });
    Speaker::new().notice(&mut model, ChannelName::Health, "supervisor", &stopped);
    let watcher = model.store.services.of("watcher").unwrap();
    assert!(!watcher.is_silent(now() + TimeDelta::minutes(2)), "who stopped owes no sign of life");
}

#[test]
fn a_call_is_what_was_heard_of_it_with_what_was_missed() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    let mut say = |body: serde_json::Value| speaker.notice(&mut model, ChannelName::LlmCalls, "orchestrator", &body);
    say(json!({ "type": "llm_start", "call_id": "c1", "source": "orchestrator", "operation": "decide",
        "meta": { "provider": "anthropic", "model": "m" } }));
    say(json!({ "type": "llm_delta", "call_id": "c1", "part": "reasoning", "text": "first ", "seq": 0 }));
    say(json!({ "type": "llm_delta", "call_id": "c1", "part": "text", "text": "then", "seq": 3 }));
    let call = model.store.calls.open_of("orchestrator").unwrap().clone();
    assert_eq!((call.model.as_str(), call.reasoning.as_str(), call.text.as_str()), ("anthropic/m", "first ", "then"));
    assert_eq!((call.missed, call.end), (2, None));
    let mut say = |body: serde_json::Value| speaker.notice(&mut model, ChannelName::LlmCalls, "orchestrator", &body);
    say(json!({ "type": "llm_complete", "call_id": "c1", "operation": "decide", "duration_ms": 640.0, "nano_usd": 5 }));
    assert_eq!(model.store.calls.open_of("orchestrator"), None);
    assert_eq!(model.store.calls.all().last().unwrap().end.as_ref().unwrap().nano_usd, Some(5));
}

#[test]
fn what_waits_is_ordered_by_deadline_and_goes_when_it_is_answered() {
    let mut model = empty(80, 24);
    need(&mut model, "apr_late", "later", 90);
    need(&mut model, "apr_soon", "sooner", 5);
    let ids = |model: &crate::tui::app::Model| -> Vec<String> {
        model.store.documents.needs().iter().map(|it| it.id().to_owned()).collect()
    };
    assert_eq!(ids(&model), ["apr_soon", "apr_late"]);
    model.store.apply(Item::Documents { prefix: "approvals:".to_owned(), found: Vec::new(), left_out: 0 });
    assert_eq!(ids(&model), Vec::<String>::new());
}

#[test]
fn a_document_that_somebody_else_wrote_breaks_nothing() {
    let mut model = furnished(120, 40);
    document(&mut model, "approvals:odd", &[("state", "pending"), ("proposal", "no json")]);
    document(&mut model, "experiments:odd", &[("state", "flying")]);
    document(&mut model, "alerts:odd", &[]);
    crate::tui::app::tests::text(&mut model, "experiments:text", "a string where a hash is meant");
    assert_eq!(model.store.documents.needs().len(), 2);
    assert_eq!(model.store.experiments.get("odd").unwrap().state, None);
    assert_eq!(model.store.experiments.get("text"), None);
    crate::tui::draw::tests::shown(&model, 120, 40);
}

#[test]
fn what_was_spent_today_stands_against_the_limit_that_holds() {
    let mut model = furnished(80, 24);
    assert_eq!(model.store.documents.spent_on(now()), (420_000_000, None));
    document(
        &mut model,
        "budgets:day",
        &[("limit_nano", "7"), ("until_nano", "2026-11-21T15:00:00Z"), ("former_nano", "3")],
    );
    assert_eq!(model.store.documents.spent_on(now()).1, Some(7));
    assert_eq!(model.store.documents.spent_on(now() + TimeDelta::hours(2)).1, Some(3));
}

#[test]
fn a_rate_is_over_the_last_whole_seconds_and_a_clock_that_jumps_does_no_harm() {
    let mut rate = Rate::default();
    for second in 0..10 {
        (0..5).for_each(|_| rate.count(now() + TimeDelta::seconds(second)));
    }
    rate.tick(now() + TimeDelta::seconds(10));
    assert!((rate.per_second() - 5.0).abs() < 1e-9);
    rate.count(now() - TimeDelta::hours(1));
    rate.tick(now() + TimeDelta::days(400));
    assert!(rate.per_second().abs() < 1e-9);
}
