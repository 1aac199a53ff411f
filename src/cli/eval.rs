//! `fullsend eval`: how good answers are, by labelled scenarios.
//!
//! Must never carry out what is answered, nor need a bus.

mod report;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use color_eyre::eyre::WrapErr;
use serde_json::json;
use tokio::time::Instant;

use super::output::{FAILED, OK};
use super::{Context, open};
use crate::llm::eval::{self, Judged, Label, Scenario, Tally};
use crate::llm::tasks::{Classify, Decide, Respond, Verdict};
use crate::llm::{Answered, Mind};

/// Judges answers by labelled scenarios
///
/// Puts each scenario to the rules of thumb (or, with `--provider chain`, to the models that the settings name; each answer costs what
/// it costs), and prints how many answers are right, by the answer that was expected and by the type of the message, how many do
/// harm, and what they cost and took. An answer is right that is expected or as good. Fails where one does harm.
///
/// Example: fullsend eval tests/scenarios --show-misses
#[derive(clap::Args)]
pub struct Args {
    /// Files of scenarios, or folders of such files
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,

    /// Who answers
    #[arg(long, value_name = "rules|chain", default_value = "rules")]
    pub provider: Who,

    /// Only the scenarios of this task
    #[arg(long, value_name = "decide|classify")]
    pub task: Option<Asked>,

    /// Print each wrong answer, and how it was come to
    #[arg(long)]
    pub show_misses: bool,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// The rules of thumb.
    Rules,
    /// The providers of the settings, in their order.
    Chain,
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
    let mind = match args.provider {
        Who::Rules => Mind::default(),
        Who::Chain => open::mind(cx, None)?,
    };
    let wanted = |scenario: &Scenario| args.task.is_none_or(|task| (task == Asked::Classify) == scenario.is_chat());
    let mut judged = Vec::new();
    for scenario in eval::scenarios(&args.paths)?.iter().filter(|scenario| wanted(scenario)) {
        let answer = judge(&mind, scenario).await;
        judged.push(answer.wrap_err_with(|| format!("{} could not be judged", scenario.name))?);
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

/// Asks, and compares.
async fn judge(mind: &Mind, scenario: &Scenario) -> color_eyre::Result<Judged> {
    let asking = open::asking(scenario.trust);
    let since = Instant::now();
    if scenario.is_chat() {
        let answered = mind.ask::<Classify>(&asking, &scenario.classify_input()?).await?;
        let took = since.elapsed();
        let verdict = answered.output.action;
        let mut unmet = Vec::new();
        if verdict == Verdict::Answer && scenario.expected == Label::Verdict(verdict) {
            let reply = mind.ask::<Respond>(&asking, &scenario.respond_input()?).await?;
            unmet.extend(scenario.unsaid(&reply.output.content));
        }
        return Ok(Judged { took, ..judged(scenario, Label::Verdict(verdict), unmet, &answered) });
    }
    let answered = mind.ask::<Decide>(&asking, &scenario.decide_input()?).await?;
    let took = since.elapsed();
    let unmet = scenario.unmet(&answered.output);
    Ok(Judged { took, ..judged(scenario, Label::Action(answered.output.action), unmet, &answered) })
}

fn judged<O>(scenario: &Scenario, label: Label, unmet: Vec<String>, answered: &Answered<O>) -> Judged {
    Judged {
        name: scenario.name.clone(),
        kind: scenario.kind(),
        expected: scenario.expected,
        answered: label,
        right: scenario.is_right(label),
        forbidden: scenario.forbidden.contains(&label),
        unmet,
        reasoning: answered.reasoning.clone(),
        flagged: answered.flagged,
        nano_usd: answered.nano_usd,
        took: answered.took,
    }
}
