//! What is in a pane: a ring of messages, or entries.
//!
//! Owns how documents become entries. An entry has an id that stays, so that what is selected stays selected. Everything in an entry is
//! harmless text.

use std::borrow::Cow;
use std::sync::Arc;

use crate::bus::{EntryId, Key};
use crate::contracts::messages::RunState;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelName, ServiceName};
use crate::supervisor::HEARTBEAT;
use crate::tui::actions::Action;
use crate::tui::app::Model;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::system::SharedLine;
use crate::tui::store::{Ring, Row};
use crate::tui::theme::Role;

use super::{Pane, Screen, alerts, experiments, mind};

const WORDS_LIMIT: usize = 300;
/// Lines of a text that a pane holds at most.
const LINES_LIMIT: usize = 2_000;

const EXPERIMENTS_COME: &str =
    "Experiments appear here once an idea was approved and the service `fullsend`, which designs them, runs.";
const ALERTS_COME: &str = "Alerts appear here when a number crosses its line. The service `redis_agent`, which watches numbers, raises most of them.";
const DECISIONS_COME: &str =
    "Decisions of the orchestrator, with their reasons, appear here once it runs and something was asked.";

/// These words, and that what they name is not there yet, where that is so.
fn comes(words: &'static str, service: ServiceName) -> Cow<'static, str> {
    if service.is_built() {
        return words.into();
    }
    format!("{words} The service `{service}` is not in this version yet.").into()
}

/// How a chain comes on its screen.
fn chain_comes(model: &Model) -> Cow<'static, str> {
    let key = model.keymap.short(Action::ShowTrace).unwrap_or_default();
    format!("Select a message anywhere and press {key}: all that came of it appears here.").into()
}

/// What is in a pane.
#[derive(Debug)]
pub enum Content<'a> {
    /// Messages.
    Messages(&'a Ring),
    /// Something else, in lines.
    Entries {
        /// The lines.
        entries: Vec<Entry>,
        /// Whether the last one matters most, so that the pane follows it.
        at_end: bool,
        /// What is said where there are none.
        empty: Cow<'static, str>,
    },
}

/// A line that is no message.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Names it within its pane.
    pub id: String,
    /// What is shown.
    pub pieces: Vec<Piece>,
    /// What it stands for.
    pub target: Option<Target>,
}

/// What a line stands for.
#[derive(Debug, Clone)]
pub enum Target {
    /// A message.
    Message(Arc<Row>),
    /// A message by its place: it is looked for when it is wanted.
    Entry(ChannelName, EntryId),
    /// A line of the log.
    Log(SharedLine),
    /// A document.
    Document(Key),
    /// An approval that waits.
    Need(String),
}

impl Target {
    /// The experiment that it is, or is about.
    pub fn experiment(&self) -> Option<&str> {
        match self {
            Self::Document(key) => {
                let run = || key.as_str().strip_prefix("experiment_runs:")?.split(':').next();
                key.as_str().strip_prefix("experiments:").or_else(run)
            }
            Self::Message(row) => {
                row.envelope.as_ref()?.subject.as_deref().filter(|subject| subject.starts_with("exp"))
            }
            Self::Need(_) | Self::Entry(..) | Self::Log(_) => None,
        }
    }
}

/// Columns of the names in a detail.
const NAMES: usize = 12;

/// Entries for reading: lines that are broken where the pane ends, below headings.
#[derive(Debug)]
pub struct Lines {
    id: String,
    width: u16,
    whole: Option<Target>,
    target: Option<Target>,
    /// What was made so far.
    pub entries: Vec<Entry>,
}

impl Lines {
    /// None yet. They are named after `id`, and stand for `target` where nothing else is said.
    pub fn new(id: &str, width: u16, target: Option<Target>) -> Self {
        Self { id: id.to_owned(), width, whole: target.clone(), target, entries: Vec::new() }
    }

    /// The lines that follow stand for this.
    pub fn target(&mut self, target: Target) {
        self.target = Some(target);
    }

    /// The lines that follow stand for what all of them stand for.
    pub fn untarget(&mut self) {
        self.target.clone_from(&self.whole);
    }

