//! Secrets by name: those that tools are given, and nobody else.
//!
//! Owns where they come from: the environment, a file in the home that only its owner may read, a command that prints them; in this
//! order. Must never show one, and never give a tool the program's own: names that the program reads settings from count in the
//! file and the command only, where the person put them for tools.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::manifest::check_secret;
use crate::config::{private_file, private_folder};
use crate::contracts::untrusted::sanitize_line;
use crate::telemetry;

/// The file in the home.
const FILE: &str = "secrets.toml";
/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of a secret.
const LIMIT: usize = 64 * 1_024;

/// Asks for a variable of the environment.
pub type Variable = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where secrets come from.
#[derive(Clone)]
pub struct Secrets {
    file: PathBuf,
    command: Vec<String>,
    variable: Variable,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("file", &self.file).finish_non_exhaustive()
    }
}

/// A secret that is known of, without its value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Where it comes from: `file`, `environment`, `command`.
    pub from: &'static str,
}

/// Why a secret cannot be had or kept.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The name is none.
    #[error("{0}")]
    Name(String),
    /// Others may read the file.
    #[error("{} is open to other users, and is not read; chmod 600 it", .0.display())]
    Open(PathBuf),
    /// The file is no file of secrets. It is not quoted.
    #[error("{} cannot be read as `NAME = \"value\"` lines (line {line}); mend it, or remove it and set the secrets anew", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
    },
    /// The value cannot be one.
    #[error("a secret is one text of 1 to {LIMIT} bytes without a NUL")]
    Value,
    /// The command did not print it.
    #[error("the command of `secrets.command` did not print the secret {name}: {why}")]
    Command {
        /// The secret.
        name: String,
        /// What went wrong.
        why: String,
    },
    /// The disk refuses.
    #[error("{}: {err}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it says.
        err: io::Error,
    },
}

impl Secrets {
    /// Those of this home. `command` is a program and its arguments, to which the name is added; empty for none.
    pub fn new(home: &Path, command: Vec<String>, variable: Variable) -> Self {
        Self { file: home.join(FILE), command, variable }
    }

    /// The secret of this name; none where nobody has it.
    ///
    /// # Errors
    /// Where it cannot be looked for.
    pub async fn get(&self, name: &str) -> Result<Option<SecretString>, SecretError> {
        let name = check_secret(name).map_err(SecretError::Name)?;
        let here = self.clone();
        let wanted = name.to_owned();
        let stored = tokio::task::spawn_blocking(move || here.stored(&wanted)).await;
        let found = match stored {
            Ok(stored) => stored?,
            Err(_) => None,
        };
        let secret = match found {
            Some(secret) => Some(secret),
            None if self.command.is_empty() => None,
            None => Some(self.printed(name).await?),
        };
        // From now on no log shows it.
        secret.iter().for_each(telemetry::register);
        Ok(secret)
    }

    /// In the environment or the file.
    fn stored(&self, name: &str) -> Result<Option<SecretString>, SecretError> {
        match self.in_environment(name) {
            Some(value) => Ok(Some(value)),
            None => Ok(self.read()?.remove(name)),
        }
    }

    fn in_environment(&self, name: &str) -> Option<SecretString> {
        let is_ours = name.starts_with("FULLSEND_") || crate::config::reads_variable(name);
        let value = if is_ours { None } else { (self.variable)(name) };
        value.filter(|value| !value.is_empty()).map(SecretString::from)
    }

    async fn printed(&self, name: &str) -> Result<SecretString, SecretError> {
        let failed = |why: String| SecretError::Command { name: name.to_owned(), why };
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(failed("there is none".to_owned()));
        };
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).arg(name).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .map_err(|_| failed(format!("it took longer than {} s", PATIENCE.as_secs())))?
            .map_err(|err| failed(format!("`{}` cannot be run: {err}", sanitize_line(program, 80))))?;
        if !output.status.success() {
            return Err(failed(format!("it ended with {}", output.status)));
        }
        let value = String::from_utf8(output.stdout).map_err(|_| failed("it printed no UTF-8".to_owned()))?;
        checked(value.trim_end_matches(['\n', '\r'])).map_err(|_| failed("it printed nothing, or too much".to_owned()))
    }

    /// The secrets of the file and, of these names, those of the environment.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn list(&self, names: &[String]) -> Result<Vec<Known>, SecretError> {
        let mut known: BTreeMap<String, &'static str> = self.read()?.into_keys().map(|name| (name, "file")).collect();
        for name in names {
            if self.in_environment(name).is_some() {
                known.insert(name.clone(), "environment");
            } else if !self.command.is_empty() && !known.contains_key(name) {
                // Whether the command has it is asked when a tool needs it: it may want a password itself.
                known.insert(name.clone(), "command");
            }
        }
        Ok(known.into_iter().map(|(name, from)| Known { name, from }).collect())
    }

    /// Keeps a secret in the file. Returns whether it replaced one.
    ///
    /// # Errors
    /// Where the name or the value cannot be, or the file cannot be written.
    pub fn set(&self, name: &str, value: &str) -> Result<bool, SecretError> {
        let name = check_secret(name).map_err(SecretError::Name)?;
        let value = checked(value)?;
        telemetry::register(&value);
        let mut all = self.read()?;
        let replaced = all.insert(name.to_owned(), value).is_some();
        self.write(&all)?;
        Ok(replaced)
    }

    /// Forgets a secret of the file. Returns whether it was there.
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub fn unset(&self, name: &str) -> Result<bool, SecretError> {
        let mut all = self.read()?;
        let was_there = all.remove(name).is_some();
        if was_there {
            self.write(&all)?;
        }
        Ok(was_there)
    }

    fn read(&self) -> Result<BTreeMap<String, SecretString>, SecretError> {
        let failed = |err| SecretError::Io { file: self.file.clone(), err };
        let found = match fs::metadata(&self.file) {
            Ok(found) => found,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(err) => return Err(failed(err)),
        };
        if found.permissions().mode() & 0o077 != 0 {
            return Err(SecretError::Open(self.file.clone()));
        }
        let text = fs::read_to_string(&self.file).map_err(failed)?;
        let read = toml::from_str::<BTreeMap<String, String>>(&text);
        let all = read.map_err(|err| {
            let before = err.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            SecretError::Unreadable { file: self.file.clone(), line: before.matches('\n').count() + 1 }
        })?;
        Ok(all.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect())
    }

    /// Writes a new file in the place of the old one: whoever reads meanwhile, and a power cut, find one of them whole.
    fn write(&self, all: &BTreeMap<String, SecretString>) -> Result<(), SecretError> {
        let failed = |err| SecretError::Io { file: self.file.clone(), err };
        let plain: BTreeMap<&str, &str> =
            all.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        let text = toml::to_string(&plain).map_err(|_| SecretError::Value)?;
        if let Some(home) = self.file.parent() {
            private_folder(home).map_err(failed)?;
        }
        let new = self.file.with_extension("toml.new");
        fs::remove_file(&new)
            .or_else(|err| if err.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(err) })
            .map_err(failed)?;
        let mut file = private_file(&new).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, &self.file).map_err(failed)
    }
}

/// A value that can be a secret.
fn checked(value: &str) -> Result<SecretString, SecretError> {
    if value.is_empty() || value.len() > LIMIT || value.contains('\0') {
        return Err(SecretError::Value);
    }
    Ok(SecretString::from(value))
}
