//! A room with something in it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use crate::approvals::Record;
use crate::bus::{Document, Entry, EntryId, Heard, Key, Op, State};
use crate::contracts::body::Example;
use crate::contracts::messages::Proposal;
use crate::contracts::{ChannelName, Clock, Envelope, Ids, ManualClock, Trust};
use crate::tui::app::{About, Effect, Kept, Model, Msg, Now, update};
use crate::tui::keys::{Chord, Keymap};
use crate::tui::store::{Caps, EngineStatus, Item, Row};
use crate::tui::theme::{self, Theme};

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
        day_limit: Some(5_000_000_000),
        home: "/home/mara/.local/state/fullsend".to_owned(),
        remark: None,
        zone_minutes: 0,
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
    document(&mut model, "notes:worklist", &[("text", worklist)]);
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
