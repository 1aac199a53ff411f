//! What the rules do about the team's own reports: designs, summaries, keys that are missing.
//!
//! Owns what is not done for anybody. Must never let through what harms people.

use serde_json::Value;

use super::{Case, cut, notes, wanted};
use crate::contracts::Priority;
use crate::contracts::lifecycle::ExperimentState;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::intents::{self, Fault, Summary};
use crate::llm::tasks::words::Words;

/// What must not be done for anybody.
pub(super) const HARMFUL: &str = "\
    not lawful, unlawful, illegal, environment variables, passwords, password, api keys, credentials, home addresses, \
    private addresses, say we are from, say were from, claim we are, nobody will notice, no one will notice, nobody will know, no one will know, secretly, behind their back, without telling, without asking, without them knowing, patient lists, patient data, medical records, leaked, stolen, claim to be, claiming to be, pose as, posing as, undercover, sock puppets, upvotes, upvote ring, malware, forge, forged, blackmail, threaten, pretend, pretending, impersonate, fake, five star reviews, buy reviews, guesses, hack, steal, \
    without consent, without permission, ddos, phishing, spoof, exfiltrate";

/// People who said that they do not want to hear from us: nobody writes to them.
pub(super) const OPTED_OUT: &str = "\
    unsubscribed, who opted out, have opted out, opted out, do not contact list, do not contact, suppression list, who complained, \
    asked to be removed, asked us to stop";

/// What reads as surely as this like trouble is told.
const TROUBLE: f32 = 0.5;

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
    let reading = intents::read::<Summary>(&words, &said);
    if is_trouble(&words) && reading.share(Summary::Usual) < intents::SURE {
        case.because("It tells of trouble that a person must see to.");
        return case.tell(&format!("Please look at this: {}", cut(&said, 400)), Priority::High);
    }
    let none_goes_on = case.number("experiment_count") == Some(0.0);
    if reading.share(Summary::Trouble) >= TROUBLE && !none_goes_on {
        case.because(&reading.why(Summary::Trouble));
        return case.tell(&format!("Please look at this: {}", cut(&said, 400)), Priority::High);
    }
    let idle = (none_goes_on
        || words.has(
            "\
        no experiment is running, no experiments are running, nothing is running, nothing runs, 0 running",
        ))
        && !case
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
    match reading.surely() {
        // Evidence is two numbers at least: how many, and of how many.
        Some(Summary::Proven) if numbers_in(&said) >= 2 => {
            case.because(&reading.why(Summary::Proven));
            case.learn(&cut(&said, 180), Vec::new())
        }
        Some(Summary::News) => {
            case.because(&reading.why(Summary::News));
            case.tell(&cut(&said, 400), Priority::Low)
        }
        _ => case.nothing("Things are as they should be, or it is too early to tell."),
    }
}

fn numbers_in(text: &str) -> usize {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .filter(|part| part.starts_with(|c: char| c.is_ascii_digit()))
        .count()
}

/// Whether a summary tells of something that does not mend itself: people are harmed, work does not happen, money runs out.
fn is_trouble(words: &Words) -> bool {
    const ALWAYS: &str = "\
        complaint, complaints, skipped, crashed, stuck, overspent, suspended, locked out, blocklisted, blacklisted, unreachable, \
        rejected, dead letter, dead letters, given up, gave up, heartbeat, silent, late, overdue, used up";
    const GROWING: &str = "bounce, bounces, error, errors, failures, failed, unsubscribes, spend, spent, cost, costs";
    const GROWS: &str = "\
        doubled, tripled, rose, rises, rising, jumped, spike, spiked, above, exceeds, exceeded, twice, in a row, of the budget, of the \
        monthly budget, of the daily budget, of the weekly budget";
    const USUAL: &str = "normal, usual, usually, no complaints, no complaint, no errors, no error, within, too early, as expected, fell, fewer";
    const FALLS: &str = "fell, dropped, sank, collapsed, went down, are down, is down";
    const TO_NOTHING: &str = "to none, to zero, to nothing, to 0";
    if words.has(FALLS) && words.has(TO_NOTHING) {
        return true;
    }
    (words.has(ALWAYS) || words.has(GROWING) && words.has(GROWS)) && !words.has(USUAL)
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
    let harms = words.has("bought list, bought, purchased list")
        || words.has(OPTED_OUT)
        || words.has(HARMFUL)
        || super::people::deceit(&words).is_some();
    if harms {
        case.because("It writes to people who do not want it, or does what we do not do.");
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
    if words.has("no criterion, no criteria, no success criterion, no success criteria, without a criterion, nothing is counted, nothing is measured, no metric")
    {
        case.because("Nothing says when it works.");
        if case.known(&id).is_some() {
            let idea = format!("{} Say what is counted, and from which number on it works or fails.", cut(&said, 400));
            return case.revise(&id, &format!("Criteria for {id}"), &idea, Priority::Medium);
        }
        return case.tell(&format!("{id} has no criterion: {}. What should be counted?", cut(&said, 200)), Priority::Medium);
    }
    let same = case.alike(&words).into_iter().find(|(share, known)| *share >= 0.7 && known.id != id);
    if let Some((_, other)) = same {
        case.because(&format!("{} does the same already.", other.id));
        let told = format!("{id} would do what {} does already: {}. Should both run?", other.id, cut(&said, 200));
        return case.tell(&told, Priority::Medium);
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
    let passes = intents::read::<Fault>(&words, &error).surely() == Some(Fault::Passing);
    if (passes || words.has("no design within, timeout, timed out, time out, within")) && !tried && !idea.is_empty() {
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
