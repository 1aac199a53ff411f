//! Needs you: one request after the other, whole, and the answers to it.
//!
//! The keys arm a moment after a request came on the screen. What is answered is what was shown, by its digest. Must never answer what is
//! not on the screen, nor while a text field has the keys.

use std::time::Duration;

use chrono::Days;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::field::Field;
use super::json;
use super::{Input, Then};
use crate::contracts::messages::{ApprovalVerdict, Verdict};
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::tui::actions::Action;
use crate::tui::app::{Effect, Model, Saying};
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::Need;
use crate::tui::theme::Role;

/// Keys answer only after a request was shown for so long.
pub const ARMED_AFTER: Duration = Duration::from_millis(400);
/// How long `always` holds.
const ALWAYS_DAYS: u64 = 7;
const LINE_LIMIT: usize = 2_000;

/// Which request is shown, and how far it is scrolled.
#[derive(Debug, Clone)]
pub struct NeedsYou {
    /// The request and the digest of what was shown; none where nothing waits.
    shown: Option<(String, String)>,
    since: Duration,
    top: usize,
    /// The reason of a no, while it is written.
    reason: Option<Field>,
}

impl NeedsYou {
    /// Shows this request, or the one whose deadline is nearest.
    pub fn open(model: &Model, id: Option<&str>) -> Self {
        let mut layer = Self { shown: None, since: model.now.open, top: 0, reason: None };
        let waiting = waiting(model);
        let first = waiting.iter().find(|need| Some(need.id()) == id).or(waiting.first());
        layer.show(model, first.copied());
        layer
    }

    /// Whether a reason is being written.
    pub fn takes_text(&self) -> bool {
        self.reason.is_some()
    }

    fn show(&mut self, model: &Model, need: Option<&Need>) {
        self.shown = need.map(|need| (need.id().to_owned(), need.record.proposal.digest.clone()));
        self.since = model.now.open;
        self.top = 0;
        self.reason = None;
    }

    /// The request as it was shown; none where it is gone, or has become another one.
    fn current<'a>(&self, model: &'a Model) -> Option<&'a Need> {
        let (id, digest) = self.shown.as_ref()?;
        let found = waiting(model).into_iter().find(|need| need.id() == id)?;
        (found.record.proposal.digest == *digest).then_some(found)
    }

    fn is_armed(&self, model: &Model) -> bool {
        model.now.open.saturating_sub(self.since) >= ARMED_AFTER
    }

    fn go(&mut self, model: &Model, by: isize) {
        let waiting = waiting(model);
        let at = self.shown.as_ref().and_then(|(id, _)| waiting.iter().position(|need| need.id() == id));
        let len = isize::try_from(waiting.len()).unwrap_or(0).max(1);
        let at = at.and_then(|at| isize::try_from(at).ok()).map_or(0, |at| (at + by).rem_euclid(len));
        let need = usize::try_from(at).ok().and_then(|at| waiting.get(at).copied());
        self.show(model, need);
    }

    pub(super) fn act(&mut self, model: &mut Model, input: Input) -> Then {
        let page = isize::try_from(model.area.height.saturating_sub(8)).unwrap_or(10);
        let by = match input {
            Input::Key(key) => {
                if let Some(reason) = &mut self.reason {
                    reason.key(key);
                }
                return Then::stay();
            }
            Input::Paste(text) => {
                if let Some(reason) = &mut self.reason {
                    reason.paste(text.lines().next().unwrap_or_default());
                }
                return Then::stay();
            }
            Input::Act(Action::Close) => {
                return if self.reason.take().is_some() { Then::stay() } else { Then::close() };
            }
            Input::Act(Action::DenySend) => {
                return match self.reason.as_ref().map(Field::text) {
                    Some(reason) => self.answer(model, Verdict::Deny, Some(reason), false),
                    None => Then::stay(),
                };
            }
            Input::Act(_) if self.reason.is_some() => return Then::stay(),
            Input::Act(Action::Approve) => return self.answer(model, Verdict::Approve, None, false),
            Input::Act(Action::Always) => return self.answer(model, Verdict::Approve, None, true),
            Input::Act(Action::Deny) => {
                if self.may_answer(model) {
                    self.reason = Some(Field::default());
                }
                return Then::stay();
            }
            Input::Act(Action::NextNeed) => {
                self.go(model, 1);
                return Then::stay();
            }
            Input::Act(Action::PreviousNeed) => {
                self.go(model, -1);
                return Then::stay();
            }
            Input::Act(Action::NeedUp) => -1,
            Input::Act(Action::NeedDown) => 1,
            Input::Act(Action::NeedPageUp) => -page,
            Input::Act(Action::NeedPageDown) => page,
            Input::Wheel(lines) => lines,
            Input::Act(_) => 0,
        };
        let most = self.lines(model).len().saturating_sub(3);
        self.top = self.top.saturating_add_signed(by).min(most);
        Then::stay()
    }

    /// Whether an answer would be one to what is shown. Says why not.
    fn may_answer(&self, model: &mut Model) -> bool {
        if self.current(model).is_none() {
            model.tell(Role::Warn, "this request was answered, or has changed: look at what waits now");
            return false;
        }
        if !self.is_armed(model) {
            model.tell(Role::Warn, "it came on the screen just now: read it first");
            return false;
        }
        true
    }

    fn answer(&mut self, model: &mut Model, verdict: Verdict, reason: Option<String>, always: bool) -> Then {
        if !self.may_answer(model) {
            return Then::stay();
        }
        let Some((id, digest)) = self.shown.clone() else { return Then::stay() };
        let until = always.then(|| model.now.wall.checked_add_days(Days::new(ALWAYS_DAYS))).flatten();
        let said = ApprovalVerdict {
            approval_id: id,
            verdict,
            digest: Some(digest.clone()),
            reason: reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty()),
            edited: None,
            always,
            until,
            per_day: None,
            by: Some(model.about.operator.clone()),
            surface: Some("control_room".to_owned()),
        };
        model.answered.insert(digest);
        let effect = Effect::Say(model.ticket(), Saying::Verdict(said));
        let next = waiting(model).first().copied();
        self.show(model, next);
        if self.shown.is_some() { Then::stay().and([effect]) } else { Then::close().and([effect]) }
    }

    fn lines(&self, model: &Model) -> Vec<Vec<Piece>> {
        let Some(need) = self.current(model) else {
            let words = if self.shown.is_some() {
                "This request was answered, or what it rests on has changed. It cannot be answered any more."
            } else {
                "Nothing waits for you."
            };
            return vec![vec![Piece::new(Role::Muted, words.to_owned())]];
        };
        request(model, need)
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let waiting = waiting(model);
        let at = self.shown.as_ref().and_then(|(id, _)| waiting.iter().position(|need| need.id() == id));
        let title = match at {
            Some(at) => format!("Needs you · {} of {}", at + 1, waiting.len()),
            None => "Needs you".to_owned(),
        };
        let inner = popup::frame(frame, area, model, &title, 110, area.height.saturating_sub(2));
        let (body, last) = popup::split_last(inner, 1);
        popup::body(frame, body, model, &self.lines(model), self.top);
        let Some(last) = last else { return };
        if let Some(reason) = &self.reason {
            reason.draw(frame, last, model, "why not? the reason goes back to the orchestrator");
            return;
        }
        let key = |action| model.keymap.short(action).unwrap_or_default();
        let pieces = if self.current(model).is_none() {
            vec![Piece::new(Role::Muted, format!("{} closes", key(Action::Close)))]
        } else {
            let role = if self.is_armed(model) { Role::Accent } else { Role::Muted };
            let answer = |action: Action| Piece::new(role, format!("{} {}   ", key(action), action.row().short));
            vec![answer(Action::Approve), answer(Action::Deny), answer(Action::Always)]
        };
        text::draw(frame, last, model, &pieces, None);
    }
}

