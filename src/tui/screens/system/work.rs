//! Work: what waits for whom, and what could not be handled.

use super::super::content::{Entry, Target};
use super::entry;
use crate::bus::{ChannelInfo, EntryId, GroupInfo};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelName, ServiceName};
use crate::tui::app::Model;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::system::Letter;
use crate::tui::theme::Role;

/// A consumer that gave no sign of life for so many seconds does not run.
const SILENT: u64 = 10;

/// The groups of every channel, and the services that have none though messages wait for them.
pub fn groups(model: &Model) -> Vec<Entry> {
    let mut lines = Vec::new();
    for info in model.store.system.channels() {
        lines.extend(info.groups.iter().map(|found| group(model, info, found)));
        let missing = info
            .channel
            .route()
            .groups
            .iter()
            .filter(|service| info.length > 0 && !info.groups.iter().any(|group| group.group == service.as_str()));
        lines.extend(missing.map(|service| unread(info, *service)));
    }
    lines
}

fn name(info: &ChannelInfo, group: &str) -> Vec<Piece> {
    let mark = if group.parse::<ServiceName>().is_ok_and(ServiceName::is_built) { "" } else { "*" };
    vec![
        Piece::new(Role::Channel, text::padded(info.channel.short(), 19)),
        Piece::new(Role::Source, text::padded(&format!("{}{mark}", sanitize_line(group, 20)), 13)),
    ]
}

fn group(model: &Model, info: &ChannelInfo, group: &GroupInfo) -> Entry {
    let mut pieces = name(info, &group.group);
    let counted = |name: &str, count: Option<u64>| {
        let role = if count.is_some_and(|count| count > 0) { Role::Warn } else { Role::Muted };
        let count = count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        Piece::new(role, format!("{name} {count:<3} "))
    };
    pieces.push(counted("lag", group.lag));
    pieces.push(counted("pending", Some(group.pending)));
    if let Some(oldest) = group.oldest_pending {
        pieces.push(Piece::new(Role::Warn, format!("oldest {}  ", text::ago(oldest.at(), model.now.wall))));
    }
    pieces.push(match group.idle.map(|idle| idle.as_secs()) {
        None => Piece::new(Role::Warn, "nobody ever read".to_owned()),
        Some(idle) if idle >= SILENT => Piece::new(Role::Warn, format!("nobody reads since {}", text::short(idle))),
        Some(_) => Piece::new(Role::Ok, format!("{} reading", group.consumers.len())),
    });
    entry(format!("{} {}", info.channel, group.group), pieces)
}

/// A service that has not come yet, with what waits for it.
fn unread(info: &ChannelInfo, service: ServiceName) -> Entry {
    let mut pieces = name(info, service.as_str());
    let why = if service.is_built() { "has never run here" } else { "is not in this version" };
    pieces.push(Piece::new(Role::Muted, format!("{} wait; it {why}", info.length)));
    entry(format!("{} {service}", info.channel), pieces)
}

/// What became of a letter: none while nothing was done about it.
fn mark(model: &Model, id: EntryId) -> Option<String> {
    let mark = model.store.documents.document(&format!("dead_letters:{id}"))?;
    let word = |field| mark.get(field).map(|text| sanitize_line(text, 40)).unwrap_or_default();
    Some(format!("{} by {}", word("state"), word("by")))
}

/// How many letters nothing was done about.
pub fn open_letters(model: &Model) -> usize {
    model.store.system.letters().filter(|letter| mark(model, letter.id).is_none()).count()
}

/// The letters that nothing was done about, the newest first; then the others.
pub fn letters(model: &Model) -> Vec<Entry> {
    let all = model.store.system.letters().map(|letter| (letter, mark(model, letter.id)));
    let (open, done): (Vec<_>, Vec<_>) = all.partition(|(_, mark)| mark.is_none());
    open.into_iter().chain(done).map(|(letter, mark)| line(model, letter, mark)).collect()
}

fn line(model: &Model, letter: &Letter, mark: Option<String>) -> Entry {
    let is_open = mark.is_none();
    let role = |role| if is_open { role } else { Role::Muted };
    let mut pieces = vec![
        Piece::new(role(Role::Danger), if is_open { "▼ " } else { "· " }),
        Piece::new(Role::Muted, format!("{} ", text::when(letter.id.at(), model))),
        Piece::new(role(Role::Channel), format!("{} ", letter.channel)),
        Piece::new(role(Role::Name), format!("{} ", letter.kind)),
    ];
    if let Some(mark) = mark {
        pieces.push(Piece::new(Role::Muted, format!("{mark} · ")));
    }
    pieces.push(Piece::new(role(Role::Text), letter.reason.clone()));
    let tried = format!(" · {} after {} by {}", letter.code, letter.attempts, letter.group);
    pieces.push(Piece::new(Role::Muted, tried));
    Entry { id: letter.id.to_string(), pieces, target: Some(Target::Entry(ChannelName::DeadLetter, letter.id)) }
}
