//! `fullsend secrets`: what tools are told that nobody else may know.
//!
//! Must never print a value, nor take one from the command line, where everybody on the machine could read it.

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Subcommand;
use color_eyre::eyre::{WrapErr, eyre};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::output::{FAILED, OK, Usage};
use super::{Context, given, open};
use crate::tools::registry::Listed;

/// Keeps secrets for tools, by name
///
/// A tool is given the secrets that its manifest names, and no others. They come from the environment, from `secrets.toml` in the home
/// (mode 0600; this verb writes it), or from the command of `secrets.command`, in this order. Values are never printed.
///
/// Example: fullsend secrets set TOKEN
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Keeps a secret in the home; its value is asked for, or comes on standard input
    Set {
        /// Its name, in capitals: TOKEN
        name: String,
    },
    /// Lists the names: where each comes from, and which tools want it
    List,
    /// Forgets a secret of the home
    Unset {
        /// Its name
        name: String,
    },
}

/// Does it.
///
/// # Errors
/// Where a name or a value cannot be, or the file cannot be read or written.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    match &args.action {
        Action::Set { name } => {
            let value = if io::stdin().is_terminal() { asked(name, cx)? } else { given::text(Some("-"))?.into() };
            set(name, &value, cx)
        }
        Action::List => list(cx),
        Action::Unset { name } => {
            let was_there = open::secrets(cx).unset(name)?;
            match (was_there, cx.out.is_json()) {
                (_, true) => cx.out.json(&json!({ "name": name, "removed": was_there }))?,
                (true, false) => cx.out.text(&format!("{name} is forgotten"))?,
                (false, false) => cx.out.remark(&format!("there was no {name} in the home")),
            }
            Ok(if was_there { OK } else { FAILED })
        }
    }
}

fn set(name: &str, value: &SecretString, cx: &Context) -> color_eyre::Result<ExitCode> {
    if value.expose_secret().is_empty() {
        return Err(Usage("nothing was given; pipe the value in, or type it".to_owned()).into());
    }
    cx.config.make_home()?;
    let replaced = open::secrets(cx).set(name, value.expose_secret())?;
    if cx.out.is_json() {
        cx.out.json(&json!({ "name": name, "replaced": replaced }))?;
    } else {
        let what = if replaced { "kept, in the place of the former one" } else { "kept" };
        cx.out.text(&format!("{name} is {what}"))?;
    }
    Ok(OK)
}

/// Asks for a value on the terminal, which does not show what is typed.
fn asked(name: &str, cx: &Context) -> color_eyre::Result<SecretString> {
    cx.out.remark(&format!("Type the value of {name} and Enter (it is not shown):"));
    enable_raw_mode().wrap_err("the terminal cannot be told not to show what is typed; pipe the value in")?;
    let typed = typed();
    disable_raw_mode().ok();
    typed
}

fn typed() -> color_eyre::Result<SecretString> {
    let mut value = String::new();
    loop {
        match read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
                KeyCode::Enter => return Ok(value.into()),
                KeyCode::Backspace => drop(value.pop()),
                KeyCode::Esc => return Err(eyre!("nothing was kept")),
                KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    return Err(eyre!("nothing was kept"));
                }
                KeyCode::Char(c) => value.push(c),
                _ => {}
            },
            Event::Paste(text) => value.push_str(text.trim_end_matches(['\n', '\r'])),
            _ => {}
        }
    }
}

fn list(cx: &Context) -> color_eyre::Result<ExitCode> {
    let listed = open::registry(cx).list();
    let wanted = wanted(&listed);
    let names: Vec<String> = wanted.iter().map(|(name, _)| name.clone()).collect();
    let known = open::secrets(cx).list(&names)?;
    let all: std::collections::BTreeSet<&String> = names.iter().chain(known.iter().map(|known| &known.name)).collect();
    let row = |name: &str| {
        let from = known.iter().find(|known| known.name == name).map_or("missing", |known| known.from);
        let tools: Vec<&str> = wanted
            .iter()
            .filter(|(wanted, _)| wanted == name)
            .flat_map(|(_, tools)| tools)
            .map(String::as_str)
            .collect();
        (from, tools)
    };
    if cx.out.is_json() {
        let rows: Vec<_> = all
            .iter()
            .map(|name| {
                let (from, tools) = row(name);
                json!({ "name": name, "from": from, "tools": tools })
            })
            .collect();
        cx.out.json(&rows)?;
        return Ok(OK);
    }
    if all.is_empty() {
        cx.out.remark("no secret is kept, and no tool wants one");
        return Ok(OK);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|name| {
            let (from, tools) = row(name);
            [(*name).clone(), from.to_owned(), if tools.is_empty() { "-".to_owned() } else { tools.join(", ") }]
        })
        .collect();
    cx.out.table(["SECRET", "FROM", "WANTED BY"], &rows)?;
    Ok(OK)
}

/// The names that tools want, each with those tools.
fn wanted(listed: &[Listed]) -> Vec<(String, Vec<String>)> {
    let mut wanted = std::collections::BTreeMap::<String, Vec<String>>::new();
    for listed in listed {
        for secret in listed.tool.iter().flat_map(|tool| &tool.manifest.secrets) {
            wanted.entry(secret.name.clone()).or_default().push(listed.name.clone());
        }
    }
    wanted.into_iter().collect()
}
