//! What the rules do about what people say: orders, alarms, tools, notes, learnings, ideas and questions, weighed in this order.

use serde_json::Value;

use super::progress::{HARMFUL, against};
use super::{Case, about, cut, notes, percent, state, wanted};
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::{Priority, Trust};
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::words::{Words, overlap};
use crate::memory::ExperimentBrief;

/// A text is about an experiment, an item or a learning from here on.
const ALIKE: f64 = 0.6;

const IDEA: &[&str] = &[
    "what if",
    "could we",
    "can we",
    "we could",
    "we should",
    "how about",
    "what about",
    "why dont we",
    "why not",
    "lets",
    "let us",
    "maybe we",
    "idea",
    "ideas",
    "i bet",
    "suggest",
    "propose",
    "konnten wir",
    "wir konnten",
    "wir sollten",
    "konnen wir",
    "podriamos",
    "et si",
    "on pourrait",
    "potremmo",
    "e se",
    "poderiamos",
    "a moze",
    "shouldnt we",
    "imagine",
];
const TRY: &[&str] = &[
    "mail",
    "email",
    "write",
    "call",
    "post",
    "test",
    "try",
    "sponsor",
    "scrape",
    "offer",
    "invite",
    "send",
    "run",
    "launch",
    "add",
    "answer",
    "live",
    "publish",
    "film",
    "host",
    "organise",
    "organize",
    "raffle",
    "give",
    "print",
    "partner",
    "interview",
    "visit",
    "advertise",
    "sell",
    "text",
    "message",
    "contact",
    "reach",
    "start",
    "make",
    "do",
    "put",
    "stream",
];

/// What is decided about an escalation.
pub(super) fn decide(case: &mut Case<'_>) -> Decision {
    let chat = case.input.message.get("original_message").and_then(Value::as_object).cloned().unwrap_or_default();
    let said = chat.get("content").and_then(Value::as_str).unwrap_or_default().to_owned();
    let words = Words::of(&said);
    let context = case.input.message.get("context").and_then(Value::as_object).cloned().unwrap_or_default();
    let command = super::text(&context, "command").unwrap_or_default().to_owned();
    let reason = Words::of(case.text("reason").unwrap_or_default());
    let is_idea = command == "idea"
        || words.has(IDEA)
        || reason.has(&["idea", "idea_submit", "idea_submitted"]) && !words.has(&["no idea"]);
    if words.list().is_empty() {
        return case.nothing("Nothing was said.");
    }
    if case.is_external() {
        return outsider(case, &said, &words, is_idea);
    }
    if let Some(decision) = refusals(case, &said, &words) {
        return decision;
    }
    if let Some(decision) = orders(case, &said, &words) {
        return decision;
    }
    if let Some(decision) = alarms(case, &said, &words) {
        return decision;
    }
    if let Some(decision) = about_tools(case, &said, &words) {
        return decision;
    }
    if let Some(decision) = about_notes(case, &said, &words) {
        return decision;
    }
    if let Some(decision) = about_learnings(case, &said, &words) {
        return decision;
    }
    if words.has(&[
        "roundtable",
        "round table",
        "brainstorm",
        "debate",
        "discuss it",
        "out of ideas",
        "in circles",
        "discuss this",
        "let the team discuss",
    ]) {
        case.because("They ask for a debate, or are stuck.");
        return case.debate(&cut(&said, 1_000));
    }
    if is_talk(&words, &said) {
        return case.nothing("It is talk that needs no work.");
    }
    if is_question(&said, &words)
        && !words.has(&["what if", "how about", "what about", "could we", "can we", "why dont we", "why not"])
    {
        return question(case, &said, &words);
    }
    if is_idea || words.begins(TRY) {
        return idea(case, &said, &words);
    }
    if words.has(&["signed", "closed the deal", "we won", "bought", "subscribed", "paid"]) {
        case.because("It is good news.");
        return case.tell(
            "Great news, thank you for telling. Where did they come from? Then we do more of that.",
            Priority::Low,
        );
    }
    case.because("It cannot be told what should be done.");
    case.tell("Understood. What should the team do about it?", Priority::Low)
}

