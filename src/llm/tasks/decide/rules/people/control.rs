//! What people say about experiments that are there: end, pause, restore, run.

use std::collections::BTreeSet;

use super::{Said, ideas};
use crate::contracts::{Priority, Trust};
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::{Case, cut, numbers};
use crate::llm::tasks::words::{Words, cover, overlap};

/// To end for good.
const END: &str = "\
    kill, killing, archive, end, ending, stop, stopping, terminate, shut down, shut off, cancel, pull the plug, abort, \
    finish off, discontinue, get rid of, axe, beende, beenden, stoppen, arreter, parar, detener, fermare, zatrzymaj";
/// Not to end.
const NOT_END: &str = "\
    dont kill, dont stop, dont end, not kill, do not stop, not stop, cant stop, never stop, nonstop, dont archive, bus \
    stop, end of, stop by, cant end, in the end, weekend";
/// To rest.
const PAUSE: &str = "\
    pause, paused, pausing, on hold, hold off, rest, suspend, freeze, take a break, put on ice, halt, pausieren, \
    pausa, put everything on hold, hold everything";
const RESTORE: &str = "\
    restore, bring back, revive, resurrect, unarchive, reactivate, undo the kill, back to life, resume, unpause, \
    continue with, start again, reopen, bring it back";
const RUN: &str = "run, start, launch, send, trigger, fire, execute, kick off, begin";
const NOW: &str = "\
    now, today, immediately, right away, at once, straight away, asap, dont wait, early, earlier, this minute";

/// The experiments that a message means: named, or described so that nothing else fits as well.
pub(super) fn meant(case: &Case<'_>, said: &Said) -> Vec<String> {
    let ids = said.ids();
    if !ids.is_empty() {
        let known = |id: &&str| case.known(id).is_some() || case.is_archived(id);
        return ids.into_iter().filter(known).map(str::to_owned).collect();
    }
    let fits = described(case, &said.words);
    let Some(best) = fits.first().map(|(share, _)| *share) else { return Vec::new() };
    fits.into_iter().filter(|(share, _)| *share >= best - 0.15).map(|(_, id)| id).take(4).collect()
}

/// How well each experiment fits a description, the best first; only those that fit.
pub(super) fn described(case: &Case<'_>, words: &Words) -> Vec<(f64, String)> {
    let stems = words.stems();
    let mut fits: Vec<(f64, String)> = case
        .read()
        .iter()
        .map(|known| {
            let by_title = known.item.as_ref().map_or(0.0, |(title, _)| cover(title, &stems));
            let share = cover(&known.name, &stems).max(by_title).max(overlap(&stems, &known.stems));
            (share, known.brief.id.clone())
        })
        .filter(|(share, _)| *share >= 0.5)
        .collect();
    fits.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    fits
}

/// A yes or no to a proposal is given at the gate, not in the chat.
pub(super) fn approval(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let gives = said.words.has("approve, approved, deny, denied, confirm, yes to") && said.text.contains("apr_");
    gives.then(|| {
        case.because("A proposal is answered at the gate, not in the chat.");
        case.tell("Please answer proposals with `fullsend approvals`, or in the control room; a word in the chat approves nothing.", Priority::Medium)
    })
}

/// Something is to be ended.
pub(super) fn end(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let wanted = words.has(END) && !words.has(NOT_END) && !is_limit(said);
    if !wanted
        || said.ids().is_empty()
            && (words.begins("why, when, how, did, what, has, was")
                || ideas::is_proposed(said) && !words.has("experiment, test, campaign"))
    {
        return None;
    }
    end_meant(case, said)
}

/// Which experiment is to be ended, and whether it is.
pub(super) fn end_meant(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let unknown: BTreeSet<&str> =
        said.ids().into_iter().filter(|id| case.known(id).is_none() && !case.is_archived(id)).collect();
    if let Some(id) = unknown.first() {
        return Some(unknown_id(case, id));
    }
    let meant = meant(case, said);
    if case.is_external() {
        case.because("It came from outside; only the team ends experiments.");
        return Some(case.tell("Only people of the team can end an experiment. I have told them.", Priority::Medium));
    }
    if words.has("all experiments, every experiment, everything, all of them, all tests, all campaigns")
        && said.ids().is_empty()
    {
        case.because("It means everything, and ending is for good.");
        return Some(case.tell(
            "`/pause` holds everything at once, and can be taken back. Which experiments should end for good?",
            Priority::High,
        ));
    }
    match meant.as_slice() {
        [] if words.has("experiment, test, campaign, mails, mail, run") => Some(which(case, &[])),
        [] => None,
        [id] => Some(end_one(case, said, &id.clone())),
        several => Some(which(case, several)),
    }
}

/// `stop if more than one complains` is a limit of something new.
pub(super) fn is_limit(said: &Said) -> bool {
    said.words.has("stop if, stop when, stop after, end after, stop at, kill it if, kill if, end it if")
}

