//! `fullsend tools check`: whether a tool keeps to its manifest, by its own tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use color_eyre::eyre::WrapErr;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::desk::TerminalDesk;
use crate::cli::output::{FAILED, OK};
use crate::cli::{Context, open};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::Mode;
use crate::tools::contract::{Answer, Call, RunContext, ToolError};
use crate::tools::registry::{self, Tool};
use crate::tools::runner::Runner;

/// Most bytes of a test.
const LIMIT: u64 = 1 << 20;

/// A test of a tool.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    mode: Mode,
    /// What the result must at least hold.
    #[serde(default)]
    expected: Option<Value>,
    /// The code of the failure that must come, or words of it.
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    answers: Vec<String>,
}

/// Checks the tool in a folder.
pub(super) async fn check(folder: &Path, cx: &Context) -> color_eyre::Result<ExitCode> {
    let folder = fs::canonicalize(folder).wrap_err_with(|| format!("{} is not there", folder.display()))?;
    let tool = match registry::read(&folder) {
        Ok(tool) => tool,
        Err(why) => {
            if cx.out.is_json() {
                cx.out.json(&json!({ "folder": folder, "sound": false, "errors": why.0 }))?;
            } else {
                why.0.iter().for_each(|why| cx.out.error(why));
            }
            return Ok(FAILED);
        }
    };
    cx.config.make_home()?;
    let runner = open::runner(cx);
    let mut results = Vec::new();
    for path in cases(&folder)? {
        let said = one(&path, &tool, &runner, cx).await;
        results.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), said));
    }
    let failed = results.iter().filter(|(_, said)| said.is_err()).count();
    let name = &tool.manifest.name;
    let level = runner.sandbox().level().await;
    if cx.out.is_json() {
        let one = |(test, said): &(String, Result<(), String>)| json!({ "test": test, "passed": said.is_ok(), "why": said.as_ref().err() });
        let tests: Vec<_> = results.iter().map(one).collect();
        cx.out.json(&json!({ "tool": name, "folder": folder, "sound": true, "tests": tests, "sandbox": level }))?;
    } else {
        cx.out.text(&format!("{name} {}: the manifest is sound", tool.manifest.version))?;
        for (test, said) in &results {
            match said {
                Ok(()) => cx.out.text(&format!("  passed  {}", sanitize_line(test, 80)))?,
                Err(why) => {
                    cx.out.text(&format!("  FAILED  {}: {}", sanitize_line(test, 80), sanitize_line(why, 600)))?;
                }
            }
        }
        cx.out.remark(&format!("shut in by {}", level.line()));
        if results.is_empty() {
            cx.out.remark("it has no tests; put some into its folder `tests`, see `fullsend tools check --help`");
        }
    }
    Ok(if failed == 0 { OK } else { FAILED })
}

fn cases(folder: &Path) -> color_eyre::Result<Vec<PathBuf>> {
    let tests = folder.join("tests");
    if !tests.is_dir() {
        return Ok(Vec::new());
    }
    let read = fs::read_dir(&tests).wrap_err_with(|| format!("{} cannot be read", tests.display()))?;
    let mut cases: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    cases.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    cases.sort();
    Ok(cases)
}

/// Runs a test; what is wrong where it failed.
async fn one(path: &Path, tool: &Tool, runner: &Runner, cx: &Context) -> Result<(), String> {
    let found = fs::symlink_metadata(path).map_err(|err| err.to_string())?;
    if !found.is_file() || found.len() > LIMIT {
        return Err(format!("it is no file of at most {LIMIT} bytes"));
    }
    let text = fs::read_to_string(path).map_err(|err| err.to_string())?;
    let mut case: Case = serde_json::from_str(&text).map_err(|err| format!("it cannot be read: {err}"))?;
    // Files of a test stand beside it.
    for name in &tool.manifest.path_params {
        if let Some(Value::String(file)) = case.params.get_mut(name) {
            let beside = path.with_file_name(&*file);
            if beside.exists() {
                *file = beside.display().to_string();
            }
        }
    }
    let answers = case.answers.iter().map(|word| Answer::read(word)).collect();
    let mut desk = TerminalDesk::scripted(&cx.out, case.mode, answers);
    let run_id = cx.ids.next(cx.clock.now()).to_string();
    let run = RunContext { experiment_id: String::new(), run_id, step: "check".to_owned(), mode: case.mode };
    let work = runner.work_folder(&run.run_id, "check");
    let call = Call { tool: tool.manifest.name.clone(), params: case.params, run, timeout: None };
    let outcome = runner.run_tool(tool.clone(), call, &mut desk, CancellationToken::new()).await;
    if let Some(of_run) = work.parent() {
        fs::remove_dir_all(of_run).ok();
    }
    judge(&outcome.result, case.expected.as_ref(), case.error.as_deref())
}

fn judge(result: &Result<Value, ToolError>, expected: Option<&Value>, error: Option<&str>) -> Result<(), String> {
    match (result, error) {
        (Ok(result), None) => expected.map_or(Ok(()), |expected| holds(result, expected, "")),
        (Ok(result), Some(error)) => Err(format!("it should have failed with `{error}`, and gave {result}")),
        (Err(err), Some(error)) => {
            let code = serde_json::to_value(err.code).ok();
            let is_code = code.as_ref().and_then(Value::as_str) == Some(error);
            if is_code || err.message.contains(error) {
                Ok(())
            } else {
                Err(format!("it failed otherwise: {}", err.message))
            }
        }
        (Err(err), None) => Err(err.message.clone()),
    }
}

/// Whether a value holds at least what is expected: objects may hold more.
fn holds(value: &Value, expected: &Value, at: &str) -> Result<(), String> {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => expected.iter().try_for_each(|(name, expected)| {
            let value = value.get(name).ok_or_else(|| format!("{} is missing", below(name)))?;
            holds(value, expected, &below(name))
        }),
        (Value::Array(value), Value::Array(expected)) if value.len() == expected.len() => value
            .iter()
            .zip(expected)
            .enumerate()
            .try_for_each(|(index, (value, expected))| holds(value, expected, &below(&index.to_string()))),
        _ if value == expected => Ok(()),
        _ => Err(format!("{} is {value}, not {expected}", if at.is_empty() { "the result" } else { at })),
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn a_result_holds_at_least_what_is_expected() {
        let value = json!({ "rows": [{ "email": "a", "n": 1 }], "count": 1, "more": true });
        assert_eq!(holds(&value, &json!({ "count": 1, "rows": [{ "email": "a" }] }), ""), Ok(()));
        let why = |expected: Value| holds(&value, &expected, "").unwrap_err();
        assert_eq!(why(json!({ "rows": [{ "email": "b" }] })), "rows.0.email is \"a\", not \"b\"");
        assert_eq!(why(json!({ "none": 1 })), "none is missing");
        assert_eq!(why(json!({ "rows": [] })), "rows is [{\"email\":\"a\",\"n\":1}], not []");
    }
}
