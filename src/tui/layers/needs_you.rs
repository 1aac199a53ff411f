//! Needs you: one request after the other, whole, and the answers to it.
//!
//! The keys arm a moment after a request came on the screen. What is answered is what was shown, by its digest; an edit is approved only
//! after its difference was shown. Must never answer what is not on the screen, nor while a text field has the keys, nor the riskiest
//! class with others at once.

pub mod edit;
mod outreach;
pub mod request;

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use ratatui::Frame;
use ratatui::layout::Rect;

use super::field::Field;
use super::{Input, Then};
use crate::config::duration;
use crate::contracts::envelope::read_time;
use crate::contracts::messages::{ApprovalVerdict, Intent, RiskClass, Verdict};
use crate::contracts::untrusted::sanitize_line;
use crate::tui::actions::{Action, LayerKind};
use crate::tui::app::{Effect, Model, Saying};
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::Need;
use crate::tui::theme::Role;
use edit::{Edit, Review};

/// Keys answer only after a request was shown for so long.
pub const ARMED_AFTER: Duration = Duration::from_millis(400);
/// How long `always` holds, unless something else is written.
const ALWAYS: &str = "7d";
/// From so many columns on the list stands beside the request.
const WIDE: u16 = 140;
/// Columns of the list, and where there is much room.
const LIST: u16 = 44;
const LONG_LIST: u16 = 60;
const VERY_WIDE: u16 = 180;

/// Which request is shown, and what is being done about it.
#[derive(Debug, Clone)]
pub struct NeedsYou {
    /// The request and the digest of what was shown; none where nothing waits.
    shown: Option<(String, String)>,
    since: Duration,
    top: usize,
    doing: Doing,
}

/// What is being done about a request.
#[derive(Debug, Clone)]
enum Doing {
    Reading,
    /// The reason of a no.
    Reason(Field),
    /// Until when the same is allowed without asking.
    Until(Field),
    /// The intents are changed.
    Edit(Box<Edit>),
    /// The change is looked at.
    Review(Box<Review>),
}

impl NeedsYou {
    /// Shows this request, or the one whose deadline is nearest.
    pub fn open(model: &Model, id: Option<&str>) -> Self {
        let mut layer = Self { shown: None, since: model.now.open, top: 0, doing: Doing::Reading };
        let waiting = waiting(model);
        let first = waiting.iter().find(|need| Some(need.id()) == id).or(waiting.first());
        layer.show(model, first.copied());
        layer
    }

    /// Its kind: what is being done decides which keys there are.
    pub fn kind(&self) -> LayerKind {
        match self.doing {
            Doing::Reading => LayerKind::NeedsYou,
            Doing::Reason(_) | Doing::Until(_) => LayerKind::Answer,
            Doing::Edit(_) => LayerKind::Edit,
            Doing::Review(_) => LayerKind::Review,
        }
    }

    /// Whether a text field has the keys.
    pub fn takes_text(&self) -> bool {
        matches!(self.doing, Doing::Reason(_) | Doing::Until(_) | Doing::Edit(_))
    }

    /// Takes what the person's editor left, where an edit is open.
    pub fn edited(&mut self, text: &str) -> bool {
        let Doing::Edit(edit) = &mut self.doing else { return false };
        edit.replace(text);
        true
    }

    fn show(&mut self, model: &Model, need: Option<&Need>) {
        self.shown = need.map(|need| (need.id().to_owned(), need.record.proposal.digest.clone()));
        self.since = model.now.open;
        self.turn(model, Doing::Reading);
    }

