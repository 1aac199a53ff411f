//! The room as data: the model, what can happen to it, and what it wants done.
//!
//! [`update`] is pure: no await, no clock, no I/O. Time comes as [`Msg::Now`]; what is wanted leaves as [`Effect`]s, which `run` carries
//! out, and what became of them comes back as [`Msg::Outcome`]. Must never wait, and never write to the bus itself.

pub mod deeds;
mod input;
pub mod kept;
pub mod lists;
mod outcomes;
mod perform;
#[cfg(test)]
pub(crate) mod tests;
pub mod told;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use crossterm::event::{KeyEvent, MouseEvent};
use ratatui::layout::Rect;

pub use deeds::{LetterDeed, NoteDeed, NoteOutcome};
pub use kept::{Draft, Kept, NoteDraft};
pub use lists::{ListState, Mark};
pub(crate) use perform::experiments::sample;
pub(crate) use perform::{let_go, perform, says, stop_runs, trace_of};

use super::keys::Keymap;
use super::layers::Layer;
use super::replay::Seek;
use super::screens::{self, Pane, Screen};
use super::store::{Caps, Item, ReadBack, Source, Store, Toward};
use super::theme::{Role, Theme, person};
use super::zone::Zone;
use crate::bus::{EntryId, State};
use crate::contracts::messages::{ApprovalVerdict, Control};
use crate::contracts::notes::NoteName;
use crate::contracts::{ChannelName, ServiceName, TraceId, Trust};

/// How long a word on what happened stays.
const TOAST: Duration = Duration::from_secs(5);
/// How long a request that was answered here is not shown while nothing comes of it.
const ANSWERED: Duration = Duration::from_secs(10);
/// How the gate begins to say who ordered what it did; whatever else it says was not done.
const DONE: &str = ", ordered by ";
/// Two Ctrl-C within this time quit, whatever is open.
pub(super) const TWICE: Duration = Duration::from_secs(2);
/// Drafts that were sent and can be recalled.
pub const RECALLED: usize = 50;

/// What time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For people.
    pub wall: DateTime<Utc>,
    /// Since the room was opened; never jumps.
    pub open: Duration,
}

impl Default for Now {
    fn default() -> Self {
        Self { wall: DateTime::UNIX_EPOCH, open: Duration::ZERO }
    }
}

/// What the room says of its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The workspace: the prefix, or nothing.
    pub workspace: String,
    /// `embedded` or `redis`.
    pub engine: String,
    /// Where the store is, without secrets.
    pub location: String,
    /// `manual`, `guarded` or `autopilot`.
    pub mode: String,
    /// Who answers questions, as the settings say.
    pub providers: String,
    /// Whoever sits here.
    pub operator: String,
    /// Whether the services run in this process.
    pub is_inside: bool,
    /// The process of this home that runs them, where it is another one.
    pub team: Option<u32>,
    /// Nano-dollars that the settings allow a day; none for no limit.
    pub day_limit: Option<u64>,
    /// Where files are.
    pub home: String,
    /// Said once at the start, for instance that this room attached by itself.
    pub remark: Option<String>,
    /// The person's time zone.
    pub zone: Zone,
    /// How the person is told of something while he looks elsewhere.
    pub ways: told::Ways,
    /// Lines drawn with `+-|` and no movement, for screen readers and old terminals.
    pub is_plain: bool,
}

