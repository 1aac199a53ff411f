//! A room with something in it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use crate::approvals::Record;
use crate::bus::{
    ChannelInfo, ConsumerInfo, Document, Entry, EntryId, Finding, GroupInfo, Health, Heard, Key, Level, Op, State,
};
use crate::contracts::body::Example;
use crate::contracts::messages::Proposal;
use crate::contracts::{ChannelName, Clock, Envelope, Ids, ManualClock, Trust};
use crate::llm::ledger::report;
use crate::memory::history::Version;
use crate::tui::app::{About, Effect, Kept, Model, Msg, Now, update};
use crate::tui::keys::{Chord, Keymap};
use crate::tui::store::system::LogLine;
use crate::tui::store::{Caps, EngineStatus, Item, Row};
use crate::tui::theme::{self, Theme};
use crate::tui::zone::Zone;

/// When tests happen: 2026-11-21 14:02:11 UTC.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-21T14:02:11Z".parse().unwrap()
}

pub(crate) fn about() -> About {
    About {
        workspace: String::new(),
        engine: "embedded".to_owned(),
        location: "/home/mara/.local/state/fullsend/fullsend.db".to_owned(),
        mode: "guarded".to_owned(),
        providers: "rules".to_owned(),
        operator: "mara".to_owned(),
        is_inside: true,
        team: None,
        day_limit: Some(5_000_000_000),
        home: "/home/mara/.local/state/fullsend".to_owned(),
        remark: None,
        zone: Zone::UTC,
        is_plain: false,
        ways: crate::tui::app::told::Ways { bell: true, notification: true, title: true },
    }
}

pub(crate) fn themes() -> Vec<Theme> {
    theme::SHIPPED.iter().map(|(name, text)| theme::read(name, text).unwrap()).collect()
}

/// A room that nothing was heard in, of this size; the welcome was seen.
pub(crate) fn empty(width: u16, height: u16) -> Model {
    let kept = Kept { welcomed: env!("CARGO_PKG_VERSION").to_owned(), ..Kept::default() };
    let caps = Caps { lines: 5_000, bytes: 8 << 20 };
    let mut model = Model::new(about(), Keymap::default(), themes(), kept, caps);
    update(&mut model, Msg::Resize(width, height));
    passes(&mut model, 0);
    apply(&mut model, Item::Engine(EngineStatus::Live));
    model
}

/// So many milliseconds after the room was opened.
pub(crate) fn passes(model: &mut Model, ms: u64) -> Vec<Effect> {
    let wall = now() + TimeDelta::milliseconds(i64::try_from(ms).unwrap());
    update(model, Msg::Now(Now { wall, open: Duration::from_millis(ms) }))
}

pub(crate) fn apply(model: &mut Model, item: Item) {
    let effects = update(model, Msg::Item(item));
    assert!(effects.iter().all(|it| matches!(it, Effect::Tell(_))), "{effects:?}");
}

/// Makes messages, each a second after the one before.
pub(crate) struct Speaker {
    clock: Arc<ManualClock>,
    ids: Ids,
    seq: u64,
}

impl Speaker {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::at(now() - TimeDelta::minutes(1));
        Self { clock: Arc::new(clock), ids: Ids::seeded(7), seq: 0 }
    }

    pub(crate) fn envelope(&mut self, kind: &'static str, source: &'static str) -> Envelope {
        self.clock.advance(Duration::from_secs(1));
        let at = self.clock.now();
        let id = self.ids.message(at);
        Envelope {
            id,
            kind: kind.into(),
            v: 1,
            source: source.into(),
            at,
            trace: id.into(),
            cause: None,
            subject: None,
            priority: crate::contracts::Priority::Medium,
            trust: Trust::Operator,
            expires_at: None,
        }
    }

    /// A message of a stream.
    pub(crate) fn row(&mut self, channel: ChannelName, source: &'static str, body: &Value) -> Row {
        let text = body.to_string();
        let kind = channel.check(&text).unwrap_or("unknown");
        let envelope = self.envelope(kind, source);
        self.seq += 1;
        let id = EntryId { ms: u64::try_from(envelope.at.timestamp_millis()).unwrap(), seq: self.seq };
        Row::stored(Entry::new(channel, id, envelope.to_json(), text))
    }

    pub(crate) fn say(&mut self, model: &mut Model, channel: ChannelName, source: &'static str, body: &Value) {
        let row = self.row(channel, source, body);
        apply(model, Item::Message(Arc::new(row)));
    }

    pub(crate) fn chat(&mut self, model: &mut Model, words: &str) {
        self.say(model, ChannelName::DiscordRaw, "discord", &json!({ "content": words, "username": "mara" }));
    }

    pub(crate) fn notice(&mut self, model: &mut Model, channel: ChannelName, source: &'static str, body: &Value) {
        let text = body.to_string();
        let envelope = self.envelope(channel.check(&text).unwrap(), source);
        let heard = Heard { channel, envelope: Some(envelope), body: text };
        apply(model, Item::Message(Arc::new(Row::heard(heard))));
    }
}