    /// Does something else. Where another text than the request comes on the screen, or goes, keys arm anew.
    fn turn(&mut self, model: &Model, doing: Doing) {
        let hides = |doing: &Doing| matches!(doing, Doing::Edit(_) | Doing::Review(_));
        if hides(&self.doing) || hides(&doing) {
            self.since = model.now.open;
        }
        self.top = 0;
        self.doing = doing;
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
        match input {
            Input::Key(_) | Input::Paste(_) => {
                self.write(input);
                Then::stay()
            }
            Input::Act(Action::Close) => match self.doing {
                Doing::Reading => Then::close(),
                _ => {
                    self.turn(model, Doing::Reading);
                    Then::stay()
                }
            },
            Input::Act(Action::AnswerSend) => self.send_written(model),
            Input::Act(Action::EditReview) => self.review(model),
            Input::Act(Action::EditEditor) => match &self.doing {
                Doing::Edit(edit) => Then::stay().and([Effect::Edit(edit.text())]),
                _ => Then::stay(),
            },
            Input::Act(Action::EditApprove) => match &self.doing {
                Doing::Review(review) => {
                    let intents = review.intents.clone();
                    self.answer(model, Answer { edited: Some(intents), ..Answer::of(Verdict::Approve) })
                }
                _ => Then::stay(),
            },
            Input::Act(Action::EditAgain) => {
                if let Doing::Review(review) = &self.doing {
                    let edit = Edit::with(&review.text);
                    self.turn(model, Doing::Edit(Box::new(edit)));
                }
                Then::stay()
            }
            Input::Act(Action::Approve) => self.answer(model, Answer::of(Verdict::Approve)),
            Input::Act(Action::ApproveAll) => {
                self.answer_all(model);
                Then::stay()
            }
            Input::Act(Action::Always) => {
                if self.may_answer(model) {
                    self.turn(model, Doing::Until(Field::with(ALWAYS)));
                }
                Then::stay()
            }
            Input::Act(Action::Deny) => {
                if self.may_answer(model) {
                    self.turn(model, Doing::Reason(Field::default()));
                }
                Then::stay()
            }
            Input::Act(Action::EditNeed) => {
                if self.may_answer(model)
                    && let Some(need) = self.current(model)
                {
                    let edit = Edit::of(&need.record.proposal.intents);
                    self.turn(model, Doing::Edit(Box::new(edit)));
                }
                Then::stay()
            }
            Input::Act(Action::SampleNeed) => {
                let id =
                    self.current(model).filter(|need| writes_mail(need)).and_then(Need::experiment).map(str::to_owned);
                match id {
                    Some(id) => Then::stay().and(crate::tui::app::sample(model, &id)),
                    None => {
                        model.tell(Role::Warn, "this request writes no mail: there is nothing to be tried");
                        Then::stay()
                    }
                }
            }
            Input::Act(Action::NextNeed) => {
                self.go(model, 1);
                Then::stay()
            }
            Input::Act(Action::PreviousNeed) => {
                self.go(model, -1);
                Then::stay()
            }
            Input::Act(Action::NeedUp | Action::ReviewUp) => self.scroll(model, -1),
            Input::Act(Action::NeedDown | Action::ReviewDown) => self.scroll(model, 1),
            Input::Act(Action::NeedPageUp) => self.scroll(model, -page(model)),
            Input::Act(Action::NeedPageDown) => self.scroll(model, page(model)),
            Input::Wheel(lines) => self.scroll(model, lines),
            Input::Act(_) => Then::stay(),
        }
    }

    /// Scrolls by rows as they are drawn, so that nothing of a long line is passed over.
    fn scroll(&mut self, model: &Model, by: isize) -> Then {
        let (width, height) = self.room(model, model.body());
        let most = self.rows(model, width).len().saturating_sub(usize::from(height));
        self.top = self.top.saturating_add_signed(by).min(most);
        Then::stay()
    }

    /// Columns and rows for the text of a request.
    fn room(&self, model: &Model, area: Rect) -> (u16, u16) {
        let wide = if self.is_wide(model, area) { columns(area) + 2 } else { 0 };
        let inside = popup::inside(area, self.width(model, area)).saturating_sub(wide);
        (inside, area.height.saturating_sub(5).max(1))
    }

    fn is_wide(&self, model: &Model, area: Rect) -> bool {
        area.width >= WIDE && self.shown.is_some() && !waiting(model).is_empty()
    }

    fn width(&self, model: &Model, area: Rect) -> u16 {
        if self.is_wide(model, area) { area.width.saturating_sub(8) } else { 110 }
    }

    fn rows(&self, model: &Model, width: u16) -> Vec<Vec<Piece>> {
        popup::laid(&self.lines(model), width)
    }

    fn write(&mut self, input: Input) {
        match (&mut self.doing, input) {
            (Doing::Edit(edit), Input::Key(key)) => edit.key(key),
            (Doing::Edit(edit), Input::Paste(text)) => edit.paste(&text),
            (Doing::Reason(field) | Doing::Until(field), Input::Key(key)) => drop(field.key(key)),
            (Doing::Reason(field) | Doing::Until(field), Input::Paste(text)) => {
                field.paste(text.lines().next().unwrap_or_default());
            }
            _ => {}
        }
    }

