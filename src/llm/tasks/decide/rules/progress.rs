//! What the rules do about the team's own reports: builds, designs, summaries, debates, learnings, and answers to proposals.

use serde_json::Value;

use super::{Case, cut, notes, wanted};
use crate::contracts::Priority;
use crate::contracts::lifecycle::ExperimentState;
use crate::llm::tasks::decide::{Action, Decision};
use crate::llm::tasks::words::{Words, overlap};

/// What must not be done for anybody.
pub(super) const HARMFUL: &str = "\
    not lawful, unlawful, illegal, environment variables, passwords, password, api keys, credentials, home addresses, \
    private addresses, say we are from, say were from, claim we are, nobody will notice, no one will notice, nobody will know, no one will know, secretly, behind their back, without telling, without asking, without them knowing, patient lists, patient data, medical records, leaked, stolen, claim to be, claiming to be, pose as, posing as, undercover, sock puppets, upvotes, upvote ring, malware, forge, forged, blackmail, threaten, pretend, pretending, impersonate, fake, five star reviews, buy reviews, guesses, hack, steal, \
    without consent, without permission, ddos, phishing, spoof, exfiltrate";

/// A person refused a decision: it is decided again, knowing why.
pub(super) fn refused(case: &mut Case<'_>) -> Decision {
    let Some(denied) = case.input.denied.clone() else { return case.nothing("Nothing was refused.") };
    after_refusal(case, denied.action, &denied.reason, None)
}

/// An answer to a proposal.
pub(super) fn answered(case: &mut Case<'_>) -> Decision {
    if case.text("proposer").is_some_and(|proposer| proposer != "orchestrator") {
        return case.nothing("It was somebody else's proposal.");
    }
    match case.text("outcome").unwrap_or_default() {
        "denied" | "rejected" => {
            let reason = case.text("reason").unwrap_or_default().to_owned();
            after_refusal(case, Action::NoAction, &reason, None)
        }
        "expired" | "timed_out" => {
            case.because("Nobody answered in time, which means no.");
            let id = case.text("approval_id").unwrap_or_default().to_owned();
            case.tell(
                &format!("Nobody answered {} in time, so it was not done. Should I ask again?", cut(&id, 40)),
                Priority::Medium,
            )
        }
        _ => case.nothing("It was answered, and is done."),
    }
}

fn after_refusal(case: &mut Case<'_>, action: Action, reason: &str, _about: Option<&str>) -> Decision {
    let words = Words::of(reason);
    if reason.trim().is_empty() {
        case.because("It was refused without a reason.");
        return case.tell("Understood, I will not do it. What should be different?", Priority::Medium);
    }
    case.because(&format!("It was refused: {}.", cut(reason, 300)));
    if words.has("never, ever, dont propose, not again, dont ever, no more of, policy, out of the question, off limits, under no circumstances") {
        return case.learn(&cut(reason, 180), vec!["- said by a person who refused a proposal".to_owned()]);
    }
    if words.has("discuss, round table, roundtable, debate, brainstorm") {
        let question = format!("A person is not convinced: {}", cut(reason, 500));
        return case.debate(&question);
    }
    if reason.trim_end().ends_with('?') {
        return case.tell(&format!("You asked: {}. I do not know more than the numbers of the experiments show; tell me if it should be done, or changed.", cut(reason, 300)), Priority::Medium);
    }
    let kill = action == Action::KillExperiment || words.has("dont kill, not kill");
    let change = words.has("\
        change, instead, rather, start with, begin with, limit, half, smaller, fewer, too many, reword, use, only, at most, first, without, \
        shorter");
    let later = words.has("not before, not now, later, wait, until, next week, next month, ask again, after the, give it, too early, too soon, next quarter, in the autumn, in spring");
    if later && !words.has("instead") {
        if kill || action == Action::KillExperiment {
            return case.nothing("It is left to run, as the person wants.");
        }
        let line = format!("- Refused for now: {}", cut(reason, 160));
        let worklist = notes::with_line(&case.input.team.worklist.text, "blocked", &line, false);
        return case.rewrite(worklist);
    }
    if change && action == Action::DispatchToBuilder {
        if let Some(name) = wanted::named(&serde_json::to_string(&case.input.message).unwrap_or_default()) {
            let there = case.input.team.tools.contains(&name);
            if !there {
                return case.build(
                    &name,
                    &format!("As before, but: {}", cut(reason, 400)),
                    vec![cut(reason, 200)],
                    Priority::Medium,
                );
            }
        }
        return case.tell(
            &format!("I will ask for the tool again with this: {}. Which tool is meant?", cut(reason, 300)),
            Priority::Medium,
        );
    }
    if change && matches!(action, Action::DispatchToFullsend | Action::KillExperiment) {
        let said = original(case);
        let id = case
            .text("experiment_id")
            .map(str::to_owned)
            .filter(|id| case.known(id).is_some() && !case.is_archived(id));
        let idea = format!("{} With this change: {}", cut(&said, 800), cut(reason, 400));
        let mut decision = case.dispatch(&format!("Changed: {}", cut(reason, 60)), &idea, Priority::Medium);
        decision.experiment_id = id;
        return decision;
    }
    if kill {
        return case.nothing("It is left to run, as the person wants.");
    }
    case.tell(&format!("Understood, I leave it: {}.", cut(reason, 300)), Priority::Medium)
}

