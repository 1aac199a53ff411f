use std::sync::Arc;
use std::time::Instant;

use chrono::TimeDelta;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tree::{DEEPEST, Link, guides, length};
use super::*;
use crate::bus::{Document, EntryId};
use crate::contracts::{Envelope, Trust};
use crate::tui::app::tests::now;

/// The id with this number.
fn id(n: u32) -> MessageId {
    MessageId(uuid::Uuid::from_u128(0x019c_0000_0000_7000_8000_0000_0000_0000 + u128::from(n)))
}

/// A message: its number, the number of its cause, milliseconds since the beginning.
fn row(channel: ChannelName, source: &'static str, n: u32, cause: Option<u32>, ms: i64, body: &Value) -> Arc<Row> {
    of_trace(channel, source, (n, 0), cause, ms, body)
}

fn of_trace(
    channel: ChannelName,
    source: &'static str,
    (n, trace): (u32, u32),
    cause: Option<u32>,
    ms: i64,
    body: &Value,
) -> Arc<Row> {
    let text = body.to_string();
    let envelope = Envelope {
        id: id(n),
        kind: channel.check(&text).unwrap_or("unknown").into(),
        v: 1,
        source: source.into(),
        at: now() + TimeDelta::milliseconds(ms),
        trace: id(trace).into(),
        cause: cause.map(id),
        subject: None,
        priority: crate::contracts::Priority::Medium,
        trust: Trust::Operator,
        expires_at: None,
    };
    let entry = EntryId { ms: u64::try_from(envelope.at.timestamp_millis()).unwrap(), seq: u64::from(n) };
    Arc::new(Row::stored(Entry::new(channel, entry, envelope.to_json(), text)))
}

fn echo(n: u32, cause: Option<u32>, ms: i64) -> Arc<Row> {
    row(ChannelName::Echo, "echo", n, cause, ms, &json!({ "type": "echo_request", "text": format!("n{n}") }))
}

fn chain(rows: &[Arc<Row>]) -> Chain {
    let mut chain = Chain::of(id(0).into());
    for row in rows {
        chain.take(row);
    }
    chain
}

/// The tree as numbers with how far down each stands.
fn shape(chain: &Chain) -> Vec<(String, usize)> {
    chain.tree().steps.iter().map(|step| (step.words.split(' ').next().unwrap().to_owned(), step.depth)).collect()
}

fn shaped(all: &[(&str, usize)]) -> Vec<(String, usize)> {
    all.iter().map(|(words, depth)| ((*words).to_owned(), *depth)).collect()
}

#[test]
fn each_message_hangs_on_its_cause_in_the_order_of_time() {
    let chain = chain(&[echo(0, None, 0), echo(1, Some(0), 5), echo(3, Some(0), 9), echo(2, Some(1), 1_205)]);
    assert_eq!(shape(&chain), shaped(&[("n0", 0), ("n1", 1), ("n2", 2), ("n3", 1)]));
    let steps = &chain.tree().steps;
    let took: Vec<_> = steps.iter().map(|step| step.took.map(length)).collect();
    assert_eq!(took, [None, Some("5ms".to_owned()), Some("1.2s".to_owned()), Some("9ms".to_owned())]);
    let drawn: Vec<String> = steps.iter().map(|step| guides(step, false)).collect();
    assert_eq!(drawn, ["", "├─", "│ └─", "└─"]);
    assert_eq!(guides(&steps[2], true), "| `-");
    assert_eq!(
        (chain.tree().total.steps, chain.tree().total.span.map(|(a, b)| length(b - a))),
        (4, Some("1.2s".to_owned()))
    );
}

#[test]
fn what_belongs_to_another_chain_is_not_taken_and_nothing_is_taken_twice() {
    let mut chain = chain(&[echo(0, None, 0)]);
    let other = of_trace(ChannelName::Echo, "echo", (7, 7), None, 1, &json!({ "type": "echo_request", "text": "x" }));
    assert!(!chain.take(&other) && !chain.take(&echo(0, None, 0)));
    assert!(chain.take(&echo(1, Some(0), 1)));
    assert_eq!(chain.rows().len(), 2);
}