    /// Sends the reason of a no, or the yes that holds until a date.
    fn send_written(&mut self, model: &mut Model) -> Then {
        match &self.doing {
            Doing::Reason(reason) => {
                let reason = Some(reason.text().trim().to_owned()).filter(|reason| !reason.is_empty());
                self.answer(model, Answer { reason, ..Answer::of(Verdict::Deny) })
            }
            Doing::Until(field) => match self.end(model, &field.text()) {
                Ok(until) => self.answer(model, Answer { always: true, until, ..Answer::of(Verdict::Approve) }),
                Err(why) => {
                    model.tell(Role::Warn, why);
                    Then::stay()
                }
            },
            _ => Then::stay(),
        }
    }

    /// Until when `always` holds, as it is written.
    fn end(&self, model: &Model, text: &str) -> Result<Option<DateTime<Utc>>, String> {
        let text = text.trim();
        if text == "forever" {
            let is_outward = self.current(model).is_some_and(|need| need.record.proposal.class == RiskClass::Outward);
            return if is_outward { Err("class 3 is allowed until a date only".to_owned()) } else { Ok(None) };
        }
        let now = model.now.wall;
        let length = duration::parse(text).ok().and_then(|length| TimeDelta::from_std(length).ok());
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| {
            // To the end of that day, where the person is.
            let midnight = day.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN);
            let zone = model.about.zone;
            // Where the clock jumps over midnight, the day begins an hour later.
            zone.moment(midnight).or_else(|| zone.moment(midnight.checked_add_signed(TimeDelta::hours(1))?))
        });
        let until = length.and_then(|length| now.checked_add_signed(length)).or(day).or_else(|| read_time(text));
        match until {
            None => Err(format!("`{}` is no time: write `7d`, `2026-12-31` or `forever`", sanitize_line(text, 40))),
            Some(until) if until <= now => Err("that is over already: write a time that is still to come".to_owned()),
            until => Ok(until),
        }
    }

    /// Shows what the edit changes, if it can be done.
    fn review(&mut self, model: &mut Model) -> Then {
        let (Doing::Edit(edit), Some(need)) = (&self.doing, self.current(model)) else { return Then::stay() };
        match edit.review(&need.record.proposal) {
            Ok(review) => self.turn(model, Doing::Review(Box::new(review))),
            Err(why) => model.tell(Role::Warn, why),
        }
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

    fn answer(&mut self, model: &mut Model, answer: Answer) -> Then {
        if !self.may_answer(model) {
            return Then::stay();
        }
        let Some((id, digest)) = self.shown.clone() else { return Then::stay() };
        let effect = answer.said(model, id, digest);
        let next = waiting(model).first().copied();
        self.show(model, next);
        if self.shown.is_some() { Then::stay().and([effect]) } else { Then::close().and([effect]) }
    }

    /// Asks whether to say yes to everything that waits, but never to the riskiest class.
    fn answer_all(&self, model: &mut Model) {
        if !self.may_answer(model) {
            return;
        }
        let (left, all): (Vec<&Need>, Vec<&Need>) =
            waiting(model).into_iter().partition(|need| need.record.proposal.class == RiskClass::Outward);
        if all.is_empty() {
            model.tell(Role::Warn, "all that waits is of class 3, which is answered one at a time");
            return;
        }
        let mut lines: Vec<String> =
            all.iter().map(|need| format!("yes: {}", sanitize_line(&need.record.proposal.title, 70))).collect();
        if !left.is_empty() {
            lines.push(String::new());
            lines.push(format!("Not answered by that: {} of class 3.", left.len()));
        }
        let wanted: Vec<(String, String)> =
            all.iter().map(|need| (need.id().to_owned(), need.record.proposal.digest.clone())).collect();
        let title = format!("Approve {} at once?", wanted.len());
        model.layers.push(super::Layer::Confirm(super::confirm::Confirm::approve_all(title, lines, wanted)));
    }

    fn lines(&self, model: &Model) -> Vec<Vec<Piece>> {
        if let Doing::Review(review) = &self.doing {
            return review.lines();
        }
        match self.current(model) {
            Some(need) => request::lines(model, need),
            None => self.gone(model),
        }
    }

    /// What became of a request that can no longer be answered.
    fn gone(&self, model: &Model) -> Vec<Vec<Piece>> {
        let line = |words: String| vec![Piece::new(Role::Muted, words)];
        let Some((id, _)) = &self.shown else { return vec![line("Nothing waits for you.".to_owned())] };
        let record = model.store.documents.approval(id);
        let mut lines = vec![line(
            "This request was answered, or what it rests on has changed. It cannot be answered any more.".to_owned(),
        )];
        if let Some(record) = record {
            let by = record.by.as_deref().map(|by| format!(" by {}", sanitize_line(by, 60))).unwrap_or_default();
            let why = record.reason.as_deref().map(|why| format!(": {}", sanitize_line(why, 200))).unwrap_or_default();
            lines.push(line(format!("It is {}{by}{why}.", record.state)));
            if let Some(next) = &record.superseded_by {
                lines.push(line(format!("{} is asked instead.", sanitize_line(next, 60))));
            }
        }
        lines
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let waiting = waiting(model);
        let at = self.shown.as_ref().and_then(|(id, _)| waiting.iter().position(|need| need.id() == id));
        let title = match at {
            Some(at) => format!("Needs you · {} of {}", at + 1, waiting.len()),
            None => "Needs you".to_owned(),
        };
        let inner = popup::frame(frame, area, model, &title, self.width(model, area), area.height.saturating_sub(2));
        let inner = if self.is_wide(model, area) {
            let columns = columns(area);
            list(frame, Rect { width: columns, ..inner }, model, &waiting, at);
            Rect { x: inner.x + columns + 2, width: inner.width.saturating_sub(columns + 2), ..inner }
        } else {
            inner
        };
        let (body, last) = popup::split_last(inner, 1);
        let mut below = 0;
        if let Doing::Edit(edit) = &self.doing {
            edit.draw(frame, body, model);
        } else {
            let rows = self.rows(model, body.width);
            below = rows.len().saturating_sub(self.top + usize::from(body.height));
            popup::body(frame, body, model, &rows, self.top);
        }
        let Some(last) = last else { return };
        match &self.doing {
            Doing::Reason(reason) => {
                reason.draw(frame, last, model, "why not? the reason goes back to the orchestrator");
            }
            Doing::Until(until) => {
                let head = "the same without asking, until (7d, 2026-12-31, forever): ";
                text::draw(frame, last, model, &[Piece::new(Role::Muted, head)], None);
                let columns = u16::try_from(head.len()).unwrap_or(0).min(last.width);
                until.draw(frame, Rect { x: last.x + columns, width: last.width - columns, ..last }, model, "");
            }
            Doing::Edit(edit) => text::draw(frame, last, model, &[edit.told()], None),
            Doing::Reading | Doing::Review(_) => {
                let mut pieces = self.answers(model);
                if below > 0 {
                    pieces.push(Piece::new(Role::Warn, format!("↓ {below} more lines")));
                }
                text::draw(frame, last, model, &pieces, None);
            }
        }
    }

    /// The keys that answer, as they look when they are armed and when not.
    fn answers(&self, model: &Model) -> Vec<Piece> {
        let key = |action| model.keymap.short(action).unwrap_or_default();
        if self.current(model).is_none() {
            return vec![Piece::new(Role::Muted, format!("{} closes", key(Action::Close)))];
        }
        let role = if self.is_armed(model) { Role::Accent } else { Role::Muted };
        let answer = |action: Action| Piece::new(role, format!("{} {}   ", key(action), action.row().short));
        if matches!(self.doing, Doing::Review(_)) {
            return vec![answer(Action::EditApprove), answer(Action::EditAgain)];
        }
        let mut answers = vec![Action::Approve, Action::EditNeed, Action::Deny, Action::Always];
        if self.current(model).is_some_and(writes_mail) {
            answers.push(Action::SampleNeed);
        }
        answers.into_iter().map(answer).collect()
    }
}