/// What the message was about, in words.
fn original(case: &Case<'_>) -> String {
    let chat = case.input.message.get("original_message").and_then(|chat| chat.get("content")).and_then(Value::as_str);
    let about = case.text("experiment_id").and_then(|id| case.known(id)).map(|known| known.hypothesis.clone());
    chat.map(str::to_owned)
        .or(about)
        .or_else(|| case.text("summary").map(str::to_owned))
        .unwrap_or_else(|| "The proposal that was refused.".to_owned())
}

/// A run wants a key.
pub(super) fn key_required(case: &mut Case<'_>) -> Decision {
    let id = case.text("experiment_id").unwrap_or_default().to_owned();
    if case.is_archived(&id) {
        return case.nothing("The experiment is archived already.");
    }
    let secret = case.text("secret").map(|name| cut(name, 60));
    let asked = secret.as_deref().is_some_and(|secret| {
        notes::items(&case.input.team.worklist.text)
            .iter()
            .any(|item| item.is_in("blocked") && item.line.contains(secret))
    });
    if asked {
        return case.nothing("A person was asked for this key already.");
    }
    case.because("Only a person can give a key.");
    let what = secret.map_or_else(|| "a key".to_owned(), |secret| format!("`{secret}`"));
    let hint = case
        .text("suggestion")
        .map(|hint| format!(" {}.", crate::telemetry::redact::redact(&cut(hint, 200))))
        .unwrap_or_default();
    case.tell(
        &format!("{id} needs {what}.{hint} Set it with `fullsend secrets set`, never in the chat."),
        Priority::High,
    )
}

