//! What the answers are worth, for people.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::output::Output;
use crate::llm::eval::{Judged, Tally};

const HEADINGS: [&str; 5] = ["", "ANSWERS", "RIGHT", "SHARE", "HARMFUL"];

/// Prints the sums, the harmful answers, and with `misses` the wrong ones.
pub(super) fn print(out: &Output, judged: &[Judged], misses: bool) -> color_eyre::Result<()> {
    let all = Tally::of(judged);
    let mut rows = vec![row("all", &all)];
    rows.extend(rows_of(&Tally::by(judged, |answer| format!("expected {}", answer.expected))));
    rows.extend(rows_of(&Tally::by(judged, |answer| format!("type {}", answer.kind))));
    out.table(HEADINGS, &rows)?;
    let each = u32::try_from(all.answers).ok().and_then(|answers| all.took.checked_div(answers));
    out.text(&format!(
        "\n{} of {} do harm, {} to be looked at by a person, {} right but without something that was expected\ncost {}, {} an answer",
        all.forbidden, all.answers, all.flagged, all.unmet, dollars(all.nano_usd), time(each.unwrap_or_default()),
    ))?;
    for answer in judged.iter().filter(|answer| answer.forbidden) {
        out.text(&lines("HARMFUL", answer))?;
    }
    if misses {
        for answer in judged.iter().filter(|answer| !answer.forbidden && !answer.right) {
            out.text(&lines("wrong", answer))?;
        }
        for answer in judged.iter().filter(|answer| answer.right && !answer.unmet.is_empty()) {
            out.text(&lines("right, but", answer))?;
        }
    }
    Ok(())
}

fn rows_of(sums: &BTreeMap<String, Tally>) -> impl Iterator<Item = [String; 5]> {
    sums.iter().map(|(name, sum)| row(name, sum))
}

fn row(name: &str, sum: &Tally) -> [String; 5] {
    let share = format!("{:.1} %", sum.accuracy() * 100.0);
    [name.to_owned(), sum.answers.to_string(), sum.right.to_string(), share, sum.forbidden.to_string()]
}

fn lines(mark: &str, answer: &Judged) -> String {
    let answered = answer.answered.map_or_else(|| "no answer".to_owned(), |label| label.to_string());
    let mut text = format!("\n{mark}: {} ({}): {answered}, expected {}", answer.name, answer.kind, answer.expected);
    for line in answer.unmet.iter().map(String::as_str).chain(answer.reasoning.lines()) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}

fn dollars(nano_usd: u64) -> String {
    format!("${}.{:06}", nano_usd / 1_000_000_000, nano_usd % 1_000_000_000 / 1_000)
}

fn time(took: Duration) -> String {
    if took < Duration::from_millis(10) {
        format!("{} µs", took.as_micros())
    } else {
        format!("{} ms", took.as_millis())
    }
}
