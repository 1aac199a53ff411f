//! The layers above the defaults: the file, the environment, the flags. Each becomes a list of entries for known settings.
//!
//! Owns where layers are looked for and how their names are matched to settings. Must never repeat a value in an error
//! before it is known not to be a secret.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use secrecy::{ExposeSecret, SecretString};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, Source, nearest};
use super::setting::Raw;
use crate::telemetry::redact;

/// Names the settings file, as `--config` does.
const CONFIG_ENV: &str = "FULLSEND_CONFIG";
/// What `notify_command` is told by, which may well call the program; and the short name of `room.plain`, whatever its value.
const TOLD: [&str; 3] = ["FULLSEND_NOTIFY_EVENT", "FULLSEND_NOTIFY_TEXT", "FULLSEND_PLAIN"];

/// Variables of the founding designs for parts that this version does not contain. Nobody reads them; they are no mistake.
pub(super) const FOUNDING_LATER: [&str; 2] = ["FULLSEND_MODEL", "FULLSEND_TIMEOUT"];

/// What surrounds the program: its environment and folders, taken once.
pub struct Environment {
    /// The environment variables.
    pub vars: BTreeMap<String, OsString>,
    /// The working folder.
    pub folder: PathBuf,
    /// The user's own folder, `~`.
    pub user: Option<PathBuf>,
    /// Where programs keep settings (`$XDG_CONFIG_HOME`).
    pub config_home: Option<PathBuf>,
    /// Where programs keep state (`$XDG_STATE_HOME`).
    pub state_home: Option<PathBuf>,
}

impl Environment {
    /// That of this process.
    ///
    /// # Errors
    /// Where the working folder is gone.
    pub fn of_process() -> std::io::Result<Self> {
        let xdg = etcetera::base_strategy::Xdg::new().ok();
        Ok(Self {
            vars: std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value)).collect(),
            folder: std::env::current_dir()?,
            user: xdg.as_ref().map(|xdg| xdg.home_dir().to_owned()),
            config_home: xdg.as_ref().map(BaseStrategy::config_dir),
            state_home: xdg.as_ref().and_then(BaseStrategy::state_dir),
        })
    }

    /// The values of all variables whose names say that they are secrets (`…_KEY`, `…_TOKEN`, `…_SECRET`, `…_PASSWORD`), of at
    /// least 8 characters.
    pub fn secrets(&self) -> Vec<SecretString> {
        const ENDINGS: [&str; 4] = ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD"];
        self.vars
            .iter()
            .filter(|(name, _)| ENDINGS.iter().any(|ending| name.to_ascii_uppercase().ends_with(ending)))
            .filter_map(|(_, value)| value.to_str())
            .filter(|value| value.chars().count() >= 8)
            .map(SecretString::from)
            .collect()
    }
}

/// A setting given on the command line.
#[derive(Clone)]
pub struct Flag {
    /// The setting: `bus.url`.
    pub key: &'static str,
    /// The flag: `--bus`.
    pub name: &'static str,
    /// What was given.
    pub value: SecretString,
}

/// One setting of one layer.
pub(super) struct Entry {
    pub(super) key: &'static str,
    pub(super) raw: Raw,
    pub(super) source: Source,
    /// Where its relative paths start from.
    pub(super) base: PathBuf,
}

/// A known setting's names.
pub(super) struct Names {
    pub(super) key: &'static str,
    pub(super) env: String,
    pub(super) founding_env: &'static [&'static str],
    pub(super) founding_seconds: bool,
}

/// Finds the settings file: the named one, else `./fullsend.toml`, else that in the user's config folder.
///
/// # Errors
/// Where a named file is not there.
pub(super) fn find_file(env: &Environment, named: Option<&Path>) -> Result<Option<PathBuf>, Problem> {
    let by_env = env.vars.get(CONFIG_ENV).filter(|value| !value.is_empty());
    let named = match (named, by_env) {
        (Some(path), _) => Some((env.folder.join(path), "flag --config".to_owned())),
        (None, Some(path)) => Some((env.folder.join(path), format!("env {CONFIG_ENV}"))),
        (None, None) => None,
    };
    if let Some((path, place)) = named {
        return if path.is_file() {
            Ok(Some(path))
        } else {
            Err(Problem { place, what: format!("there is no file {}", path.display()), nearest: None })
        };
    }
    let here = env.folder.join("fullsend.toml");
    let own = env.config_home.as_ref().map(|folder| folder.join("fullsend/fullsend.toml"));
    Ok([Some(here), own].into_iter().flatten().find(|path| path.is_file()))
}

/// The entries of a settings file.
pub(super) fn file(path: &Path, names: &[Names], problems: &mut Vec<Problem>) -> Vec<Entry> {
    let refuse = |what: String| Problem { place: path.display().to_string(), what, nearest: None };
    let text = match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            problems.push(refuse("it is not UTF-8 text".to_owned()));
            return Vec::new();
        }
        Err(err) => {
            problems.push(refuse(format!("it cannot be read: {err}")));
            return Vec::new();
        }
    };
    let mut reader = FileReader { path, text: &text, names, entries: Vec::new(), problems };
    match DeTable::parse(&text) {
        Ok(table) => reader.table("", table.get_ref()),
        // Its own Display would quote the line, which may hold a password.
        Err(err) => reader.problem(err.span().map_or(0, |span| span.start), err.message(), None),
    }
    reader.entries
}