/// Everything that is shown, and where the person is.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Debug)]
pub struct Model {
    /// What was heard and read.
    pub store: Store,
    /// The time.
    pub now: Now,
    /// The terminal.
    pub area: Rect,
    /// The surroundings.
    pub about: About,
    /// The screen that is shown.
    pub screen: Screen,
    /// Whether one pane has the whole screen.
    pub is_zoomed: bool,
    /// The pane with the focus, on each screen where one was chosen.
    pub focus: BTreeMap<Screen, Pane>,
    /// What is selected, and whether it follows.
    pub lists: BTreeMap<Pane, ListState>,
    /// What lies above the screen; the last one has the keys.
    pub layers: Vec<Layer>,
    /// By how many columns the first column of a screen was made wider, or narrower.
    pub widths: BTreeMap<Screen, i16>,
    /// The filter as it was written.
    pub filter: String,
    /// The metric that was chosen for the chart; it holds for every experiment that has it.
    pub metric: Option<String>,
    /// The chain that the Trace screen shows.
    pub trace: Option<TraceId>,
    /// What keys do.
    pub keymap: Keymap,
    /// How things look.
    pub theme: Theme,
    /// What can be chosen, in the terminal's own depth.
    pub themes: Vec<Theme>,
    /// Whether the mouse selects here.
    pub has_mouse: bool,
    /// A word on what happened.
    pub toast: Option<Toast>,
    /// What is being written.
    pub draft: Option<Draft>,
    /// What was said from here, the newest last.
    pub said: VecDeque<Draft>,
    /// What is being written of notes.
    pub notes: BTreeMap<NoteName, NoteDraft>,
    /// Digests of the requests that were answered here and are still there, and when that was.
    pub answered: BTreeMap<String, Duration>,
    /// Whether the welcome was seen, and by which version.
    pub welcomed: String,
    /// Whether something is to be kept that was not written yet.
    pub is_unsaved: bool,
    /// Whether a layer acts now: what it says goes with it.
    pub(super) is_in_layer: bool,
    pub(super) interrupted: Option<Duration>,
    /// What was ordered last with the key of the hold.
    pub(super) held: Option<Held>,
    /// Whose past the filter is searched in.
    searched: Option<Source>,
    told: told::Told,
    next_ticket: u64,
}

/// What the key of the hold did last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// When.
    pub(super) at: Duration,
    /// Whether what runs was stopped, too.
    pub(super) is_stopped: bool,
}

/// A word on what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    /// Harmless.
    pub words: String,
    /// How it looks.
    pub role: Role,
    /// Until when it stays.
    pub until: Duration,
    /// Whether a layer said it: it goes with that layer.
    pub is_of_layer: bool,
}

/// Something that happens to the room.
#[derive(Debug)]
pub enum Msg {
    /// It is so late now.
    Now(Now),
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// The terminal has this size now.
    Resize(u16, u16),
    /// The feed brings something.
    Item(Item),
    /// What became of an effect.
    Outcome(Outcome),
}

/// Something that is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Say something on the bus, as the operator. The ticket comes back with the outcome, and is the key under which it is said once.
    Say(Ticket, Saying),
    /// End.
    Quit(End),
    /// Give the terminal back for a while.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// Put text on the clipboard.
    Copy(String),
    /// Take the mouse, or give it back.
    Mouse(bool),
    /// Let the person write in $EDITOR.
    Edit(String),
    /// Do something with a note.
    Note(NoteName, NoteDeed),
    /// Do something with a dead letter.
    Letter(EntryId, LetterDeed),
    /// Write down what the next start should know.
    Keep(Box<Kept>),
    /// Read what is older than a list keeps, instead of what was being read for it.
    ReadBack(Box<ReadBack>),
    /// What is being read for a list is no longer wanted.
    StopReading(Source),
    /// Tell whoever looks elsewhere.
    Tell(told::Telling),
    /// Read all of a chain from the streams; it comes as an item.
    Chain(TraceId),
    /// Go elsewhere in a replay.
    Seek(Seek),
}

/// Names something that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What is said on the bus.
#[derive(Debug, Clone, PartialEq)]
pub enum Saying {
    /// An order.
    Control(Control),
    /// An answer to what waits.
    Verdict(ApprovalVerdict),
    /// A chat message of the operator's.
    Words(String),
    /// A body that fits its channel.
    Body(ChannelName, String),
}

/// What became of an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Something was said; or why not, harmless.
    Said {
        /// Which.
        ticket: Ticket,
        /// What it was, in a word or two.
        what: String,
        /// Why it was not.
        failed: Option<String>,
        /// The digest of the request that it answered.
        digest: Option<String>,
    },
    /// The person left $EDITOR; none where it could not be run (and why).
    Edited(Result<String, String>),
    /// Something became of a note.
    Note(NoteName, NoteOutcome),
    /// What became of a dead letter, or why nothing did, harmless; and the document on it, where it could be read.
    Letter(EntryId, Result<String, String>, Option<State>),
    /// Something else could not be done; why, harmless.
    Failed(String),
    /// The themes are others now.
    Themes(Box<person::Found>),
}

/// How the room ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The services that run inside stop.
    Stop,
    /// They go on without a screen.
    Leave,
}

