//! A request in full: what, why, the risk, the costs, until when, and everything that would happen, with what it changes.
//!
//! Must never leave out a part of what a yes is to, nor show a text that was not made harmless.

use super::edit::difference;
use crate::approvals::facts;
use crate::contracts::messages::{Fact, Intent, RiskClass};
use crate::contracts::money::show_usd;
use crate::contracts::notes::{NoteChange, NoteName};
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::memory::{self, NoteState};
use crate::tui::app::Model;
use crate::tui::draw::text::{self, Piece};
use crate::tui::layers::json;
use crate::tui::store::Need;
use crate::tui::theme::Role;

/// All of it, in lines.
pub fn lines(model: &Model, need: &Need) -> Vec<Vec<Piece>> {
    let proposal = &need.record.proposal;
    let words = |text: &str| sanitize_line(text, usize::MAX);
    let mut lines = vec![vec![Piece::new(Role::Title, words(&proposal.title))], vec![]];
    lines.extend(head(model, need));
    let outreach = super::outreach::lines(&proposal.details);
    let is_told = |name: &str| !outreach.is_empty() && super::outreach::tells(name);
    let rest = proposal.details.iter().filter(|(name, _)| !is_told(name));
    let rest: serde_json::Map<_, _> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
    lines.extend(outreach.iter().cloned());
    let stale: Vec<Vec<Piece>> = proposal.facts.iter().filter_map(|fact| changed(model, fact)).collect();
    if !stale.is_empty() {
        lines.push(vec![]);
        lines.push(vec![Piece::new(Role::Danger, "This has changed since; a yes asks again")]);
        lines.extend(stale);
    }
    for (title, diff) in proposal.intents.iter().filter_map(|intent| change(model, intent)) {
        lines.push(vec![]);
        lines.push(vec![Piece::new(Role::Title, title)]);
        lines.extend(diff);
    }
    lines.push(vec![]);
    lines.push(vec![Piece::new(Role::Title, "What happens on a yes")]);
    lines.extend(pretty(&serde_json::to_string(&proposal.intents).unwrap_or_default()));
    if !rest.is_empty() {
        lines.push(vec![]);
        lines.push(vec![Piece::new(Role::Title, "Details")]);
        lines.extend(pretty(&serde_json::to_string(&rest).unwrap_or_default()));
    }
    if !proposal.facts.is_empty() {
        lines.push(vec![]);
        lines.push(vec![Piece::new(Role::Title, "What it rests on")]);
        lines.extend(pretty(&serde_json::to_string(&proposal.facts).unwrap_or_default()));
    }
    lines
}

/// The fields at the top.
fn head(model: &Model, need: &Need) -> Vec<Vec<Piece>> {
    let record = &need.record;
    let proposal = &record.proposal;
    let words = |text: &str| sanitize_line(text, usize::MAX);
    let mut lines = Vec::new();
    let mut field = |name: &str, role, value: String| {
        lines.push(vec![Piece::new(Role::Muted, text::padded(name, 10)), Piece::new(role, value)]);
    };
    field("why", Role::Text, words(&proposal.reason));
    field("from", Role::Source, format!("{} (trust: {:?})", words(&proposal.proposer), record.trust).to_lowercase());
    let harm = match proposal.class {
        RiskClass::Harmless => "nothing is done outside",
        RiskClass::Internal => "inside the team only",
        RiskClass::Reversible => "can be taken back",
        RiskClass::Outward => "reaches people outside, costs money, or cannot be taken back",
    };
    let role = if proposal.class == RiskClass::Outward { Role::Danger } else { Role::Warn };
    field("risk", role, format!("class {}: {harm}", u8::from(proposal.class)));
    // A request to write to people says it with all else that they would get.
    if let Some(mode) = model.store.mode_of(need).filter(|_| proposal.details.get("mails").is_none()) {
        field("mode", text::mode_role(mode), mode.meaning().to_owned());
    }
    if let Some(because) = &record.asked_because {
        field("asked", Role::Text, words(because));
    }
    let most = proposal.cost_usd.map_or_else(|| "not known".to_owned(), |usd| format!("at most ${usd:.2}"));
    let so_far = model.store.documents.spent_by(&record.envelope.trace.to_string());
    let so_far = so_far.map(|nano| format!("; its chain has cost {} so far", show_usd(nano))).unwrap_or_default();
    field("cost", Role::Text, format!("{most}{so_far}"));
    if let Some(at) = record.expires_at {
        let left = text::left(at, model.now.wall);
        field("deadline", Role::Text, format!("in {left} ({}); no answer means no", text::date_time(at, model)));
    }
    for change in &record.changed {
        let json = serde_json::to_string(change).unwrap_or_default();
        field("changed", Role::Warn, words(&json));
    }
    lines
}