#[test]
fn a_cause_that_is_not_known_is_said_and_the_message_hangs_on_the_first() {
    let chain = chain(&[echo(0, None, 0), echo(2, Some(1), 9), echo(3, Some(2), 10)]);
    assert_eq!(shape(&chain), shaped(&[("n0", 0), ("n2", 1), ("n3", 2)]));
    assert_eq!(chain.tree().steps[1].mark().as_deref(), Some("cause not known"));
    assert!(chain.tree().total.missing[0].starts_with("1 hang on the first message"));
}

#[test]
fn without_its_first_message_the_oldest_is_the_first_and_that_is_said() {
    let chain = chain(&[echo(5, Some(4), 50), echo(3, Some(0), 9)]);
    assert_eq!(shape(&chain), shaped(&[("n3", 0), ("n5", 1)]));
    assert!(chain.tree().total.missing.contains(&"its first message is not there (any more)".to_owned()));
}

#[test]
fn a_circle_is_cut_where_it_began_and_said() {
    let chain =
        chain(&[echo(0, None, 0), echo(1, Some(3), 5), echo(2, Some(1), 6), echo(3, Some(2), 7), echo(4, Some(4), 8)]);
    assert_eq!(shape(&chain), shaped(&[("n0", 0), ("n1", 1), ("n2", 2), ("n3", 3), ("n4", 1)]));
    let links: Vec<&Link> = chain.tree().steps.iter().map(|step| &step.link).collect();
    assert_eq!(links, [&Link::First, &Link::Circle, &Link::Caused, &Link::Caused, &Link::Circle]);
}

#[test]
fn a_whole_chain_in_a_circle_is_still_a_tree() {
    let mut own = echo(0, Some(1), 0);
    let ring = chain(&[own.clone(), echo(1, Some(0), 1)]);
    assert_eq!(shape(&ring), shaped(&[("n0", 0), ("n1", 1)]));
    own = echo(2, Some(2), 0);
    assert_eq!(shape(&chain(&[own])), shaped(&[("n2", 0)]));
}

#[test]
fn clocks_that_differ_are_shown_and_break_nothing() {
    let chain = chain(&[echo(0, None, 2_000), echo(1, Some(0), 0)]);
    assert_eq!(shape(&chain), shaped(&[("n0", 0), ("n1", 1)]));
    assert_eq!(chain.tree().steps[1].took.map(length).as_deref(), Some("-2.0s"));
    assert_eq!(chain.tree().total.span.map(|(first, last)| length(last - first)).as_deref(), Some("2.0s"));
}

#[test]
fn thousands_of_steps_deep_or_wide_are_a_tree_at_once() {
    for deep in [true, false] {
        let cause = |n: u32| if deep { n - 1 } else { 0 };
        let rows: Vec<_> = (0..5_000).map(|n| echo(n, (n > 0).then(|| cause(n)), i64::from(n))).collect();
        let chain = chain(&rows);
        let began = Instant::now();
        assert_eq!(chain.tree().steps.len(), 5_000);
        assert!(began.elapsed().as_secs() < 5, "it took {:?}", began.elapsed());
        let last = chain.tree().steps.last().unwrap();
        assert_eq!(last.depth, if deep { 4_999 } else { 1 });
        assert!(last.branches.len() <= DEEPEST);
    }
}

#[test]
fn what_is_beyond_the_most_is_counted_and_said() {
    let mut chain = Chain::of(id(0).into());
    for n in 0..u32::try_from(MOST).unwrap() + 3 {
        chain.take(&echo(n, (n > 0).then_some(0), i64::from(n)));
    }
    assert_eq!((chain.rows().len(), chain.beyond()), (MOST, 3));
    assert!(chain.tree().total.missing.contains(&"3 more messages are of this chain than are shown".to_owned()));
}

