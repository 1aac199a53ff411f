//! What an experiment taught, told by code: its hypothesis, its verdict, the criteria that gave it with how sure each is, and its numbers.
//!
//! Must never call anything learned that was not decided, and always says what was only simulated.

use super::judgement::{Judged, Outcome};
use crate::bus::Document;
use crate::contracts::messages::Direction;
use crate::contracts::notes::NoteChange;
use crate::contracts::untrusted::sanitize_line;

/// Characters of a hypothesis in a headline.
const HYPOTHESIS_LIMIT: usize = 160;
/// Counters that are named, and criteria.
const COUNTERS: usize = 8;
const CRITERIA: usize = 8;

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
    let verdict = experiment.get("verdict")?.trim();
    let (said, direction) = match verdict {
        "succeeded" => ("Works", Direction::Success),
        "failing" | "failed" => ("Does not work", Direction::Failure),
        _ => return None,
    };
    let mode = experiment.get("mode").unwrap_or("dry_run");
    let prefix = match mode {
        "live" => "",
        "simulation" => "In a simulation: ",
        _ => return None,
    };
    let hypothesis = sanitize_line(experiment.get("hypothesis")?, HYPOTHESIS_LIMIT);
    let mut evidence = reasons(experiment, numbers, direction);
    evidence.extend(numbers.and_then(counted));
    Some(Learned { headline: format!("{prefix}{said}: {hypothesis}"), evidence })
}

/// The criteria that are known, with how sure each is: those that gave the verdict first. And how its variants compare.
fn reasons(experiment: &Document, numbers: Option<&Document>, direction: Direction) -> Vec<String> {
    let read = |document: &Document| serde_json::from_str::<Outcome>(document.get("verdict_json")?).ok();
    // The numbers' own is newer: the experiment has it as it was when the verdict changed.
    let agrees = |outcome: &Outcome| {
        let holds = |judged: &Judged| judged.direction == direction && judged.holds == Some(true);
        outcome.criteria.iter().any(holds)
    };
    let Some(outcome) = numbers.and_then(read).filter(agrees).or_else(|| read(experiment)) else { return Vec::new() };
    let gave_it = |judged: &&Judged| (judged.direction == direction, judged.holds == Some(true));
    let mut known: Vec<&Judged> = outcome.criteria.iter().filter(|judged| judged.holds.is_some()).collect();
    known.sort_by_key(|judged| std::cmp::Reverse(gave_it(judged)));
    let line = |judged: &Judged| format!("`{}`: {}", sanitize_line(&judged.criterion, 160), judged.words());
    let variants = outcome.variants.as_ref().map(|variants| format!("Variants by {}", variants.words()));
    known.into_iter().take(CRITERIA).map(line).chain(variants).collect()
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
    fn it_names_the_criterion_that_decided_it_and_how_sure_that_is() {
        let evidence = |sure: f64, sure_not: f64, proven: bool| {
            serde_json::json!({ "k": 3, "n": 400, "settled": 400, "low": 0.002, "high": 0.019, "sure": sure, "sure_not": sure_not,
                "proven": proven })
        };
        let outcome = serde_json::json!({
            "verdict": "failing", "at": "2026-03-01T00:00:00Z",
            "criteria": [
                { "criterion": "reply_rate >= 8%", "direction": "success", "holds": false, "value": 0.0075, "evidence": evidence(0.0, 0.999, false) },
                { "criterion": "meetings_booked >= 3", "direction": "success", "why": "nobody said it" },
                { "criterion": "bounce_rate > 8%", "direction": "failure", "holds": false, "value": 0.0075, "evidence": evidence(0.0, 0.98, false) },
                { "criterion": "reply_rate < 2%", "direction": "failure", "holds": true, "value": 0.0075, "evidence": evidence(0.978, 0.0, true) },
            ],
            "variants": { "metric": "reply_rate", "sure": 0.6, "decided": false, "arms": [
                { "name": "b", "k": 2, "n": 200, "low": 0.0, "high": 0.1 }, { "name": "a", "k": 1, "n": 200, "low": 0.0, "high": 0.1 },
            ] },
        });
        let fields = [("verdict", "failing"), ("mode", "live"), ("hypothesis", "CTOs answer a short mail")];
        let with = |json: &str| {
            let mut fields = fields.to_vec();
            fields.push(("verdict_json", json));
            document(&fields)
        };
        let text = outcome.to_string();
        let wanted = [
            "`reply_rate < 2%`: 3 of 400, 0.8 % (0.2–1.9 %), fails: 97 % sure",
            "`bounce_rate > 8%`: 3 of 400, 0.8 % (0.2–1.9 %), does not fail: 98 % sure",
            "`reply_rate >= 8%`: 3 of 400, 0.8 % (0.2–1.9 %), does not work: 99.9 % sure",
            "Variants by reply_rate: b 1.0 % (2 of 200), a 0.5 % (1 of 200): undecided: b is better, 60 % sure",
        ];
        assert_eq!(learned(&with(&text), None).unwrap().evidence, wanted);
        // What the numbers say by now counts, not what they said when the verdict changed.
        let numbers = document(&[("verdict_json", text.as_str()), ("events.email_sent", "400")]);
        let found = learned(&with(&text.replace("400", "100")), Some(&numbers)).unwrap().evidence;
        assert_eq!(found[..4], wanted);
        assert_eq!(found[4], "Counted: 400 email sent");
        // Nor what is of another verdict.
        let numbers = document(&[("verdict_json", &text.replace(r#""holds":true"#, r#""holds":false"#))]);
        assert_eq!(learned(&with(&text), Some(&numbers)).unwrap().evidence, wanted);
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
