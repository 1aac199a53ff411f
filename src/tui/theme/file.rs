//! A theme's file: a style for each role.
//!
//! A style is words: `bold`, `italic`, `underline`, `reverse`, a colour (`#rrggbb`, a name, `default`), and `on` before the colour of the
//! ground. `palette` names colours that the roles then use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use super::{Role, Theme};

/// Why a theme cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThemeError {
    /// Its name.
    pub theme: String,
    /// Its file, where it has one.
    pub file: Option<PathBuf>,
    /// The line, counted from 1, where that is known.
    pub line: Option<usize>,
    /// What is wrong, and where.
    pub what: String,
}

impl fmt::Display for ThemeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => write!(f, "theme `{}`", self.theme)?,
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for ThemeError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    background: Option<String>,
    #[serde(default)]
    palette: BTreeMap<String, String>,
    roles: BTreeMap<String, String>,
}

/// Reads a theme.
///
/// # Errors
/// Where it is no TOML, lacks a role, has one that there is not, or a style that cannot be read.
pub fn read(name: &str, text: &str) -> Result<Theme, ThemeError> {
    let bad = |what: String, line: Option<usize>| ThemeError { theme: name.to_owned(), file: None, line, what };
    // Where a name is given its value.
    let line = |wanted: &str| {
        let is_there = |line: &str| {
            let rest = line.trim_start().trim_start_matches('"').strip_prefix(wanted);
            rest.is_some_and(|rest| rest.trim_start_matches('"').trim_start().starts_with('='))
        };
        text.lines().position(is_there).map(|at| at + 1)
    };
    let file: File = toml::from_str(text).map_err(|err| {
        let at = err.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
        bad(err.message().to_owned(), at)
    })?;
    let mut palette = BTreeMap::new();
    for (colour, value) in &file.palette {
        let read = colour_of(value).ok_or_else(|| bad(format!("`{value}` is no colour"), line(colour)))?;
        palette.insert(colour.as_str(), read);
    }
    if let Some(unknown) = file.roles.keys().find(|role| !Role::ALL.iter().any(|known| known.name() == *role)) {
        return Err(bad(format!("there is no role `{unknown}`"), line(unknown)));
    }
    let mut styles = Vec::new();
    for role in Role::ALL {
        let missing = || bad(format!("the role `{}` is missing", role.name()), None);
        let words = file.roles.get(role.name()).ok_or_else(missing)?;
        styles.push(style(words, &palette).map_err(|what| bad(format!("{}: {what}", role.name()), line(role.name())))?);
    }
    let background = match &file.background {
        Some(words) => style(words, &palette).map_err(|what| bad(format!("background: {what}"), line("background")))?,
        None => Style::new(),
    };
    Ok(Theme::new(name.to_owned(), background, |role| styles[role as usize]))
}

fn style(words: &str, palette: &BTreeMap<&str, Color>) -> Result<Style, String> {
    let mut style = Style::new();
    let mut words = words.split_whitespace();
    while let Some(word) = words.next() {
        let colour = |word: &str| {
            palette.get(word).copied().or_else(|| colour_of(word)).ok_or_else(|| format!("`{word}` is no colour"))
        };
        style = match word {
            "bold" => style.add_modifier(Modifier::BOLD),
            "italic" => style.add_modifier(Modifier::ITALIC),
            "underline" => style.add_modifier(Modifier::UNDERLINED),
            "reverse" => style.add_modifier(Modifier::REVERSED),
            "on" => style.bg(colour(words.next().ok_or("a colour belongs after `on`")?)?),
            word => style.fg(colour(word)?),
        };
    }
    Ok(style)
}

fn colour_of(word: &str) -> Option<Color> {
    if word == "default" {
        return Some(Color::Reset);
    }
    Color::from_str(word).ok()
}
