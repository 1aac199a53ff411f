//! What the rules do about tools: one that is there, one that could not be built.
//!
//! Must never ask for a tool again that a person, or the law, refused.

use serde_json::Value;

use super::progress::HARMFUL;
use super::{Case, cut, notes};
use crate::contracts::Priority;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::intents::{self, Build};
use crate::llm::tasks::words::{Words, overlap};

/// A tool is there.
pub(super) fn tool_complete(case: &mut Case<'_>) -> Decision {
    let name = case.text("tool_name").unwrap_or_default().to_owned();
    let worklist = case.input.team.worklist.text.clone();
    if case.text("status").is_some_and(|status| !matches!(status, "active" | "ok" | "completed" | "success")) {
        case.because("The tool was delivered, but does not work.");
        let fixed = if case.input.team.tools.contains(&name) { format!("{name}_fixed") } else { name.clone() };
        return case.build(
            &fixed,
            &format!("{name} was built, but it is broken; make it work."),
            Vec::new(),
            Priority::High,
        );
    }
    let waiting = case
        .input
        .message
        .get("request_id")
        .and_then(Value::as_str)
        .is_some_and(|request| request.starts_with("auto_"));
    if waiting {
        return case.nothing("The experiment that waits for it goes on by itself.");
    }
    // What waits for it comes before the note that it is being built.
    let mut items: Vec<_> = notes::items(&worklist);
    items.retain(|item| !item.is_in("completed") && item.line.contains(&name));
    items.sort_by_key(|item| item.is_in("active"));
    let item = items.into_iter().next();
    if case.input.team.held {
        if let Some(item) = item {
            case.because("The tool is there, but the team is on hold: its item is ready now.");
            let moved =
                notes::with_line(&notes::without(&worklist, item.line), "ready", &format!("1. {}", item.title()), true);
            return case.rewrite(moved);
        }
        return case.nothing("The team is on hold.");
    }
    if let Some(why) = case.text("original_reasoning").map(str::to_owned) {
        case.because(&format!("The tool {name} was built for an idea that can go on now."));
        return case.dispatch(
            &cut(&why, 80),
            &format!("{} The tool {name} is there now.", cut(&why, 600)),
            Priority::Medium,
        );
    }
    if let Some(item) = item.filter(|item| item.is_in("blocked") || item.is_in("ready")) {
        case.because(&format!("The tool {name} was what an item waited for."));
        return case.dispatch(
            &item.title(),
            &format!("{} The tool {name} is there now.", item.words_of_it()),
            Priority::Medium,
        );
    }
    if case.text("notify_channel").is_some() {
        let said = case.text("notify_message").map_or_else(|| format!("{name} is ready."), |said| cut(said, 300));
        case.because("Somebody waits for it.");
        return case.tell(&said, Priority::Medium);
    }
    let stems = Words::of(&name.replace('_', " ")).stems();
    let fits = notes::items(&worklist)
        .into_iter()
        .filter(|item| item.is_in("ready"))
        .find(|item| overlap(&stems, &item.words.stems()) >= 0.6);
    if let Some(item) = fits {
        case.because("An item of the queue can use it.");
        return case.dispatch(
            &item.title(),
            &format!("{} The tool {name} is there now.", item.words_of_it()),
            Priority::Medium,
        );
    }
    case.nothing("Nobody waits for it; it is in the registry.")
}

/// A tool could not be built.
pub(super) fn build_failed(case: &mut Case<'_>) -> Decision {
    let name = case.text("tool_name").unwrap_or_default().to_owned();
    let error = case.text("error").unwrap_or_default().to_owned();
    let words = Words::of(&error);
    let worklist = case.input.team.worklist.text.clone();
    let item = notes::items(&worklist).into_iter().find(|item| {
        let stems = Words::of(&name.replace('_', " ")).stems();
        item.line.contains(&name) || overlap(&stems, &item.words.stems()) >= 0.6
    });
    let before = item.as_ref().is_some_and(|item| item.words.has("failed, failed once, again"));
    let waited = case.text("notify_channel").is_some()
        || item.is_some()
        || case.going_on().any(|known| known.tool.as_deref() == Some(name.as_str()));
    if words.has(HARMFUL)
        || words.has("refused, forbid, forbids, terms, robots, denied by, rejected by, declined by, cancelled by, canceled by, not wanted")
    {
        case.because("It was refused for a good reason, so it is not asked for again.");
        return case
            .tell(&format!("{name} will not be built: {}. We need another way.", cut(&error, 200)), Priority::Medium);
    }
    if words.has("cancelled, canceled, superseded, withdrawn, no longer needed, no longer wanted") {
        return case.nothing("It is not wanted any more.");
    }
    if error.trim_end().ends_with('?') || words.has("which of the, should it, is it meant, is meant") {
        case.because("The builder asks something that is not known here.");
        return case.tell(&format!("Builder asks about {name}: {}", cut(&error, 300)), Priority::Medium);
    }
    if words.has("\
        api key, key, credentials, payment, 402, 401, no space left, disk full, disk is full, out of memory, permission denied, not \
        installed on, quota, sandbox, bubblewrap, landlock, budget, \
        not on the list, allow list, allowlist, not allowed")
    {
        case.because("Something is missing that only a person can give.");
        return case.tell(&format!("{name} cannot be built yet: {}.", cut(&error, 200)), Priority::Medium);
    }
    if before || words.has("twice, three times, second, second time, third, again, several times, repeatedly, 2nd, 3rd")
    {
        case.because("It failed more than once, so a person should look.");
        return case.tell(
            &format!("{name} could not be built, again: {}. Should we go on with it?", cut(&error, 200)),
            Priority::Medium,
        );
    }
    let reading = intents::read::<Build>(&words, &error);
    match reading.surely() {
        Some(Build::Refused) => {
            case.because(&reading.why(Build::Refused));
            return case.tell(
                &format!("{name} will not be built: {}. We need another way.", cut(&error, 200)),
                Priority::Medium,
            );
        }
        Some(Build::Superseded) => return case.nothing("It is not wanted any more."),
        Some(kind @ (Build::Person | Build::Again)) => {
            case.because(&reading.why(kind));
            return case.tell(
                &format!("{name} could not be built: {}. A person has to look at it.", cut(&error, 200)),
                Priority::Medium,
            );
        }
        _ => {}
    }
    if !waited {
        return case.nothing("Nobody waits for it.");
    }
    if case.input.team.tools.contains(&name) {
        return case.nothing("There is a working version of it.");
    }
    case.because("The cause is clear or may pass, and the tool is needed: it is asked for once more.");
    case.build(
        &name,
        &format!("As before. The last build failed: {}", cut(&error, 400)),
        vec![cut(&error, 300)],
        Priority::Medium,
    )
}
