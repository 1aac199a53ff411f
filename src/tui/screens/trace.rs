//! Trace: one chain from the first message to what was learned, as a tree; beside it the step that is selected, whole.
//!
//! Owns where its two panes stand and how a step is shown. What belongs to a chain, and what hangs on what, is [`crate::tui::store::chain`].

use ratatui::layout::{Constraint, Layout, Rect};

use super::Pane;
use super::content::{Entry, Target};
use crate::contracts::money::show_usd;
use crate::tui::app::Model;
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::layers::detail;
use crate::tui::store::Chain;
use crate::tui::store::chain::tree::{self, Step, Total, What};
use crate::tui::theme::Role;

/// The line above the steps: all of them together.
const NOW: &str = "now";
/// From so many columns on the step stands beside the tree.
const WIDE: u16 = 110;

/// Where its panes stand.
pub fn panes(area: Rect) -> Vec<(Pane, Rect)> {
    let parts = [Constraint::Fill(3), Constraint::Fill(2)];
    let [chain, step] =
        if area.width >= WIDE { Layout::horizontal(parts).areas(area) } else { Layout::vertical(parts).areas(area) };
    vec![(Pane::Chain, chain), (Pane::Step, step)]
}

/// The title of the tree: which chain, how long, what it cost.
pub fn title(model: &Model) -> String {
    let Some(chain) = &model.store.chain else { return "Trace".to_owned() };
    let id = chain.trace().to_string();
    let end = id.get(id.len().saturating_sub(8)..).unwrap_or_default();
    let reading = if chain.is_read() { "" } else { " · reading the streams" };
    format!("Trace …{end} · {}{reading}", tree::head(&chain.tree().total))
}

/// The steps as lines, below one on all of them.
pub fn steps(model: &Model, width: u16) -> Vec<Entry> {
    let Some(chain) = &model.store.chain else { return Vec::new() };
    let tree = chain.tree();
    let words = tree.total.now.join(" · ");
    let lacking = if tree.total.missing.is_empty() { String::new() } else { "incomplete · ".to_owned() };
    let now = Entry {
        id: NOW.to_owned(),
        pieces: vec![
            Piece::new(Role::Accent, "now      "),
            Piece::new(Role::Warn, lacking),
            Piece::new(Role::Text, words),
        ],
        target: None,
    };
    std::iter::once(now).chain(tree.steps.iter().map(|step| line(model, step, width))).collect()
}

fn line(model: &Model, step: &Step, width: u16) -> Entry {
    let took = step.took.map(|took| format!("+{} ", tree::length(took)).replace("+-", "-")).unwrap_or_default();
    let who = if step.is_person { format!("@{} ", step.actor) } else { format!("{} ", step.actor) };
    let mut pieces = vec![
        Piece::new(Role::Muted, format!("{} ", text::time(step.at, model))),
        Piece::new(Role::Muted, tree::guides(step, model.about.is_plain)),
        Piece::new(if step.is_person { Role::Accent } else { Role::Source }, who),
        Piece::new(
            if matches!(step.what, What::Decision(_)) { Role::Title } else { Role::Channel },
            format!("{}{} ", if matches!(step.what, What::Decision(_)) { "→ " } else { "" }, step.name),
        ),
        Piece::new(Role::Muted, took),
    ];
    if let Some(nano) = step.nano.filter(|nano| *nano > 0) {
        pieces.push(Piece::new(Role::Value, format!("{} ", show_usd(nano))));
    }
    if let Some(mode) = step.mode {
        pieces.push(text::mode(mode, if width >= WIDE { 11 } else { 5 }));
    }
    if let Some(mark) = step.mark() {
        pieces.push(Piece::new(Role::Warn, format!("[{mark}] ")));
    }
    if width >= 60 || step.depth < 6 {
        pieces.push(Piece::new(Role::Text, step.words.clone()));
    }
    Entry { id: step.id.clone(), pieces, target: Some(target(step)) }
}

fn target(step: &Step) -> Target {
    match &step.what {
        What::Message(row) => Target::Message(row.clone()),
        What::Decision(key) => Target::Document(key.clone()),
    }
}

/// The step that is selected; none where it is the line on all of them.
fn selected<'a>(model: &Model, chain: &'a Chain) -> Option<&'a Step> {
    let state = model.lists.get(&Pane::Chain)?;
    let id = state.entry_id()?;
    chain.tree().steps.iter().find(|step| step.id == id)
}

/// The selected step, whole; or all of them in numbers.
pub fn step(model: &Model, width: u16) -> Vec<Entry> {
    let Some(chain) = &model.store.chain else { return Vec::new() };
    let (lines, target) = match selected(model, chain) {
        Some(step) => {
            let target = target(step);
            let mut lines = vec![of_step(model, step, &chain.tree().steps)];
            let mut whole = detail::lines(model, &target);
            // What was said is read first; how it was sent comes below.
            if matches!(target, Target::Message(_)) {
                let gap = whole.iter().position(Vec::is_empty).unwrap_or(0);
                whole.rotate_left(gap);
            }
            lines.extend(whole);
            (lines, Some(target))
        }
        None => (in_numbers(model, &chain.tree().total), None),
    };
    let rows = lines.iter().flat_map(|line| popup::broken(line, width));
    rows.enumerate().map(|(at, pieces)| Entry { id: at.to_string(), pieces, target: target.clone() }).collect()
}

/// What the tree knows of a step, in a sentence.
fn of_step(model: &Model, step: &Step, steps: &[Step]) -> Vec<Piece> {
    let who = if step.is_person { format!("{} (a person)", step.actor) } else { step.actor.clone() };
    let after = step.parent.and_then(|at| steps.get(at)).zip(step.took).map(|(parent, took)| {
        if took < chrono::TimeDelta::zero() {
            format!(", {} before {} (clocks differ)", tree::length(-took), parent.name)
        } else {
            format!(", {} after {}", tree::length(took), parent.name)
        }
    });
    let cost = step.nano.map(|nano| format!(", for {}", show_usd(nano))).unwrap_or_default();
    let mark = step.mark().map(|mark| format!(" [{mark}]")).unwrap_or_default();
    let at = text::date_time(step.at, model);
    vec![
        Piece::new(Role::Accent, format!("{} ", step.name)),
        Piece::new(Role::Text, format!("by {who} at {at}{}{cost}{mark}", after.unwrap_or_default())),
    ]
}

fn in_numbers(model: &Model, total: &Total) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    let mut field = |name: &str, role: Role, value: String| {
        lines.push(vec![Piece::new(Role::Muted, text::padded(name, 9)), Piece::new(role, value)]);
    };
    for (at, words) in total.now.iter().enumerate() {
        field(if at == 0 { "now" } else { "" }, Role::Accent, words.clone());
    }
    field("steps", Role::Text, total.steps.to_string());
    if let Some((first, last)) = total.span {
        field("from", Role::Text, text::date_time(first, model));
        field("to", Role::Text, format!("{}, {} later", text::date_time(last, model), tree::length(last - first)));
    }
    field("cost", Role::Text, show_usd(total.nano));
    field("actors", Role::Text, total.actors.join(", "));
    for (at, words) in total.missing.iter().enumerate() {
        field(if at == 0 { "missing" } else { "" }, Role::Warn, words.clone());
    }
    lines
}