proptest! {
    #[test]
    fn whatever_caused_what_every_message_is_in_the_tree_once(causes in prop::collection::vec(prop::option::of(0_u32..40), 1..40)) {
        let rows: Vec<_> = causes.iter().enumerate().map(|(n, cause)| echo(u32::try_from(n).unwrap(), *cause, i64::try_from(n * 7 % 13).unwrap())).collect();
        let chain = chain(&rows);
        let mut ids: Vec<&str> = chain.tree().steps.iter().map(|step| step.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), causes.len());
        for (at, step) in chain.tree().steps.iter().enumerate() {
            prop_assert!(step.parent.is_none_or(|parent| parent < at), "each stands below what it hangs on");
        }
        prop_assert_eq!(chain.tree().steps.iter().filter(|step| step.parent.is_none()).count(), 1);
    }
}

/// An idea that was decided on, approved by a person, and measured.
pub(crate) fn story() -> Chain {
    let idea = json!({ "content": "what if we scraped GitHub stargazers", "username": "mara" });
    let escalation = json!({ "type": "escalation", "reason": "It proposes something.", "priority": "high",
        "original_message": { "content": "what if we scraped GitHub stargazers", "username": "mara" } });
    let mut created = crate::contracts::schema::find("approval_created").unwrap().example().clone();
    created["approval_id"] = "apr_stars".into();
    created["title"] = "Design an experiment: stargazers".into();
    let verdict = json!({ "type": "approval_verdict", "approval_id": "apr_stars", "verdict": "approve", "digest": "sha256:1",
        "by": "mara", "surface": "control_room" });
    let mut request = crate::contracts::schema::find("experiment_request").unwrap().example().clone();
    request["request_id"] = "req_1".into();
    let published = json!({ "type": "experiment_created", "experiment_id": "exp_stars", "source": "fullsend" });
    let number = json!({ "event": "reply_received", "experiment_id": "exp_stars" });
    let paid = crate::contracts::schema::find("cost_recorded").unwrap().example().clone();
    let mut chain = chain(&[
        row(ChannelName::DiscordRaw, "control_room", 0, None, 0, &idea),
        row(ChannelName::ToOrchestrator, "watcher", 1, Some(0), 20, &escalation),
        row(ChannelName::Costs, "ledger", 2, None, 600, &paid),
        row(ChannelName::Approvals, "gate", 3, Some(1), 700, &created),
        row(ChannelName::ToFullsend, "orchestrator", 5, Some(3), 42_700, &request),
        row(ChannelName::Experiments, "fullsend", 6, Some(5), 60_000, &published),
    ]);
    assert!(chain.take(&of_trace(ChannelName::ApprovalVerdicts, "control_room", (4, 4), None, 42_000, &verdict)));
    assert!(chain.take(&of_trace(ChannelName::Metrics, "executor", (7, 7), None, 90_000, &number)));
    chain.read(None);
    chain
}

fn fields(fields: &[(&str, &str)]) -> State {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    State::Hash(Document { version: 1, fields })
}

#[test]
fn a_verdict_and_a_number_of_other_chains_hang_on_what_they_are_about() {
    let chain = story();
    let steps = &chain.tree().steps;
    let verdict = steps.iter().find(|step| step.name == "approval_verdict").unwrap();
    assert_eq!((verdict.actor.as_str(), verdict.is_person, verdict.words.as_str()), ("mara", true, "approve"));
    assert_eq!(steps[verdict.parent.unwrap()].name, "approval_created");
    assert_eq!(verdict.mark().as_deref(), Some("about apr_stars"));
    let number = steps.iter().find(|step| step.id == id(7).to_string()).unwrap();
    assert_eq!(steps[number.parent.unwrap()].name, "experiment_created");
}