/// What waits and was not answered from here.
fn waiting(model: &Model) -> Vec<&Need> {
    let needs = model.store.documents.needs().iter();
    needs.filter(|need| !model.answered.contains(&need.record.proposal.digest)).collect()
}

/// All of a request: what, why, the risk, the cost, until when, and everything that would happen.
fn request(model: &Model, need: &Need) -> Vec<Vec<Piece>> {
    let record = &need.record;
    let proposal = &record.proposal;
    let words = |text: &str| sanitize_line(text, LINE_LIMIT);
    let mut lines = vec![vec![Piece::new(Role::Title, words(&proposal.title))], vec![]];
    let mut field = |name: &str, role, value: String| {
        lines.push(vec![Piece::new(Role::Muted, text::padded(name, 10)), Piece::new(role, value)]);
    };
    field("why", Role::Text, words(&proposal.reason));
    field("from", Role::Source, format!("{} (trust: {:?})", words(&proposal.proposer), record.trust).to_lowercase());
    let class = u8::from(proposal.class);
    let harm = match class {
        0 => "nothing is done outside",
        1 => "inside the team only",
        2 => "can be taken back",
        _ => "reaches people outside, costs money, or cannot be taken back",
    };
    field("risk", if class >= 3 { Role::Danger } else { Role::Warn }, format!("class {class}: {harm}"));
    if let Some(because) = &record.asked_because {
        field("asked", Role::Text, words(because));
    }
    field(
        "cost",
        Role::Text,
        proposal.cost_usd.map_or_else(|| "not known".to_owned(), |usd| format!("at most ${usd:.2}")),
    );
    if let Some(at) = record.expires_at {
        let left = text::left(at, model.now.wall);
        field("deadline", Role::Text, format!("in {left} ({}); no answer means no", text::date_time(at, model)));
    }
    for change in &record.changed {
        let json = serde_json::to_string(change).unwrap_or_default();
        field("changed", Role::Warn, words(&json));
    }
    lines.push(vec![]);
    lines.push(vec![Piece::new(Role::Title, "What happens on a yes".to_owned())]);
    lines.extend(pretty(&serde_json::to_string(&proposal.intents).unwrap_or_default()));
    if !proposal.details.is_empty() {
        lines.push(vec![]);
        lines.push(vec![Piece::new(Role::Title, "Details".to_owned())]);
        lines.extend(pretty(&serde_json::to_string(&proposal.details).unwrap_or_default()));
    }
    if !proposal.facts.is_empty() {
        lines.push(vec![]);
        lines.push(vec![Piece::new(Role::Title, "What it rests on".to_owned())]);
        lines.extend(pretty(&serde_json::to_string(&proposal.facts).unwrap_or_default()));
    }
    lines
}

fn pretty(text: &str) -> Vec<Vec<Piece>> {
    json::lines(text, usize::MAX).unwrap_or_else(|| {
        sanitize(text, LINE_LIMIT).lines().map(|line| vec![Piece::new(Role::Value, line.to_owned())]).collect()
    })
}