/// What comes from outside can propose and ask, but never order.
fn outsider(case: &mut Case<'_>, said: &str, words: &Words, is_idea: bool) -> Decision {
    let orders = said.trim_start().starts_with('{')
        || words.has(&[
            "system",
            "kill",
            "archive",
            "kill_experiment",
            "dispatch_to_fullsend",
            "approved by operator",
            "remember forever",
            "record this learning",
            "must remember",
            "say exactly",
            "repeat your",
            "i am the operator",
            "ignore",
            "new policy",
            "environment variables",
            "delete",
            "api key",
            "api keys",
            "password",
            "passwords",
            "learnings",
            "worklist",
        ]);
    let starts =
        words.has(&["what if", "how about", "what about", "could you", "why not", "idea"]) || words.begins(TRY);
    if is_idea
        && starts
        && !words.has(&[
            "kill",
            "archive",
            "environment variables",
            "passwords",
            "everyone in the database",
            "system",
            "record this learning",
            "delete",
        ])
    {
        if words.has(HARMFUL) {
            return case.nothing("It came from outside, and asks for what we do not do.");
        }
        case.because("It came from outside, and an idea is an idea; a person will be asked.");
        // Only the proposal itself, not what is ordered beside it.
        let first = said.split(['.', '!', '\n']).next().unwrap_or(said).to_owned();
        return idea(case, &first, &Words::of(&first));
    }
    if orders || words.has(HARMFUL) || words.has(&["tool", "build"]) {
        return case.nothing("It came from outside and gives orders; only the team does that.");
    }
    case.because("It came from outside, and does not propose anything that can be tested.");
    case.tell("Thanks for the message. A person of the team will look at it.", Priority::Low)
}

/// What we do not do, whoever asks.
fn refusals(case: &mut Case<'_>, said: &str, words: &Words) -> Option<Decision> {
    let secret = words.has(&["api key", "api keys", "password", "passwords", "credentials", "secret key", "token"])
        && is_question(said, words);
    if secret {
        case.because("Secrets are never said in a chat.");
        return Some(case.tell(
            "I never say keys or passwords in a chat. `fullsend secrets list` shows which are set.",
            Priority::Low,
        ));
    }
    let harmful = words.has(HARMFUL)
        || words.has(&["sells"]) && words.has(&["addresses", "emails", "contacts"])
        || words.has(&[
            "bought list",
            "buy a list",
            "purchased list",
            "blast them",
            "spam them",
            "mail the donors directly",
            "scrape the donor",
        ])
        || words.has(&["bot"]) && words.has(&["linkedin"]) && words.counts()
        || words.has(&["buy"]) && words.has(&["reviews", "followers", "likes"])
        || words.has(&["donor", "patients", "patient"]) && words.has(&["scrape", "addresses"]);
    if harmful {
        case.because("It would deceive people, break a law or a site's terms, or burn our name.");
        return Some(case.tell("I won't do that: it would deceive people or break rules we keep. Is there another way to reach the same people?", Priority::Medium));
    }
    None
}

