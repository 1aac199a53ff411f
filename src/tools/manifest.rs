//! A tool's manifest, `tool.toml`: what it is, how it is started, what it takes and gives, and what it may reach.
//!
//! Owns its shape and what must hold of it, so that nothing later has to ask whether a name, a host or a schema is sound. Must never start
//! anything, and never look at anything but the text that it is given: whether the program is there is the registry's.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::schema;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::Span;

/// The file in a tool's folder.
pub const FILE: &str = "tool.toml";
/// How long a tool may take at most, and how long where its manifest does not say.
pub const LONGEST: Duration = Duration::from_hours(1);
/// Most characters of a tool's name.
const NAME_LIMIT: usize = 64;
/// Most entries of a list.
const LIST_LIMIT: usize = 50;

/// What a tool is, takes and gives, and may reach.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    /// Its name: that of its folder, too.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    pub description: String,
    /// The program, within its folder, and its arguments. Empty for one of ours.
    pub run: Vec<String>,
    /// What its parameters must be: a JSON Schema of an object, closed where it does not say otherwise.
    pub inputs: Value,
    /// What its result must be: a JSON Schema.
    pub outputs: Value,
    /// What it needs to know that nobody else may.
    pub secrets: Vec<SecretName>,
    /// What it may speak to.
    pub network: Vec<HostPort>,
    /// Parameters that are URLs, and whose hosts it may speak to, too.
    pub network_params: Vec<String>,
    /// Parameters that are files or folders, which it may read.
    pub path_params: Vec<String>,
    /// How long it may take; none for what the settings say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Whether running it twice does no more than running it once. Its metrics then carry an `id`, or come in the same order each time.
    pub idempotent: bool,
    /// What it does to the world.
    pub effect: Effect,
    /// Whether what it says is made up by a model of the world, and must be called a simulation wherever it is seen.
    pub simulation: bool,
}

/// What a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: it computes.
    None,
    /// It asks others.
    Read,
    /// It reaches people or changes something elsewhere: it asks before each act.
    Outward,
}

impl Effect {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Outward => "outward",
        }
    }
}

/// A secret by its name: `NAME`, or `NAME?` for one that it can do without.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName {
    /// The name.
    pub name: String,
    /// Whether it can do without.
    pub is_optional: bool,
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.is_optional { "?" } else { "" })
    }
}

impl FromStr for SecretName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, is_optional) = text.strip_suffix('?').map_or((text, false), |name| (name, true));
        check_secret(name).map(|name| Self { name: name.to_owned(), is_optional })
    }
}

/// Whether a secret may have this name: as environment variables are named.
///
/// # Errors
/// In words.
pub fn check_secret(name: &str) -> Result<&str, String> {
    let fits = |(at, c): (usize, char)| c.is_ascii_uppercase() || c == '_' || at > 0 && c.is_ascii_digit();
    if !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().enumerate().all(fits) {
        Ok(name)
    } else {
        Err(format!("`{}` is no name of a secret; they are like API_KEY", sanitize_line(name, 60)))
    }
}

/// A place in the network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name, or an address; in small letters.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}` is no HOST:PORT: {why}", sanitize_line(text, 80));
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("it names no port"))?;
        let port = port
            .parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| wrong("the port is no number from 1 to 65535"))?;
        let host = check_host(host).map_err(|why| wrong(&why))?;
        Ok(Self { host, port })
    }
}

impl HostPort {
    /// The place that a parameter names: a URL (its port, or the usual one of its scheme), or `HOST:PORT`.
    ///
    /// # Errors
    /// In words, without what might be a password in it.
    pub fn of_url(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return text.parse();
        }
        let url = reqwest::Url::parse(text).map_err(|_| "it is no URL".to_owned())?;
        let usual = match url.scheme() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            "smtp" => Some(25),
            "smtps" => Some(465),
            _ => None,
        };
        let port = url
            .port()
            .or(usual)
            .ok_or_else(|| format!("a URL of `{}` needs a port", sanitize_line(url.scheme(), 20)))?;
        Ok(Self { host: check_host(url.host_str().unwrap_or_default())?, port })
    }
}