impl Model {
    /// A room before anything was heard.
    pub fn new(about: About, keymap: Keymap, themes: Vec<Theme>, kept: Kept, caps: Caps) -> Self {
        let chosen = themes.iter().find(|theme| theme.name == kept.theme).or(themes.first()).cloned();
        let mut model = Self {
            store: Store::new(caps),
            now: Now::default(),
            area: Rect::new(0, 0, 80, 24),
            screen: kept.screen,
            is_zoomed: false,
            focus: BTreeMap::new(),
            lists: BTreeMap::new(),
            layers: Vec::new(),
            widths: kept.widths,
            filter: String::new(),
            metric: None,
            trace: None,
            keymap,
            theme: chosen.unwrap_or_else(super::theme::mono),
            themes,
            has_mouse: kept.has_mouse,
            toast: None,
            draft: kept.draft,
            said: kept.said.into(),
            notes: kept.notes,
            answered: BTreeMap::new(),
            welcomed: kept.welcomed,
            is_unsaved: false,
            is_in_layer: false,
            interrupted: None,
            held: None,
            searched: None,
            told: told::Told::default(),
            next_ticket: 1,
            about,
        };
        if let Ok(filter) = kept.filter.parse() {
            model.store.set_filter(filter);
            model.filter = kept.filter;
        }
        if let Some(remark) = model.about.remark.clone() {
            model.tell(Role::Accent, remark);
        }
        if model.welcomed != env!("CARGO_PKG_VERSION") {
            model.layers.push(Layer::Welcome);
        }
        model
    }

    /// Says a word on what happened. It must be harmless. What went wrong just now stays readable before what went well.
    pub fn tell(&mut self, role: Role, words: impl Into<String>) {
        let is_bad = |role| matches!(role, Role::Danger | Role::Warn);
        let just_now = self.now.open + TOAST.saturating_sub(TWICE);
        if !is_bad(role) && self.toast.as_ref().is_some_and(|toast| is_bad(toast.role) && toast.until > just_now) {
            return;
        }
        let until = self.now.open + TOAST;
        self.toast = Some(Toast { words: words.into(), role, until, is_of_layer: self.is_in_layer });
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        ticket
    }

    /// Takes a filter, if it is one; the text stays either way. What is older than the lists keep is searched for it, too.
    pub(super) fn set_filter(&mut self, text: String) -> Vec<Effect> {
        let Ok(filter) = text.parse() else { return Vec::new() };
        if text == self.filter {
            return Vec::new();
        }
        let mut effects: Vec<Effect> = self.searched.take().map(Effect::StopReading).into_iter().collect();
        self.store.set_filter(filter);
        self.filter = text;
        if !self.store.filter().is_empty() {
            let source = self.focused_ring().unwrap_or(Source::All);
            self.searched = Some(source);
            effects.extend(self.read_back(source, Toward::Older));
        }
        effects
    }

    /// Whose past the filter is searched in.
    pub fn searched(&self) -> Option<Source> {
        self.searched
    }

    /// Whose lines the pane with the focus shows; none where it shows no messages.
    fn focused_ring(&self) -> Option<Source> {
        let (pane, area) = self.focused()?;
        match screens::content::content(self, pane, area.width.saturating_sub(2)) {
            screens::content::Content::Messages(ring) => Some(ring.source()),
            screens::content::Content::Entries { .. } => None,
        }
    }

    /// Has what is older than a list keeps be read, or what lies between that and the list.
    pub(super) fn read_back(&mut self, source: Source, toward: Toward) -> Option<Effect> {
        self.store.read_back(source, toward).map(|wanted| Effect::ReadBack(Box::new(wanted)))
    }

    /// Follows a chain, and wants it read.
    pub(super) fn follow(&mut self, trace: TraceId) -> Vec<Effect> {
        self.trace = Some(trace);
        self.store.follow(trace);
        vec![Effect::Chain(trace)]
    }

    /// Where the screen is, between header and footer.
    pub fn body(&self) -> Rect {
        super::draw::banner::part(self, super::draw::frame::parts(self.area).1).0
    }

    /// The pane that the person chose on this screen, or its first.
    pub fn chosen_pane(&self) -> Option<Pane> {
        let chosen = self.focus.get(&self.screen).copied();
        chosen.or_else(|| screens::order(self, self.body()).first().copied())
    }

