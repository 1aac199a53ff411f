//! What is wrong with the notes: missing, empty, too long, or with something in them that looks like a secret.
//!
//! Owns the judgement. Must never repeat the secret that it found.

use super::TeamContext;
use super::note::NOTE_LIMIT;
use crate::bus::{Finding, Level};
use crate::contracts::notes::NoteName;
use crate::telemetry::redact;

/// From this many bytes on a note makes every decision slow and dear: about 12,000 tokens.
const LONG: usize = 48 * 1024;

/// What is wrong with what a decision would be made from.
pub fn findings(team: &TeamContext) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, note) in [
        (NoteName::ProductContext, &team.product),
        (NoteName::Worklist, &team.worklist),
        (NoteName::Learnings, &team.learnings),
    ] {
        let (text, mut say) =
            (&note.text, |level, what: String, fix: String| findings.push(Finding { level, what, fix }));
        let edit = format!("`fullsend notes edit {name}`");
        if text.trim().is_empty() {
            let level = if name == NoteName::ProductContext { Level::Error } else { Level::Warning };
            let what = if note.version == 0 { "missing" } else { "empty" };
            let fix = if name == NoteName::ProductContext {
                "Say what is being sold"
            } else {
                "The team fills it as it works"
            };
            let what = match name {
                NoteName::Learnings => "there are no learnings yet".to_owned(),
                NoteName::ProductContext | NoteName::Worklist => format!("the {name} is {what}"),
            };
            say(level, what, format!("{fix}: {edit}"));
        }
        if text.len() > NOTE_LIMIT {
            say(
                Level::Error,
                format!("the {name} has {} bytes; at most {NOTE_LIMIT} are kept", text.len()),
                format!("Shorten it: {edit}"),
            );
        } else if text.len() > LONG {
            let what = format!("the {name} has {} KiB, which every decision reads", text.len() / 1024);
            say(Level::Warning, what, format!("Take out what nobody needs any more: {edit}. It stays in the history"));
        }
        if let Some(line) = secret(text) {
            let what = format!("line {line} of the {name} looks as if a secret was pasted into it; models read it");
            say(
                Level::Error,
                what,
                format!("Take it out: {edit}. It stays in the history, so let its maker revoke it"),
            );
        }
        if text.contains(crate::memory::TEMPLATE_MARK) {
            say(Level::Warning, format!("the {name} is still the template"), format!("Fill it in: {edit}"));
        }
    }
    findings.extend(team.warnings.iter().filter(|text| text.contains('`')).map(|what| Finding {
        level: Level::Warning,
        what: what.clone(),
        fix: "Look at the key, then rename or delete it".to_owned(),
    }));
    findings
}

/// The first line that looks like it holds a secret, counted from 1.
fn secret(text: &str) -> Option<usize> {
    text.lines().position(|line| redact::patterns(line) != line).map(|at| at + 1)
}