/// An answer to a request.
#[derive(Debug, Clone)]
struct Answer {
    verdict: Verdict,
    reason: Option<String>,
    edited: Option<Vec<Intent>>,
    always: bool,
    until: Option<DateTime<Utc>>,
}

impl Answer {
    fn of(verdict: Verdict) -> Self {
        Self { verdict, reason: None, edited: None, always: false, until: None }
    }

    /// Says it about what was shown. It is not offered again from here.
    fn said(self, model: &mut Model, id: String, digest: String) -> Effect {
        let said = ApprovalVerdict {
            approval_id: id,
            verdict: self.verdict,
            digest: Some(digest.clone()),
            reason: self.reason,
            edited: self.edited,
            always: self.always,
            until: self.until,
            per_day: None,
            by: Some(model.about.operator.clone()),
            surface: Some("control_room".to_owned()),
        };
        model.answered.insert(digest, model.now.open);
        Effect::Say(model.ticket(), Saying::Verdict(said))
    }
}

/// Says yes to these requests, as far as they still are what was shown; never to one of the riskiest class.
pub(super) fn approve_all(model: &mut Model, wanted: &[(String, String)]) -> Vec<Effect> {
    let still: Vec<(String, String)> = waiting(model)
        .into_iter()
        .filter(|need| need.record.proposal.class != RiskClass::Outward)
        .map(|need| (need.id().to_owned(), need.record.proposal.digest.clone()))
        .filter(|shown| wanted.contains(shown))
        .collect();
    still.into_iter().map(|(id, digest)| Answer::of(Verdict::Approve).said(model, id, digest)).collect()
}

