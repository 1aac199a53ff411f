//! Inject: say something on any channel. The form is filled with a valid example; what is written is checked as it is typed.
//!
//! On `discord_raw` plain words are a chat message of the operator's. Must never send what does not fit its channel.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::field::Field;
use super::{Input, Then};
use crate::contracts::body::{BODY_LIMIT, BodyType};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelKind, ChannelName, ServiceName, ShapeError};
use crate::tui::actions::Action;
use crate::tui::app::{Draft, Effect, Model, RECALLED, Saying, Ticket};
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::Row;
use crate::tui::theme::Role;

/// In whose name it is said.
const OPERATOR: &str = ServiceName::ControlRoom.as_str();

/// The form.
#[derive(Debug, Clone)]
pub struct Inject {
    channel: ChannelName,
    kind: usize,
    field: Field,
    /// The example that was filled in; while the text is still this, another type replaces it.
    filled: String,
    check: Check,
    /// Which of the former sayings is shown, counted from the newest.
    recalled: Option<usize>,
    ticket: Ticket,
    /// What was being written before this was filled in.
    former: Option<Draft>,
    /// What was being written before something said was recalled.
    unsaid: Option<Draft>,
}

/// What is wrong with what is written, or what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Check {
    Empty,
    /// A chat message in plain words.
    Words,
    /// A body of this type.
    Fits(&'static str),
    Wrong(String),
}

/// Channels that a person can say something on: those that are kept, but for the team's own.
fn channels() -> Vec<ChannelName> {
    let can = |channel: &ChannelName| channel.route().kind == ChannelKind::Work && channel.believes(OPERATOR);
    ChannelName::ALL.iter().copied().filter(can).collect()
}

/// Whether a text is meant as words: not JSON, nor an attempt at it.
fn is_plain(text: &str) -> bool {
    !text.trim_start().starts_with(['{', '[', '"'])
}

impl Inject {
    /// An empty form for a chat message, or what was being written.
    pub fn open(model: &mut Model) -> Self {
        let ticket = model.ticket();
        let mut form = Self {
            channel: ChannelName::DiscordRaw,
            kind: 0,
            field: Field::default(),
            filled: String::new(),
            check: Check::Empty,
            recalled: None,
            ticket,
            former: None,
            unsaid: None,
        };
        if let Some(draft) = model.draft.clone() {
            form.take(&draft);
        }
        form
    }

    /// A form for a message on this channel, with its example.
    pub fn on(model: &mut Model, channel: ChannelName) -> Self {
        let former = model.draft.clone();
        let mut form = Self { channel, kind: 0, field: Field::default(), former, ..Self::open(model) };
        form.fill();
        form
    }

    /// A form with this in it.
    pub fn of(model: &mut Model, draft: &Draft) -> Self {
        let mut form = Self { former: model.draft.clone(), ..Self::open(model) };
        form.take(draft);
        form.filled = form.field.text();
        form
    }

    /// A form with what was said before.
    pub fn again(model: &mut Model, row: &Row) -> Self {
        let pretty = serde_json::from_str::<serde_json::Value>(&row.body).ok();
        let text = pretty.and_then(|value| serde_json::to_string_pretty(&value).ok());
        let text = text.unwrap_or_else(|| row.body.to_string());
        Self::of(model, &Draft { channel: row.channel.short().to_owned(), kind: row.kind(), text })
    }

    fn take(&mut self, draft: &Draft) {
        self.channel = draft.channel.parse().unwrap_or(ChannelName::DiscordRaw);
        self.kind = self.types().iter().position(|it| it.name == draft.kind).unwrap_or(0);
        self.filled.clear();
        self.replace(&draft.text);
    }

    /// What is written, to be kept.
    pub fn draft(&self) -> Draft {
        Draft {
            channel: self.channel.short().to_owned(),
            kind: self.kind().map_or_else(String::new, |it| it.name.to_owned()),
            text: self.field.text(),
        }
    }

    /// Puts another text in.
    pub fn replace(&mut self, text: &str) {
        self.field = Field::with(text);
        self.look();
    }

