//! What people ask: answered from what the team knows, or asked back.

use super::super::{channels, numbers};
use super::{Said, control, ideas};
use crate::contracts::Priority;
use crate::contracts::lifecycle::ExperimentState;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::{Case, cut, notes, state};
use crate::llm::tasks::words::{Words, common, cover, overlap};

/// How questions begin.
const ASKS: &str = "\
    why, which, who, whose, when, where, what, whats, how, hows, is, are, was, were, did, does, do you, do we, has, \
    have, had, any news, so what, will, so how, and how, am i, tell me, warum, wie, wann, was ist, welche, pourquoi, \
    quand, por que, cuando, cual, perche, quando, waarom, dlaczego, kiedy";

/// Whether, and what is answered.
pub(super) fn question(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let words = &said.words;
    let asks = words.begins(ASKS) || said.text.contains('?');
    let judged = words.has(
        "\
        afford, go bigger, scale, double down, worth it, make sense, keep going, can we see, can we know, should we \
        continue, should we stop",
    );
    if !asks
        || ideas::is_proposed(said)
            && !judged
            && !words.begins("why is, why are, why does, how is, how are, which, when, who")
        || said.reason.has("idea, idea_submit") && !words.begins(ASKS)
    {
        return None;
    }
    if words.begins("what if, what about, how about, why dont we, why not") {
        return None;
    }
    Some(answered(case, said))
}

/// The answer to a question, from what the team knows.
pub(super) fn answered(case: &mut Case<'_>, said: &Said) -> Decision {
    let told = answer(case, said);
    case.because("It is a question, answered from what the team knows.");
    case.tell(&told, Priority::Medium)
}

fn answer(case: &mut Case<'_>, said: &Said) -> String {
    let words = &said.words;
    if case.is_external() {
        return "I can only answer that to people of the team. Please ask one of them.".to_owned();
    }
    if let Some(id) = said.ids().into_iter().find(|id| case.known(id).is_none() && !case.is_archived(id)) {
        return format!("I know no such experiment: {}.", cut(id, 80));
    }
    let mut parts = Vec::new();
    if case.input.team.held
        && words.has(
            "\
            why, nothing, happen, happens, happening, paused, hold, running, quiet, stopped, going on, idle",
        )
    {
        parts.push("The team is on hold; `/go` takes it back.".to_owned());
    }
    if words.has("best, worst, most promising, winning, top, works, strongest, leading") {
        parts.extend(ranking(case));
    }
    if words.has("next, plan, plans, planned, worklist, queue, priorities, roadmap, backlog, coming up, working on") {
        parts.push(section(case, &["active", "ready"]));
    }
    if words.has("blocked, blocker, blockers, waiting, stuck, missing, holding us") {
        parts.push(section(case, &["blocked"]));
    }
    if words.has("achieved, accomplished, so far, until now, done, finished, completed, this week, progress")
        && said.ids().is_empty()
        && control::described(case, words).is_empty()
    {
        parts.push(section(case, &["completed"]));
        parts.extend(ranking(case));
    }
    parts.extend(about_experiments(case, said));
    parts.extend(about_notes(case, words));
    parts.dedup();
    if parts.is_empty() {
        let going: Vec<&str> = case.going_on().map(|known| known.id.as_str()).take(5).collect();
        let which = if going.is_empty() {
            "No experiment goes on.".to_owned()
        } else {
            format!("There are: {}.", going.join(", "))
        };
        return format!(
            "I do not know; nothing in the notes or the numbers tells it. Which experiment, or what, do you mean? {which}"
        );
    }
    parts.truncate(5);
    parts.join(" ")
}

fn ranking(case: &Case<'_>) -> Option<String> {
    let mut rated: Vec<(f64, String)> = case
        .input
        .team
        .experiments
        .iter()
        .filter_map(|known| {
            Some((numbers::rate(known)?, format!("{} ({}): {}", known.id, known.state, numbers::evidence(known).words)))
        })
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0));
    let lines: Vec<String> = rated.into_iter().take(3).map(|(_, line)| line).collect();
    (!lines.is_empty()).then(|| format!("By rate: {}.", lines.join("; ")))
}

fn section(case: &Case<'_>, sections: &[&str]) -> String {
    let worklist = &case.input.team.worklist.text;
    let items: Vec<String> = notes::items(worklist)
        .iter()
        .filter(|item| sections.iter().any(|section| item.is_in(section)))
        .take(5)
        .map(|item| cut(&item.words_of_it(), 140))
        .collect();
    let name = sections.join(" and ");
    if items.is_empty() {
        format!("Nothing stands on the worklist under {name}.")
    } else {
        format!("Worklist, {name}: {}.", items.join("; "))
    }
}

fn about_experiments(case: &Case<'_>, said: &Said) -> Vec<String> {
    let words = &said.words;
    let ids = said.ids();
    let mut parts: Vec<String> = case
        .input
        .team
        .experiments
        .iter()
        .filter(|known| ids.contains(&known.id.as_str()))
        .map(|known| format!("{} is {}: {}.", known.id, known.state, numbers::evidence(known).words))
        .collect();
    let archived = |id: &&String| {
        ids.contains(&id.as_str()) || {
            let name = super::super::name(id).stems();
            !name.is_empty() && cover(&name, &words.stems()) >= 0.66
        }
    };
    if parts.is_empty() {
        let stems = words.stems();
        let ways = channels::of(words);
        let mut fits: Vec<(f64, String)> = case
            .input
            .team
            .experiments
            .iter()
            .map(|known| {
                let about = super::super::about(known);
                let name = cover(&super::super::name(&known.id).stems(), &stems);
                let fits = name.max(overlap(&stems, &about.stems()));
                let same_way = fits >= 0.3 && !ways.is_disjoint(&channels::of(&about));
                let share = fits + if same_way { 0.1 } else { 0.0 };
                let over = if state(known) == Some(ExperimentState::Completed) { " (over)" } else { "" };
                (share, format!("{} is {}{over}: {}.", known.id, known.state, numbers::evidence(known).words))
            })
            .filter(|(share, _)| *share >= 0.5)
            .collect();
        fits.sort_by(|a, b| b.0.total_cmp(&a.0));
        parts.extend(fits.into_iter().take(2).map(|(_, line)| line));
    }
    parts.extend(case.input.team.archived.iter().filter(archived).take(2).map(|id| format!("{id} is archived.")));
    parts
}

/// The items and learnings that are about it.
fn about_notes(case: &Case<'_>, words: &Words) -> Vec<String> {
    let stems = words.stems();
    let items = notes::items(&case.input.team.worklist.text);
    let about = |share: f64, common: usize| share >= 0.3 && common >= 2 || share >= 0.6 && common >= 1;
    let item = items
        .iter()
        .map(|item| (overlap(&stems, &item.words.stems()), item))
        .filter(|(share, item)| about(*share, common(&stems, &item.words.stems())))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let mut parts: Vec<String> = item
        .map(|(_, item)| format!("On the worklist ({}): {}.", item.section, cut(&item.words_of_it(), 160)))
        .into_iter()
        .collect();
    let learnings = notes::learnings(&case.input.team.learnings.text);
    let learning = learnings
        .iter()
        .map(|learning| (common(&stems, &learning.words.stems()), learning))
        .filter(|(common, _)| *common >= 2 || *common == 1 && stems.len() <= 2)
        .max_by_key(|(common, _)| *common);
    parts.extend(learning.map(|(_, learning)| {
        format!("We learned: {} ({}).", cut(&learning.headline, 160), cut(&learning.evidence, 200))
    }));
    parts
}
