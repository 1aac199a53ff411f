//! The README against the program: every verb is shown there, and every command line there is one that the program takes.

use clap::{Command, CommandFactory};
use fullsend::cli::Cli;

const README: &str = include_str!("../README.md");

/// The command lines of the `console` blocks: what follows `$ `.
fn command_lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_console = false;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            in_console = language == "console";
        } else if in_console && let Some(command) = line.strip_prefix("$ ") {
            found.push(command.to_owned());
        }
    }
    found
}

/// The words of each command of a pipeline, as a shell takes them; redirections are left out.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    let mut is_target = false;
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '|' | '>' | '<') => {
                if let Some(word) = word.take()
                    && !std::mem::take(&mut is_target)
                    && let Some(command) = all.last_mut()
                {
                    command.push(word);
                }
                match c {
                    '|' => all.push(Vec::new()),
                    '>' | '<' => is_target = true,
                    _ => {}
                }
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    assert_eq!(quote, None, "a quote is not closed: {line}");
    all
}

/// The arguments for the program, if the command runs it: `fullsend …`, `cargo run … -- …`, both after `NAME=value`.
fn arguments(command: &[String]) -> Option<Vec<String>> {
    let is_variable = |word: &&String| word.split_once('=').is_some_and(|(name, _)| !name.starts_with('-'));
    let words: Vec<_> = command.iter().skip_while(is_variable).cloned().collect();
    match words.first()?.as_str() {
        "fullsend" => Some(words),
        "cargo" if words.get(1).is_some_and(|verb| verb == "run") => {
            let start = words.iter().position(|word| word == "--")?;
            Some(std::iter::once("fullsend".to_owned()).chain(words.into_iter().skip(start + 1)).collect())
        }
        _ => None,
    }
}

/// What the program says against a command line of the README.
fn refused(line: &str) -> Option<String> {
    let calls = commands(line);
    let errors = calls.iter().filter_map(|command| Cli::command().try_get_matches_from(arguments(command)?).err());
    // Help is an answer, no refusal.
    errors.filter(|said| said.exit_code() != 0).map(|said| format!("$ {line}\n{said}")).next()
}

/// The verbs, with those below them: `["dead-letters", "list"]`.
fn verbs(of: &Command, above: &[String]) -> Vec<Vec<String>> {
    let below = of.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set());
    let mut all = Vec::new();
    for verb in below {
        let path = [above, &[verb.get_name().to_owned()]].concat();
        let further = verbs(verb, &path);
        if further.is_empty() { all.push(path) } else { all.extend(further) }
    }
    all
}

#[test]
fn every_verb_is_shown() {
    let lines = command_lines(README);
    let calls: Vec<_> = lines.iter().flat_map(|line| commands(line)).filter_map(|words| arguments(&words)).collect();
    let missing: Vec<_> = verbs(&Cli::command(), &[])
        .into_iter()
        .filter(|verb| !calls.iter().any(|call| call.get(1..).is_some_and(|call| call.starts_with(verb))))
        .collect();
    assert!(missing.is_empty(), "the README shows no example of {missing:?}");
}

#[test]
fn every_verb_has_its_line() {
    let missing: Vec<_> = Cli::command()
        .get_subcommands()
        // What the program runs itself as is nobody's verb.
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| verb.get_name().to_owned())
        .filter(|verb| verb != "help" && !README.contains(&format!("**`{verb}`** ")))
        .collect();
    assert!(missing.is_empty(), "the README does not say what {missing:?} does");
}

#[test]
fn every_command_line_is_taken() {
    let lines = command_lines(README);
    assert!(lines.len() >= 20, "the README has lost its command lines: {lines:?}");
    let refusals: Vec<_> = lines.iter().filter_map(|line| refused(line)).collect();
    assert!(refusals.is_empty(), "{}", refusals.join("\n"));
}

#[test]
fn every_script_is_there() {
    for line in command_lines(README) {
        let Some(script) = line.split(' ').next().filter(|word| word.contains('/') && !word.contains('=')) else {
            continue;
        };
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        assert!(path.is_file(), "{script} is not there");
    }
}

/// The tests above would see what they look for.
#[test]
fn a_planted_mistake_is_refused() {
    for line in [
        "fullsend tial",
        "fullsend tail --sinc 10m",
        "REDIS_URL=redis://h cargo run --release -- serv",
        "fullsend schema escalation --exmaple | redis-cli -x PUBLISH c",
        "cat body | fullsend publish",
        "fullsend completions tcsh > file",
    ] {
        assert!(refused(line).is_some(), "{line} was taken");
    }
    assert_eq!(refused("HOME=/x fullsend publish metrics '{\"a\": \"b c\"}' --once k > file"), None);
    assert_eq!(command_lines("```text\n$ no\n```\n```console\n$ yes\nno\n```\n$ no"), ["yes"]);
    assert_eq!(commands("a 'b c'|d > e"), [vec!["a".to_owned(), "b c".to_owned()], vec!["d".to_owned()]]);
}

/// All Rust files below a folder of the crate.
fn sources(folder: &std::path::Path, text: &mut String) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, text)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            text.push_str(&std::fs::read_to_string(path)?);
        }
    }
    Ok(())
}

#[test]
fn every_test_that_the_map_names_is_there() {
    let mut text = String::new();
    for folder in ["src", "tests"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        sources(&path, &mut text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    }
    let map = include_str!("../src/lib.rs").lines().filter(|line| line.starts_with("//! | "));
    let rows: Vec<_> = map.filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | ")).collect();
    let named =
        rows.iter().flat_map(|(_, held_by)| held_by.split('`').skip(1).step_by(2)).filter(|it| it.contains("::"));
    let tests: Vec<_> =
        named.filter_map(|path| path.rsplit("::").next()).filter(|name| name.starts_with(char::is_lowercase)).collect();
    assert!(tests.len() > 30, "the map names few tests: {tests:?}");
    let missing: Vec<_> = tests.iter().filter(|name| !text.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "the map in src/lib.rs names tests that are not there: {missing:?}");
}