    fn types(&self) -> &'static [BodyType] {
        self.channel.route().types
    }

    fn kind(&self) -> Option<&'static BodyType> {
        self.types().get(self.kind)
    }

    fn takes_words(&self) -> bool {
        self.channel == ChannelName::DiscordRaw && self.kind == 0
    }

    fn look(&mut self) {
        let text = self.field.text();
        let channel = self.channel;
        self.check = if text.trim().is_empty() {
            Check::Empty
        } else if !channel.believes(OPERATOR) {
            Check::Wrong(ShapeError::NotTheTeams { channel, by: OPERATOR.to_owned() }.to_string())
        } else if self.takes_words() && is_plain(&text) {
            Check::Words
        } else if text.len() > BODY_LIMIT {
            Check::Wrong(format!("it has {} bytes; at most {BODY_LIMIT} are carried", text.len()))
        } else {
            match self.channel.check(&text) {
                Ok(_) if has_meta(&text) => Check::Wrong("it has a key `meta`, where its envelope travels".to_owned()),
                Ok(kind) => Check::Fits(kind),
                Err(err) => Check::Wrong(sanitize_line(&err.to_string(), 300)),
            }
        };
    }

    fn fill(&mut self) {
        let example = self.kind().map(|kind| (kind.example)()).unwrap_or_default();
        let text = serde_json::to_string_pretty(&example).unwrap_or_default();
        self.filled.clone_from(&text);
        self.replace(&text);
    }

    /// Another channel or type: fills in its example, unless the person has written something.
    fn turned(&mut self) {
        let text = self.field.text();
        let untouched = text.trim().is_empty() || text == self.filled;
        if !untouched {
            self.look();
        } else if self.takes_words() {
            self.filled.clear();
            self.replace("");
        } else {
            self.fill();
        }
    }

    pub(super) fn act(&mut self, model: &mut Model, input: Input) -> Then {
        match input {
            // As in a shell: in an empty field, and on from there, the arrows go through what was said.
            Input::Key(key) if self.recalls(key.code) => {
                let back = key.code == KeyCode::Up;
                let next = if back {
                    Some(self.recalled.map_or(0, |at| at + 1))
                } else {
                    self.recalled.and_then(|at| at.checked_sub(1))
                };
                if !self.recall(model, next) {
                    return Then::stay();
                }
            }
            Input::Key(key) => {
                if !self.field.key(key) {
                    return Then::stay();
                }
                self.recalled = None;
                self.look();
            }
            Input::Paste(text) => {
                self.field.paste(&text);
                self.look();
            }
            Input::Act(Action::InjectNext | Action::InjectPrevious) => {
                let back = matches!(input, Input::Act(Action::InjectPrevious));
                self.kind = turn(self.kind, self.types().len(), back);
                self.turned();
            }
            Input::Act(Action::InjectChannel | Action::InjectChannelBack) => {
                let back = matches!(input, Input::Act(Action::InjectChannelBack));
                let channels = channels();
                let at = channels.iter().position(|it| *it == self.channel).unwrap_or(0);
                self.channel = channels.get(turn(at, channels.len(), back)).copied().unwrap_or(self.channel);
                self.kind = 0;
                self.turned();
            }
            Input::Act(Action::InjectExample) => self.fill(),
            Input::Act(Action::InjectRecall) => {
                let next = self.recalled.map_or(0, |at| at + 1);
                if !self.recall(model, Some(next)) {
                    return Then::stay();
                }
            }
            Input::Act(Action::InjectEditor) => return Then::stay().and([Effect::Edit(self.field.text())]),
            Input::Act(Action::Send) => return self.send(model),
            Input::Act(Action::Close) => {
                self.leave(model);
                return Then::close();
            }
            Input::Act(_) | Input::Wheel(_) => return Then::stay(),
        }
        // What was said is not lost; what was being written would be.
        let is_own = !self.field.is_empty() && self.recalled.is_none() && self.field.text() != self.filled;
        model.draft = if is_own { Some(self.draft()) } else { self.unsaid.clone().or_else(|| self.former.clone()) };
        model.is_unsaved = true;
        Then::stay()
    }

    /// Keeps what is written. What was being written before and is not what is kept can be recalled.
    fn leave(&mut self, model: &mut Model) {
        let is_written = !self.field.is_empty() && self.field.text() != self.filled && self.recalled.is_none();
        let mut texts =
            [is_written.then(|| self.draft()), self.unsaid.take(), self.former.take()].into_iter().flatten();
        model.draft = texts.next();
        let others: Vec<Draft> = texts.filter(|other| Some(other) != model.draft.as_ref()).collect();
        if !others.is_empty() {
            let key = model.keymap.short(Action::InjectRecall).unwrap_or_default();
            model.tell(Role::Text, format!("what you wrote before is kept too: {key} in the form brings it back"));
        }
        others.into_iter().rev().for_each(|other| remember(model, other));
        model.is_unsaved = true;
    }

    /// Whether this key goes through what was said.
    fn recalls(&self, code: KeyCode) -> bool {
        let is_there = self.field.is_empty() || self.recalled.is_some();
        matches!(code, KeyCode::Up) && is_there || matches!(code, KeyCode::Down) && self.recalled.is_some()
    }

    /// Takes what was said before, counted from the newest; none for an empty field. False where there is no such thing.
    fn recall(&mut self, model: &Model, which: Option<usize>) -> bool {
        let former = match which {
            Some(at) => model.said.iter().rev().nth(at).cloned(),
            None => Some(self.unsaid.take().unwrap_or_else(|| Draft { text: String::new(), ..self.draft() })),
        };
        let Some(former) = former else { return false };
        if self.recalled.is_none() && which.is_some() && !self.field.is_empty() && self.field.text() != self.filled {
            self.unsaid = Some(self.draft());
        }
        self.take(&former);
        self.recalled = which;
        true
    }

    fn send(&mut self, model: &mut Model) -> Then {
        let text = self.field.text();
        let saying = match &self.check {
            Check::Words => Saying::Words(text.trim().to_owned()),
            Check::Fits(_) => Saying::Body(self.channel, text),
            Check::Empty => {
                model.tell(Role::Warn, "nothing is written yet");
                return Then::stay();
            }
            Check::Wrong(_) => {
                model.tell(Role::Warn, "it does not fit yet");
                return Then::stay();
            }
        };
        let mut texts = [self.unsaid.take(), self.former.take()].into_iter().flatten();
        model.draft = texts.next();
        texts.for_each(|other| remember(model, other));
        remember(model, self.draft());
        model.is_unsaved = true;
        Then::close().and([Effect::Say(self.ticket, saying)])
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let height = if self.takes_words() && is_plain(&self.field.text()) { 10 } else { 24 };
        let inner = popup::frame(frame, area, model, "Inject", 100, height);
        let Some((head, rest)) = popup::split_first(inner, 1) else { return };
        let types: Vec<&str> = self.types().iter().map(|it| it.name).collect();
        let kind = types.get(self.kind).copied().unwrap_or_default();
        let count = if types.len() > 1 { format!("  {} of {}", self.kind + 1, types.len()) } else { String::new() };
        let pieces = [
            Piece::new(Role::Muted, "channel ".to_owned()),
            Piece::new(Role::Channel, format!("{}  ", self.channel.short())),
            Piece::new(Role::Muted, "type ".to_owned()),
            Piece::new(Role::Title, kind.to_owned()),
            Piece::new(Role::Muted, count),
        ];
        text::draw(frame, head, model, &pieces, None);
        let (field, last) = popup::split_last(rest, 1);
        let hint = if self.takes_words() { "write to the team: an idea, a question, a link" } else { "a JSON object" };
        self.field.draw(frame, field, model, hint);
        let said = match &self.check {
            Check::Empty => Piece::new(Role::Muted, "nothing is written yet".to_owned()),
            Check::Words => Piece::new(Role::Ok, "✓ a chat message of yours".to_owned()),
            Check::Fits(kind) => Piece::new(Role::Ok, format!("✓ fits: {kind}")),
            Check::Wrong(why) => Piece::new(Role::Danger, format!("✗ {why}")),
        };
        if let Some(last) = last {
            text::draw(frame, last, model, &[said], None);
        }
    }
}

/// Keeps a text so that it can be recalled.
fn remember(model: &mut Model, text: Draft) {
    model.said.push_back(text);
    while model.said.len() > RECALLED {
        model.said.pop_front();
    }
}

fn has_meta(text: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok_and(|it| it.contains_key("meta"))
}

/// The next of so many, or the one before.
fn turn(at: usize, len: usize, back: bool) -> usize {
    match len {
        0 => 0,
        len if back => (at + len - 1) % len,
        len => (at + 1) % len,
    }
}
