//! Record: a number that no tool can know, as the operator's: a meeting, a positive reply. It goes onto `fullsend:metrics`.
//!
//! Must never send what does not fit the channel, nor the events that are the executor's own.

use ratatui::Frame;
use ratatui::layout::Rect;
use serde_json::{Value, json};

use super::field::Field;
use super::{Input, Then};
use crate::contracts::ChannelName;
use crate::contracts::body::Body;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::Metrics;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::numbers::MOST_AT_ONCE;
use crate::tui::actions::Action;
use crate::tui::app::{Effect, Model, Saying, Ticket};
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::series::Kind;
use crate::tui::theme::Role;

const NAMES: [&str; 3] = ["event", "count", "note"];
const HINTS: [&str; 3] = ["what happened: meeting_booked, positive_reply", "how many: 1", "what should be known of it"];
/// Characters of an event's name.
const NAME_LIMIT: usize = 60;
/// Characters of a note.
const NOTE_LIMIT: usize = 2_000;

/// The form.
#[derive(Debug, Clone)]
pub struct Record {
    experiment: String,
    fields: [Field; 3],
    at: usize,
    /// Events that this experiment knows.
    known: Vec<String>,
    taken: Option<usize>,
    ticket: Ticket,
}

impl Record {
    /// An empty form for an experiment.
    pub fn open(model: &mut Model, experiment: &str) -> Self {
        let mut known: Vec<String> = Vec::new();
        let series = &model.store.series;
        let counted = series.all_of(experiment).filter(|(_, it)| it.kind() == Kind::Counted).map(|(name, _)| name);
        let metrics = model.store.experiments.get(experiment).into_iter().flat_map(|it| &it.metrics);
        let counters = metrics.filter(|it| it.formula.is_none() && !it.is_share).map(|it| it.name.as_str());
        for name in counters.chain(counted).filter(|name| !is_reserved(name)) {
            if !known.iter().any(|it| it == name) {
                known.push(name.to_owned());
            }
        }
        let fields = [Field::default(), Field::with("1"), Field::default()];
        Self { experiment: experiment.to_owned(), fields, at: 0, known, taken: None, ticket: model.ticket() }
    }

    fn text(&self, at: usize) -> String {
        self.fields.get(at).map(Field::text).unwrap_or_default().trim().to_owned()
    }

    /// The message; or what is wrong with it, in words.
    fn body(&self, model: &Model) -> Result<String, String> {
        let (event, count, note) = (self.text(0), self.text(1), self.text(2));
        if event.is_empty() {
            return Err("say what happened".to_owned());
        }
        if event.chars().count() > NAME_LIMIT
            || event.chars().any(|c| !c.is_alphanumeric() && !matches!(c, '_' | '.' | '-'))
        {
            return Err("an event is one word of letters, digits and _".to_owned());
        }
        if is_reserved(&event) {
            return Err(format!("`{event}` is what the executor says of its runs; take another name"));
        }
        let count = if count.is_empty() { "1" } else { &count };
        let Some(count) = count.parse::<u64>().ok().filter(|count| *count <= MOST_AT_ONCE) else {
            return Err("the count is a whole number that is not negative".to_owned());
        };
        if note.chars().count() > NOTE_LIMIT {
            return Err(format!("a note has at most {NOTE_LIMIT} characters"));
        }
        let mut body = json!({
            "event": event,
            "experiment_id": self.experiment,
            "count": count,
            "by": model.about.operator,
            "timestamp": rfc3339(model.now.wall),
        });
        if let Value::Object(fields) = &mut body
            && !note.is_empty()
        {
            fields.insert("note".to_owned(), note.into());
        }
        let text = body.to_string();
        ChannelName::Metrics.check(&text).map(|_| text).map_err(|err| sanitize_line(&err.to_string(), 200))
    }

    pub(super) fn act(&mut self, model: &mut Model, input: Input) -> Then {
        let count = self.fields.len();
        match input {
            Input::Key(key) => {
                if let Some(field) = self.fields.get_mut(self.at) {
                    field.key(key);
                }
            }
            Input::Paste(text) => {
                if let Some(field) = self.fields.get_mut(self.at) {
                    field.paste(&text.replace('\n', " "));
                }
            }
            Input::Act(Action::RecordNext) => self.at = (self.at + 1) % count,
            Input::Act(Action::RecordPrevious) => self.at = (self.at + count - 1) % count,
            Input::Act(Action::RecordEvent) => {
                let next = self.taken.map_or(0, |at| at + 1);
                let Some(name) = self.known.get(next).or(self.known.first()) else { return Then::stay() };
                self.fields[0] = Field::with(name);
                self.taken = Some(if next < self.known.len() { next } else { 0 });
            }
            Input::Act(Action::RecordSend) => match self.body(model) {
                Ok(text) => {
                    return Then::close().and([Effect::Say(self.ticket, Saying::Body(ChannelName::Metrics, text))]);
                }
                Err(why) => model.tell(Role::Warn, why),
            },
            Input::Act(Action::Close) => return Then::close(),
            Input::Act(_) | Input::Wheel(_) => {}
        }
        Then::stay()
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let title = format!("Record a number · {}", sanitize_line(&self.experiment, 60));
        let inner = popup::frame(frame, area, model, &title, 76, 9);
        let mut rest = inner;
        for (at, ((name, hint), field)) in NAMES.iter().zip(HINTS).zip(&self.fields).enumerate() {
            let Some((row, below)) = popup::split_first(rest, 1) else { return };
            rest = below;
            let is_here = at == self.at;
            let mark = if is_here { "▸ " } else { "  " };
            let role = if is_here { Role::Accent } else { Role::Muted };
            let label = Rect { width: row.width.min(9), ..row };
            text::draw(frame, label, model, &[Piece::new(role, format!("{mark}{name}"))], None);
            let place = Rect { x: label.right(), width: row.width - label.width, ..row };
            if is_here {
                field.draw(frame, place, model, hint);
            } else {
                let words = field.text();
                let piece = if words.is_empty() {
                    Piece::new(Role::Muted, hint)
                } else {
                    Piece::new(Role::Text, sanitize_line(&words, 200))
                };
                text::draw(frame, place, model, &[piece], None);
            }
        }
        let mut lines = vec![match self.body(model) {
            Ok(_) => vec![Piece::new(Role::Ok, "✓ it goes onto fullsend:metrics as yours")],
            Err(why) => vec![Piece::new(Role::Danger, format!("✗ {why}"))],
        }];
        if !self.known.is_empty() {
            let known = format!("known: {}", self.known.join(", "));
            lines.push(vec![Piece::new(Role::Muted, text::clipped(&known, usize::from(rest.width)))]);
        }
        popup::body(frame, rest, model, &lines, 0);
    }
}

/// Whether an event has a meaning of its own.
fn is_reserved(event: &str) -> bool {
    Metrics::TYPES.iter().any(|kind| kind.name == event)
}