/// Kill, hold, pause, restore, run: what is ordered about experiments.
fn orders(case: &mut Case<'_>, said: &str, words: &Words) -> Option<Decision> {
    let named = named_experiment(said);
    if words.has(&["bring", "restore", "unarchive", "revive"]) && (named.is_some() || words.has(&["back"])) {
        case.because("Restoring is an order, which the control room and `fullsend` take.");
        return Some(case.tell(
            "I cannot restore it by myself: press `u` in the control room, or publish `restore_experiment` on control.",
            Priority::Medium,
        ));
    }
    if words.has(&["pause", "rest over", "hold on", "take a break", "put on hold", "resume"])
        && !words.has(&["should we"])
    {
        case.because("Pausing is an order, which is given by a command.");
        return Some(case.tell(
            "To hold everything, say `/pause`, and `/go` to go on. A single experiment is paused in the control room.",
            Priority::High,
        ));
    }
    if words.has(&["can everything rest", "everything rest"]) {
        case.because("Holding is an order, which is given by a command.");
        return Some(case.tell("To hold everything over that time, say `/pause`, and `/go` to go on.", Priority::High));
    }
    if words.has(&["run it now", "invitations now", "start it now", "dont wait"])
        || words.begins(&["run exp", "start exp"])
    {
        case.because("Starting a run is an order of its own.");
        return Some(case.tell("A run is started in the control room, or by `fullsend publish execute_now`; its schedule stays as it is until then.", Priority::Medium));
    }
    let wants_end = words.has(&["kill", "end the", "shut down", "archive", "terminate"])
        || words.has(&["stop"])
            && (named.is_some() || words.has(&["experiment", "campaign"]) && !words.has(&["mailing"]));
    if !wants_end || words.has(&["cant stop", "nonstop"]) {
        return None;
    }
    if said.contains('@') && named.is_none() {
        return None;
    }
    let found = named.as_deref().and_then(|id| case.known(id)).cloned();
    match (&named, found) {
        (Some(id), _) if case.is_archived(id) => {
            case.because("It is archived already.");
            Some(case.tell(&format!("{} is archived already; nothing runs.", cut(id, 80)), Priority::Low))
        }
        (Some(_), Some(experiment)) => Some(end(case, &experiment, said, words)),
        (Some(id), None) => {
            case.because("No experiment has this name.");
            let near = nearest(case, id).map(|near| format!(" Do you mean {near}?")).unwrap_or_default();
            Some(case.tell(&format!("I know no experiment {}.{near}", cut(id, 80)), Priority::Medium))
        }
        (None, _) => {
            let alike = case.alike(words);
            let clear = match alike.as_slice() {
                [(first, _)] => *first >= 0.5,
                [(first, _), (second, _), ..] => *first >= 0.5 && first - second >= 0.2,
                [] => false,
            };
            let best = alike.first().map(|(_, known)| (*known).clone());
            match best.filter(|_| clear) {
                Some(experiment) => Some(end(case, &experiment, said, words)),
                None => {
                    case.because("It is not clear which experiment is meant.");
                    let names: Vec<_> = case
                        .input
                        .team
                        .experiments
                        .iter()
                        .filter(|known| !case.is_archived(&known.id))
                        .take(5)
                        .map(|known| known.id.clone())
                        .collect();
                    Some(case.tell(&format!("Which one should end? There are {}.", names.join(", ")), Priority::High))
                }
            }
        }
    }
}

fn end(case: &mut Case<'_>, experiment: &ExperimentBrief, said: &str, words: &Words) -> Decision {
    let alarming =
        words.has(&["our own customers", "wrong people", "customers", "by mistake", "complaints", "legal", "lawyer"]);
    if case.input.trust >= Trust::Operator {
        case.because("The operator wants it to end.");
        let priority = if alarming { Priority::Urgent } else { Priority::High };
        return case.kill(&experiment.id, &format!("The operator wants it to end: {}", cut(said, 200)), priority);
    }
    let low = experiment.metrics.iter().any(|(name, value)| {
        name.ends_with("_rate") && !name.contains("bounce") && !name.contains("complaint") && *value < 0.01
    }) || words.has(&["nobody", "no replies", "zero", "nothing came"]);
    if alarming || low {
        case.because("A member wants it to end, and its numbers, or the harm, say the same.");
        return case.kill(&experiment.id, &format!("Asked for: {}", cut(said, 200)), Priority::High);
    }
    case.because("A member wants it to end, but its numbers do not say so.");
    case.tell(
        &format!(
            "{} {} I would not end it for that. Should it be changed instead?",
            experiment.id,
            numbers(experiment)
        ),
        Priority::Medium,
    )
}

/// What somebody must see to at once.
fn alarms(case: &mut Case<'_>, said: &str, words: &Words) -> Option<Decision> {
    if words.has(&[
        "furious",
        "angry",
        "lawyer",
        "unsubscribed",
        "complained",
        "complains",
        "complaint",
        "gdpr",
        "stop mailing",
        "take me off",
        "opt out",
        "still gets our",
    ]) && !words.has(IDEA)
        && !words.has(&["if more than", "at most"])
    {
        case.because("Somebody does not want our mails, which comes before everything else.");
        return Some(case.tell("Thank you, that must be right at once: this person gets nothing more from us. Please add them to the suppression list and answer them personally.", Priority::Urgent));
    }
    let broken = words.has(&[
        "broken",
        "500 error",
        "500",
        "is down",
        "are down",
        "outage",
        "crashed",
        "not loading",
        "blocklist",
        "blacklist",
        "doesnt load",
        "error",
        "404",
    ]);
    if broken
        && !words.has(IDEA)
        && words.has(&[
            "page", "site", "form", "link", "domain", "server", "checkout", "sign", "signup", "landing", "mail",
            "mails", "sender", "website", "app",
        ])
    {
        case.because("Something that people see does not work.");
        return Some(case.tell(
            &format!(
                "That needs a person now: {}. Until it works, `/pause` keeps us from sending people there.",
                cut(said, 160)
            ),
            Priority::Urgent,
        ));
    }
    None
}

