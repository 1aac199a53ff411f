//! `fullsend decide`: what the orchestrator would decide about a message.
//!
//! Must never carry it out: nothing is said on the bus.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use color_eyre::eyre::WrapErr;
use serde_json::{Map, Value, json};

use super::output::{FAILED, OK};
use super::{Context, given, open};
use crate::approvals::{self, Targets, classify};
use crate::bus::{Origin, SharedBus};
use crate::contracts::messages::{Intent, RiskClass, ToOrchestrator};
use crate::contracts::{Body, Trust};
use crate::llm::Task;
use crate::llm::tasks::decide::DecideInput;
use crate::llm::tasks::{Decide, Decision};
use crate::memory::{Memory, TeamContext};
use crate::services::orchestrator;

/// Says what would be decided about a message
///
/// Takes a message as on `to_orchestrator`, thinks about it with what the team knows now, and prints the decision, how it was come
/// to, its risk class, and what would happen. With --parse it takes a decision as a model writes it, and says what is wrong with it.
/// Nothing is said on the bus.
///
/// Example: fullsend schema escalation --example | fullsend decide
#[derive(clap::Args)]
pub struct Args {
    /// Check a decision's JSON
    #[arg(long)]
    pub parse: bool,

    /// The file; `-`, or nothing, for standard input
    #[arg(value_name = "-|FILE")]
    pub message: Option<String>,
}

/// Prints the decision.
///
/// # Errors
/// Where the message is not one, the bus cannot be opened, or nobody answers.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let text = given::text(args.message.as_deref())?;
    if args.parse {
        let decision = serde_json::from_str::<Decision>(&text).wrap_err("this is no decision")?;
        return super::with_bus(cx, async |bus| parse(cx, bus, &decision).await);
    }
    let body = ToOrchestrator::read(&text).wrap_err("this is no message of `to_orchestrator`")?;
    super::with_bus(cx, async |bus| decide(cx, bus, body, &text).await)
}

async fn parse(cx: &Context, bus: &SharedBus, decision: &Decision) -> color_eyre::Result<ExitCode> {
    let team = Memory::default().load(bus).await?;
    let faults = Decide::faults(&input("escalation", Map::new(), team), decision);
    if cx.out.is_json() {
        cx.out.json(&json!({ "decision": decision, "faults": faults }))?;
    } else {
        cx.out.text(&serde_json::to_string_pretty(decision)?)?;
        match faults.as_slice() {
            [] => cx.out.remark("this decision can be carried out"),
            faults => faults.iter().for_each(|fault| cx.out.remark(fault)),
        }
    }
    Ok(if faults.is_empty() { OK } else { FAILED })
}

async fn decide(cx: &Context, bus: &SharedBus, body: ToOrchestrator, text: &str) -> color_eyre::Result<ExitCode> {
    let team = Memory::default().load(bus).await?;
    let fields = serde_json::from_str(text)?;
    let input = input(body.type_name(), fields, team);
    let answered = open::mind(cx, Some(bus))?.ask::<Decide>(&open::asking(Trust::Operator), &input).await?;
    let envelope =
        Origin::new(cx.clock.clone(), cx.ids.clone(), Trust::Operator).envelope(body.type_name(), "control_room");
    let (title, intents) = orchestrator::preview(&envelope, body, &answered.output, &input.team)?;
    let class = if intents.is_empty() {
        RiskClass::Harmless
    } else {
        approvals::check("orchestrator", &intents)?;
        classify(&intents, &[], Trust::Operator, &Targets::look(bus, &intents).await?)
    };
    if cx.out.is_json() {
        cx.out.json(&json!({
            "decision": answered.output, "provider": answered.provider, "model": answered.model, "tokens": answered.tokens,
            "nano_usd": answered.nano_usd, "took_ms": answered.took.as_millis(), "fell_back": answered.fell_back,
            "flagged": answered.flagged, "reasons": answered.reasoning.lines().collect::<Vec<_>>(), "title": title,
            "class": class, "intents": intents,
        }))?;
        return Ok(OK);
    }
    let decision = &answered.output;
    let mut text =
        format!("{} ({}), by {}\n\n{}\n", decision.action, priority(decision), answered.model, decision.reasoning);
    let mut list = |heading: &str, lines: &mut dyn Iterator<Item = String>| {
        let lines: Vec<_> = lines.collect();
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{heading}\n  {}", lines.join("\n  "));
        }
    };
    list("How it was come to", &mut answered.reasoning.lines().map(str::to_owned));
    list("Fell back", &mut answered.fell_back.iter().cloned());
    list("Says", &mut decision.payload.content.iter().cloned());
    list(&format!("Would happen (class {}): {title}", u8::from(class)), &mut intents.iter().map(in_words));
    cx.out.text(&text)?;
    Ok(OK)
}

fn input(kind: &str, message: Map<String, Value>, team: Arc<TeamContext>) -> DecideInput {
    DecideInput { kind: kind.to_owned(), trust: Trust::Operator, message, team, denied: None }
}

fn priority(decision: &Decision) -> String {
    serde_json::to_value(decision.priority).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// An intent in a line.
pub(super) fn in_words(intent: &Intent) -> String {
    match intent {
        Intent::Say { channel, body, .. } => {
            let kind = body.get("type").and_then(Value::as_str).unwrap_or("a message");
            format!("say {kind} on {channel}")
        }
        Intent::Set { key, fields } => {
            format!("set {} of {key}", fields.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
        }
        Intent::Note { name, .. } => format!("change {name}"),
        Intent::Step { experiment_id, event } => format!("{event} {experiment_id}"),
    }
}
