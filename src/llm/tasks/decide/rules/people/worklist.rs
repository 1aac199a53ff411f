//! What people say about the worklist: done, free to go on, dropped, moved, added, and what matters now.

use super::{Said, ideas};
use crate::contracts::Priority;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::{Case, cut, notes};
use crate::llm::tasks::words::{Stems, Words, common};

const DONE: &str = "\
    done, tick off, ticked off, tick it off, tick that off, finished, completed, check off, check it off, check that off, is live, are live, \
    went live, erledigt, fertig, myself, cross it off, cross off, crossed off, mark it complete, mark as done, already did, has been sent, \
    took care of, is out, wrapped up, we shipped, i shipped, no longer open";
const NOT_DONE: &str =
    "when, until, not done, isnt done, should be done, once, to be done, get it done, how is it done";
const FREE: &str = "\
    approved, arrived, unblocked, go ahead, got the, have the, is here, are here, is in, are in, available, no longer blocked, paid, topped up, \
    resolved, solved, cleared, granted, renewed, is over, can start, can continue, can go on, came through, works again, is back, signed off, \
    we have it, can proceed, is possible now, nothing blocks";
const DROP: &str = "\
    forget, drop, remove, delete, scrap, scratch, skip, take off, take it off, off the list, no longer need, not needed, no longer relevant, dont need, \
    strike, cancel, abandon, bin, ditch, never mind, obsolete, kill the item, throw out, cut the, wont do, not doing, give up on";
const MOVE: &str = "\
    move, put, push, bump, prioritise, prioritize, reprioritise, reprioritize, deprioritise, deprioritize, priority, swap, ahead of, to the top, on top, \
    top of, comes first, come first, goes first, go first, first, pull, more important than, matters more than, can wait, before the, after the, bring forward, \
    raise, lower, reorder, earlier, later, up in the list, down in the list, higher, next in line, rank";
const DOWN: &str =
    "bottom, last, down, lower, below, later, back, can wait, deprioritise, deprioritize, after the, less important";
const ADD: &str = "\
    to the list, to the worklist, to the queue, to the backlog, to ready, on the list, on the worklist, on our list, to our list, into the queue, in the queue, \
    into the backlog, onto the list, onto the worklist, in the backlog, as a todo, to the todo list, on the todo list";
const FOCUS: &str = "\
    focus, only the, everything else, all else, nothing else, nothing but, top priority, number one priority, comes first, concentrate on, this week only, our priority, \
    main priority, counts this, priorities, fokus, prioridad, matters most, is what matters, all hands on, the rest can wait, most important thing, drop everything";

/// The worklist is to change.
pub(super) fn change(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let polite = words.has("can you, could you, can we, could we, please");
    if case.is_external() || said.text.trim_end().ends_with('?') && !polite {
        return None;
    }
    let text = case.input.team.worklist.text.clone();
    let items = notes::items(&text);
    let open: Vec<_> = items.iter().filter(|item| !item.is_in("completed")).collect();
    match meant(&open, &words.stems()).as_slice() {
        [item] => {
            if let Some(decision) = one(case, said, &text, item) {
                return Some(decision);
            }
        }
        several @ [_, _, ..]
            if words.has(DROP) && !ideas::begins_idea(said)
                || several.len() > 1 && words.begins("move, prioritise, tick") =>
        {
            let list: Vec<_> = several.iter().take(4).map(|item| cut(&item.title(), 80)).collect();
            case.because("It could be any of several items.");
            return Some(case.tell(&format!("Which item do you mean: {}?", list.join(", or ")), Priority::Low));
        }
        _ => {}
    }
    if words.has(ADD)
        && words.has("add, put, note, queue, write, park, keep, file, list")
        && !words.has("mailing list, email list")
    {
        case.because("Something is to be kept on the worklist.");
        let line = format!("1. {}", cut(&said.text, 200));
        return Some(case.rewrite(notes::with_line(&text, "ready", &line, false)));
    }
    focus(case, said, &text)
}

/// The items that a text names: people use some of the words, or one that no other item has.
fn meant<'a, 'b>(items: &[&'a notes::Item<'b>], stems: &Stems) -> Vec<&'a notes::Item<'b>> {
    let titles: Vec<Stems> = items.iter().map(|item| Words::of(&item.title()).stems()).collect();
    let met: Vec<usize> = titles
        .iter()
        .map(|title| match common(title, stems) {
            1 if title.len() > 1 => {
                let own =
                    |stem: &&String| stem.len() > 3 && titles.iter().filter(|other| other.contains(*stem)).count() == 1;
                usize::from(title.intersection(stems).all(|stem| own(&stem)))
            }
            met => met,
        })
        .collect();
    let most = met.iter().copied().max().unwrap_or_default();
    items.iter().zip(met).filter(|(_, met)| most > 0 && *met == most).map(|(item, _)| *item).collect()
}

/// What becomes of one item.
fn one(case: &mut Case<'_>, said: &Said, text: &str, item: &notes::Item<'_>) -> Option<Decision> {
    let words = &said.words;
    let title = item.title();
    let without = notes::without(text, item.line);
    if words.has(DONE) && !words.has(NOT_DONE) {
        case.because(&format!("A person has done it: {title}."));
        let line = format!("- [x] {title} - {}", cut(&said.text, 120));
        return Some(case.rewrite(notes::with_line(&without, "completed", &line, false)));
    }
    if item.is_in("blocked") && words.has(FREE) {
        case.because(&format!("What blocked it is gone: {title}."));
        let line = format!("1. {title} ({})", cut(&said.text, 120));
        return Some(case.rewrite(notes::with_line(&without, "ready", &line, true)));
    }
    if ideas::begins_idea(said) || ideas::begins_to_do(said) {
        return None;
    }
    if words.has(DROP) {
        case.because(&format!("It is to leave the worklist: {title}."));
        return Some(case.rewrite(without));
    }
    if words.has(MOVE) && item.is_in("ready") && words.len() <= 25 {
        case.because(&format!("The order is to change: {title}."));
        let line = format!("1. {}", item.words_of_it());
        return Some(case.rewrite(notes::with_line(&without, "ready", &line, !words.has(DOWN))));
    }
    None
}

/// What matters now.
fn focus(case: &mut Case<'_>, said: &Said, worklist: &str) -> Option<Decision> {
    let words = &said.words;
    let proposes = ideas::begins_idea(said) || ideas::begins_to_do(said) || words.has("focus group, focus groups");
    if !words.has(FOCUS) || proposes || said.text.contains('?') || words.len() > 40 {
        return None;
    }
    case.because("A person of the team says what matters now.");
    let line = format!("1. Focus: {}", cut(&said.text, 200));
    Some(case.rewrite(notes::with_line(worklist, "ready", &line, true)))
}