/// Columns of the list beside a request.
const fn columns(area: Rect) -> u16 {
    if area.width >= VERY_WIDE { LONG_LIST } else { LIST }
}

/// Where the layer said that nothing waits, and now something does, it is shown.
pub fn freshen(model: &mut Model) {
    let is_empty = matches!(model.layers.last(), Some(super::Layer::NeedsYou(layer)) if layer.shown.is_none());
    if !is_empty {
        return;
    }
    let Some(first) = waiting(model).first().map(|need| (*need).clone()) else { return };
    if let Some(super::Layer::NeedsYou(mut layer)) = model.layers.pop() {
        layer.show(model, Some(&first));
        model.layers.push(super::Layer::NeedsYou(layer));
    }
}

/// Whether a yes to a request lets mail of an experiment go out.
fn writes_mail(need: &Need) -> bool {
    need.experiment().is_some() && need.record.proposal.details.get("mails").is_some()
}

/// Whether the request on the screen has a mail that could be tried.
pub fn can_sample(model: &Model) -> bool {
    let Some(super::Layer::NeedsYou(layer)) = model.layers.last() else { return false };
    layer.current(model).is_some_and(writes_mail)
}

fn page(model: &Model) -> isize {
    isize::try_from(model.body().height.saturating_sub(6)).unwrap_or(10).max(1)
}

/// What waits and was not answered from here.
fn waiting(model: &Model) -> Vec<&Need> {
    let needs = model.store.documents.needs().iter();
    needs.filter(|need| !model.answered.contains_key(&need.record.proposal.digest)).collect()
}

/// How the titles of many requests begin.
const HEAD: &str = "Design an experiment: ";

/// The title of a request in so many columns: where they are few, without the words that many begin with.
pub fn brief(title: &str, columns: u16) -> &str {
    title.strip_prefix(HEAD).filter(|rest| columns < 60 && !rest.trim().is_empty()).unwrap_or(title)
}

/// All that waits, with the one that is shown marked: each on two rows, so that its title can be read.
fn list(frame: &mut Frame<'_>, area: Rect, model: &Model, waiting: &[&Need], at: Option<usize>) {
    let first = (at.unwrap_or(0) + 1).saturating_sub(usize::from(area.height / 2));
    let mut rows = crate::tui::draw::rows(area);
    for (index, need) in waiting.iter().enumerate().skip(first) {
        let (Some(head), Some(below)) = (rows.next(), rows.next()) else { break };
        let proposal = &need.record.proposal;
        let left = need.record.expires_at.map(|at| text::left(at, model.now.wall)).unwrap_or_default();
        let is_shown = at == Some(index);
        let role = if proposal.class == RiskClass::Outward { Role::Danger } else { Role::Warn };
        let mut pieces = vec![
            Piece::new(Role::Accent, if is_shown { "▸ " } else { "  " }),
            Piece::new(role, format!("class {} ", u8::from(proposal.class))),
            Piece::new(Role::Muted, format!("{left:>5} ")),
        ];
        pieces.extend(model.store.mode_of(need).map(|mode| text::mode(mode, 11)));
        pieces.push(Piece::new(Role::Source, format!("by {}", sanitize_line(&proposal.proposer, 40))));
        text::draw(frame, head, model, &pieces, is_shown.then_some(Role::Selection));
        let title = sanitize_line(brief(&proposal.title, area.width), 200);
        let words = [Piece::new(if is_shown { Role::Text } else { Role::Muted }, format!("  {title}"))];
        text::draw(frame, below, model, &words, is_shown.then_some(Role::Selection));
    }
}