    /// One line, cut where the pane ends.
    pub fn line(&mut self, pieces: Vec<Piece>) {
        if self.entries.len() < LINES_LIMIT {
            let id = format!("{}:{}", self.id, self.entries.len());
            self.entries.push(Entry { id, pieces, target: self.target.clone() });
        }
    }

    /// Text, on as many lines as it takes. It must be harmless.
    pub fn text(&mut self, role: Role, words: &str) {
        let width = self.width;
        for line in words.split('\n').flat_map(|line| text::wrapped(line, width)) {
            self.line(vec![Piece::new(role, line)]);
        }
    }

    /// A name and what it stands for.
    pub fn field(&mut self, name: &str, role: Role, words: &str) {
        let room = self.width.saturating_sub(13).max(10);
        for (at, line) in words.split('\n').flat_map(|line| text::wrapped(line, room)).enumerate() {
            let name = text::padded(if at == 0 { name } else { "" }, NAMES);
            self.line(vec![Piece::new(Role::Muted, format!("{name} ")), Piece::new(role, line)]);
        }
    }

    /// What the lines below it are.
    pub fn heading(&mut self, words: &str) {
        self.line(Vec::new());
        self.line(vec![Piece::new(Role::Title, words)]);
    }
}

/// What is in a pane that is so many columns wide inside.
pub fn content(model: &Model, pane: Pane, width: u16) -> Content<'_> {
    let store = &model.store;
    let listed = |entries, empty| Content::Entries { entries, at_end: false, empty };
    let entries = |entries, empty: &'static str| listed(entries, empty.into());
    match pane {
        Pane::Traffic => Content::Messages(&store.all),
        Pane::Channel(channel) => {
            store.channel(channel).map_or_else(|| entries(Vec::new(), ""), |it| Content::Messages(&it.ring))
        }
        Pane::Services => entries(services(model, width), "nobody was heard yet"),
        Pane::Logs => Content::Messages(&store.system.logs),
        Pane::Engine => entries(super::system::engine(model, width), ""),
        Pane::Groups => entries(super::system::groups(model), "no service has read anything here yet"),
        Pane::Letters => entries(super::system::letters(model), "everything could be handled"),
        Pane::Budgets => entries(super::system::budgets(model), "the budgets were not read yet"),
        Pane::Models => entries(super::system::models(model), "no model was asked since this room was opened"),
        Pane::Wiring => entries(super::system::wiring(width), ""),
        Pane::Builds => entries(super::builds::builds(model, width), "no tool is asked for"),
        Pane::Tools => entries(super::builds::tools(model), "there are no tools yet"),
        Pane::Topics => entries(super::roundtable::topics(model, width), "no topic was handed in"),
        Pane::Debate => entries(super::roundtable::debate(model, width), "no debate yet"),
        Pane::Conclusion => entries(super::roundtable::conclusion(model, width), "nothing came of it yet"),
        Pane::Needs => entries(needs(model, width), "nothing waits for you"),
        Pane::Alerts if model.screen == Screen::Alerts => {
            listed(alerts::entries(model, width), comes(ALERTS_COME, ServiceName::RedisAgent))
        }
        Pane::Alerts => entries(alerts::entries(model, width), "no alerts"),
        Pane::Alert => entries(alerts::detail(model, width), "no alert is selected"),
        Pane::Experiments if model.screen == Screen::Experiments => {
            listed(experiments::entries(model, width), comes(EXPERIMENTS_COME, ServiceName::Fullsend))
        }
        Pane::Experiments => entries(experiments::entries(model, width), "no experiments yet"),
        Pane::Experiment => entries(experiments::detail(model, width), "no experiment is selected"),
        // It draws itself.
        Pane::Chart(_) => entries(Vec::new(), ""),
        Pane::Decisions => entries(mind::decisions(model, width), DECISIONS_COME),
        Pane::Decision => entries(mind::decision(model, width), "no decision is selected"),
        Pane::Minds => entries(mind::minds(model, width), ""),
        Pane::Note(name) => entries(super::notes::entries(model, name, width), "nobody has written it yet"),
        Pane::Reasoning => Content::Entries {
            entries: mind::reasoning(model, width),
            at_end: true,
            empty: match model.screen {
                Screen::Mind => "no call of a model was heard since this room was opened",
                _ => "nothing was thought or decided yet",
            }
            .into(),
        },
        Pane::Chain => listed(super::trace::steps(model, width), chain_comes(model)),
        Pane::Step => entries(super::trace::step(model, width), ""),
    }
}

