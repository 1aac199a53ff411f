//! One setting: what kind of value it takes, how it is read, checked and shown.
//!
//! Must never show a password; a bus URL is shown without it, also in errors.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::budget::Limits;
use super::duration;
use super::error::nearest;
use super::llm::{self, Link};
use super::outreach::QuietHours;
use crate::contracts::ServiceName;
use crate::telemetry::redact;

/// A value as a layer gives it. The environment and flags only know texts.
#[derive(Clone)]
pub(super) enum Raw {
    Text(String),
    Whole(i64),
    List(Vec<String>),
    /// Something that no setting takes, by what it is called.
    Other(&'static str),
}

/// A value to be shown: never with a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Shown {
    /// Nothing is set; what that means is said by the setting.
    Nothing,
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
    /// Several texts.
    List(Vec<String>),
}

impl Shown {
    /// As a TOML value.
    pub(super) fn toml(&self) -> String {
        match self {
            Self::Nothing => "\"\"".to_owned(),
            Self::Text(text) => toml::Value::String(text.clone()).to_string(),
            Self::Number(number) => number.to_string(),
            Self::List(items) => toml::Value::from(items.clone()).to_string(),
        }
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("-"),
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::List(items) if items.is_empty() => f.write_str("-"),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// A value that is one of a few words.
pub(super) trait Choice {
    fn choose(&mut self, word: &str) -> bool;
    fn word(&self) -> &'static str;
    fn words(&self) -> &'static [&'static str];
}

/// Makes an enum whose values are words in settings.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $word:literal ),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$variant_doc])* $variant, )+ }

        impl $name {
            /// As it is written in settings and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::config::setting::Choice for $name {
            fn choose(&mut self, word: &str) -> bool {
                match word {
                    $( $word => *self = Self::$variant, )+
                    _ => return false,
                }
                true
            }
            fn word(&self) -> &'static str { self.as_str() }
            fn words(&self) -> &'static [&'static str] { &[$($word),+] }
        }
    };
}
pub(super) use choice;