impl Serialize for SecretName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for HostPort {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a host: in small letters, an address of version 6 without its brackets.
fn check_host(host: &str) -> Result<String, String> {
    let host = host.to_ascii_lowercase();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    let is_label = |label: &str| {
        let fits = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        !label.is_empty() && label.len() <= 63 && fits && !label.starts_with('-') && !label.ends_with('-')
    };
    if bare.len() > 253 || !bare.split('.').all(is_label) {
        return Err("the host is no name of a machine (`*` stands for nothing here)".to_owned());
    }
    // Old resolvers read a lone number as an address.
    if bare
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x"))
    {
        return Err("the host is an address in an unusual form".to_owned());
    }
    Ok(bare.to_owned())
}

/// Whether a tool may have this name.
///
/// # Errors
/// In words.
pub fn check_name(name: &str) -> Result<&str, String> {
    let fits = |(at, c): (usize, char)| c.is_ascii_lowercase() || at > 0 && (c.is_ascii_digit() || c == '_');
    if !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().enumerate().all(fits) {
        return Ok(name);
    }
    let shown = sanitize_line(name, 80);
    Err(format!(
        "`{shown}` is no name of a tool; small letters, digits and `_` are, with a letter first, at most {NAME_LIMIT}"
    ))
}

/// A manifest that is not believed, with every reason.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.join("; "))]
pub struct BadManifest(pub Vec<String>);

/// A manifest as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    version: String,
    description: String,
    #[serde(default)]
    run: Vec<String>,
    #[serde(default)]
    inputs: Option<Map<String, Value>>,
    #[serde(default)]
    outputs: Option<Map<String, Value>>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    network: Vec<String>,
    #[serde(default)]
    network_params: Vec<String>,
    #[serde(default)]
    path_params: Vec<String>,
    #[serde(default)]
    timeout: Option<Span>,
    #[serde(default)]
    idempotent: bool,
    effect: Effect,
    #[serde(default)]
    simulation: bool,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(text: &str) -> Result<Self, BadManifest> {
        let raw: Raw = toml::from_str(text).map_err(|err| BadManifest(vec![unreadable(text, &err)]))?;
        let mut wrong = Vec::new();
        let manifest = Self {
            secrets: parsed("secrets", &raw.secrets, &mut wrong),
            network: parsed("network", &raw.network, &mut wrong),
            inputs: closed(raw.inputs.unwrap_or_default()),
            outputs: raw.outputs.map_or(Value::Bool(true), Value::Object),
            name: raw.name,
            version: raw.version,
            description: raw.description,
            run: raw.run,
            network_params: raw.network_params,
            path_params: raw.path_params,
            timeout: raw.timeout,
            idempotent: raw.idempotent,
            effect: raw.effect,
            simulation: raw.simulation,
        };
        manifest.check(&mut wrong);
        if wrong.is_empty() { Ok(manifest) } else { Err(BadManifest(wrong)) }
    }

    fn check(&self, wrong: &mut Vec<String>) {
        if let Err(why) = check_name(&self.name) {
            wrong.push(format!("name: {why}"));
        }
        for (field, text, limit) in [("version", &self.version, 40), ("description", &self.description, 500)] {
            let long = text.chars().count() > limit;
            if text.trim().is_empty() || long || text.chars().any(char::is_control) {
                wrong.push(format!("{field}: one line of 1 to {limit} characters belongs here"));
            }
        }
        if self.run.iter().any(|word| word.contains('\0')) {
            wrong.push("run: a program and its arguments cannot hold a NUL".to_owned());
        }
        for (field, schema) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            if let Err(why) = schema::sound(schema) {
                wrong.push(format!("{field}: it is no JSON Schema: {why}"));
            }
        }
        if self.inputs.get("type") != Some(&json!("object")) {
            wrong.push("inputs: parameters are an object, so its `type` is \"object\"".to_owned());
        }
        let properties = self.inputs.get("properties").and_then(Value::as_object);
        for (field, names) in [("network_params", &self.network_params), ("path_params", &self.path_params)] {
            for name in names.iter().filter(|name| properties.is_none_or(|there| !there.contains_key(*name))) {
                wrong.push(format!("{field}: the inputs have no property `{}`", sanitize_line(name, 60)));
            }
        }
        if self.timeout.is_some_and(|Span(timeout)| timeout > LONGEST || timeout < Duration::from_secs(1)) {
            wrong.push("timeout: 1s to 1h belong here".to_owned());
        }
        if self.effect == Effect::None && self.reaches_out() {
            wrong.push("effect: it says `none`, and yet it wants the network; say `read` or `outward`".to_owned());
        }
        if self.simulation && self.effect != Effect::None {
            wrong.push("simulation: what is made up has no effect; say `none`".to_owned());
        }
    }

    /// Whether it may speak to anybody.
    pub fn reaches_out(&self) -> bool {
        !self.network.is_empty() || !self.network_params.is_empty()
    }
}

/// The items of a list, each read.
fn parsed<T: FromStr<Err = String>>(field: &str, items: &[String], wrong: &mut Vec<String>) -> Vec<T> {
    if items.len() > LIST_LIMIT {
        wrong.push(format!("{field}: at most {LIST_LIMIT} belong here"));
    }
    let mut read = Vec::new();
    for item in items.iter().take(LIST_LIMIT) {
        match item.parse() {
            Ok(item) => read.push(item),
            Err(why) => wrong.push(format!("{field}: {why}")),
        }
    }
    read
}

/// A schema of parameters: of an object, and closed where it does not say otherwise, so that a misspelt parameter is told of.
fn closed(mut schema: Map<String, Value>) -> Value {
    schema.entry("type").or_insert_with(|| json!("object"));
    let is_composed =
        ["$ref", "allOf", "anyOf", "oneOf", "patternProperties"].iter().any(|word| schema.contains_key(*word));
    if !is_composed {
        schema.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    Value::Object(schema)
}

/// Why a manifest cannot be read, with its line.
fn unreadable(text: &str, err: &toml::de::Error) -> String {
    let line = err.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
    let message = sanitize_line(err.message(), 300);
    line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
}
