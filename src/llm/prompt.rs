//! Prompts: the texts of `assets/prompts/`, overridden by those in the context folder's `prompts/`.
//!
//! Owns how data gets into a prompt. `TASK.system.md` is a plain text: nothing of a message can get into it. `TASK.user.md` is a
//! template, filled once; whatever it prints is JSON in which no tag can be closed or opened, so that data stays data. Must never
//! hand on a secret that the program knows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use thiserror::Error as ThisError;

use super::task::TaskName;
use crate::telemetry::redact;

/// Steps that filling a template may take; ours take less than a hundred.
const FUEL: u64 = 1_000_000;

/// A prompt of an override may have so many bytes.
const FILE_LIMIT: u64 = 256 * 1_024;

/// The shipped texts of a task: system, user.
fn shipped(task: TaskName) -> (&'static str, &'static str) {
    macro_rules! texts {
        ($name:literal) => {
            (
                include_str!(concat!("../../assets/prompts/", $name, ".system.md")),
                include_str!(concat!("../../assets/prompts/", $name, ".user.md")),
            )
        };
    }
    match task {
        TaskName::Classify => texts!("classify"),
        TaskName::ClassifyReply => texts!("classify_reply"),
        TaskName::Respond => texts!("respond"),
        TaskName::Decide => texts!("decide"),
    }
}

/// A prompt that cannot be used.
#[derive(Debug, ThisError)]
pub enum PromptError {
    /// A file of the context folder cannot be read.
    #[error("the prompt {path} cannot be read: {why}. Make it readable, or remove it to use the one that is shipped")]
    File {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// A template is wrong, or does not fit what it is given.
    #[error("the prompt {name} cannot be used: {why}. Correct it, or remove it to use the one that is shipped")]
    Template {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// The prompts of all tasks.
#[derive(Debug, Clone)]
pub struct Prompts {
    system: BTreeMap<TaskName, Arc<str>>,
    user: Arc<Environment<'static>>,
}

impl Prompts {
    /// The shipped prompts, and instead of each the file of the same name in `folder`, where there is one.
    ///
    /// # Errors
    /// Where a file there cannot be read or is no template.
    pub fn load(folder: Option<&Path>) -> Result<Self, PromptError> {
        let mut system = BTreeMap::new();
        let mut user = Environment::new();
        user.set_undefined_behavior(UndefinedBehavior::Strict);
        user.set_fuel(Some(FUEL));
        user.set_formatter(|out, _, value| Ok(out.write_str(&quoted(value)?)?));
        for task in TaskName::ALL {
            let (instructions, template) = shipped(*task);
            let own = |part: &str| folder.map_or(Ok(None), |folder| read(&folder.join(format!("{task}.{part}.md"))));
            let instructions = own("system")?.map_or(Arc::from(instructions), Arc::from);
            system.insert(*task, instructions);
            let template = own("user")?.unwrap_or_else(|| template.to_owned());
            user.add_template_owned(task.as_str(), template).map_err(|err| wrong(*task, &err))?;
        }
        Ok(Self { system, user: Arc::new(user) })
    }

    /// The task's instructions, the same for every message.
    pub fn system(&self, task: TaskName) -> Arc<str> {
        self.system.get(&task).cloned().unwrap_or_default()
    }

    /// The question about `input`.
    ///
    /// # Errors
    /// Where the template asks for what the input does not have.
    pub fn user(&self, task: TaskName, input: &impl Serialize) -> Result<String, PromptError> {
        let template = self.user.get_template(task.as_str()).map_err(|err| wrong(task, &err))?;
        let text = template.render(Value::from(Serde(input))).map_err(|err| wrong(task, &err))?;
        Ok(redact(&text))
    }
}

fn wrong(task: TaskName, err: &Error) -> PromptError {
    // The error's own Display may quote what was to be printed.
    let line = err.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let detail = err.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    PromptError::Template { name: format!("{task}.user.md"), why: format!("{}{line}{detail}", err.kind()) }
}

fn read(path: &Path) -> Result<Option<String>, PromptError> {
    let refuse = |why: String| PromptError::File { path: path.display().to_string(), why };
    match std::fs::metadata(path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(refuse(err.to_string())),
        Ok(found) if found.len() > FILE_LIMIT => return Err(refuse(format!("it has more than {FILE_LIMIT} bytes"))),
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(|err| refuse(err.to_string()))
}

/// A value as JSON that cannot leave the block it stands in: no angle bracket, and nothing that is not seen.
fn quoted(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let json = serde_json::to_string(value)
        .map_err(|_| Error::new(ErrorKind::BadSerialization, "a value cannot be written as JSON"))?;
    if json.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'<' | b'>' | b'&')) {
        return Ok(json);
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        // In JSON these can only stand within strings, where an escape means the same.
        if matches!(c, '<' | '>' | '&') || crate::contracts::untrusted::is_unseen(c) {
            let mut units = [0_u16; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
