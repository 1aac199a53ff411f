//! `fullsend experiments show`: an experiment's specification, how it stands, and what it does step by step.

use std::fmt::Write as _;
use std::process::ExitCode;

use color_eyre::eyre::eyre;
use serde_json::{Value, json};

use super::validate;
use crate::bus::{Document, Key, SharedBus, State};
use crate::cli::Context;
use crate::cli::output::OK;
use crate::contracts::keys;
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::experiments::check::check;
use crate::experiments::document;
use crate::experiments::spec::Spec;
use crate::experiments::steps::{By, plan};

/// Shows an experiment
///
/// How it stands, its steps in their order and who does them, what is wrong with it, and its specification.
///
/// Example: fullsend experiments show ID
#[derive(clap::Args)]
pub(super) struct Args {
    /// Its id
    id: String,
}

/// An experiment's document.
pub(super) async fn document(bus: &SharedBus, id: &str) -> color_eyre::Result<Document> {
    let shown = sanitize_line(id, 80);
    let key = keys::experiment(id)?;
    match bus.get(&Key::new(key)).await? {
        Some(State::Hash(document)) => Ok(document),
        _ => Err(eyre!("there is no experiment `{shown}`; `fullsend experiments list` shows them")),
    }
}

pub(super) async fn run(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let document = document(bus, &args.id).await?;
    let spec = document::read_spec(&document);
    let findings = spec.as_ref().map(|spec| check(spec, &validate::own(cx))).unwrap_or_default();
    if cx.out.is_json() {
        let planned = spec.as_ref().ok().and_then(|spec| plan(spec).ok()).unwrap_or_default();
        let steps: Vec<_> = planned
            .iter()
            .map(|it| json!({ "id": it.step.id, "tool": it.step.tool, "by": by(it.by), "params": it.step.params }))
            .collect();
        cx.out.json(&json!({
            "id": args.id, "state": document.get("state"), "version": document.version, "fields": document.fields,
            "spec": spec.as_ref().ok(), "steps": steps, "findings": findings,
        }))?;
        return Ok(OK);
    }
    let mut text = String::new();
    let mut row = |name: &str, words: Option<&str>| {
        if let Some(words) = words.filter(|words| !words.is_empty()) {
            let _ = writeln!(text, "{name:<14}{}", sanitize_line(words, 400));
        }
    };
    row("id", Some(&args.id));
    for name in [
        "state",
        "mode",
        "hypothesis",
        "verdict",
        "run_id",
        "observe_until",
        "waiting_for",
        "revises",
        "created_at",
        "approved_by",
    ] {
        row(name, document.get(name));
    }
    match &spec {
        Ok(spec) => {
            steps(spec, &mut text);
            if !findings.is_empty() {
                let _ = writeln!(text, "\nTo look at");
                for finding in &findings {
                    let _ = writeln!(text, "  {finding}");
                }
            }
        }
        Err(why) => {
            let _ = writeln!(text, "\n{why}");
        }
    }
    if let Some(yaml) = document.get("spec") {
        let _ = write!(text, "\n{}", sanitize(yaml, 4_000));
    }
    cx.out.text(&text)?;
    Ok(OK)
}

const fn by(by: By) -> &'static str {
    match by {
        By::Tool => "tool",
        By::Person => "person",
    }
}

fn steps(spec: &Spec, text: &mut String) {
    match plan(spec) {
        Ok(planned) => {
            let _ = writeln!(text, "\nSteps");
            for (number, it) in planned.iter().enumerate() {
                let with: Vec<_> = it
                    .step
                    .params
                    .iter()
                    .filter(|(name, _)| !matches!(name.as_str(), "template" | "variants"))
                    .map(|(name, value)| format!("{name}={}", short(value)))
                    .collect();
                let who = if it.by == By::Person { " (by a person)" } else { "" };
                let _ = writeln!(text, "  {}. {} {}{who} {}", number + 1, it.step.id, it.step.tool, with.join(" "));
            }
        }
        Err(err) => {
            let _ = writeln!(text, "\nSteps: {err}");
        }
    }
}

fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    sanitize_line(&text, 80)
}