pub(crate) fn document(model: &mut Model, key: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let state = State::Hash(Document { version: 1, fields });
    apply(model, Item::Document { key: Key::new(key), state: Some(state) });
}

pub(crate) fn text(model: &mut Model, key: &str, value: &str) {
    apply(model, Item::Document { key: Key::new(key), state: Some(State::String(value.to_owned())) });
}

/// The document of an approval that waits, with a deadline so many minutes from now.
pub(crate) fn need(model: &mut Model, id: &str, title: &str, minutes: i64) {
    need_with(model, id, title, minutes, |_| {});
}

pub(crate) fn need_with(model: &mut Model, id: &str, title: &str, minutes: i64, change: impl FnOnce(&mut Record)) {
    let expires_at = now() + TimeDelta::minutes(minutes);
    let item = need_item(id, title, |record| {
        record.expires_at = Some(expires_at);
        change(record);
    });
    apply(model, item);
}

/// The document of an approval that waits.
pub(crate) fn need_item(id: &str, title: &str, change: impl FnOnce(&mut Record)) -> Item {
    let proposal = Proposal {
        approval_id: id.to_owned(),
        title: title.to_owned(),
        digest: format!("sha256:{id}"),
        ..Proposal::example()
    };
    let mut record = Record::new(proposal, Speaker::new().envelope("proposal", "orchestrator"), now());
    change(&mut record);
    let Some(Op::Change { key, fields, .. }) = record.ops().into_iter().next() else { panic!("no document") };
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    Item::Document { key, state: Some(State::Hash(Document { version: 1, fields })) }
}

/// A room in which much goes on.
pub(crate) fn furnished(width: u16, height: u16) -> Model {
    let mut model = empty(width, height);
    let mut speaker = Speaker::new();
    speaker.chat(&mut model, "what if we scraped GitHub stargazers");
    speaker.say(
        &mut model,
        ChannelName::ToOrchestrator,
        "watcher",
        &json!({ "type": "escalation", "reason": "new idea from a person", "priority": "high",
            "original_message": { "content": "what if we scraped GitHub stargazers", "username": "mara" } }),
    );
    speaker.say(
        &mut model,
        ChannelName::FromOrchestrator,
        "orchestrator",
        &json!({ "type": "status_update", "payload": { "message": "dispatch_to_fullsend waits for a yes" } }),
    );
    for service in ["watcher", "orchestrator", "gate", "echo"] {
        let beat = json!({ "type": "heartbeat", "service": service, "instance": "host/4711", "handled": 12, "failed": 0, "holding": 0 });
        speaker.notice(&mut model, ChannelName::Health, "supervisor", &beat);
    }
    let start = json!({ "type": "llm_start", "call_id": "c1", "source": "orchestrator", "operation": "llm.orchestrator.decide",
        "meta": { "provider": "rules" } });
    speaker.notice(&mut model, ChannelName::LlmCalls, "orchestrator", &start);
    let delta = json!({ "type": "llm_delta", "call_id": "c1", "part": "reasoning", "seq": 0,
        "text": "A person proposes a list source. Learnings: event lists beat cold lists." });
    speaker.notice(&mut model, ChannelName::LlmCalls, "orchestrator", &delta);
    need(&mut model, "apr_1", "dispatch_to_fullsend: GitHub stargazers", 42);
    need(&mut model, "apr_2", "kill exp_20261121_hn", 121);
    document(
        &mut model,
        "experiments:exp_20261121_stars",
        &[("state", "running"), ("hypothesis", "stargazers answer")],
    );
    document(&mut model, "experiments:exp_20261121_hn", &[("state", "ready"), ("hypothesis", "HN commenters answer")]);
    document(
        &mut model,
        "alerts:exp_20261121_hn:response_rate",
        &[
            ("state", "triggered"),
            ("severity", "high"),
            ("experiment_id", "exp_20261121_hn"),
            ("triggered_at", "2026-11-21T14:01:00Z"),
            ("message", "exp_20261121_hn response_rate 1.8% < 5% after 212 sends"),
        ],
    );
    let worklist = "# Fullsend Worklist\n\n## Active (In Progress)\n- [ ] stargazer campaign\n\n## Ready (Prioritized Queue)\n1. ask the CTOs\n";
    let by = [("by", "orchestrator"), ("updated_at", "2026-11-21T13:58:00Z")];
    document(&mut model, "notes:worklist", &[&[("text", worklist)], &by[..]].concat());
    let learnings = "# Strategic Learnings\n\n## 2026-11-20\n\n**Event lists beat cold lists**\n- 12% against 3%\n";
    document(&mut model, "notes:learnings", &[("text", learnings)]);
    document(
        &mut model,
        "decisions:d1",
        &[
            ("at", "2026-11-21T14:00:00Z"),
            ("kind", "escalation"),
            ("action", "dispatch_to_fullsend"),
            ("reasoning", "cheap to try"),
            ("provider", "rules"),
            ("state", "proposed"),
        ],
    );
    document(&mut model, "budgets:day:2026-11-21", &[("spent_nano", "420000000")]);
    apply(&mut model, Item::Filled);
    passes(&mut model, 1);
    model
}

