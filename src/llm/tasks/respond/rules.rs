//! The rule of thumb for answers: how things stand in words, a greeting, thanks, and what the team can do.
//!
//! Every number comes from the state that was given.

use std::fmt::Write as _;

use super::{Reply, RespondInput, Status};
use crate::llm::Ruled;
use crate::llm::tasks::intents::{self, Intent};
use crate::llm::tasks::words::Words;

/// What can run, or rest.
const STATE: &str = "\
    status, running, runing, up, alive, online, healthy, health, paused, on hold, working, ok, okay, active, lauft, \
    laufen, funcionando, funciona, marche, tourne, fonctionne, dziala, werkt, draait, funzionando, attivo, attivi, pausiert, pausado, pause, rodando, aktiv, actif";
/// What can be counted, or asked after.
const WHAT: &str = "\
    experiment, experiments, experimnts, system, systems, sistema, systeme, bot, agents, agent, team, everything, \
    anything, all, you, you guys, we, things, experimente, experimentos, experiences, eksperymentow, service, services";
const COUNT: &str = "\
    how many, hwo many, number of, count of, wie viele, cuantos, cuantas, combien, quantos, quanti, hoeveel, ile";
/// What makes a question one that needs a judgement.
const JUDGE: &str = "\
    why, which, best, worst, should, better, next, mail, mails, email, emails, leads, replies, people, customers, what \
    if, could, idea, broken, error, failed, for, late, shoes, meeting, test, stop, please";

/// As sure as this a text must read like such a question.
const CERTAIN: f32 = 0.6;

/// Whether it asks how things stand: a count, or whether they run.
pub(in crate::llm::tasks) fn is_status_question(words: &Words, text: &str) -> bool {
    let asks = text.contains('?')
        || words.begins("is, are, any, hows, how is, how are, whats, what is, all good, everything, everyone, sind, ist, lauft, est ce que, esta, estan, czy, e, il, zijn")
        || words.has("how many, hwo many, tell me, wie viele, cuantos, combien, is the, are we, are you");
    let count = words.has(COUNT)
        && words.has("\
            experiment, experiments, experimnts, experimente, experimentos, experiences, eksperymentow, esperimenti, experiencias, experimenten, tests, campaigns, running, runs, \
            approvals");
    if count {
        return !words.has("why, which, should, mails, emails, mail, replies, people, leads");
    }
    let short = words.list().len() <= 7;
    if short && words.list().first().is_some_and(|first| first == "status") {
        return true;
    }
    let reads_so = || words.len() <= 14 && intents::read::<Intent>(words, text).share(Intent::Status) >= CERTAIN;
    asks && short && words.has(STATE) && (words.has(WHAT) || words.list().len() <= 3) && !words.has(JUDGE) || reads_so()
}

/// How things stand, in one or two sentences.
pub(super) fn status_in_words(status: &Status) -> String {
    let mut text = match status.held {
        Some(true) => "The team is on hold (paused): nothing new starts.".to_owned(),
        // Where nobody ever held it, whoever answers this is running.
        Some(false) | None => "The team is running.".to_owned(),
    };
    let are = |n: u64| if n == 1 { "is" } else { "are" };
    let experiments = if status.experiments == 1 { "experiment" } else { "experiments" };
    let _ = write!(
        text,
        " There {} {} {experiments}, {} running now; {} waiting for an approval.",
        are(status.experiments),
        status.experiments,
        status.running,
        status.waiting,
    );
    if !status.recent_runs.is_empty() {
        let _ = write!(text, " Latest: {}.", status.recent_runs.join("; "));
    }
    crate::contracts::untrusted::sanitize_line(&text, super::REPLY_LIMIT)
}

/// The rule.
pub(super) fn rule(input: &RespondInput) -> Ruled<Reply> {
    let words = Words::of(input.content.raw());
    let said = |content: String, reason: &str| Ruled { output: Reply { content }, reasons: vec![reason.to_owned()] };
    if is_status_question(&words, input.content.raw()) {
        return said(status_in_words(&input.status), "It asks how things stand; the numbers are counted from state.");
    }
    if words.has("what can you do, who are you, what are you, how do you work, help") {
        let what = "I read what is said here, answer how things stand, and hand ideas and requests to the team. \
                    `/status`, `/idea TEXT`, `/focus TEXT`, `/learn TEXT`, `/product TEXT`, `/pause`, `/go` and `/wtf` work at once.";
        return said(what.to_owned(), "It asks what the team can do.");
    }
    if words.has("thanks, thank, thx, danke, merci, gracias, obrigado, grazie, bedankt, dzieki") {
        return said("You're welcome.".to_owned(), "It says thanks.");
    }
    let name =
        input.username.as_ref().map(|name| name.line(40)).filter(|name| name.chars().all(|c| !c.is_ascii_digit()));
    let hello = name.map_or_else(|| "Hello!".to_owned(), |name| format!("Hello, {name}!"));
    said(format!("{hello} Ask me how things stand, or tell me an idea."), "It is a greeting.")
}
