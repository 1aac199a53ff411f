//! What people say about the worklist: an item is done, free to go on, comes sooner or later, or leaves it; and what counts from now on.
//!
//! Changes one item and leaves every other line as it is. Must never change it for somebody outside of the team.

use super::{Said, ideas};
use crate::contracts::{Priority, Trust};
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::{Case, cut, notes};
use crate::llm::tasks::intents::{Intent, SURE};
use crate::llm::tasks::words::{Stems, Words, common};

/// The worklist is to change.
pub(super) fn worklist(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    if case.is_external()
        || said.text.trim_end().ends_with('?') && !said.words.has("can you, could you, can we, could we, please")
    {
        return None;
    }
    let words = &said.words;
    let text = case.input.team.worklist.text.clone();
    let items = notes::items(&text);
    if let Some(item) = meant(&items, words) {
        if words.has(
            "\
            done, tick off, ticked off, tick it off, finished, completed, check off, check it off, is live, went live, \
            erledigt, fertig, myself",
        ) && !words.has("when, until, not done, isnt done, should be done")
        {
            return Some(done(case, said, item));
        }
        if item.is_in("blocked")
            && words.has(
                "\
                approved, arrived, unblocked, go ahead, got the, have the, is here, are here, is in, available, no \
                longer blocked, paid, topped up, resolved, solved, cleared, granted, renewed, is over, can start, can \
                continue, can go on",
            )
        {
            return Some(unblocked(case, said, item));
        }
        if words.has(
            "\
            forget, drop, remove, delete, scrap, scratch, skip, take off, take it off, no longer need, not needed, \
            dont need, strike, cancel, abandon, bin, ditch",
        ) && !ideas::begins_idea(said)
        {
            return Some(dropped(case, item));
        }
    }
    if let Some(decision) = order(case, said, &items, &text) {
        return Some(decision);
    }
    focus(case, said)
}

/// The item that is meant. People name one by some of its words; where two fit as well, none is meant for sure.
fn meant<'a, 'b>(items: &'b [notes::Item<'a>], words: &Words) -> Option<&'b notes::Item<'a>> {
    let stems = words.stems();
    let fit = |item: &notes::Item<'_>| {
        let title = Words::of(&item.title()).stems();
        let met = common(&title, &stems);
        if met >= 2 || met == title.len() { met } else { 0 }
    };
    let open = items.iter().filter(|item| !item.is_in("completed"));
    let mut fits: Vec<_> = open.map(|item| (fit(item), item)).filter(|(met, _)| *met > 0).collect();
    fits.sort_by_key(|fit| std::cmp::Reverse(fit.0));
    match fits.as_slice() {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, item), ..] => Some(*item),
        [] => None,
    }
}

/// An item of the queue comes sooner, or later: said of one in the whole message, or in one of its clauses.
fn order(case: &mut Case<'_>, said: &Said, items: &[notes::Item<'_>], worklist: &str) -> Option<Decision> {
    if ideas::begins_idea(said) || ideas::begins_to_do(said) {
        return None;
    }
    let clauses = said.text.split([',', ';', '.', '!']);
    let (item, is_later) = std::iter::once(said.text.as_str()).chain(clauses).find_map(|part| {
        let words = Words::of(part);
        let item = meant(items, &words).filter(|item| item.is_in("ready"))?;
        Some((item, is_later(&words)?))
    })?;
    Some(moved(case, worklist, item, is_later))
}

fn moved(case: &mut Case<'_>, worklist: &str, item: &notes::Item<'_>, is_later: bool) -> Decision {
    case.because(&format!("The order is to change: {}.", item.title()));
    let line = format!("1. {}", item.words_of_it());
    case.rewrite(notes::with_line(&notes::without(worklist, item.line), "ready", &line, !is_later))
}

/// Whether something is to come later, or sooner; none where nothing is said of its place.
fn is_later(words: &Words) -> Option<bool> {
    const WAITS: &str = "\
        on hold, can wait, could wait, may wait, wait until, wait till, postpone, postponed, park, parked, defer, deferred, not \
        important, not that important, not so important, less important, lower priority, low priority, no rush, no hurry, not \
        urgent, not now, leave it for";
    const FIRST: &str = "\
        first, top, ahead of, prioritise, prioritize, reprioritise, reprioritize, most important, more important, matters most, \
        next up, before everything, higher priority";
    const MOVES: &str = "move, put, push, bump, swap, pull, go, goes, come, comes, do";
    const DOWN: &str = "bottom, last, down, lower, below, later, back, behind, after";
    const UP: &str = "above, before, next, up, ahead, higher, front, priority, forward";
    if words.has(WAITS) || words.has(MOVES) && words.has(DOWN) {
        Some(true)
    } else if words.has(FIRST) || words.has(MOVES) && words.has(UP) {
        Some(false)
    } else {
        None
    }
}