fn about_tools(case: &mut Case<'_>, said: &str, words: &Words) -> Option<Decision> {
    const MAKES: &[&str] = &["build", "make", "made", "need", "write", "create", "develop"];
    let thing = words.has(&[
        "tool",
        "script",
        "scraper",
        "something that reads",
        "something that finds",
        "something that",
        "publisher",
        "finder",
        "reader",
        "importer",
        "parser",
        "crawler",
    ]);
    if !thing || !words.has(MAKES) || words.has(&["what if", "how about"]) {
        return None;
    }
    match wanted::tool(&case.input.team, said) {
        wanted::Tool::There(name) => {
            case.because("There is such a tool already.");
            Some(case.tell(&format!("We have that: `{name}`. It can be used at once."), Priority::Low))
        }
        wanted::Tool::UnderWay(title) => {
            case.because("Somebody works on it already.");
            Some(case.tell(&format!("It is under way: {}.", cut(&title, 100)), Priority::Low))
        }
        wanted::Tool::Missing(name) => {
            case.because("No tool does that yet.");
            Some(case.build(&name, said, vec![cut(said, 300)], Priority::Medium))
        }
    }
}

/// The worklist: what matters, what is done, what is dropped.
fn about_notes(case: &mut Case<'_>, said: &str, words: &Words) -> Option<Decision> {
    let worklist = case.input.team.worklist.text.clone();
    let found = notes::likest(&worklist, words).filter(|(share, _)| *share >= 0.34).map(|(_, item)| item);
    if words.has(&[
        "this week only",
        "only the",
        "counts",
        "everything else",
        "focus on",
        "top priority",
        "most important",
    ]) && words.has(&["everything else", "this week", "focus", "goes down", "only"])
        && !words.begins(TRY)
    {
        case.because("Somebody says what matters now.");
        return Some(case.rewrite(notes::with_line(
            &worklist,
            "active",
            &format!("- [ ] **Focus** - {}", cut(said, 200)),
            true,
        )));
    }
    let moves = words.has(&["move", "put", "reorder", "prioritise", "prioritize", "bump"])
        && words.has(&["above", "below", "top", "first", "before", "up", "down", "bottom"]);
    let done = words.has(&["done", "tick it off", "finished", "completed"]) && !words.has(&["can you", "have we"]);
    let drops =
        words.begins(&["forget", "drop", "skip", "remove", "scrap"]) || words.has(&["nobody has time", "not doing"]);
    let frees =
        words.has(&["go ahead", "unblocked", "approved already", "we got the", "no longer blocked", "can start"]);
    if !(moves || done || drops || frees) {
        return None;
    }
    let item = found?;
    case.because("It changes where an item of the worklist stands.");
    let rest = notes::without(&worklist, item.line);
    let title = item.words_of_it();
    Some(case.rewrite(if done {
        notes::with_line(&rest, "completed", &format!("- [x] {title}"), true)
    } else if drops {
        notes::with_line(&rest, "completed", &format!("- [x] {title} (dropped: {})", cut(said, 80)), false)
    } else {
        notes::with_line(&rest, "ready", &format!("1. {}", item.title()), true)
    }))
}