fn end_one(case: &mut Case<'_>, said: &Said, id: &str) -> Decision {
    if case.is_archived(id) {
        case.because("It is archived already.");
        return case.tell(&format!("{id} is archived already; there is nothing left to end."), Priority::Low);
    }
    if case.input.trust >= Trust::Operator {
        case.because("The operator says so.");
        return case.kill(id, &format!("Ended by the operator: {}", cut(&said.text, 300)), Priority::High);
    }
    let evidence = case.known(id).map(numbers::evidence).unwrap_or_default();
    case.because(&format!("Our numbers: {}.", evidence.words));
    if evidence.fails {
        case.because("A member asks for it, and the numbers agree.");
        return case.kill(id, &format!("{} ({})", cut(&said.text, 300), evidence.words), Priority::Medium);
    }
    case.because("A member asks for it, but the numbers do not say so.");
    case.tell(&format!("{id}: {}. Why should it end? What would you change?", evidence.words), Priority::Medium)
}

fn which(case: &mut Case<'_>, fits: &[String]) -> Decision {
    let fits: Vec<String> =
        if fits.is_empty() { case.going_on().map(|known| known.id.clone()).take(6).collect() } else { fits.to_vec() };
    case.because("It could be any of several experiments, and guessing could end a good one.");
    let list = if fits.is_empty() {
        "There is none that goes on.".to_owned()
    } else {
        format!("There are: {}.", fits.join(", "))
    };
    case.tell(&format!("Which experiment do you mean? {list}"), Priority::Medium)
}

/// A name that no experiment has.
pub(super) fn unknown_id(case: &mut Case<'_>, id: &str) -> Decision {
    let shown = cut(id, 80);
    case.because(&format!("There is no experiment {shown}."));
    let near = case
        .input
        .team
        .experiments
        .iter()
        .map(|known| known.id.as_str())
        .chain(case.input.team.archived.iter().map(String::as_str));
    let near = near.take(1_200).filter(|known| strsim::damerau_levenshtein(known, &shown) <= 3).min();
    let near = near.map(|known| format!(" Do you mean {known}?")).unwrap_or_default();
    case.tell(&format!("I know no such experiment: {shown}.{near}"), Priority::Medium)
}

/// Pause, go on, restore, run: controls of their own, which say how.
pub(super) fn pause(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let short = words.len() <= 25;
    if !short
        || words.begins("why, how many, which, is, are, was, did")
        || words.has("the rest of, bring back customers")
    {
        return None;
    }
    let meant = meant(case, said);
    let name = meant.first().cloned();
    let imperative = words.has("please, pls, can, could, lets, dont, need")
        || words.begins(PAUSE)
        || words.begins(RESTORE)
        || words.begins(RUN)
        || words.begins("bring, put");
    if words.has(PAUSE)
        && imperative
        && (name.is_some()
            || words.has("everything, all, team, system, weekend, mails, experiments, over, you, agents, sending"))
    {
        return Some(rest(case, said));
    }
    let back = words.has(RESTORE) || words.has("bring") && words.has("back");
    let unknown =
        said.ids().into_iter().find(|id| case.known(id).is_none() && !case.is_archived(id)).map(str::to_owned);
    if (back || imperative && words.has(RUN))
        && let Some(id) = unknown
    {
        return Some(unknown_id(case, &id));
    }
    if back && imperative && (name.is_some() || words.has("everything, team, system")) {
        return Some(go_on(case, said));
    }
    let run = words.has(RUN) && words.has(NOW) && imperative;
    if run
        && let Some(id) = name
        && !case.is_external()
    {
        case.because("It is designed; running it before its time is a control of its own.");
        return Some(case.tell(
            &format!("{id} waits for its time. Whoever runs the team can run it now in the control room."),
            Priority::Medium,
        ));
    }
    None
}

/// Something is to rest.
pub(super) fn rest(case: &mut Case<'_>, said: &Said) -> Decision {
    case.because("Pausing is a control of its own, not a decision; nothing is ended.");
    let what = match meant(case, said).first() {
        Some(id) => format!(
            "{id} can be paused in the control room, and goes on when you say so; nothing is ended. `/pause` would hold everything."
        ),
        None => "`/pause` puts everything on hold, `/go` takes it back; nothing is ended.".to_owned(),
    };
    case.tell(&what, Priority::Medium)
}

/// Something is to go on, or to come back.
pub(super) fn go_on(case: &mut Case<'_>, said: &Said) -> Decision {
    case.because("Restoring is a control of its own; nothing is designed anew for it.");
    let what = match meant(case, said).first() {
        Some(id) => format!(
            "{id} can be restored, resumed or run in the control room by whoever runs the team; I do not design it anew."
        ),
        None => "`/go` takes the hold back.".to_owned(),
    };
    case.tell(&what, Priority::Medium)
}