/// The place of a setting's value in the settings, with what it takes.
pub(super) enum Slot<'a> {
    Choice(&'a mut dyn Choice),
    Duration(&'a mut Duration, RangeInclusive<Duration>),
    Count(&'a mut u64, RangeInclusive<u64>),
    Few(&'a mut u32, RangeInclusive<u32>),
    Folder(&'a mut PathBuf),
    File(&'a mut Option<PathBuf>),
    Limits(&'a mut Limits),
    Prefix(&'a mut String),
    BusUrl(&'a mut Option<SecretString>),
    LogFilter(&'a mut String),
    Services(&'a mut Vec<ServiceName>),
    /// A program and its arguments.
    Words(&'a mut Vec<String>),
    /// A provider and its model.
    Link(&'a mut Option<Link>),
    /// Providers in order.
    Chain(&'a mut Vec<Link>),
    Model(&'a mut Option<String>),
    Url(&'a mut Option<String>),
    Secret(&'a mut Option<SecretString>),
    /// A text in a line, with what it must be; the error is in words.
    Text(&'a mut Option<String>, fn(&str) -> Result<(), String>),
    QuietHours(&'a mut Option<QuietHours>),
    /// Places as `HOST:PORT`.
    Places(&'a mut Vec<String>),
}

/// A setting of the table.
pub(super) struct Row<'a> {
    /// Its name in the file, with its section: `bus.prefix`.
    pub(super) key: &'static str,
    pub(super) slot: Slot<'a>,
    /// What it means, in one or two sentences.
    pub(super) help: &'static str,
    /// Its flag, if it has one that every verb knows.
    pub(super) flag: Option<&'static str>,
    /// Environment variables of the founding designs that mean the same; a later one wins.
    pub(super) founding_env: &'static [&'static str],
    /// Whether those give a number of seconds, without a unit.
    pub(super) founding_seconds: bool,
}

impl<'a> Row<'a> {
    pub(super) fn new(key: &'static str, slot: Slot<'a>, help: &'static str) -> Self {
        Self { key, slot, help, flag: None, founding_env: &[], founding_seconds: false }
    }

    pub(super) fn flag(self, name: &'static str) -> Self {
        Self { flag: Some(name), ..self }
    }

    pub(super) fn founding_env(self, names: &'static [&'static str]) -> Self {
        Self { founding_env: names, ..self }
    }

    /// Variables of the founding designs that give this length of time in seconds.
    pub(super) fn founding_seconds(self, names: &'static [&'static str]) -> Self {
        Self { founding_env: names, founding_seconds: true, ..self }
    }

    /// `FULLSEND_BUS__PREFIX` for `bus.prefix`.
    pub(super) fn env(&self) -> String {
        format!("FULLSEND_{}", self.key.to_ascii_uppercase().replace('.', "__"))
    }
}

/// Where paths that are not absolute start from.
pub(super) struct Base<'a> {
    pub(super) folder: &'a Path,
    /// What `~` stands for.
    pub(super) user: Option<&'a Path>,
}

impl Base<'_> {
    fn resolve(&self, text: &str) -> PathBuf {
        let path = match (text.strip_prefix('~'), self.user) {
            (Some(rest), Some(user)) if rest.is_empty() || rest.starts_with('/') => {
                user.join(rest.trim_start_matches('/'))
            }
            _ => self.folder.join(text),
        };
        // Joined paths keep `.` in the middle (`/srv/./context`), which reads badly.
        path.components().collect()
    }
}

impl Slot<'_> {
    /// Puts a layer's value in.
    ///
    /// # Errors
    /// In words, with what the setting takes, and the nearest right word where there is one.
    pub(super) fn set(&mut self, raw: &Raw, base: &Base<'_>) -> Result<(), (String, Option<String>)> {
        let plain = |what: String| (what, None);
        match self {
            Self::Choice(value) => {
                let word = text(raw).map_err(plain)?;
                if !value.choose(word) {
                    let words = value.words();
                    let what = format!("`{}` is none of: {}", short(word), words.join(", "));
                    return Err((what, nearest(word, words.iter().copied())));
                }
            }
            Self::Duration(value, range) => {
                let length = duration::parse(text(raw).map_err(plain)?).map_err(plain)?;
                if !range.contains(&length) {
                    let (least, most) = (duration::show(*range.start()), duration::show(*range.end()));
                    return Err(plain(format!("{} is outside {least} to {most}", duration::show(length))));
                }
                **value = length;
            }
            Self::Count(value, range) => **value = whole(raw, range).map_err(plain)?,
            Self::Few(value, range) => {
                let wide = u64::from(*range.start())..=u64::from(*range.end());
                let number = whole(raw, &wide).map_err(plain)?;
                **value = u32::try_from(number).map_err(|err| plain(err.to_string()))?;
            }
            Self::Folder(value) => **value = base.resolve(path(raw).map_err(plain)?),
            Self::File(value) => **value = Some(base.resolve(path(raw).map_err(plain)?)),
            Self::Limits(value) => **value = limits(raw).map_err(plain)?,
            Self::Prefix(value) => **value = prefix(text(raw).map_err(plain)?).map_err(plain)?,
            Self::BusUrl(value) => **value = bus_url(raw)?,
            Self::LogFilter(value) => **value = log_filter(text(raw).map_err(plain)?)?,
            Self::Services(value) => **value = services(raw)?,
            Self::Words(value) => **value = words(raw).map_err(plain)?,
            Self::Link(value) => **value = Some(Link::parse(text(raw).map_err(plain)?).map_err(plain)?),
            Self::Chain(value) => **value = chain(raw).map_err(plain)?,
            Self::Model(value) => **value = Some(llm::read_model(text(raw).map_err(plain)?).map_err(plain)?),
            Self::Url(value) => **value = Some(llm::read_url(text(raw).map_err(plain)?).map_err(plain)?),
            Self::Secret(value) => **value = Some(secret(raw).map_err(plain)?),
            Self::Text(value, check) => {
                let text = text(raw).map_err(plain)?;
                check(text).map_err(plain)?;
                **value = Some(text.to_owned());
            }
            Self::QuietHours(value) => {
                **value = QuietHours::parse(text(raw).map_err(plain)?).map_err(plain)?;
            }
            Self::Places(value) => **value = places(raw).map_err(plain)?,
        }
        Ok(())
    }

    /// The value, without secrets.
    pub(super) fn shown(&self) -> Shown {
        match self {
            Self::Choice(value) => Shown::Text(value.word().to_owned()),
            Self::Duration(value, _) => Shown::Text(duration::show(**value)),
            Self::Count(value, _) => Shown::Number(**value),
            Self::Few(value, _) => Shown::Number(u64::from(**value)),
            Self::Folder(value) => Shown::Text(value.display().to_string()),
            Self::File(value) => value.as_ref().map_or(Shown::Nothing, |path| Shown::Text(path.display().to_string())),
            Self::Limits(value) => Shown::Text(value.to_string()),
            Self::Prefix(value) if value.is_empty() => Shown::Nothing,
            Self::Prefix(value) | Self::LogFilter(value) => Shown::Text((**value).clone()),
            Self::BusUrl(value) => value
                .as_ref()
                .map_or(Shown::Text(EMBEDDED.to_owned()), |url| Shown::Text(redact::patterns(url.expose_secret()))),
            Self::Services(value) => Shown::List(value.iter().map(ToString::to_string).collect()),
            Self::Text(value, _) => value.as_ref().map_or(Shown::Nothing, |text| Shown::Text(redact::patterns(text))),
            Self::QuietHours(value) => Shown::Text(value.map_or_else(|| "none".to_owned(), |hours| hours.to_string())),
            Self::Places(value) => Shown::List((**value).clone()),
            Self::Words(value) => Shown::List(value.iter().map(|word| redact::patterns(word)).collect()),
            Self::Link(value) => value.as_ref().map_or(Shown::Nothing, |link| Shown::Text(link.to_string())),
            Self::Chain(value) => Shown::List(value.iter().map(ToString::to_string).collect()),
            Self::Model(value) | Self::Url(value) => {
                value.as_ref().map_or(Shown::Nothing, |text| Shown::Text(text.clone()))
            }
            Self::Secret(value) => value.as_ref().map_or(Shown::Nothing, |_| Shown::Text("***".to_owned())),
        }
    }

    /// What may be written, for the template.
    pub(super) fn takes(&self) -> String {
        match self {
            Self::Choice(value) => format!("One of: {}.", value.words().join(", ")),
            Self::Duration(_, range) => {
                format!("A length of time, {} to {}.", duration::show(*range.start()), duration::show(*range.end()))
            }
            Self::Count(_, range) => format!("A number, {} to {}.", range.start(), range.end()),
            Self::Few(_, range) => format!("A number, {} to {}.", range.start(), range.end()),
            Self::Folder(_) => "A folder; relative to this file. Empty: the default.".to_owned(),
            Self::File(_) => "A file; relative to this file. Empty: none.".to_owned(),
            Self::Limits(_) => "Dollars, `200000 tokens`, `50 calls`, several with commas, or `none`.".to_owned(),
            Self::Prefix(_) => "Letters, digits and `:_.-`. Empty: none.".to_owned(),
            Self::BusUrl(_) => format!("`{EMBEDDED}`, or a URL that starts with: {}.", SCHEMES.join(", ")),
            Self::LogFilter(_) => {
                "off, error, warn, info, debug or trace, also per module: `info,fullsend::bus=debug`.".to_owned()
            }
            Self::Words(_) => {
                "A list of texts, like [\"notify-send\", \"Fullsend\"]; no shell reads it. Empty: none.".to_owned()
            }
            Self::Services(_) => "A list of services, like [\"echo\", \"bridge\"].".to_owned(),
            Self::Link(_) => "PROVIDER:MODEL, or the model's name where it shows the provider. Empty: none.".to_owned(),
            Self::Chain(_) => {
                "A list of anthropic, gemini, openai and rules, each but rules also as PROVIDER:MODEL.".to_owned()
            }
            Self::Model(_) => "The name of a model. Empty: none.".to_owned(),
            Self::Url(_) => "A URL. Empty: the usual one.".to_owned(),
            Self::Text(..) => "A text. Empty: none.".to_owned(),
            Self::QuietHours(_) => "Hours like `21:00-08:00`, or `none`.".to_owned(),
            Self::Places(_) => "A list of texts, like [\"127.0.0.1:1025\"]. Empty: none.".to_owned(),
            Self::Secret(_) => "A secret; better in the environment. Empty: none.".to_owned(),
        }
    }
}

/// How the embedded engine is asked for where a URL may stand.
pub(super) const EMBEDDED: &str = "embedded";

/// How a bus URL may start.
const SCHEMES: [&str; 9] =
    ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "valkey+unix", "redis+sentinel", "rediss+sentinel"];

/// At most so much of somebody's text in an error, without what looks like a secret.
fn short(text: &str) -> String {
    redact::patterns(text).chars().take(60).collect()
}

fn text(raw: &Raw) -> Result<&str, String> {
    match raw {
        Raw::Text(text) => Ok(text.trim()),
        Raw::Whole(number) => Err(format!("{number} is a number; a text in quotes belongs here")),
        Raw::List(_) => Err("a list stands here; a text in quotes belongs here".to_owned()),
        Raw::Other(found) => Err(format!("{found} stands here; a text in quotes belongs here")),
    }
}

/// A secret: never repeated in an error.
fn secret(raw: &Raw) -> Result<SecretString, String> {
    let text = text(raw).map_err(|_| "a text in quotes belongs here".to_owned())?;
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || !c.is_ascii()) {
        return Err("it has spaces or characters that no key has; was something else copied along?".to_owned());
    }
    Ok(SecretString::from(text))
}

fn chain(raw: &Raw) -> Result<Vec<Link>, String> {
    match raw {
        Raw::List(items) => llm::read_chain(items.iter().map(String::as_str)),
        Raw::Text(items) => llm::read_chain(items.split(',')),
        Raw::Whole(_) => Err("a number stands here; a list of providers belongs here".to_owned()),
        Raw::Other(found) => Err(format!("{found} stands here; a list of providers belongs here")),
    }
}

fn path(raw: &Raw) -> Result<&str, String> {
    let text = text(raw)?;
    if text.contains('\0') {
        return Err("a path cannot hold a NUL".to_owned());
    }
    Ok(text)
}

fn whole(raw: &Raw, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let (least, most) = (range.start(), range.end());
    let number = match raw {
        Raw::Whole(number) => u64::try_from(*number).ok(),
        // From the environment or a flag; quotes around a number in the file are forgiven.
        Raw::Text(text) => match text.trim().replace('_', "").parse::<u64>() {
            Ok(number) => Some(number),
            Err(_) => return Err(format!("`{}` is no number from {least} to {most}", short(text))),
        },
        Raw::List(_) => return Err("a list stands here; a number belongs here".to_owned()),
        Raw::Other(found) => return Err(format!("{found} stands here; a number belongs here")),
    };
    number.filter(|number| range.contains(number)).ok_or_else(|| format!("the number is outside {least} to {most}"))
}

fn limits(raw: &Raw) -> Result<Limits, String> {
    match raw {
        Raw::Whole(dollars) => Limits::parse(&dollars.to_string()),
        raw => Limits::parse(text(raw)?),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let fits = text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || ":_.-".contains(c));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` cannot stand before keys; use at most 64 letters, digits and `:_.-`", short(text)))
    }
}

fn bus_url(raw: &Raw) -> Result<Option<SecretString>, (String, Option<String>)> {
    let url = text(raw).map_err(|what| (what, None))?;
    if url == EMBEDDED {
        return Ok(None);
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        // Whatever it is, it may hold a password: it is not repeated.
        let what = format!("this is no URL of a bus; write `redis://HOST:PORT`, or `{EMBEDDED}`");
        return Err((what, nearest(url, [EMBEDDED])));
    };
    if !SCHEMES.contains(&scheme) {
        let what = format!("a bus URL starts with one of: {}; not with `{}`", SCHEMES.join(", "), short(scheme));
        return Err((what, nearest(scheme, SCHEMES)));
    }
    if rest.trim_matches('/').is_empty() || rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err((format!("the URL names no place after `{scheme}://`, or holds spaces"), None));
    }
    Ok(Some(SecretString::from(url)))
}

fn log_filter(text: &str) -> Result<String, (String, Option<String>)> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // A lone word that is no level would silently be read as the name of a module.
    let lone = !text.contains(['=', ',', ':']);
    if lone && !LEVELS.contains(&text.to_ascii_lowercase().as_str()) {
        let what = format!("`{}` is none of: {}", short(text), LEVELS.join(", "));
        return Err((what, nearest(text, LEVELS)));
    }
    match text.parse::<tracing_subscriber::filter::EnvFilter>() {
        Ok(_) => Ok(text.to_owned()),
        Err(err) => Err((format!("`{}` is no log filter: {err}", short(text)), None)),
    }
}

fn words(raw: &Raw) -> Result<Vec<String>, String> {
    let words: Vec<String> = match raw {
        Raw::List(words) => words.clone(),
        // From the environment: no quotes, no shell.
        Raw::Text(words) => words.split_whitespace().map(str::to_owned).collect(),
        Raw::Whole(_) => return Err("a number stands here; a list of texts belongs here".to_owned()),
        Raw::Other(found) => return Err(format!("{found} stands here; a list of texts belongs here")),
    };
    if words.iter().any(|word| word.contains('\0')) {
        return Err("a program and its arguments cannot hold a NUL".to_owned());
    }
    Ok(words)
}

fn places(raw: &Raw) -> Result<Vec<String>, String> {
    let places: Vec<String> = match raw {
        Raw::List(places) => places.clone(),
        Raw::Text(places) => places.split([',', ' ']).filter(|place| !place.is_empty()).map(str::to_owned).collect(),
        Raw::Whole(_) => return Err("a number stands here; a list of HOST:PORT belongs here".to_owned()),
        Raw::Other(found) => return Err(format!("{found} stands here; a list of HOST:PORT belongs here")),
    };
    let is_place = |place: &str| {
        place
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    match places.iter().find(|place| !is_place(place.trim())) {
        Some(place) => Err(format!("`{}` is no HOST:PORT", short(place))),
        None => Ok(places.iter().map(|place| place.trim().to_ascii_lowercase()).collect()),
    }
}

/// What runs under a name of its own and is a part of a service: it cannot be chosen without it.
const PARTS: [(&str, ServiceName); 5] = [
    ("mirror", ServiceName::Memory),
    ("audit", ServiceName::Gate),
    ("notifier", ServiceName::Gate),
    ("tools", ServiceName::Executor),
    ("summaries", ServiceName::RedisAgent),
];

fn services(raw: &Raw) -> Result<Vec<ServiceName>, (String, Option<String>)> {
    let names: Vec<&str> = match raw {
        Raw::List(names) => names.iter().map(String::as_str).collect(),
        Raw::Text(names) => names.split(',').collect(),
        Raw::Whole(_) => return Err(("a number stands here; a list of services belongs here".to_owned(), None)),
        Raw::Other(found) => return Err((format!("{found} stands here; a list of services belongs here"), None)),
    };
    names
        .into_iter()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            name.parse::<ServiceName>().map_err(|_| {
                let known = ServiceName::ALL.iter().map(|service| service.as_str());
                match PARTS.iter().find(|(part, _)| *part == name) {
                    Some((part, whole)) => (format!("`{part}` is a part of the service `{whole}`; name that"), None),
                    None => (format!("unknown service `{}`", short(name)), nearest(name, known)),
                }
            })
        })
        .collect()
}