fn about_learnings(case: &mut Case<'_>, said: &str, words: &Words) -> Option<Decision> {
    let tells = words.has(&[
        "fyi",
        "remember",
        "turns out",
        "fun fact",
        "i learned",
        "we learned",
        "lesson",
        "note that",
        "trust me",
        "from my calls",
        "noticed",
        "in my experience",
        "hate us",
        "love us",
    ]);
    if !tells || is_question(said, words) {
        return None;
    }
    let stems = words.stems();
    if notes::learnings(&case.input.team.learnings.text)
        .iter()
        .any(|learning| overlap(&stems, &Words::of(&learning.headline).stems()) >= 0.5)
        && !words.counts()
    {
        return Some(case.nothing("The learnings say so already."));
    }
    if words.counts() {
        case.because("It comes from somebody who tried, with numbers.");
        return Some(case.learn(
            &cut(said.trim_start_matches("fyi").trim_start_matches("remember:").trim(), 180),
            vec!["- told by a member of the team".to_owned()],
        ));
    }
    case.because("It is an opinion; a learning needs what it rests on.");
    Some(
        case.tell(
            "What does that rest on? With numbers, or a few answers word by word, I will record it.",
            Priority::Low,
        ),
    )
}

/// An idea: not twice, not against what we learned, not without knowing for whom.
fn idea(case: &mut Case<'_>, said: &str, words: &Words) -> Decision {
    let team = &case.input.team;
    let stems = words.stems();
    let change =
        words.has(&["instead", "in the mails", "subject line", "change the", "can we name", "shorten", "reword"])
            || words.has(&["in the"]) && words.has(&["mails", "mail", "videos", "letters", "page"]);
    let fresh = words.has(&[
        "again but",
        "but only",
        "by hand",
        "did not answer",
        "this time",
        "didnt answer",
        "new",
        "who already know",
    ]);
    let alike = case.alike(words);
    let like = alike.first().map(|(share, known)| (*share, (*known).clone()));
    if let Some(decision) = unclear(case, said, words) {
        return decision;
    }
    if change
        && let Some((share, experiment)) = &like
        && *share >= 0.25
        && matches!(
            state(experiment),
            Some(ExperimentState::Running | ExperimentState::Ready | ExperimentState::Measuring)
        )
    {
        case.because(&format!("It is a change of {}.", experiment.id));
        let idea = format!("{} Change: {}", cut(&experiment.hypothesis, 400), cut(said, 600));
        return case.revise(&experiment.id, &cut(said, 80), &idea, Priority::Medium);
    }
    if !fresh
        && let Some((share, experiment)) = &like
        && *share >= ALIKE
    {
        case.because(&format!("{} tests that already.", experiment.id));
        return case.tell(
            &format!("We test that already: {} ({}). {}", experiment.id, experiment.state, numbers(experiment)),
            Priority::Medium,
        );
    }
    if !fresh && let Some(experiment) = same_channel(case, words) {
        case.because(&format!(
            "{experiment} goes the same way to people already, and nothing says that this is for others."
        ));
        return case.tell(
            &format!("{experiment} does something alike already. Whom would yours reach that it does not?"),
            Priority::Medium,
        );
    }
    if !fresh && let Some(learning) = against(case, words) {
        case.because(&format!("A learning speaks against it: {learning}."));
        return case.tell(&format!("We learned: {learning}. What would be different this time?"), Priority::Medium);
    }
    if let Some((share, item)) = notes::likest(&team.worklist.text, words)
        && share >= 0.66
        && item.is_in("ready")
        && case.input.trust < Trust::Operator
    {
        case.because("It stands in the queue already.");
        return case.tell(&format!("It is in the queue already: {}.", cut(&item.words_of_it(), 160)), Priority::Low);
    }
    if team.held {
        case.because("The team is on hold, so the idea goes into the queue.");
        return case.rewrite(notes::with_line(&team.worklist.text, "ready", &format!("1. {}", cut(said, 200)), false));
    }
    case.because("It is something new that can be tested.");
    if let Some(helps) = notes::learnings(&team.learnings.text)
        .iter()
        .find(|learning| !learning.warns && overlap(&stems, &learning.words.stems()) >= 0.3)
    {
        case.because(&format!("A learning speaks for it: {}.", cut(&helps.headline, 160)));
    }
    let soon =
        case.input.trust >= Trust::Operator && words.has(&["most important", "this week", "today", "now", "urgent"]);
    let priority = if soon { Priority::High } else { Priority::Medium };
    case.dispatch(&cut(said, 80), said, priority)
}

