//! Budget: a form for a limit. Filled in, it is the order `budget_set` of the operator.
//!
//! What is written is checked as it is typed, by the same rules as `fullsend budget set`. Must never order what does not fit.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::field::Field;
use super::{Input, Then};
use crate::contracts::messages::SetBudget;
use crate::contracts::untrusted::sanitize_line;
use crate::llm::ledger::limits;
use crate::tui::actions::Action;
use crate::tui::app::{Effect, Model, Saying};
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::theme::Role;

/// The fields: what each is called, and what is written in it.
const FIELDS: [(&str, &str); 4] = [
    ("scope", "call, day, month, task:NAME, service:NAME, model:PROVIDER/MODEL, trace:ID"),
    ("limit", "dollars (7.50), \"200000 tokens\" or \"50 calls\""),
    ("until", "a time or 6h; empty: until somebody sets it again"),
    ("reason", "why; may be empty"),
];

/// The form.
#[derive(Debug, Clone)]
pub struct Budget {
    fields: [Field; 4],
    at: usize,
}

impl Budget {
    /// A form for a limit of this scope.
    pub fn open(scope: &str) -> Self {
        let mut fields: [Field; 4] = Default::default();
        fields[0] = Field::with(scope);
        Self { fields, at: usize::from(!scope.is_empty()) }
    }

    fn order(&self, model: &Model) -> Result<SetBudget, String> {
        let [scope, amount, until, reason] = self.fields.each_ref().map(|field| field.text().trim().to_owned());
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let (until, reason) = (some(&until), some(&reason));
        let by = &model.about.operator;
        limits::order(&scope, &amount, until.as_deref(), reason.as_deref(), by, model.now.wall)
            .map_err(|bad| format!("{}: {}", bad.field, bad.why))
    }

    pub(super) fn act(&mut self, model: &mut Model, input: Input) -> Then {
        let count = self.fields.len();
        match input {
            Input::Key(key) => drop(self.fields[self.at].key(key)),
            Input::Paste(text) => self.fields[self.at].paste(text.lines().next().unwrap_or_default()),
            Input::Act(Action::BudgetNext) => self.at = (self.at + 1) % count,
            Input::Act(Action::BudgetPrevious) => self.at = (self.at + count - 1) % count,
            Input::Act(Action::BudgetSet) => match self.order(model) {
                Ok(order) => return Then::close().and([Effect::Say(model.ticket(), Saying::Control(order.into()))]),
                // It stands in the form already.
                Err(_) if !self.fields[1].is_empty() => {}
                Err(why) => model.tell(Role::Warn, sanitize_line(&why, 200)),
            },
            Input::Act(Action::Close) => return Then::close(),
            Input::Act(_) | Input::Wheel(_) => {}
        }
        Then::stay()
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let inner = popup::frame(frame, area, model, "Set a budget", 90, 8);
        let mut rows = crate::tui::draw::rows(inner);
        for (at, ((name, hint), field)) in FIELDS.iter().zip(&self.fields).enumerate() {
            let Some(row) = rows.next() else { return };
            let is_here = at == self.at;
            let head = Rect { width: row.width.min(10), ..row };
            let role = if is_here { Role::Accent } else { Role::Muted };
            let mark = if is_here { "▸" } else { " " };
            text::draw(frame, head, model, &[Piece::new(role, format!("{mark} {name}"))], None);
            let rest = Rect { x: row.x + head.width, width: row.width - head.width, ..row };
            if is_here {
                field.draw(frame, rest, model, hint);
            } else if field.is_empty() {
                text::draw(frame, rest, model, &[Piece::new(Role::Muted, *hint)], None);
            } else {
                let words = sanitize_line(&field.text(), 200);
                text::draw(frame, rest, model, &[Piece::new(Role::Text, words)], None);
            }
        }
        let said = match self.order(model) {
            Ok(order) => Piece::new(Role::Ok, format!("✓ the limit of {} on {}", shown(&order), order.scope)),
            Err(_) if self.fields[1].is_empty() => Piece::new(Role::Muted, "what may be spent at most?"),
            Err(why) => Piece::new(Role::Danger, format!("✗ {}", sanitize_line(&why, 200))),
        };
        rows.next();
        if let Some(row) = rows.next() {
            text::draw(frame, row, model, &[said], None);
        }
    }
}

fn shown(order: &SetBudget) -> String {
    let unit = serde_json::to_value(order.unit).ok().and_then(|unit| unit.as_str().map(str::to_owned));
    format!("{} {}", order.limit, unit.unwrap_or_default())
}
