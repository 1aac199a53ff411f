//! `fullsend models`: who is asked which question, and why; and whether they answer.

use std::process::ExitCode;

use serde_json::json;

use super::output::{FAILED, OK};
use super::{Context, open, with_bus};
use crate::config::ProviderName;
use crate::contracts::Trust;
use crate::llm::chain::Candidate;
use crate::llm::{Mind, TaskName};

/// Shows which models are asked
///
/// Lists for each question who is asked, in which order and why, and who is left out. The first that answers counts; a model that failed
/// is passed over for a while. With `--probe` each model gets one small call, which is paid like any other; it ends with 1 where one
/// does not answer.
///
/// Example: fullsend models --probe
#[derive(clap::Args)]
pub struct Args {
    /// Make one small call to each model
    #[arg(long)]
    pub probe: bool,
}

/// Shows the order of each task.
///
/// # Errors
/// Where a prompt of the context folder cannot be used; with `--probe`, where the bus with the budget cannot be opened.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    if !args.probe {
        return shown(&open::mind(cx, None)?, cx, &[]).map(|()| OK);
    }
    with_bus(cx, async |bus| {
        let mind = open::mind(cx, Some(bus))?;
        let probes = probes(&mind).await;
        shown(&mind, cx, &probes)?;
        Ok(if probes.iter().all(|(_, told)| told.is_ok()) { OK } else { FAILED })
    })
}

type Probed = (String, Result<String, String>);

/// One small call to each model.
async fn probes(mind: &Mind) -> Vec<Probed> {
    let asking = open::asking(Trust::Operator);
    let mut probes: Vec<Probed> = Vec::new();
    for candidate in TaskName::ALL.iter().filter_map(|task| mind.chain(*task)).flat_map(|chain| &chain.candidates) {
        let name = candidate.to_string();
        if candidate.provider == ProviderName::Rules || probes.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let told = mind.probe(&asking, candidate).await.map(|probe| {
            let used = probe.tokens.uncached + probe.tokens.cache_read + probe.tokens.cache_write;
            format!("answered in {} ms ({used} tokens in, {} out)", probe.took.as_millis(), probe.tokens.output)
        });
        probes.push((name, told));
    }
    probes
}

fn shown(mind: &Mind, cx: &Context, probes: &[Probed]) -> color_eyre::Result<()> {
    let told = |candidate: &Candidate| {
        let name = candidate.to_string();
        probes.iter().find(|(known, _)| *known == name).map(|(_, told)| told)
    };
    let chains = || TaskName::ALL.iter().filter_map(|task| Some((task, mind.chain(*task)?)));
    if cx.out.is_json() {
        let tasks: Vec<_> = chains()
            .map(|(task, chain)| {
                let order = chain.candidates.iter().map(|candidate| {
                    json!({
                        "provider": candidate.provider.as_str(),
                        "model": candidate.model,
                        "why": candidate.why,
                        "answers": told(candidate).map(Result::is_ok),
                        "probe": told(candidate).map(|told| told.as_ref().unwrap_or_else(|err| err)),
                    })
                });
                json!({ "task": task.as_str(), "order": order.collect::<Vec<_>>(), "left_out": chain.left_out })
            })
            .collect();
        return cx.out.json(&json!({ "tasks": tasks }));
    }
    let rows: Vec<_> = chains()
        .flat_map(|(task, chain)| chain.candidates.iter().enumerate().map(move |(at, it)| (task, at, it)))
        .map(|(task, at, candidate)| {
            let probe = match told(candidate) {
                Some(Ok(told)) => told.clone(),
                Some(Err(why)) => format!("FAILS: {why}"),
                None => "-".to_owned(),
            };
            let task = if at == 0 { task.to_string() } else { String::new() };
            [
                task,
                (at + 1).to_string(),
                candidate.provider.to_string(),
                candidate.model.clone(),
                candidate.why.clone(),
                probe,
            ]
        })
        .collect();
    cx.out.table(["TASK", "ORDER", "PROVIDER", "MODEL", "WHY", "PROBE"], &rows)?;
    for (task, chain) in chains() {
        chain.left_out.iter().for_each(|why| cx.out.remark(&format!("{task}: {why}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use secrecy::SecretString;

    use super::*;
    use crate::cli::testing::Stage;

    #[test]
    fn without_a_key_every_task_is_the_rules() {
        let (cx, results, _) = Stage::new().context(false);
        assert_eq!(run(&Args { probe: false }, &cx).unwrap(), OK);
        let text = results.text();
        let tasks = TaskName::ALL.len();
        assert_eq!(text.matches("rules").count(), 2 * tasks, "{text}");
        assert_eq!(text.matches("no key is set").count(), tasks, "{text}");
    }

    #[test]
    fn who_is_asked_and_who_is_left_out_is_told_without_a_key() {
        let (mut cx, results, _) = Stage::new().context(true);
        cx.config.llm.anthropic.key = Some(SecretString::from("canary-key"));
        cx.config.llm.openai.url = Some("http://127.0.0.1:9".to_owned());
        run(&Args { probe: false }, &cx).unwrap();
        let text = results.text();
        assert!(!text.contains("canary"), "{text}");
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        let decide = &told["tasks"][2];
        assert_eq!(decide["order"][0]["provider"], "anthropic");
        assert_eq!(decide["order"][0]["why"], "llm.anthropic.key is set");
        assert_eq!(decide["order"][0]["answers"], serde_json::Value::Null);
        assert_eq!(decide["left_out"][0], "openai is not asked: no model is named; set llm.openai.model");
    }
}