/// An idea that nobody can act upon yet: not about the product, not said for whom, or not wanted now.
fn unclear(case: &mut Case<'_>, said: &str, words: &Words) -> Option<Decision> {
    let stems = words.stems();
    if words.has(&["pizza", "lunch", "beer", "birthday", "party", "team event", "drinks", "coffee machine"])
        && !words.has(&["customers", "leads", "users", "mail"])
    {
        case.because("It is not about the product.");
        return Some(case.tell("That sounds nice, but it is nothing I can test. Ask the others!", Priority::Low));
    }
    if words.has(&["last time", "the same again", "do the thing", "the thing"]) && stems.len() < 6 {
        case.because("It is not said what is meant.");
        return Some(case.tell("Which one do you mean? Tell me whom to reach, and how.", Priority::Medium));
    }
    if case.input.team.product.text.trim().is_empty() {
        case.because("There is no product context, so nobody can say who a good lead is.");
        return Some(case.tell("I don't know what we sell yet. Please fill in `product_context.md`: what it is, for whom, and what not to do.", Priority::Medium));
    }
    if stems.len() < 4 && !words.counts() && !words.has(TRY)
        || words.has(&["go viral", "do something with", "something with ai", "could be big"])
    {
        case.because("It does not say whom to reach, how, or what to offer.");
        return Some(case.tell(
            "I like the direction. Whom should it reach, through what, and what would we offer them?",
            Priority::Medium,
        ));
    }
    if words.has(&["no hurry", "at some point", "some day", "someday", "eventually", "low priority", "nice to have"]) {
        case.because("It is wanted some time, not now.");
        let line = format!("1. {} (low priority)", cut(said, 160));
        return Some(case.rewrite(notes::with_line(&case.input.team.worklist.text, "ready", &line, false)));
    }
    None
}

/// The experiment under way that goes the same rare way to people: by text message, or by phone.
fn same_channel(case: &Case<'_>, words: &Words) -> Option<String> {
    const WAYS: [&[&str]; 2] =
        [&["sms", "text", "texts", "texting", "whatsapp"], &["phone", "phoning", "calling", "cold calls", "cold call"]];
    let way = WAYS.into_iter().find(|way| words.has(way))?;
    let runs = |known: &&ExperimentBrief| {
        matches!(state(known), Some(ExperimentState::Running | ExperimentState::Ready | ExperimentState::Measuring))
    };
    case.input.team.experiments.iter().filter(runs).find(|known| about(known).has(way)).map(|known| known.id.clone())
}

/// An answer from what is known: the experiment that is meant, the queue, or the learnings.
fn question(case: &mut Case<'_>, said: &str, words: &Words) -> Decision {
    if words.has(&["afford", "enterprise or", "price"])
        && words.has(&["or", "afford"])
        && words.has(&["discuss", "circles"])
    {
        case.because("It needs several views.");
        return case.debate(&cut(said, 1_000));
    }
    case.because("It is a question; what is known answers it, or a person does.");
    let team = &case.input.team;
    if team.held && words.has(&["why", "nothing", "happen", "paused", "today"]) {
        return case.tell("The team is on hold, so nothing new starts. `/go` lets it go on.", Priority::Medium);
    }
    if let Some(id) = named_experiment(said) {
        return match case.known(&id).cloned() {
            Some(experiment) => case.tell(
                &format!("{} is {}. {}", experiment.id, experiment.state, numbers(&experiment)),
                Priority::Medium,
            ),
            None if case.is_archived(&id) => case.tell(&format!("{} is archived.", cut(&id, 80)), Priority::Medium),
            None => case.tell(&format!("I know no experiment {}.", cut(&id, 80)), Priority::Medium),
        };
    }
    let worklist = team.worklist.text.clone();
    if words.has(&["blocked", "waiting", "stuck"]) {
        let blocked: Vec<_> = notes::items(&worklist)
            .iter()
            .filter(|item| item.is_in("blocked"))
            .map(|item| cut(&item.words_of_it(), 160))
            .collect();
        let told = if blocked.is_empty() {
            "Nothing is blocked.".to_owned()
        } else {
            format!("Blocked: {}.", blocked.join("; "))
        };
        return case.tell(&told, Priority::Medium);
    }
    if words.has(&["next", "plan", "planned", "queue", "worklist"]) {
        let next: Vec<_> = notes::items(&worklist)
            .iter()
            .filter(|item| item.is_in("ready"))
            .take(3)
            .map(|item| cut(&item.words_of_it(), 160))
            .collect();
        let told = if next.is_empty() {
            "The queue is empty; ideas are welcome.".to_owned()
        } else {
            format!("Next: {}.", next.join("; "))
        };
        return case.tell(&told, Priority::Medium);
    }
    let mut told = Vec::new();
    if words.has(&["which", "best", "worst", "experiments", "achieved"]) {
        let running: Vec<_> = team
            .experiments
            .iter()
            .take(5)
            .map(|known| format!("{} ({}): {}", known.id, known.state, numbers(known)))
            .collect();
        told.extend(running);
    } else if let Some((share, experiment)) = case.alike(words).first()
        && *share >= 0.3
    {
        told.push(format!("{} is {}. {}", experiment.id, experiment.state, numbers(experiment)));
    }
    let stems = words.stems();
    let archived = team
        .experiments
        .iter()
        .find(|known| case.is_archived(&known.id) && overlap(&stems, &about(known).stems()) >= 0.3);
    told.extend(archived.map(|known| format!("{} is archived. {}", known.id, numbers(known))));
    let learned = notes::learnings(&team.learnings.text)
        .into_iter()
        .filter(|learning| overlap(&stems, &learning.words.stems()) >= 0.3)
        .take(2);
    told.extend(learned.map(|learning| format!("We learned: {}.", cut(&learning.headline, 200))));
    let done: Vec<_> = notes::items(&worklist)
        .iter()
        .filter(|item| overlap(&stems, &item.words.stems()) >= 0.5)
        .take(2)
        .map(|item| cut(&item.words_of_it(), 160))
        .collect();
    told.extend(done);
    if told.is_empty() {
        told.push("I cannot tell from what I know. Which experiment, or which numbers, do you mean?".to_owned());
    }
    case.tell(&told.join(" "), Priority::Medium)
}