#[test]
fn a_decision_stands_between_the_message_and_what_it_led_to() {
    let mut chain = story();
    let key = Key::new(format!("decisions:{}", id(1)));
    assert!(chain.wanted().contains(&key));
    let at = crate::contracts::envelope::rfc3339(now() + TimeDelta::milliseconds(640));
    let decided = fields(&[
        ("at", &at),
        ("kind", "escalation"),
        ("action", "dispatch_to_fullsend"),
        ("reasoning", "cheap to try"),
        ("model", "rules"),
        ("nano_usd", "1200000"),
        ("state", "proposed"),
    ]);
    chain.document(&key, Some(&decided));
    chain.take(&row(ChannelName::FromOrchestrator, "orchestrator", 8, Some(1), 641, &json!({ "type": "idea_ack" })));
    let steps = &chain.tree().steps;
    let decision = steps.iter().position(|step| step.id == key.as_str()).unwrap();
    assert_eq!((steps[decision].name.as_str(), steps[decision].nano), ("dispatch_to_fullsend", Some(1_200_000)));
    assert_eq!(steps[decision].took.map(length).as_deref(), Some("620ms"));
    let answer = steps.iter().find(|step| step.id == id(8).to_string()).unwrap();
    assert_eq!(answer.parent, Some(decision));
    assert!(steps[decision].words.contains("cheap to try · proposed"));
}

#[test]
fn the_cost_is_the_ledgers_sum_or_what_was_heard() {
    let mut chain = story();
    assert_eq!(chain.tree().total.nano, 25_305_000, "the notice that was heard");
    chain.document(&Key::new(format!("budgets:trace:{}", id(0))), Some(&fields(&[("spent_nano", "31000000")])));
    assert_eq!(chain.tree().total.nano, 31_000_000);
}

#[test]
fn it_says_where_it_stands_and_what_it_waits_for() {
    let mut chain = story();
    let prd = json!({ "type": "tool_prd", "prd": { "name": "finder" } });
    let asked = row(ChannelName::BuilderTasks, "orchestrator", 0, None, 1, &prd);
    let waiting = super::tests::chain(&[asked]);
    assert!(
        waiting.tree().total.now.iter().any(|it| it.contains("tool_prd waits for builder")),
        "what nobody in this version does: {:?}",
        waiting.tree().total.now
    );
    chain.document(&Key::new("experiments:exp_stars"), Some(&fields(&[("state", "running")])));
    assert_eq!(chain.tree().total.now[0], "exp_stars (dry run) is running");
    let simulated = [("state", "running"), ("mode", "simulation")];
    chain.document(&Key::new("experiments:exp_stars"), Some(&fields(&simulated)));
    assert_eq!(chain.tree().total.now[0], "exp_stars (simulation) is running");
    let modes: Vec<_> = chain.tree().steps.iter().filter(|step| step.words.contains("exp_stars")).collect();
    assert!(!modes.is_empty() && modes.iter().all(|step| step.mode.is_some_and(|it| it.as_str() == "simulation")));
    let (persons, first) = (&chain.tree().total.actors[0], chain.tree().total.actors.len());
    assert_eq!((persons.as_str(), first > 4), ("mara", true));
    let only = super::tests::chain(&[echo(0, None, 0)]);
    assert_eq!(only.tree().total.now, ["nothing waits: the last was echo_request by echo"]);
}

#[test]
fn a_cheap_look_at_an_entry_never_misses_one_of_the_chain() {
    let chain = story();
    for row in chain.rows() {
        let envelope = row.envelope.as_ref().unwrap();
        let entry = Entry::new(row.channel, EntryId::ZERO, envelope.to_json(), row.body.to_string());
        assert!(chain.may_want(&entry), "{}", entry.e);
    }
    let other = of_trace(ChannelName::Echo, "echo", (90, 90), None, 1, &json!({ "type": "echo_request", "text": "x" }));
    let envelope = other.envelope.as_ref().unwrap().to_json();
    assert!(!chain.may_want(&Entry::new(ChannelName::Echo, EntryId::ZERO, envelope, other.body.to_string())));
}

#[test]
fn hostile_words_are_harmless_in_the_tree() {
    let hostile = "\u{1b}]52;c;aGk=\u{7}\u{202e}evil\u{0} name\r\n";
    let mut body = json!({ "content": hostile, "username": hostile });
    body["type"] = "discord_message".into();
    let chain = chain(&[row(ChannelName::DiscordRaw, "discord", 0, None, 0, &body)]);
    for step in &chain.tree().steps {
        let all = format!("{}{}{}", step.actor, step.words, step.name);
        assert!(!all.chars().any(|c| c.is_control() || c == '\u{202e}'), "{all:?}");
    }
}
