//! Being told: when something waits that did not, or an alert is critical, whoever looks elsewhere hears of it.
//!
//! Owns what was told already. Must never tell the same twice, nor what was there when the room was opened: that is on the screen.

use std::collections::{BTreeSet, VecDeque};

use super::{Effect, Model};
use crate::contracts::untrusted::sanitize_line;
use crate::tui::store::Item;
use crate::tui::store::alerts::Standing;

/// Characters of what is told.
const WORDS_LIMIT: usize = 120;
/// Requests that are remembered.
const MOST: usize = 500;

/// Which ways of telling the person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// The terminal's bell.
    pub bell: bool,
    /// A notification of the terminal (OSC 9).
    pub notification: bool,
    /// The title of its window.
    pub title: bool,
}

/// What was told already.
#[derive(Debug, Default)]
pub struct Told {
    /// How many requests wait; none before they were read.
    waiting: Option<usize>,
    /// Digests of requests that were told or seen, the newest last.
    requests: VecDeque<String>,
    /// Alerts that are not over, and were told or seen.
    alerts: BTreeSet<String>,
    has_alerts: bool,
    title: String,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// Something happened; the words are harmless.
    News(String),
    /// The window has this title now; harmless.
    Title(String),
}

/// Looks what an item changed that is worth telling. It was applied already.
pub(super) fn look(model: &mut Model, about: &Changed) -> Vec<Effect> {
    let news = match about {
        Changed::Requests => requests(model),
        Changed::Alerts => alerts(model),
        Changed::Nothing => return Vec::new(),
    };
    let ways = model.about.ways;
    let wants_news = ways.bell || ways.notification;
    let mut effects: Vec<Effect> =
        news.filter(|_| wants_news).map(|words| Effect::Tell(Telling::News(words))).into_iter().collect();
    let title = title(model);
    if ways.title && model.told.title != title {
        model.told.title.clone_from(&title);
        effects.push(Effect::Tell(Telling::Title(title)));
    }
    effects
}

/// What an item may have changed.
pub(super) enum Changed {
    Requests,
    Alerts,
    Nothing,
}

impl Changed {
    pub(super) fn by(item: &Item) -> Self {
        let key = match item {
            Item::Document { key, .. } => key.as_str(),
            Item::Documents { prefix, .. } => prefix.as_str(),
            _ => return Self::Nothing,
        };
        if key.starts_with("approvals:") {
            Self::Requests
        } else if key.starts_with("alerts:") {
            Self::Alerts
        } else {
            Self::Nothing
        }
    }
}

/// The first request that waits, where nothing did and it was not told before.
fn requests(model: &mut Model) -> Option<String> {
    let needs = model.store.documents.needs();
    let told = &mut model.told;
    // Whoever was asked about one thing sees the next one beside it.
    let was_none = told.waiting.replace(needs.len()) == Some(0);
    let digests = needs.iter().map(|need| &need.record.proposal.digest);
    let new: Vec<String> = digests.filter(|digest| !told.requests.contains(digest)).cloned().collect();
    let is_new = !new.is_empty();
    told.requests.extend(new);
    told.requests.drain(..told.requests.len().saturating_sub(MOST));
    if !(was_none && is_new) {
        return None;
    }
    let title = &needs.first()?.record.proposal.title;
    Some(sanitize_line(&format!("Fullsend needs you: {title}"), WORDS_LIMIT))
}

/// A critical alert that was not told before.
fn alerts(model: &mut Model) -> Option<String> {
    let open = model.store.alerts.open();
    let critical = open.iter().filter(|alert| alert.severity == "critical" && alert.standing == Standing::Triggered);
    let is_known = std::mem::replace(&mut model.told.has_alerts, true);
    let new = critical.clone().find(|alert| !model.told.alerts.contains(&alert.id));
    let words = new.filter(|_| is_known).map(|alert| format!("Fullsend alert: {}", alert.message));
    // One that was acknowledged, or fell below the line for a moment, is the same until it is over.
    let still: BTreeSet<String> = open.iter().map(|alert| alert.id.clone()).collect();
    let critical: Vec<String> = critical.map(|alert| alert.id.clone()).collect();
    model.told.alerts.retain(|id| still.contains(id));
    model.told.alerts.extend(critical);
    words.map(|words| sanitize_line(&words, WORDS_LIMIT))
}

/// The title that the window should have, where it was told one: a terminal that somebody else had does not know it any more.
pub fn again(model: &Model) -> Option<Telling> {
    let title = &model.told.title;
    (!title.is_empty()).then(|| Telling::Title(title.clone()))
}

fn title(model: &Model) -> String {
    let count = model.store.documents.needs().len();
    let workspace = sanitize_line(&model.about.workspace, 40);
    let name = if workspace.is_empty() { "fullsend".to_owned() } else { format!("fullsend {workspace}") };
    if count == 0 { name } else { format!("({count}) {name}") }
}