/// A channel with one group.
pub(crate) fn channel(name: ChannelName, length: u64, group: Option<(&str, u64, u64)>) -> ChannelInfo {
    let of = |(group, lag, pending): (&str, u64, u64)| GroupInfo {
        group: group.to_owned(),
        last_delivered: EntryId::ZERO,
        pending,
        oldest_pending: (pending > 0)
            .then(|| EntryId { ms: u64::try_from(now().timestamp_millis() - 42_000).unwrap(), seq: 0 }),
        lag: Some(lag),
        idle: Some(Duration::from_millis(300)),
        consumers: vec![ConsumerInfo { consumer: format!("{group}@host#1"), pending, idle: Duration::ZERO }],
    };
    ChannelInfo { channel: name, length, first: None, last: None, groups: group.map(of).into_iter().collect() }
}

/// A message that could not be handled, and its letter's entry.
pub(crate) fn letter(model: &mut Model, speaker: &mut Speaker, reason: &str) -> EntryId {
    let body = json!({ "type": "dead_letter", "channel": "fullsend:to_orchestrator", "entry": "1-0", "group": "orchestrator",
        "reason": reason, "code": "exhausted", "attempts": 5, "original_body": "{}",
        "original_envelope": speaker.envelope("escalation", "watcher").to_json() });
    let row = speaker.row(ChannelName::DeadLetter, "bus", &body);
    let entry = row.entry.unwrap();
    apply(model, Item::Message(Arc::new(row)));
    entry
}

