//! `fullsend eval`: how good answers are, by labelled scenarios.
//!
//! Must never carry out what is answered. The rules need no bus; what models cost is counted on it, as every call is.

mod report;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::ValueEnum;
use serde_json::json;
use tokio::time::Instant;

use super::output::{FAILED, OK, Usage};
use super::{Context, open};
use crate::bus::SharedBus;
use crate::config::{Link, LlmConfig};
use crate::llm::eval::{self, Judged, Label, Scenario, Tally};
use crate::llm::tasks::{Classify, Decide, Respond, Verdict};
use crate::llm::{Answered, Mind, NoAnswer, TaskName};

/// Judges answers by labelled scenarios
///
/// Puts each scenario to the rules of thumb, or to a model alone (`--provider anthropic:MODEL`), or to whoever the settings name, in their
/// order (`--provider chain`), and prints how many answers are right, by the answer that was expected and by the type of the message, how
/// many do harm, and what they cost and took. An answer is right that is expected or as good; no answer is wrong. Fails where one does
/// harm.
///
/// Example: fullsend eval tests/scenarios --show-misses
#[derive(clap::Args)]
pub struct Args {
    /// Files of scenarios, or folders of such files
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,

    /// Who answers
    #[arg(long, value_name = "rules|chain|PROVIDER[:MODEL]", default_value = "rules")]
    pub provider: Who,

    /// Only the scenarios of this task
    #[arg(long, value_name = "decide|classify")]
    pub task: Option<Asked>,

    /// Print each wrong answer, and how it was come to
    #[arg(long)]
    pub show_misses: bool,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The rules of thumb.
    Rules,
    /// The providers of the settings, in their order.
    Chain,
    /// One model, and nobody in its place.
    One(Link),
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "rules" => Ok(Self::Rules),
            "chain" => Ok(Self::Chain),
            model => Link::parse(model).map(Self::One),
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Asked {
    /// What the team does about a message.
    Decide,
    /// What is to be done with a chat message.
    Classify,
}

/// Prints what the answers are worth; fails where one does harm.
///
/// # Errors
/// Where a file is not of the format, or nobody answers.
pub async fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let scenarios = eval::scenarios(&args.paths)?;
    let wanted = |scenario: &&Scenario| args.task.is_none_or(|task| (task == Asked::Classify) == scenario.is_chat());
    let bus = if args.provider == Who::Rules { None } else { Some(open::bus(cx).await?) };
    let mut judged = Vec::new();
    let mind = mind(&args.provider, cx, bus.as_ref())?;
    for scenario in scenarios.iter().filter(wanted) {
        judged.push(judge(&mind, scenario).await?);
    }
    if let Some(bus) = bus {
        bus.close().await;
    }
    let all = Tally::of(&judged);
    if cx.out.is_json() {
        cx.out.json(&json!({
            "all": all, "accuracy": all.accuracy(),
            "by_expected": Tally::by(&judged, |answer| answer.expected.to_string()),
            "by_type": Tally::by(&judged, |answer| answer.kind.clone()),
            "answers": judged,
        }))?;
    } else {
        report::print(&cx.out, &judged, args.show_misses)?;
    }
    Ok(if all.forbidden == 0 { OK } else { FAILED })
}

fn mind(who: &Who, cx: &Context, bus: Option<&SharedBus>) -> color_eyre::Result<Mind> {
    let link = match who {
        Who::Rules => return Ok(Mind::default()),
        Who::Chain => return open::mind(cx, bus),
        Who::One(link) => link,
    };
    let alone = || vec![link.clone()];
    let llm = LlmConfig { classify: alone(), respond: alone(), decide: alone(), ..cx.config.llm.clone() };
    let mind = open::mind_of(llm, cx, bus)?;
    if let Some(why) = mind.chain(TaskName::Decide).filter(|chain| chain.candidates.is_empty()) {
        return Err(Usage(why.left_out.join("; ")).into());
    }
    Ok(mind)
}

/// Asks, and compares. Nobody's answer is a wrong one.
async fn judge(mind: &Mind, scenario: &Scenario) -> color_eyre::Result<Judged> {
    let asking = open::asking(scenario.trust);
    let since = Instant::now();
    if scenario.is_chat() {
        let answered = match mind.ask::<Classify>(&asking, &scenario.classify_input()?).await {
            Ok(answered) => answered,
            Err(err) => return Ok(silent(scenario, &err, since)),
        };
        let took = since.elapsed();
        let verdict = answered.output.action;
        let mut unmet = Vec::new();
        if verdict == Verdict::Answer && scenario.expected == Label::Verdict(verdict) {
            match mind.ask::<Respond>(&asking, &scenario.respond_input()?).await {
                Ok(reply) => unmet.extend(scenario.unsaid(&reply.output.content)),
                Err(err) => unmet.push(err.to_string()),
            }
        }
        return Ok(Judged { took, ..judged(scenario, Label::Verdict(verdict), unmet, &answered) });
    }
    let answered = match mind.ask::<Decide>(&asking, &scenario.decide_input()?).await {
        Ok(answered) => answered,
        Err(err) => return Ok(silent(scenario, &err, since)),
    };
    let took = since.elapsed();
    let unmet = scenario.unmet(&answered.output);
    Ok(Judged { took, ..judged(scenario, Label::Action(answered.output.action), unmet, &answered) })
}

fn judged<O>(scenario: &Scenario, label: Label, unmet: Vec<String>, answered: &Answered<O>) -> Judged {
    Judged {
        name: scenario.name.clone(),
        kind: scenario.kind(),
        expected: scenario.expected,
        answered: Some(label),
        right: scenario.is_right(label),
        forbidden: scenario.forbidden.contains(&label),
        unmet,
        reasoning: answered.reasoning.clone(),
        flagged: answered.flagged,
        nano_usd: answered.nano_usd,
        took: answered.took,
    }
}

/// There is no answer.
fn silent(scenario: &Scenario, why: &NoAnswer, since: Instant) -> Judged {
    Judged {
        name: scenario.name.clone(),
        kind: scenario.kind(),
        expected: scenario.expected,
        answered: None,
        right: false,
        forbidden: false,
        unmet: Vec::new(),
        reasoning: why.to_string(),
        flagged: true,
        nano_usd: 0,
        took: since.elapsed(),
    }
}