/// A fact that no longer holds, as far as the room knows.
fn changed(model: &Model, fact: &Fact) -> Option<Vec<Piece>> {
    let documents = &model.store.documents;
    // What is not read cannot be compared.
    if !documents.knows(&fact.key) {
        return None;
    }
    let now = facts::text(documents.get(&fact.key), fact.field.as_deref());
    let shown = |text: &Option<String>| {
        text.as_ref().map_or_else(|| "nothing".to_owned(), |text| format!("`{}`", sanitize_line(text, 120)))
    };
    let place = sanitize_line(&format!("{} {}", fact.key, fact.field.as_deref().unwrap_or_default()), 100);
    (now != fact.was)
        .then(|| vec![Piece::new(Role::Warn, format!("{place}: was {}, is {} now", shown(&fact.was), shown(&now)))])
}

/// What an intent changes in something that is there, with a title.
fn change(model: &Model, intent: &Intent) -> Option<(String, Vec<Vec<Piece>>)> {
    match intent {
        Intent::Note { name, change } => {
            let (words, diff) = note(model, *name, change);
            Some((format!("The note {name} changes{words}"), diff))
        }
        Intent::Set { key, fields } => {
            let document = model.store.documents.document(key);
            let mut diff = Vec::new();
            for (field, new) in fields {
                let old = document.and_then(|it| it.get(field)).unwrap_or_default();
                diff.push(vec![Piece::new(Role::Name, sanitize_line(field, 60))]);
                diff.extend(difference(&laid_out(old), &laid_out(new)));
            }
            Some((format!("{} changes", sanitize_line(key, 80)), diff))
        }
        Intent::Step { experiment_id, event } => {
            let state = model.store.documents.document(&format!("experiments:{experiment_id}"));
            let state = state.and_then(|it| it.get("state")).unwrap_or("unknown");
            let (id, state) = (sanitize_line(experiment_id, 60), sanitize_line(state, 20));
            Some((format!("{id} takes the step `{event}`; it is {state} now"), Vec::new()))
        }
        Intent::Say { .. } => None,
    }
}

/// How a note changes as it is now, and what there is to say about that.
fn note(model: &Model, name: NoteName, change: &NoteChange) -> (String, Vec<Vec<Piece>>) {
    let document = model.store.documents.document(&format!("notes:{name}"));
    let state = document.map_or_else(|| NoteState::empty(name), |document| NoteState::of(name, document.clone()));
    if let NoteChange::Rewrite { text, base } = change {
        let words = if *base == state.version {
            String::new()
        } else {
            format!(" (written from version {base}, it is at {} now: a yes merges both)", state.version)
        };
        return (words, difference(&state.text, text));
    }
    match memory::apply(change, &state, model.now.wall) {
        Ok(edit) => (String::new(), difference(&state.text, edit.text())),
        Err(err) => (String::new(), vec![vec![Piece::new(Role::Danger, sanitize_line(&err.to_string(), usize::MAX))]]),
    }
}

/// JSON in lines, so that what differs can be seen; other texts as they are.
fn laid_out(text: &str) -> String {
    let is_nested = text.trim_start().starts_with(['{', '[']);
    let value = is_nested.then(|| serde_json::from_str::<serde_json::Value>(text).ok()).flatten();
    value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| text.to_owned())
}

fn pretty(text: &str) -> Vec<Vec<Piece>> {
    json::lines(text).unwrap_or_else(|| {
        sanitize(text, usize::MAX).lines().map(|line| vec![Piece::new(Role::Value, line.to_owned())]).collect()
    })
}