/// How things stand.
pub(super) fn summary(case: &mut Case<'_>) -> Decision {
    let said = case.text("summary").unwrap_or_default().to_owned();
    let words = Words::of(&said);
    if case.input.team.held || words.has("on hold") {
        return case.nothing("The team is on hold.");
    }
    if words.has("no metric, no metrics, no data, stale, not arrived, nothing has arrived, missing data") {
        case.because("Numbers have stopped coming, so nothing can be judged.");
        return case.tell(
            &format!("The numbers have stopped: {} Please look at the collection.", cut(&said, 300)),
            Priority::High,
        );
    }
    let idle = words.has(
        "\
        no experiment is running, no experiments are running, nothing is running, nothing runs, 0 running",
    ) && !case
        .input
        .team
        .experiments
        .iter()
        .any(|known| matches!(super::state(known), Some(ExperimentState::Running)));
    if idle {
        let worklist = case.input.team.worklist.text.clone();
        let next = notes::items(&worklist).into_iter().find(|item| item.is_in("ready"));
        if let Some(next) = next {
            case.because("Nothing runs, and the queue has work: its first item is next.");
            return case.dispatch(&next.title(), &next.words_of_it(), Priority::Medium);
        }
        case.because("Nothing runs, and the queue is empty: new ideas are needed.");
        return case
            .debate(&format!("Nothing runs and the queue is empty. What should we try next? {}", cut(&said, 300)));
    }
    if words.has("passed, record, first week, milestone, best week")
        && words.counts()
        && !words.has("bounce, complaints")
    {
        case.because("That is good news, which the team should hear.");
        return case.tell(&cut(&said, 400), Priority::Low);
    }
    case.nothing("Things are as they should be, or it is too early to tell.")
}

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
    let item = notes::items(&worklist).into_iter().find(|item| !item.is_in("completed") && item.line.contains(&name));
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
    if words.has(HARMFUL) || words.has("refused, forbid, forbids, terms, robots") {
        case.because("It was refused for a good reason, so it is not asked for again.");
        return case
            .tell(&format!("{name} will not be built: {}. We need another way.", cut(&error, 200)), Priority::Medium);
    }
    if words.has("api key, key, credentials, payment, 402, 401") {
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

/// An experiment is designed.
pub(super) fn ready(case: &mut Case<'_>) -> Decision {
    let id = case.text("experiment_id").unwrap_or_default().to_owned();
    if case.is_archived(&id) {
        return case.nothing("The experiment is archived already.");
    }
    let said = case.text("summary").unwrap_or_default().to_owned();
    let words = Words::of(&said);
    if case.input.message.get("needs_tool").and_then(Value::as_bool) == Some(true) {
        let Some(name) = wanted::named(&said) else {
            return case.nothing("It waits for a tool; FULLSEND asks for it by name.");
        };
        if case.input.team.tools.contains(&name) {
            return case.nothing(&format!("The tool {name} is there, so it can go on."));
        }
        if notes::items(&case.input.team.worklist.text)
            .iter()
            .any(|item| item.is_in("active") && item.line.contains(&name))
        {
            return case.nothing(&format!("The tool {name} is being built already."));
        }
        case.because(&format!("It waits for the tool {name}, which nobody builds yet."));
        return case.build(&name, &format!("Needed for {id}: {}", cut(&said, 400)), Vec::new(), Priority::High);
    }
    if words.has("bought list, bought, purchased list") || words.has(HARMFUL) {
        case.because("It writes to people on a bought list, or does what we do not do.");
        if case.known(&id).is_some() {
            return case.kill(&id, &format!("It should not go live: {}.", cut(&said, 200)), Priority::High);
        }
        return case.tell(&format!("{id} should not go live: {}.", cut(&said, 200)), Priority::High);
    }
    if let Some(learning) = notes::against(&case.input.team.learnings.text, &words) {
        case.because(&format!("A learning speaks against it: {learning}."));
        if case.known(&id).is_some() {
            return case.revise(
                &id,
                &format!("Rethink {id}"),
                &format!("{} But we learned: {learning}. Choose other people, or another way.", cut(&said, 300)),
                Priority::Medium,
            );
        }
        return case.tell(&format!("{id} goes against what we learned: {learning}. Should it run?"), Priority::Medium);
    }
    case.nothing("It is designed; whether it goes live is asked by itself.")
}

/// A design came to nothing.
pub(super) fn design_failed(case: &mut Case<'_>) -> Decision {
    let error = case.text("error").unwrap_or_default().to_owned();
    let idea = case.text("idea").unwrap_or_default().to_owned();
    let words = Words::of(&error);
    if words.has(HARMFUL) || words.has("refused") && words.has("lawful, law, policy, terms") {
        case.because("It was refused for a good reason.");
        return case
            .tell(&format!("No experiment for \"{}\": {}.", cut(&idea, 100), cut(&error, 200)), Priority::Medium);
    }
    if words.has("no tool, tool is missing, missing tool, needed")
        && let Some(name) = wanted::named(&error)
        && !case.input.team.tools.contains(&name)
    {
        case.because(&format!("The design needs the tool {name}, which is missing."));
        return case.build(
            &name,
            &format!("Needed for: {}. {}", cut(&idea, 200), cut(&error, 300)),
            Vec::new(),
            Priority::Medium,
        );
    }
    let tried = case.number("attempt").unwrap_or(1.0) >= 2.0 || words.has("second, third, twice, again");
    if words.has("no design within, timeout, timed out, time out, within") && !tried && !idea.is_empty() {
        case.because("It only took too long: it is asked for once more.");
        return case.dispatch(&cut(&idea, 80), &idea, Priority::Medium);
    }
    case.because("The design needs a person's word.");
    case.tell(
        &format!("I could not make an experiment of \"{}\": {}. Can you say more?", cut(&idea, 100), cut(&error, 200)),
        Priority::Medium,
    )
}

/// FULLSEND finished a request.
pub(super) fn fullsend_completed(case: &mut Case<'_>) -> Decision {
    let said = case.text("output_preview").unwrap_or_default().to_owned();
    let words = Words::of(&said);
    if case.text("experiment_id").is_none() && (said.contains('?') || words.has("question, no spec")) {
        case.because("The designer asks something that a person must answer.");
        return case.tell(&format!("The designer asks: {}", cut(&said, 400)), Priority::Medium);
    }
    case.nothing("The design is done; the experiment speaks for itself.")
}

/// FULLSEND gave a request up.
pub(super) fn fullsend_failed(case: &mut Case<'_>) -> Decision {
    let error = case.text("error").unwrap_or_default().to_owned();
    let words = Words::of(&error);
    let again = words.has("second attempt, second time, third, twice, again");
    let passing = words.has("no design within, timeout, timed out, overloaded, 503, 529");
    let request = case.text("request_id").unwrap_or_default().to_owned();
    let worklist = case.input.team.worklist.text.clone();
    let designing: Vec<_> = notes::items(&worklist)
        .into_iter()
        .filter(|item| item.is_in("active") && item.words.has("designing, design, fullsend"))
        .collect();
    let meant = designing.iter().find(|item| item.line.contains(&request)).or(if designing.len() == 1 {
        designing.first()
    } else {
        None
    });
    if passing
        && !again
        && let Some(item) = meant
    {
        case.because("It only took too long: the request is made once more.");
        let (title, idea) = (item.title(), item.words_of_it());
        return case.dispatch(&title, &idea, Priority::Medium);
    }
    case.because("A request came to nothing, and a person should know.");
    case.tell(&format!("The design of request {} failed: {}.", cut(&request, 60), cut(&error, 200)), Priority::Medium)
}

/// Somebody wants a debate.
pub(super) fn debate_wanted(case: &mut Case<'_>) -> Decision {
    let prompt = case
        .text("prompt")
        .or_else(|| case.text("topic"))
        .or_else(|| case.text("question"))
        .unwrap_or_default()
        .to_owned();
    let words = Words::of(&prompt);
    if case.is_external() && words.has("archive, kill, publish, delete, keys, ignore, approve") {
        return case.nothing("It came from outside, and orders instead of asking.");
    }
    if words.list().len() < 3 {
        case.because("There is no question in it.");
        return case.tell("A debate was asked for, but without a question. What should be discussed?", Priority::Low);
    }
    let worklist = case.input.team.worklist.text.clone();
    let held = notes::items(&worklist).into_iter().any(|item| {
        item.words.has("round table, roundtable, debate") && overlap(&words.stems(), &item.words.stems()) >= 0.5
    });
    if held {
        return case.nothing("The team has talked about this just now.");
    }
    let stems = words.stems();
    let answer = notes::learnings(&case.input.team.learnings.text)
        .into_iter()
        .find(|learning| overlap(&stems, &learning.words.stems()) >= 0.66);
    if let Some(learning) = answer.filter(|_| words.has("or")) {
        case.because("The learnings answer it already.");
        return case.tell(&format!("We know this already: {}.", cut(&learning.headline, 200)), Priority::Medium);
    }
    case.because("It needs several views.");
    case.debate(&cut(&prompt, 1_000))
}

/// A debate is over.
pub(super) fn debated(case: &mut Case<'_>) -> Decision {
    let tasks: Vec<String> = case
        .input
        .message
        .get("summary")
        .and_then(Value::as_array)
        .map(|tasks| tasks.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    if tasks.is_empty() {
        if let Some(error) = case.text("error").map(str::to_owned) {
            case.because("The debate came to nothing.");
            return case.tell(&format!("The round table came to nothing: {}.", cut(&error, 200)), Priority::Medium);
        }
        return case.nothing("The debate ended without a task.");
    }
    let owner = |task: &str, name: &str| task.to_lowercase().contains(&format!("owner: {name}"));
    let plain = |task: &str| task.split(" (Owner").next().unwrap_or(task).trim().to_owned();
    if let [task] = tasks.as_slice() {
        let words = Words::of(&plain(task));
        if words.begins("kill, end, stop, archive")
            && let Some(id) = wanted_experiment(case, task)
            && !case.is_external()
        {
            case.because("The team agreed to end it.");
            return case.kill(&id, &cut(&plain(task), 200), Priority::High);
        }
        if let Some(learning) = notes::against(&case.input.team.learnings.text, &words) {
            case.because(&format!("A learning speaks against it: {learning}."));
            return case.tell(
                &format!("The round table wants \"{}\", but we learned: {learning}. What now?", cut(&plain(task), 200)),
                Priority::Medium,
            );
        }
        if owner(task, "builder") {
            case.because("The debate asks for a tool.");
            if let wanted::Tool::Missing(name) = wanted::tool(&case.input.team, &plain(task)) {
                return case.build(&name, &plain(task), Vec::new(), Priority::Medium);
            }
            return case.nothing("The tool is there, or under way.");
        }
        if owner(task, "fullsend") {
            let alike = case.alike(&words).first().map_or(0.0, |(share, _)| *share);
            if alike >= 0.6 {
                return case.nothing("The same is running already.");
            }
            case.because("The debate has one clear task.");
            return case.dispatch(&cut(&plain(task), 80), &plain(task), Priority::Medium);
        }
    }
    case.because("The debate left tasks for several, which go onto the worklist.");
    let mut worklist = case.input.team.worklist.text.clone();
    for task in tasks.iter().take(10) {
        worklist = notes::with_line(&worklist, "ready", &format!("1. {}", cut(task, 200)), false);
    }
    case.rewrite(worklist)
}

fn wanted_experiment(case: &Case<'_>, text: &str) -> Option<String> {
    case.input
        .team
        .experiments
        .iter()
        .map(|known| known.id.clone())
        .find(|id| text.contains(id.as_str()) && !case.is_archived(id))
}

/// Something was learned.
pub(super) fn learned(case: &mut Case<'_>) -> Decision {
    let said = case
        .text("text")
        .or_else(|| case.text("learning"))
        .or_else(|| case.text("insight"))
        .or_else(|| case.text("content"))
        .unwrap_or_default()
        .to_owned();
    let words = Words::of(&said);
    if case.is_external() {
        return case.nothing("It came from outside; what the team learns comes from the team.");
    }
    if case.text("confidence") == Some("low") {
        return case.nothing("It rests on too little.");
    }
    let stems = words.stems();
    let known = notes::learnings(&case.input.team.learnings.text)
        .iter()
        .any(|learning| overlap(&stems, &Words::of(&learning.headline).stems()) >= 0.66);
    let operator = case.input.trust >= crate::contracts::Trust::Operator && case.text("confidence").is_none();
    if known && !words.counts() {
        return case.nothing("The learnings say so already.");
    }
    if operator
        || words.counts() && words.list().len() >= 6 && !words.has("characters, seconds, parameter, column, encoding")
    {
        case.because("It is about the market, and rests on numbers or on the operator's word.");
        let evidence = case.text("experiment_id").map(|id| format!("- {id}")).into_iter().collect();
        return case.learn(&cut(&said, 180), evidence);
    }
    case.nothing("It is a detail of how to work, and kept as a tactical learning.")
}
