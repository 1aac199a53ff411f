//! Which tool somebody wants: its name, and whether it is there or under way.

use super::notes;
use crate::llm::tasks::words::{Words, is_listed, overlap};
use crate::memory::TeamContext;

/// How it stands with a tool.
pub(super) enum Tool {
    /// It is there.
    There(String),
    /// Somebody works on it.
    UnderWay(String),
    /// It is missing; what it would be called.
    Missing(String),
}

/// The tool that a text is about.
pub(super) fn tool(team: &TeamContext, text: &str) -> Tool {
    let words = Words::of(text);
    let stems = words.stems();
    let like = |name: &str| overlap(&stems, &Words::of(&name.replace('_', " ")).stems());
    let there = team.tools.iter().map(|name| (like(name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((share, name)) = there
        && (share >= 0.6 || words.list().iter().any(|word| word == name))
    {
        return Tool::There(name.clone());
    }
    // An item may have the tool's very name.
    let under_way = notes::items(&team.worklist.text).into_iter().find(|item| {
        let named =
            item.line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| word.contains('_'));
        item.is_in("active") && named.filter(|name| !name.starts_with("exp_")).any(|name| like(name) >= 0.6)
    });
    if let Some(item) = under_way {
        return Tool::UnderWay(item.title());
    }
    let item = notes::likest(&team.worklist.text, &words)
        .filter(|(share, item)| *share >= 0.5 && item.words.has("tool, builder, build, finder, reader, scraper"));
    if let Some((_, item)) = &item
        && item.is_in("active")
    {
        return Tool::UnderWay(item.title());
    }
    let from_item = item.map(|(_, item)| slug(&item.title()));
    Tool::Missing(named(text).or(from_item).unwrap_or_else(|| invented(&words)))
}

/// A name in `snake_case` that the text itself has.
pub(super) fn named(text: &str) -> Option<String> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .find(|word| {
            word.contains('_')
                && word.len() <= 64
                && word.starts_with(|c: char| c.is_ascii_lowercase())
                && !word.starts_with("exp_")
                && !word.starts_with("apr_")
                && !word.ends_with('_')
        })
        .map(str::to_owned)
}

/// Up to four telling words, in `snake_case`.
fn slug(text: &str) -> String {
    let words = Words::of(text);
    let telling: Vec<_> = words
        .list()
        .iter()
        .filter(|word| word.is_ascii() && word.len() > 2 && !is_listed(word, DULL))
        .take(4)
        .cloned()
        .collect();
    let joined = telling.join("_");
    if joined.starts_with(|c: char| c.is_ascii_lowercase()) {
        joined.chars().take(64).collect()
    } else {
        format!("tool_{joined}").chars().take(64).collect()
    }
}

const DULL: &str = "\
    the, and, for, that, this, with, from, tool, tools, build, built, make, made, need, needs, can, you, please, \
    somebody, someone, should, get, gives, give, takes, take, which, who, our, use, them, their, first, owner, \
    builder, are, other, into, its, something, small, script, could, would, has, have, people, company, name";

fn invented(words: &Words) -> String {
    slug(&words.list().join(" "))
}
