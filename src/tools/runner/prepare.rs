//! What a run needs, gathered and checked before anything is started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Runner, RunnerParts, error};
use crate::config::private_folder;
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::sanitize_line;
use crate::tools::contract::{Call, Input, RunContext, ToolError};
use crate::tools::manifest::{HostPort, LONGEST};
use crate::tools::registry::{Place, Tool};
use crate::tools::sandbox::Plan;
use crate::tools::schema;

/// Parts of paths that hold what nobody means to give away.
const PRIVATE_PARTS: [&str; 10] =
    [".ssh", ".gnupg", ".aws", ".azure", ".config", ".docker", ".git", ".kube", ".netrc", ".password-store"];
/// Most bytes of the input line.
const INPUT_LIMIT: usize = 32 * 1_024 * 1_024;

/// A run that can be started.
pub(super) struct Prepared {
    pub(super) tool: Tool,
    pub(super) run: RunContext,
    /// The input, as one line.
    pub(super) input: SecretString,
    /// The program and its arguments.
    argv: Vec<String>,
    pub(super) work: PathBuf,
    reads: Vec<PathBuf>,
    pub(super) hosts: Vec<HostPort>,
    pub(super) timeout: Duration,
}

impl Prepared {
    /// What the sandbox is asked for.
    pub(super) fn plan<'a>(&'a self, run: Option<&'a Path>) -> Plan<'a> {
        let tool = match &self.tool.place {
            Place::Folder(folder) => Some(folder.as_path()),
            Place::Shipped => None,
        };
        let (argv, work, reads, hosts) = (&self.argv, &self.work, &self.reads, &self.hosts);
        Plan { tool, argv, work, reads, hosts, run, timeout: self.timeout }
    }
}

impl Runner {
    /// Checks a call, and gathers what it needs.
    pub(super) async fn prepare(&self, tool: Tool, call: Call) -> Result<Prepared, ToolError> {
        let Call { mut params, run, timeout, .. } = call;
        let manifest = &tool.manifest;
        schema::fill(&mut params, &manifest.inputs);
        let value = Value::Object(params);
        if let Err(faults) = schema::check(&value, &manifest.inputs) {
            let message = format!("the parameters do not fit `{}`: {}", manifest.name, faults.join("; "));
            return Err(error(ErrorCode::InvalidParams, message));
        }
        let Value::Object(mut params) = value else {
            return Err(error(ErrorCode::InvalidParams, "the parameters are no object"));
        };
        let hosts = hosts(&tool, &params)?;
        let secrets = self.secrets(&tool).await?;
        let work = self.work_folder(&run.run_id, &run.step);
        let own = match &tool.place {
            Place::Folder(folder) => Some(folder.clone()),
            Place::Shipped => None,
        };
        let (parts, made, names) = (Arc::clone(&self.parts), work.clone(), manifest.path_params.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let reads = paths(&parts, own.as_deref(), &names, &mut params)?;
            private_folder(&made)
                .map_err(|err| error(ErrorCode::Tool, format!("the work folder cannot be made: {err}")))?;
            Ok((params, reads))
        });
        let (params, reads) = looked.await.map_err(|err| error(ErrorCode::Tool, err.to_string())).flatten()?;
        let input = Input { params, run: run.clone(), secrets };
        let input = serde_json::to_string(&input).map_err(|err| error(ErrorCode::InvalidParams, err.to_string()))?;
        if input.len() > INPUT_LIMIT {
            let message = format!("the parameters have {} bytes; at most {INPUT_LIMIT} can be given", input.len());
            return Err(error(ErrorCode::InvalidParams, message));
        }
        let argv = match &tool.place {
            Place::Shipped => vec!["tool".to_owned(), manifest.name.clone()],
            Place::Folder(_) => manifest.run.clone(),
        };
        let wanted = timeout.or(manifest.timeout.map(|span| span.0)).unwrap_or(self.parts.limits.timeout);
        let timeout = wanted.min(LONGEST);
        Ok(Prepared { tool, run, input: input.into(), argv, work, reads, hosts, timeout })
    }

    async fn secrets(&self, tool: &Tool) -> Result<BTreeMap<String, String>, ToolError> {
        let mut secrets = BTreeMap::new();
        for wanted in &tool.manifest.secrets {
            let name = &wanted.name;
            match self.parts.secrets.get(name).await {
                Ok(Some(secret)) => drop(secrets.insert(name.clone(), secret.expose_secret().to_owned())),
                Err(err) if !wanted.is_optional => return Err(error(ErrorCode::Unauthorized, err.to_string())),
                Ok(None) if !wanted.is_optional => {
                    let message = format!(
                        "`{}` needs the secret {name}, and nobody has it; give it with `fullsend secrets set {name}`",
                        tool.manifest.name
                    );
                    return Err(error(ErrorCode::Unauthorized, message));
                }
                Err(err) => tracing::warn!(tool = %tool.manifest.name, %err, "it goes without the secret"),
                Ok(None) => {}
            }
        }
        Ok(secrets)
    }
}