/// The services that make up the team, and those beside them that were heard.
fn services(model: &Model, width: u16) -> Vec<Entry> {
    const TEAM: [ServiceName; 9] = [
        ServiceName::Discord,
        ServiceName::Watcher,
        ServiceName::Orchestrator,
        ServiceName::Gate,
        ServiceName::Fullsend,
        ServiceName::Builder,
        ServiceName::Executor,
        ServiceName::RedisAgent,
        ServiceName::Roundtable,
    ];
    let services = &model.store.services;
    let heard = services.all().map(|it| it.service.as_str());
    let mut names: Vec<&str> = TEAM.iter().map(|name| name.as_str()).collect();
    for name in heard {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if model.screen == Screen::System {
        return super::system::services(model, &names);
    }
    names.into_iter().map(|name| service(model, name, width)).collect()
}

fn service(model: &Model, name: &str, width: u16) -> Entry {
    let (sign, role, word) = match model.store.services.of(name) {
        None if name.parse::<ServiceName>().is_ok_and(|it| !it.is_built()) => {
            ("○", Role::Muted, "not built".to_owned())
        }
        // Whoever runs is heard within this time.
        None if model.now.open < HEARTBEAT * 2 => ("○", Role::Muted, "listening".to_owned()),
        None => ("○", Role::Muted, "not heard".to_owned()),
        Some(it) if it.is_silent(model.now.wall) => ("▲", Role::Warn, "silent".to_owned()),
        Some(it) => match it.state {
            RunState::Stopped => ("○", Role::Muted, "stopped".to_owned()),
            RunState::Restarting => ("▲", Role::Danger, format!("restart {}", it.restarts)),
            RunState::Draining => ("◐", Role::Muted, "draining".to_owned()),
            RunState::Starting => ("◐", Role::Muted, "starting".to_owned()),
            RunState::Running if it.reason.is_some() => ("▲", Role::Warn, "in trouble".to_owned()),
            RunState::Running if model.store.calls.open_of(name).is_some() => ("◐", Role::Accent, "think".to_owned()),
            RunState::Running if it.holding > 0 => ("◐", Role::Accent, format!("{} held", it.holding)),
            RunState::Running => ("●", Role::Ok, format!("{}", it.handled)),
        },
    };
    let mut pieces = vec![
        Piece::new(role, format!("{sign} ")),
        Piece::new(Role::Text, text::padded(name, 13)),
        Piece::new(if role == Role::Ok { Role::Muted } else { role }, word),
    ];
    // What it said last, where there is room for it.
    if let Some(kind) = model.store.deed(name).filter(|_| width >= 36) {
        pieces.push(Piece::new(Role::Muted, format!(" · {kind}")));
    }
    Entry { id: name.to_owned(), pieces, target: None }
}

fn needs(model: &Model, width: u16) -> Vec<Entry> {
    let needs = model.store.documents.needs();
    let entry = |need: &crate::tui::store::Need| {
        let proposal = &need.record.proposal;
        let class = u8::from(proposal.class);
        let left = need.record.expires_at.map(|at| text::left(at, model.now.wall)).unwrap_or_default();
        let role = if class >= 3 { Role::Danger } else { Role::Warn };
        let mut pieces = vec![Piece::new(role, format!("c{class} ")), Piece::new(Role::Muted, format!("{left:>5} "))];
        pieces.extend(model.store.mode_of(need).map(|mode| text::mode(mode, 5)));
        let brief = crate::tui::layers::needs_you::brief(&proposal.title, width);
        pieces.push(Piece::new(Role::Text, sanitize_line(brief, WORDS_LIMIT)));
        Entry { id: need.id().to_owned(), pieces, target: Some(Target::Need(need.id().to_owned())) }
    };
    needs.iter().map(entry).collect()
}
