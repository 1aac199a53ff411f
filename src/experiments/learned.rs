//! What an experiment taught, told by code: its hypothesis, its verdict and its numbers.
//!
//! Must never call anything learned that was not decided, and always says what was only simulated.

use serde_json::Value;

use crate::bus::Document;
use crate::contracts::notes::NoteChange;
use crate::contracts::untrusted::sanitize_line;

/// Characters of a hypothesis in a headline.
const HYPOTHESIS_LIMIT: usize = 160;
/// Counters that are named.
const COUNTERS: usize = 8;

/// A learning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// In a line.
    pub headline: String,
    /// What it rests on.
    pub evidence: Vec<String>,
}

impl Learned {
    /// As a change of the note.
    pub fn change(self, experiment: &str) -> NoteChange {
        NoteChange::Learn {
            headline: self.headline,
            evidence: self.evidence,
            experiment_id: Some(experiment.to_owned()),
        }
    }
}

/// What an experiment's document and its numbers teach; none where nothing is decided, or nobody was reached.
pub fn learned(experiment: &Document, numbers: Option<&Document>) -> Option<Learned> {
    let said = match experiment.get("verdict")?.trim() {
        "succeeded" => "Works",
        "failing" | "failed" => "Does not work",
        _ => return None,
    };
    let mode = experiment.get("mode").unwrap_or("dry_run");
    let prefix = match mode {
        "live" => "",
        "simulation" => "In a simulation: ",
        _ => return None,
    };
    let hypothesis = sanitize_line(experiment.get("hypothesis")?, HYPOTHESIS_LIMIT);
    let mut evidence = Vec::new();
    if let Some(line) = numbers.and_then(counted) {
        evidence.push(line);
    }
    evidence.extend(reasons(experiment));
    Some(Learned { headline: format!("{prefix}{said}: {hypothesis}"), evidence })
}

/// What was counted, the most first.
fn counted(numbers: &Document) -> Option<String> {
    let own = ["run_started", "run_completed", "items_processed", "error"];
    let mut counts: Vec<(&str, u64)> = numbers
        .fields
        .iter()
        .filter_map(|(name, text)| Some((name.strip_prefix("events.")?, text.parse().ok()?)))
        .filter(|(name, _)| !name.contains('@') && !own.contains(name))
        .collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let words: Vec<String> = counts
        .iter()
        .take(COUNTERS)
        .map(|(name, count)| format!("{count} {}", sanitize_line(name, 40).replace('_', " ")))
        .collect();
    (!words.is_empty()).then(|| format!("Counted: {}", words.join(", ")))
}

/// The reasons of the verdict, where whoever gave it wrote them as texts.
fn reasons(experiment: &Document) -> Vec<String> {
    let Some(Value::Object(details)) = experiment.get("verdict_json").and_then(|text| serde_json::from_str(text).ok())
    else {
        return Vec::new();
    };
    let lists = details.values().filter_map(Value::as_array).flatten();
    let text = |it: &Value| {
        let fields = ["text", "summary", "words"].iter().find_map(|name| it.get(*name)?.as_str());
        it.as_str().or(fields).map(|text| sanitize_line(text, 200))
    };
    lists.filter_map(text).take(COUNTERS).collect()
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    fn document(fields: &[(&str, &str)]) -> Document {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Document { version: 1, fields }
    }

    #[test]
    fn what_was_decided_is_told_with_its_numbers() {
        let experiment = [("verdict", "failing"), ("mode", "live"), ("hypothesis", "CTOs answer a short mail")];
        let numbers = document(&[
            ("events.email_sent", "40"),
            ("events.reply", "1"),
            ("events.reply@a", "1"),
            ("events.run_started", "2"),
        ]);
        let found = learned(&document(&experiment), Some(&numbers)).unwrap();
        assert_eq!(found.headline, "Does not work: CTOs answer a short mail");
        assert_eq!(found.evidence, ["Counted: 40 email sent, 1 reply"]);
    }

    #[test]
    fn what_is_open_or_reached_nobody_teaches_nothing_and_a_simulation_is_called_one() {
        let told = |verdict, mode| {
            let experiment = document(&[("verdict", verdict), ("mode", mode), ("hypothesis", "h")]);
            learned(&experiment, None).map(|learned| learned.headline)
        };
        assert_eq!(told("undecided", "live"), None);
        assert_eq!(told("succeeded", "dry_run"), None);
        assert_eq!(told("succeeded", "simulation").as_deref(), Some("In a simulation: Works: h"));
    }
}