/// What matters now.
fn focus(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let sets = words.has(
        "\
        focus, focus on, only the, everything else, all else, nothing else, top priority, number one priority, comes \
        first, concentrate on, from now on, this week only, our priority, main priority, counts this, priorities, \
        fokus, prioridad",
    );
    if !sets
        || ideas::begins_idea(said)
        || ideas::begins_to_do(said)
        || said.text.contains('?')
        || words.len() > 40
        || words.has("focus group, focus groups")
    {
        return None;
    }
    if case.input.trust < Trust::Member {
        return None;
    }
    Some(focused(case, said))
}

/// What counts from now on stands first in the queue.
fn focused(case: &mut Case<'_>, said: &Said) -> Decision {
    case.because("A person of the team says what matters now.");
    let line = format!("1. Focus: {}", cut(&said.text, 200));
    let list = notes::with_line(&case.input.team.worklist.text, "ready", &line, true);
    case.rewrite(list)
}

/// What is said of an item, by what it reads like; none where no item is meant, or it does not stand where that could be said of it.
pub(super) fn by_intent(case: &mut Case<'_>, said: &Said, intent: Intent, share: f32) -> Option<Decision> {
    if case.is_external() {
        case.because("It came from outside; only the team changes its worklist.");
        return Some(case.tell("Only people of the team change the worklist. I have told them.", Priority::Low));
    }
    if intent == Intent::Focus {
        return Some(focused(case, said));
    }
    let text = case.input.team.worklist.text.clone();
    let items = notes::items(&text);
    let within: &[&str] = match intent {
        Intent::Unblocked => &["blocked"],
        Intent::Order => &["ready"],
        Intent::Drop => &["ready", "blocked"],
        _ => &["ready", "active", "blocked"],
    };
    let item = likeliest(&items, within, said)?;
    // On a guess only an item that is surely meant is changed.
    if share < SURE && meant(&items, &said.words).is_none_or(|meant| meant.line != item.line) {
        return None;
    }
    Some(match intent {
        Intent::Done => done(case, said, item),
        Intent::Unblocked => unblocked(case, said, item),
        Intent::Drop => dropped(case, item),
        _ => {
            let later = is_later(&said.words).unwrap_or_default();
            moved(case, &text, item, later)
        }
    })
}

/// The item of these sections that a message is likeliest about: it shares the most with it, and something that no other item has.
/// Where several share as much, the one that is named first.
pub(super) fn likeliest<'a, 'b>(
    items: &'b [notes::Item<'a>],
    within: &[&str],
    said: &Said,
) -> Option<&'b notes::Item<'a>> {
    let open: Vec<(&notes::Item<'_>, Stems)> = items
        .iter()
        .filter(|item| !item.is_in("completed"))
        .map(|item| {
            // What blocks an item is part of what is said of it when it is gone.
            let words = if item.is_in("blocked") { item.words.clone() } else { Words::of(&item.title()) };
            (item, words.stems())
        })
        .collect();
    let stems = said.words.stems();
    let own = |stem: &String| open.iter().filter(|(_, other)| other.contains(stem)).count() == 1;
    let place = |item: &Stems| {
        said.words.list().iter().position(|word| common(&Words::of(word).stems(), item) > 0).unwrap_or(usize::MAX)
    };
    open.iter()
        .filter(|(item, _)| within.iter().any(|section| item.is_in(section)))
        .map(|(item, own_stems)| (*item, own_stems, common(own_stems, &stems)))
        .filter(|(_, item, met)| *met >= 2 || *met == 1 && item.intersection(&stems).any(own))
        .max_by_key(|(_, item, met)| (*met, std::cmp::Reverse(place(item))))
        .map(|(item, ..)| item)
}

fn done(case: &mut Case<'_>, said: &Said, item: &notes::Item<'_>) -> Decision {
    let title = item.title();
    case.because(&format!("A person has done it: {title}."));
    let without = notes::without(&case.input.team.worklist.text, item.line);
    let line = format!("- [x] {title} - {}", cut(&said.text, 120));
    case.rewrite(notes::with_line(&without, "completed", &line, false))
}

fn unblocked(case: &mut Case<'_>, said: &Said, item: &notes::Item<'_>) -> Decision {
    let title = item.title();
    case.because(&format!("What blocked it is gone: {title}."));
    let without = notes::without(&case.input.team.worklist.text, item.line);
    let line = format!("1. {title} ({})", cut(&said.text, 120));
    case.rewrite(notes::with_line(&without, "ready", &line, true))
}

fn dropped(case: &mut Case<'_>, item: &notes::Item<'_>) -> Decision {
    case.because(&format!("It is to leave the worklist: {}.", item.title()));
    let without = notes::without(&case.input.team.worklist.text, item.line);
    case.rewrite(without)
}