    /// The pane with the focus that is on the screen now, and where it is.
    pub fn focused(&self) -> Option<(Pane, Rect)> {
        let panes = screens::panes(self, self.body());
        let chosen = self.chosen_pane();
        panes.iter().find(|(pane, _)| Some(*pane) == chosen).or(panes.first()).copied()
    }

    /// The experiment that was killed last, if it can be brought back, and when that was.
    pub fn killed_last(&self) -> Option<(String, String)> {
        let killed = self.store.documents.of("experiments:").filter_map(|(key, state)| {
            let document = state.document()?;
            let is_archived = document.get("state") == Some("archived") && document.get("former_state").is_some();
            let at = document.get("archived_at")?;
            is_archived
                .then(|| (at.to_owned(), key.as_str().strip_prefix("experiments:").unwrap_or_default().to_owned()))
        });
        killed.max().map(|(at, id)| (id, at))
    }

    /// What the next start should know.
    pub fn kept(&self) -> Kept {
        Kept {
            screen: self.screen,
            widths: self.widths.clone(),
            filter: self.filter.clone(),
            theme: self.theme.name.clone(),
            has_mouse: self.has_mouse,
            welcomed: self.welcomed.clone(),
            draft: self.draft.clone(),
            said: self.said.iter().cloned().collect(),
            notes: self.notes.clone(),
        }
    }
}

/// Lets something happen, and says what is to be done for it.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let effects = happens(model, msg);
    model.pin();
    super::layers::needs_you::freshen(model);
    if model.store.playing.is_some() { outcomes::without_saying(model, effects) } else { effects }
}

fn happens(model: &mut Model, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Now(now) => later(model, now),
        Msg::Key(key) => input::key(model, key),
        Msg::Paste(text) => input::paste(model, &text),
        Msg::Mouse(event) => input::mouse(model, event),
        Msg::Resize(width, height) => {
            model.area = Rect::new(0, 0, width, height);
            Vec::new()
        }
        Msg::Item(item) => {
            let changed = told::Changed::by(&item);
            let answer = answer_to_operator(model, &item);
            if let Item::Playing(playing) = &item {
                model.now.wall = playing.at;
            }
            let is_elsewhere = matches!(item, Item::Rebuilt(_));
            model.store.apply(item);
            if is_elsewhere {
                model.now.wall = model.store.now();
                return model.trace.map(|trace| model.follow(trace)).unwrap_or_default();
            }
            if let Some((role, words)) = answer {
                model.tell(role, words);
            }
            told::look(model, &changed)
        }
        Msg::Outcome(outcome) => outcomes::happened(model, outcome),
    }
}

/// What the team answers to whoever sits at a control room: it is not to be looked for in the traffic.
fn answer_to_operator(model: &Model, item: &Item) -> Option<(Role, String)> {
    let Item::Message(row) = item else { return None };
    let envelope = row.envelope.as_ref()?;
    let is_by_gate = envelope.source.as_ref() == ServiceName::Gate.as_str();
    let is_by_executor = envelope.source.as_ref() == ServiceName::Executor.as_str();
    let is_answer = match envelope.kind.as_ref() {
        "orchestrator_response" | "watcher_response" => true,
        // What became of an order or an answer; why not, too.
        "status_update" => is_by_gate || is_by_executor,
        "error" => is_by_executor,
        _ => false,
    };
    let is_heard = row.channel == ChannelName::FromOrchestrator && envelope.trust == Trust::Operator;
    let is_refused = is_by_gate && !row.gist().contains(DONE) || envelope.kind == "error";
    let role = if is_refused { Role::Danger } else { Role::Accent };
    (is_heard && is_answer && model.store.is_filled).then(|| (role, format!("{}: {}", row.source(), row.gist())))
}

fn later(model: &mut Model, now: Now) -> Vec<Effect> {
    model.now = now;
    model.store.tick(now.wall);
    if !model.answered.is_empty() {
        // Nobody took the answer, or it could not be done: it is asked again.
        let needs = model.store.documents.needs();
        let still = |digest: &str| needs.iter().any(|need| need.record.proposal.digest == digest);
        model.answered.retain(|digest, at| now.open.saturating_sub(*at) < ANSWERED && still(digest));
    }
    if model.toast.as_ref().is_some_and(|toast| toast.until <= now.open) {
        model.toast = None;
    }
    if std::mem::take(&mut model.is_unsaved) { vec![Effect::Keep(Box::new(model.kept()))] } else { Vec::new() }
}