/// A room whose machine is known: engine, groups, letters, budgets, models, log, tools, topics.
pub(crate) fn machine(model: &mut Model) {
    let mut speaker = Speaker::new();
    for info in [
        channel(ChannelName::DiscordRaw, 12, Some(("watcher", 0, 0))),
        channel(ChannelName::ToOrchestrator, 9, Some(("orchestrator", 3, 2))),
        channel(ChannelName::BuilderTasks, 2, None),
    ] {
        apply(model, Item::Channel(info));
    }
    let warning = Finding {
        level: Level::Warning,
        what: "the disk has 900 MiB left".to_owned(),
        fix: "free some space".to_owned(),
    };
    let health = Health {
        engine: "embedded",
        location: "/home/mara/.local/state/fullsend/fullsend.db".to_owned(),
        reachable: true,
        version: "SQLite 3.50.4".to_owned(),
        durability: "a kill loses nothing; a power cut may lose the last seconds".to_owned(),
        bytes: Some(5 << 20),
        findings: vec![warning],
    };
    apply(model, Item::Health(Box::new(health)));
    let line = |scope: &str, spent, reserved, limit: u64| report::Line {
        scope: scope.to_owned(),
        unit: "nano",
        spent,
        estimated: 0,
        reserved,
        limit: Some(limit),
        percent: Some((spent + reserved) * 100 / limit),
        until: None,
    };
    let today = report::Spending {
        models: vec![report::Sums {
            name: "anthropic/opus".to_owned(),
            nano_usd: 420_000_000,
            ..report::Sums::default()
        }],
        ..report::Spending::default()
    };
    let budgets = vec![
        line("day", 420_000_000, 100_000_000, 5_000_000_000),
        line("month", 49_000_000_000, 0, 50_000_000_000),
        line("task:classify", 1_200_000_000, 0, 1_000_000_000),
    ];
    let report = report::Report { budgets, today, month: report::Spending::default() };
    apply(model, Item::Budgets(Box::new(report)));
    letter(model, &mut speaker, "the model was away");
    let done = letter(model, &mut speaker, "an old fault");
    document(model, &format!("dead_letters:{done}"), &[("state", "dropped"), ("by", "mara")]);
    for at in 0..5 {
        let end = json!({ "type": "llm_complete", "call_id": format!("m{at}"), "operation": "llm.watcher.classify", "source": "watcher",
            "error": "overloaded", "duration_ms": 1200.0, "meta": { "provider": "anthropic", "model": "opus" } });
        speaker.notice(model, ChannelName::LlmCalls, "watcher", &end);
    }
    let lines = [
        r#"{"timestamp":"2026-11-21T14:01:59.123Z","level":"INFO","message":"a dead letter was dropped","letter":"1-0","target":"fullsend::bus::letters"}"#,
        r#"{"timestamp":"2026-11-21T14:02:01.123Z","level":"WARN","message":"a send is tried again","target":"fullsend::bus"}"#,
        "not of ours",
    ];
    for line in lines {
        apply(model, Item::Log(Arc::new(LogLine::read(line))));
    }
    let asked = json!({ "type": "tool_prd", "request_id": "r1", "requested_by": "orchestrator",
        "prd": { "name": "forum_member_finder", "description": "find members of a forum", "experiment_blocked": "exp_forum" } });
    speaker.say(model, ChannelName::BuilderTasks, "orchestrator", &asked);
    let asked =
        json!({ "type": "tool_prd", "request_id": "r2", "prd": { "name": "mailer", "description": "send mail" } });
    speaker.say(model, ChannelName::BuilderTasks, "orchestrator", &asked);
    let begun = json!({ "type": "builder_started", "request_id": "r2", "tool_name": "mailer" });
    speaker.say(model, ChannelName::ToOrchestrator, "builder", &begun);
    let built = json!({ "type": "tool_built", "request_id": "r2", "tool_name": "mailer" });
    speaker.say(model, ChannelName::BuilderResults, "builder", &built);
    let asked = json!({ "type": "tool_prd", "request_id": "r3", "prd": { "name": "scraper" } });
    speaker.say(model, ChannelName::BuilderTasks, "orchestrator", &asked);
    let failed = json!({ "type": "tool_build_failed", "request_id": "r3", "tool_name": "scraper", "error": "the smoke test failed" });
    speaker.say(model, ChannelName::BuilderResults, "builder", &failed);
    document(
        model,
        "tools:mailer",
        &[("name", "mailer"), ("version", "2"), ("status", "active"), ("description", "sends mail")],
    );
    document(model, "tools:old", &[("name", "old"), ("state", "broken")]);
    let waiting = State::Set(["exp_forum".to_owned(), "exp_two".to_owned()].into());
    apply(model, Item::Document { key: Key::new("pending_experiments:mailer"), state: Some(waiting) });
    let topic = json!({ "type": "roundtable_topic", "topic_id": "t1", "prompt": "What else could reach platform teams?",
        "context": "three campaigns by mail", "learnings": ["CTOs answer"] });
    speaker.say(model, ChannelName::Roundtable, "orchestrator", &topic);
    let concluded = json!({ "type": "roundtable_concluded", "topic_id": "t1", "rounds": 3,
        "summary": ["Answer ten questions in forums (Owner: FULLSEND)", "Build a forum member finder (Owner: Builder)"],
        "transcript": "--- Round 1 ---\n\n**ARTIST**: go where they ask\n**TECH**: build a finder" });
    speaker.say(model, ChannelName::ToOrchestrator, "roundtable", &concluded);
    let topic = json!({ "type": "roundtable_topic", "topic_id": "t2", "prompt": "Should we answer on weekends?" });
    speaker.say(model, ChannelName::Roundtable, "control_room", &topic);
}

/// Versions of a note, the newest first.
pub(crate) fn versions(newest: u64) -> Vec<Version> {
    let version = |version: u64| Version {
        version,
        by: if version.is_multiple_of(2) { "mara" } else { "orchestrator" }.to_owned(),
        at: Some(now() - TimeDelta::hours(i64::try_from(newest - version).unwrap())),
        reason: if version.is_multiple_of(2) { "edited by hand" } else { "an item is active" }.to_owned(),
        trace: None,
        bytes: 100,
        digest: String::new(),
    };
    (1..=newest).rev().map(version).collect()
}

/// The key event of a chord.
pub(crate) fn event(chord: &str) -> KeyEvent {
    let chord: Chord = chord.parse().unwrap();
    KeyEvent::new(chord.code, chord.held)
}

pub(crate) fn press(model: &mut Model, chord: &str) -> Vec<Effect> {
    update(model, Msg::Key(event(chord)))
}

pub(crate) fn write(model: &mut Model, words: &str) -> Vec<Effect> {
    let keys = words.chars().map(|c| if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) });
    keys.flat_map(|code| update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))).collect()
}

/// Changes what an edit holds, so that it differs and can be done.
pub(crate) fn edit(model: &mut Model) {
    let text = r#"[{"do":"step","experiment_id":"exp_other","event":"approve"}]"#;
    update(model, Msg::Outcome(crate::tui::app::Outcome::Edited(Ok(text.to_owned()))));
}