struct FileReader<'a> {
    path: &'a Path,
    text: &'a str,
    names: &'a [Names],
    entries: Vec<Entry>,
    problems: &'a mut Vec<Problem>,
}

impl FileReader<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key =
                if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            let known = self.names.iter().find(|known| known.key == key).map(|known| known.key);
            let is_section = self.names.iter().any(|known| is_in(known.key, &key));
            match (known, value.get_ref()) {
                (Some(key), _) => self.entry(key, name, value),
                (None, DeValue::Table(inner)) if is_section => self.table(&key, inner),
                (None, _) if is_section => {
                    let what = format!("`{key}` is a section; its settings stand below `[{key}]`");
                    self.problem(name.span().start, &what, None);
                }
                (None, _) => {
                    let near = nearest_key(&key, self.names);
                    self.problem(name.span().start, &format!("unknown setting `{key}`"), near);
                }
            }
        }
    }

    fn entry(&mut self, key: &'static str, name: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let raw = match value.get_ref() {
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Raw::Other("a very large number"), Raw::Whole),
            DeValue::Array(items) => items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .map_or(Raw::Other("a list of other things than texts"), Raw::List),
            DeValue::Float(_) => Raw::Other("a number with a point"),
            DeValue::Boolean(_) => Raw::Other("true or false"),
            DeValue::Datetime(_) => Raw::Other("a date or time"),
            DeValue::Table(_) => Raw::Other("a section"),
        };
        let (line, column) = position(self.text, name.span().start);
        self.entries.push(Entry {
            key,
            raw,
            source: Source::File { path: self.path.to_owned(), line, column },
            base: self.path.parent().map(Path::to_owned).unwrap_or_default(),
        });
    }

    fn problem(&mut self, at: usize, what: &str, nearest: Option<String>) {
        let (line, column) = position(self.text, at);
        self.problems.push(Problem {
            place: format!("{}:{line}:{column}", self.path.display()),
            // A value may stand where a name belongs.
            what: redact::patterns(what),
            nearest,
        });
    }
}

/// Whether `key` belongs to `section`.
fn is_in(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// Line and column of a byte, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The setting or section most like `key`; a setting of that name in another section counts as well.
fn nearest_key(key: &str, names: &[Names]) -> Option<String> {
    let last = |key: &'static str| key.rsplit('.').next().unwrap_or(key);
    let wanted = key.rsplit('.').next().unwrap_or(key);
    let sections = names.iter().filter_map(|known| known.key.rsplit_once('.')).map(|(section, _)| section);
    nearest(key, names.iter().map(|known| known.key).chain(sections)).or_else(|| {
        let leaf = nearest(wanted, names.iter().map(|known| last(known.key)))?;
        names.iter().find(|known| last(known.key) == leaf).map(|known| known.key.to_owned())
    })
}

/// The entries of the environment: names of the founding designs first, so that our own win over them.
pub(super) fn environment(env: &Environment, names: &[Names], problems: &mut Vec<Problem>) -> Vec<Entry> {
    let founding =
        names.iter().flat_map(|known| known.founding_env.iter().map(|name| (*name, known.key, known.founding_seconds)));
    let own = names.iter().map(|known| (known.env.as_str(), known.key, false));
    let mut entries = Vec::new();
    for (name, key, in_seconds) in founding.chain(own) {
        // An empty variable is one that somebody left blank in a list: as good as none.
        let Some(value) = env.vars.get(name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let source = Source::Env(name.to_owned());
        match value.to_str() {
            Some(text) => {
                let text = if in_seconds { with_unit(text) } else { text.to_owned() };
                entries.push(Entry { key, raw: Raw::Text(text), source, base: env.folder.clone() });
            }
            None => problems.push(Problem {
                place: source.to_string(),
                what: "its value is not UTF-8 text".to_owned(),
                nearest: None,
            }),
        }
    }
    for name in env.vars.keys().filter(|name| name.starts_with("FULLSEND_") && !TOLD.contains(&name.as_str())) {
        let known = || names.iter().map(|known| known.env.as_str()).chain([CONFIG_ENV]);
        if !known().any(|known| known == name) && !FOUNDING_LATER.contains(&name.as_str()) {
            problems.push(Problem {
                place: format!("env {name}"),
                what: "no setting has this name".to_owned(),
                nearest: nearest(name, known()),
            });
        }
    }
    entries
}

/// A bare number of seconds (`5`, `0.5`) as a length of time; anything else as it is.
fn with_unit(text: &str) -> String {
    match text.trim().parse::<f64>() {
        Ok(seconds) if (0.0..1e9).contains(&seconds) => format!("{:.0}ms", seconds * 1_000.0),
        _ => text.to_owned(),
    }
}

/// The entries of the command line.
pub(super) fn flags(env: &Environment, flags: &[Flag], names: &[Names], problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for flag in flags {
        let value = flag.value.expose_secret();
        let source = Source::Flag(flag.name);
        let known = names.iter().any(|known| known.key == flag.key);
        if known && !value.is_empty() {
            entries.push(Entry { key: flag.key, raw: Raw::Text(value.to_owned()), source, base: env.folder.clone() });
            continue;
        }
        let what = if known { "its value is empty" } else { "no setting has this name" };
        problems.push(Problem { place: source.to_string(), what: what.to_owned(), nearest: None });
    }
    entries
}
