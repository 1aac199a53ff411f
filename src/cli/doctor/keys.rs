//! Keys: whether each holds what belongs there.
//!
//! Must never touch one: it may be somebody else's.

use futures::StreamExt;
use futures::stream;

use super::{Area, Report};
use crate::bus::{BusError, Key, Level, SharedBus};
use crate::contracts::keys::{Family, family_of};
use crate::contracts::untrusted::sanitize_line;

/// Keys of one page.
const PAGE: usize = 500;
/// Keys looked at at the same time.
const AT_ONCE: usize = 32;
/// Findings of one kind; beyond that they are counted.
const NAMED: usize = 20;

/// What to do about a key of a foreign type.
pub(super) fn fix(key: &str) -> String {
    format!("Look at it, then rename or delete it: `redis-cli TYPE '{}'`", sanitize_line(key, 200))
}

/// Keys that are not as they should be.
#[derive(Default)]
struct Odd {
    /// Of a wrong type: key, family, what it holds.
    foreign: Vec<(Key, &'static Family, String)>,
    /// That could not be read, and why.
    unreadable: Vec<(Key, String)>,
    /// Of no family of ours.
    unknown: u64,
    example: Option<Key>,
}

/// Looks at every key.
pub(super) async fn look(bus: &SharedBus, report: &mut Report) {
    let mut odd = Odd::default();
    let mut cursor = None;
    loop {
        let (keys, next) = match bus.scan("", cursor, PAGE).await {
            Ok(page) => page,
            Err(err) => return report.failed(Area::Keys, "the keys", &err),
        };
        report.keys += keys.len() as u64;
        let known = keys.into_iter().filter_map(|key| odd.family(key));
        let mut found = stream::iter(known.collect::<Vec<_>>())
            .map(|(key, family)| async move { (bus.get(&key).await, key, family) })
            .buffer_unordered(AT_ONCE);
        while let Some((found, key, family)) = found.next().await {
            match found {
                Ok(None) => {}
                Ok(Some(state)) if state.type_name() == family.kind.as_str() => {}
                Ok(Some(state)) => odd.foreign.push((key, family, state.type_name().to_owned())),
                Err(BusError::ForeignType { found, .. }) if found == family.kind.as_str() => {}
                Err(BusError::ForeignType { found, .. }) => odd.foreign.push((key, family, found)),
                Err(err) if err.is_passing() => return report.failed(Area::Keys, "the keys", &err),
                Err(err) => odd.unreadable.push((key, err.to_string())),
            }
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    odd.tell(report);
}

impl Odd {
    /// The family of a key; one without is counted.
    fn family(&mut self, key: Key) -> Option<(Key, &'static Family)> {
        if let Some(family) = family_of(key.as_str()) {
            return Some((key, family));
        }
        self.unknown += 1;
        self.example.get_or_insert(key);
        None
    }

    fn tell(mut self, report: &mut Report) {
        self.foreign.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, family, found) in self.foreign.iter().take(NAMED) {
            let what = format!(
                "`{}` holds a {found}, and a {} belongs there ({}); what needs it fails",
                sanitize_line(key.as_str(), 200),
                family.kind.as_str(),
                family.about
            );
            report.add(Area::Keys, Level::Error, what, fix(key.as_str()));
        }
        let more = self.foreign.len().saturating_sub(NAMED);
        if more > 0 {
            report.add(
                Area::Keys,
                Level::Error,
                format!("{more} more keys hold a wrong type"),
                "Mend those above, and look again",
            );
        }
        for (key, reason) in self.unreadable.iter().take(NAMED) {
            let what = format!("`{}` cannot be read: {}", sanitize_line(key.as_str(), 200), sanitize_line(reason, 200));
            report.add(Area::Keys, Level::Warning, what, fix(key.as_str()));
        }
        if let Some(example) = self.example {
            report.add(
                Area::Keys,
                Level::Note,
                format!(
                    "{} keys are of no kind that this program knows, such as `{}`",
                    self.unknown,
                    sanitize_line(example.as_str(), 80)
                ),
                "Nothing has to be done; `--prefix` keeps programs on one server apart",
            );
        }
    }
}
