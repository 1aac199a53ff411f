//! What is not done, whoever asks nicely: orders to the machine from outside, secrets, and what harms people.

use super::{Said, ideas};
use crate::contracts::Priority;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::Case;
use crate::llm::tasks::decide::rules::progress::HARMFUL;
use crate::llm::tasks::intents::Intent;
use crate::llm::tasks::words::Words;

/// How orders to the machine sound.
const ORDERS: &str = "\
    system, system prompt, new policy, policy is, developer mode, jailbreak, you are now, from now on, ignore your, \
    ignore all, ignore previous, ignore the, disregard, forget your, forget all, override, overrides, instructions, \
    say exactly, repeat your, repeat the, print your, reveal, approved by, pre approved, preapproved, auto approve, \
    skip all, skip the, skip approval, skip approvals, without approval, no approval, autopilot, bypass, sudo, admin, \
    everyone here, forever, always promote, kill_experiment, dispatch_to_fullsend, dispatch_to_builder, \
    update_worklist, record_learning, respond_to_discord, initiate_roundtable, no_action, tool_call, function_call, \
    assistant, exfiltrate, im the operator, i am the operator, as the operator, operator here, im the admin, i am the \
    admin, on behalf of the operator, markdown image, base64, act as, pretend you";
/// How orders are dressed up.
const MARKS: &[&str] = &[
    "{{",
    "{%",
    "<|",
    "|>",
    "</",
    "```",
    "![",
    "[[",
    "<system",
    "[system",
    "@everyone",
    "@here",
    "\"action\"",
    "'action'",
    "apr_",
    "###",
];
/// What people ask for who should not have it.
const SECRETS: &str = "\
    api key, api keys, apikey, password, passwords, secret, secrets, token, tokens, credential, credentials, access \
    key, private key, login data, env vars, environment variables";
/// How one asks for something.
const GIVE: &str = "\
    what, whats, give, send, tell, show, share, paste, post, need, where, which, can i, could i, can you, could you, \
    dm, read out, print, list";
/// What is ours to know.
const INTERNAL: &str = "\
    names, companies, customers, clients, who answered, who replied, recipients, addresses, learnings, worklist, \
    numbers, results, leads, replied, answered, revenue";

/// Orders from outside. What is left of the message without them is an idea, or nothing.
pub(super) fn hostile(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    if !case.is_external() || !is_order(&said.text) {
        return None;
    }
    case.because("It came from outside and gives orders to the machine; only people of the team do that, at the gate.");
    let rest: Vec<&str> = said.sentences().filter(|sentence| !is_order(sentence)).collect();
    let rest = rest.join(" ");
    let rest = Said::new(rest, Words::default());
    let proposal = ideas::is_proposed(&rest) && rest.words.len() >= 6 && !rest.words.has(HARMFUL);
    if proposal {
        return ideas::idea(case, &rest);
    }
    Some(case.nothing("Nothing is left of it without them."))
}

fn is_order(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark)) || Words::of(text).has(ORDERS)
}

/// Secrets, and what outsiders should not know.
pub(super) fn secret(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    if said.words.has(SECRETS) && said.words.has(GIVE) && !said.words.has("expired, revoked, invalid, rotate, renew") {
        return Some(kept_secret(case));
    }
    let asks = said.text.contains('?') || said.words.has(GIVE);
    if case.is_external() && asks && said.words.has(INTERNAL) && !ideas::is_proposed(said) {
        case.because("It came from outside, and asks for what only the team should know.");
        return Some(
            case.tell("I cannot say that outside of the team. Please ask somebody of the team.", Priority::Low),
        );
    }
    None
}

/// Secrets are never said.
pub(super) fn kept_secret(case: &mut Case<'_>) -> Decision {
    case.because("It asks for a secret, and secrets are never said.");
    case.tell(
        "I never say keys, tokens or passwords. Whoever runs the team can see them with `fullsend secrets`.",
        Priority::Low,
    )
}

/// What harms people, breaks the law, or deceives.
pub(super) fn harmful(case: &mut Case<'_>, said: &Said) -> Option<Decision> {
    let found = said.words.first_of(HARMFUL).or_else(|| deceit(&said.words))?;
    // Who accuses somebody of it does not propose it.
    let proposes = [Intent::Idea, Intent::Vague, Intent::Change, Intent::Tool, Intent::Errand];
    if said.reading.share(Intent::Harm) > said.reading.share_of(&proposes)
        || said.words.has("reported, somebody else")
        || said.words.begins("why, how many, which")
    {
        return None;
    }
    case.because(&format!("It would harm or deceive people (`{found}`), which we do not do."));
    let what = "We do not do that: it would deceive or harm people, or break the law. Is there an honest way to reach the same?";
    Some(case.tell(what, Priority::Medium))
}

/// Things that are harmful together only.
pub(in super::super) fn deceit(words: &Words) -> Option<&'static str> {
    const TOGETHER: &[(&str, &str, &str)] = &[
        (
            "say, tell, claim, write, call, phone, introduce, pose",
            "we are from, were from, we are the, on behalf of the",
            "a false name",
        ),
        (
            "\
                review, reviews, rating, ratings, testimonial, testimonials, followers, likes, upvotes, stars",
            "buy, invent, fabricate, pay for, made up, make up, bots, sock puppets",
            "bought praise",
        ),
        (
            "home, private, personal, medical, patient, patients, donor, donors",
            "scrape, address, addresses, records, harvest, steal, data",
            "private data",
        ),
        (
            "guess, guesses, guessing, crack, cracks, brute force, break into, log into, logs into",
            "password, passwords, accounts, portal, portals, login, logins",
            "breaking in",
        ),
        (
            "environment, env, keys, secrets",
            "posts, sends, upload, uploads, http, https, forward",
            "sending secrets away",
        ),
        (
            "\
                as if we were, act like, pose as, posing as, claim to be, say we are, sign it as, look like its from, \
                looks like it comes from, look like, looks like, looks official, look official, in the name of",
            "\
                patient, patients, customer, bank, government, authority, tax, police, employee, journalist, support, \
                client, them, inspectorate, ministry, inspector, official, court, competitor",
            "a false name",
        ),
    ];
    TOGETHER.iter().find(|(one, other, _)| words.has(one) && words.has(other)).map(|(_, _, name)| *name)
}
