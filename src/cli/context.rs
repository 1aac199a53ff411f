//! `fullsend context`: what a decision would be made from.
//!
//! Must never show a secret that somebody pasted into a note: it says where, and the output hides it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::Context;
use super::output::{FAILED, OK};
use crate::bus::{Finding, Level, SharedBus};
use crate::contracts::notes::NoteName;
use crate::contracts::untrusted::sanitize;
use crate::memory::{self, NoteBrief, TeamContext, check};

/// Shows what a decision would be made from: notes, experiments, tools, learnings, with their sizes
///
/// Findings say what is missing, empty, too long, or looks like a pasted secret. With `--check` only these are shown, and errors end it
/// with 1.
///
/// Example: fullsend context --check
#[derive(clap::Args)]
pub struct Args {
    /// Only sizes and findings; fails where one is an error
    #[arg(long)]
    check: bool,
}

/// Shows it.
///
/// # Errors
/// Where the bus cannot be used.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| show(args, cx, bus).await)
}

async fn show(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let team = memory::load(bus).await?;
    let mut findings = check::findings(&team);
    findings.extend(behind(&team, &cx.config.context));
    if cx.out.is_json() {
        let sizes: BTreeMap<_, _> = notes(&team).map(|(name, note)| (name, note.text.len())).into();
        let mut said =
            json!({ "digest": team.digest(), "bytes": sizes, "findings": findings, "notices": team.warnings });
        if !args.check {
            said["context"] = serde_json::to_value(&team)?;
        }
        cx.out.json(&said)?;
    } else {
        let mut text = summary(&team);
        if !args.check {
            text.push_str(&contents(&team));
        }
        cx.out.text(&text)?;
        for finding in &findings {
            cx.out.finding(finding);
        }
    }
    let wrong = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(if args.check && wrong { FAILED } else { OK })
}

fn notes(team: &TeamContext) -> [(NoteName, &NoteBrief); 3] {
    [
        (NoteName::ProductContext, &team.product),
        (NoteName::Worklist, &team.worklist),
        (NoteName::Learnings, &team.learnings),
    ]
}

/// Files that hold something else than their notes: nobody mirrors them now.
fn behind(team: &TeamContext, folder: &Path) -> Vec<Finding> {
    let differs = |(name, note): (NoteName, &NoteBrief)| {
        let file = folder.join(format!("{name}.md"));
        let text = std::fs::read_to_string(&file).ok()?;
        (text != note.text).then(|| Finding {
            level: Level::Warning,
            what: format!("{} holds something else than the note", file.display()),
            fix: "`fullsend serve` makes them the same".to_owned(),
        })
    };
    notes(team).into_iter().filter_map(differs).collect()
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        // One digit is enough to judge by.
        _ => format!("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024),
    }
}

fn summary(team: &TeamContext) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<16} {value}");
    };
    for (name, note) in notes(team) {
        let what = if note.version == 0 {
            "missing".to_owned()
        } else {
            format!("version {}, {}", note.version, size(note.text.len()))
        };
        line(name.as_str(), what);
    }
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for experiment in &team.experiments {
        *states.entry(experiment.state.as_str()).or_default() += 1;
    }
    let states: Vec<String> = states.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
    let states = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
    line("experiments", format!("{}{states}; {} archived", team.experiments.len(), team.archived.len()));
    line("tools", team.tools.len().to_string());
    line("tactical", team.tactical.len().to_string());
    line("recent runs", team.recent_runs.len().to_string());
    line("held", if team.held { "yes" } else { "no" }.to_owned());
    line("digest", team.digest());
    text
}

fn contents(team: &TeamContext) -> String {
    let mut text = String::new();
    for (name, note) in notes(team).into_iter().filter(|(_, note)| !note.text.is_empty()) {
        let _ = writeln!(text, "\n== {name}\n{}", sanitize(note.text.trim_end(), usize::MAX));
    }
    if !team.experiments.is_empty() {
        text.push_str("\n== experiments\n");
    }
    for experiment in &team.experiments {
        let tool = experiment.tool.as_ref().map(|tool| format!("  tool={tool}")).unwrap_or_default();
        let mut numbers = String::new();
        for (name, value) in &experiment.metrics {
            let _ = write!(numbers, "  {name}={value}");
        }
        let (id, state) = (sanitize(&experiment.id, 120), &experiment.state);
        let _ = writeln!(text, "{id}  {state}{tool}{numbers}  {}", experiment.hypothesis);
    }
    for (heading, lines) in
        [("tools", &team.tools), ("tactical learnings", &team.tactical), ("recent runs", &team.recent_runs)]
    {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n== {heading}\n{}", lines.join("\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::super::testing::Stage;
    use super::*;
    use crate::contracts::notes::NoteChange;
    use crate::memory::Author;

    async fn write(stage: &Stage, name: NoteName, text: &str) {
        let change = NoteChange::Rewrite { text: text.to_owned(), base: 0 };
        let author = Author::of("mara", &stage.origin());
        for edit in memory::edits(&stage.bus, [(name, &change)], author.at).await.unwrap() {
            stage.commit(edit.ops(&author)).await;
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_an_error_and_what_is_there_is_shown() {
        let stage = Stage::new();
        let (cx, results, remarks) = stage.context(false);
        assert_eq!(show(&Args { check: true }, &cx, &stage.bus).await.unwrap(), FAILED);
        assert!(results.text().starts_with("product_context  missing\n"), "{}", results.text());
        assert!(
            remarks.text().starts_with("error: the product_context is missing. Say what is being sold"),
            "{}",
            remarks.text()
        );

        write(&stage, NoteName::ProductContext, "We sell tea\u{1b}[2J.\n").await;
        let (cx, results, _) = stage.context(false);
        assert_eq!(show(&Args { check: true }, &cx, &stage.bus).await.unwrap(), OK);
        assert!(!results.text().contains("We sell"), "{}", results.text());
        show(&Args { check: false }, &cx, &stage.bus).await.unwrap();
        assert!(results.text().contains("\n== product_context\nWe sell tea.\n"), "{}", results.text());

        let (cx, results, _) = stage.context(true);
        show(&Args { check: false }, &cx, &stage.bus).await.unwrap();
        let said: serde_json::Value = serde_json::from_str(&results.text()).unwrap();
        assert_eq!(
            (&said["context"]["product"]["version"], &said["bytes"]["product_context"]),
            (&json!(1), &json!(17))
        );
    }

    #[tokio::test]
    async fn a_file_that_nobody_mirrors_is_said() {
        let stage = Stage::new();
        write(&stage, NoteName::ProductContext, "tea\n").await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("product_context.md"), "coffee\n").unwrap();
        let (mut cx, _, remarks) = stage.context(false);
        folder.path().clone_into(&mut cx.config.context);
        show(&Args { check: true }, &cx, &stage.bus).await.unwrap();
        assert!(remarks.text().contains("product_context.md holds something else than the note"), "{}", remarks.text());
    }
}