/// The files and folders that parameters name, each made absolute in its place.
fn paths(
    parts: &RunnerParts,
    own: Option<&Path>,
    names: &[String],
    params: &mut Map<String, Value>,
) -> Result<Vec<PathBuf>, ToolError> {
    let mut paths = Vec::new();
    let mut take = |name: &str, value: &mut Value| -> Result<(), ToolError> {
        if let Value::String(text) = value {
            let path = path(parts, own, name, text)?;
            *text = path.to_string_lossy().into_owned();
            paths.push(path);
        }
        Ok(())
    };
    for name in names {
        match params.get_mut(name) {
            Some(Value::Array(items)) => items.iter_mut().try_for_each(|item| take(name, item))?,
            Some(value) => take(name, value)?,
            None => {}
        }
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// Where a path leads, if a tool may be given that.
fn path(parts: &RunnerParts, own: Option<&Path>, name: &str, text: &str) -> Result<PathBuf, ToolError> {
    let refused = |why: &str| {
        let shown = sanitize_line(text, 200);
        error(ErrorCode::InvalidParams, format!("the parameter `{name}` names `{shown}`, {why}"))
    };
    // Links are followed here, once; what they lead to is what is looked at and given.
    let real = fs::canonicalize(text).map_err(|err| refused(&format!("which cannot be read: {err}")))?;
    let work = fs::canonicalize(&parts.work).unwrap_or_else(|_| parts.work.clone());
    // Its own folder it sees anyway: a list of its tests.
    let own = own.and_then(|own| fs::canonicalize(own).ok());
    let is_its_own = own.is_some_and(|own| real.starts_with(own));
    let is_ours = |ours: &PathBuf| {
        let ours = fs::canonicalize(ours).unwrap_or_else(|_| ours.clone());
        (real.starts_with(&ours) && !real.starts_with(&work)) || ours.starts_with(&real)
    };
    if !is_its_own && parts.forbidden.iter().any(is_ours) {
        return Err(refused("which is or holds the program's own; no tool is given that"));
    }
    if real.components().any(|part| PRIVATE_PARTS.iter().any(|private| part.as_os_str() == *private)) {
        return Err(refused("which is where keys and settings are kept; copy what is needed elsewhere"));
    }
    // A folder shows all that is in it: somebody's home does not go to a tool.
    let holds = |private: &str| private != ".git" && real.join(private).symlink_metadata().is_ok();
    if !is_its_own && PRIVATE_PARTS.iter().any(|private| holds(private)) {
        return Err(refused("which holds keys and settings; name a folder below it, or a file"));
    }
    if real.to_str().is_none() {
        return Err(refused("whose name is no text"));
    }
    let kind = fs::metadata(&real).map_err(|err| refused(&format!("which cannot be read: {err}")))?;
    if !kind.is_file() && !kind.is_dir() {
        return Err(refused("which is neither a file nor a folder"));
    }
    Ok(real)
}

/// The places that the manifest and the parameters name.
fn hosts(tool: &Tool, params: &Map<String, Value>) -> Result<Vec<HostPort>, ToolError> {
    let mut hosts = tool.manifest.network.clone();
    let read = |name: &str, text: &str| {
        HostPort::of_url(text)
            .map_err(|why| error(ErrorCode::InvalidParams, format!("the parameter `{name}` names no place: {why}")))
    };
    for name in &tool.manifest.network_params {
        match params.get(name) {
            Some(Value::String(text)) if !text.is_empty() => hosts.push(read(name, text)?),
            Some(Value::Array(items)) => {
                for text in items.iter().filter_map(Value::as_str) {
                    hosts.push(read(name, text)?);
                }
            }
            _ => {}
        }
    }
    hosts.sort();
    hosts.dedup();
    Ok(hosts)
}

/// An id as the name of a folder: as it is where it may be one, else with its hash.
pub(crate) fn folder_name(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !id.is_empty() && id.len() <= 80 && !id.starts_with('.') && id.chars().all(fits) {
        return id.to_owned();
    }
    let readable: String = id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let hash = Sha256::digest(id).first_chunk().copied().unwrap_or_default();
    format!("{readable}-{:016x}", u64::from_be_bytes(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_names_of_folders_that_lead_nowhere_else() {
        assert_eq!(folder_name("0190-ab_c.d"), "0190-ab_c.d");
        for id in ["", "..", "../x", "a/b", "exp:1", &"x".repeat(81)] {
            let name = folder_name(id);
            assert!(!name.starts_with('.') && !name.contains(['/', ':']) && name.len() < 60, "{name}");
        }
        assert_ne!(folder_name("a:b"), folder_name("a/b"));
    }
}