fn is_question(said: &str, words: &Words) -> bool {
    said.trim_end().ends_with('?')
        || said.contains("? ")
        || words.begins(&[
            "why",
            "which",
            "how many",
            "how is",
            "how does",
            "what do",
            "what are",
            "what happened",
            "what is",
            "whats",
            "when",
            "is",
            "are",
            "do we",
            "did",
            "should we",
            "where",
            "who",
            "so what",
            "hi",
        ])
}

fn is_talk(words: &Words, said: &str) -> bool {
    const TALK: &[&str] = &[
        "ramen",
        "lunch",
        "coffee",
        "cat",
        "dog",
        "weather",
        "football",
        "movie",
        "video",
        "thank",
        "thanks",
        "great work",
        "haha",
        "lol",
        "beer",
        "weekend",
        "birthday",
        "good night",
    ];
    words.has(TALK)
        && !words.has(&[
            "leads",
            "customers",
            "campaign",
            "mail",
            "mails",
            "page",
            "users",
            "experiment",
            "what if",
            "we could",
            "we should",
            "how about",
        ])
        && (!said.contains('?') || words.has(&["anyone", "anybody", "who wants"]))
}

/// The id of an experiment that a text has.
fn named_experiment(said: &str) -> Option<String> {
    said.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .find(|word| word.starts_with("exp_") && word.len() > 5)
        .map(|word| word.trim_end_matches(['-', '_']).to_owned())
}

fn nearest(case: &Case<'_>, id: &str) -> Option<String> {
    case.input
        .team
        .experiments
        .iter()
        .map(|known| (strsim::damerau_levenshtein(id, &known.id), &known.id))
        .min()
        .filter(|(distance, _)| *distance <= 4)
        .map(|(_, near)| near.clone())
}

/// The numbers of an experiment in words.
fn numbers(experiment: &ExperimentBrief) -> String {
    if experiment.metrics.is_empty() {
        return "It has no numbers yet.".to_owned();
    }
    let shown: Vec<_> = experiment
        .metrics
        .iter()
        .take(6)
        .map(|(name, value)| {
            if name.ends_with("_rate") {
                format!("{} {}", name.replace('_', " "), percent(*value))
            } else {
                format!("{} {value}", name.replace('_', " "))
            }
        })
        .collect();
    format!("Its numbers: {}.", shown.join(", "))
}
