//! What happens, by name: the events that tools report, the words with which specifications count them, and which tool says which.
//!
//! Owns the one list of each. Must never make an event of a word that it does not know.

use std::collections::BTreeSet;

use super::spec::{Mode, OutreachChannel, Spec};
use super::steps::{self, By};

/// A message to somebody who was written to before, as it is counted: it reaches nobody new, so no share is taken of it.
pub const FOLLOW_UP: &str = "follow_up_sent";
/// All messages to people, whatever they are called: what `.rate` is taken of. No specification can write it.
pub const ALL_SENT: &str = "*_sent";
/// What the executor says of every run.
const OF_RUNS: [&str; 4] = ["run_started", "run_completed", "items_processed", "error"];
/// What is read out of a mailbox, and said of sent mail.
const OF_MAIL: [&str; 8] = [
    "email_sent",
    FOLLOW_UP,
    "email_bounced",
    "reply",
    "positive_reply",
    "negative_reply",
    "unsubscribe",
    "spam_complaint",
];
/// What only somebody who watches the mail on its way says.
const OF_WEBHOOKS: [&str; 3] = ["email_delivered", "email_opened", "link_clicked"];

/// Events that have a meaning here, each with the words that count it.
const EVENTS: [(&str, &[&str]); 13] = [
    (
        "email_sent",
        &[
            "emails_sent",
            "sends",
            "sent",
            "emails",
            "mails_sent",
            "messages_sent",
            "message_sent",
            "mail_sent",
            "email_sends",
            "calls_sent",
        ],
    ),
    (FOLLOW_UP, &["follow_ups_sent", "follow_ups"]),
    ("email_delivered", &["emails_delivered", "deliveries", "delivered", "mails_delivered"]),
    ("email_opened", &["emails_opened", "opens", "opened", "email_opens", "email_open"]),
    ("link_clicked", &["links_clicked", "link_clicks", "clicks", "clicked", "email_clicks", "click"]),
    // A mail that came back counts as one, whether the address is at fault (`email_bounced`) or not (`email_refused`).
    (
        "email_bounced",
        &["emails_bounced", "bounces", "bounced", "bounce", "email_bounces", "email_bounce", "email_refused"],
    ),
    (
        "reply",
        &[
            "replies",
            "responses",
            "response",
            "replied",
            "replies_received",
            "reply_received",
            "email_replies",
            "emails_replied",
        ],
    ),
    ("positive_reply", &["positive_replies", "positive_responses", "interested_replies"]),
    ("negative_reply", &["negative_replies", "negative_responses"]),
    (
        "meeting_booked",
        &[
            "meetings_booked",
            "meetings",
            "meeting",
            "demos_booked",
            "demo_booked",
            "demos",
            "calls_booked",
            "call_booked",
            "demo_calls_booked",
        ],
    ),
    ("unsubscribe", &["unsubscribes", "unsubscribed", "opt_outs", "opt_out", "unsubscriptions"]),
    ("spam_complaint", &["spam_complaints", "complaints", "complaint", "spam_reports", "reported_as_spam"]),
    ("items_processed", &["items"]),
];

/// Shares that many measure, as they are computed where a specification does not say it.
const USUAL: [(&str, &str); 16] = [
    ("reply_rate", "replies / emails_sent"),
    ("response_rate", "replies / emails_sent"),
    ("positive_reply_rate", "positive_replies / emails_sent"),
    ("positive_response_rate", "positive_replies / emails_sent"),
    ("negative_reply_rate", "negative_replies / emails_sent"),
    ("open_rate", "emails_opened / emails_sent"),
    ("click_rate", "link_clicks / emails_sent"),
    ("click_through_rate", "link_clicks / emails_sent"),
    ("bounce_rate", "bounces / emails_sent"),
    ("delivery_rate", "emails_delivered / emails_sent"),
    ("unsubscribe_rate", "unsubscribes / emails_sent"),
    ("spam_rate", "spam_complaints / emails_sent"),
    ("complaint_rate", "spam_complaints / emails_sent"),
    ("meeting_rate", "meetings_booked / emails_sent"),
    ("meeting_booked_rate", "meetings_booked / emails_sent"),
    ("meetings_booked_rate", "meetings_booked / emails_sent"),
];

/// The event that a word counts: `emails_sent`, `sends` and `email_sent` are all `email_sent`; none for a word that is not known.
pub fn event_of(name: &str) -> Option<&'static str> {
    let found = EVENTS.iter().find(|(event, words)| *event == name || words.contains(&name));
    found.map(|(event, _)| *event)
}

/// All events that are known here, and the words that count them.
pub fn words() -> impl Iterator<Item = &'static str> {
    EVENTS.iter().flat_map(|(event, words)| std::iter::once(*event).chain(words.iter().copied()))
}

/// The name under which an event is counted: that of the list, or its own.
pub fn counted_as(name: &str) -> &str {
    event_of(name).unwrap_or(name)
}

/// How a share of this name is computed where nobody says it.
pub fn usual_formula(name: &str) -> Option<&'static str> {
    USUAL.iter().find(|(known, _)| *known == name).map(|(_, formula)| *formula)
}

/// Whether an event is a message to a person who had none: what shares are usually taken of.
pub fn is_sending(event: &str) -> bool {
    event.ends_with("_sent") && event != FOLLOW_UP
}

/// The name under which something is counted that happened in a later round: a second mail to the same person is none to another.
pub fn in_a_later_round(event: &str) -> &str {
    match event {
        "email_sent" => FOLLOW_UP,
        "email_delivered" => "follow_up_delivered",
        other => other,
    }
}

/// Whether an event counts people: what the same person does again is not counted again. Of what is sent the round says it.
pub fn counts_people(event: &str) -> bool {
    let of_rounds = ["email_sent", FOLLOW_UP, "email_delivered", "items_processed"];
    !of_rounds.contains(&event) && EVENTS.iter().any(|(known, _)| *known == event)
}

/// Whether only somebody who watches the mail on its way says this.
pub fn of_webhooks(event: &str) -> bool {
    OF_WEBHOOKS.contains(&event)
}

/// The events that a shipped tool says; none where a tool is not ours, so that nobody knows.
fn said_by(tool: &str, has_webhooks: bool) -> Option<Vec<&'static str>> {
    let simulated = ["email_sent", "email_bounced", "reply", "positive_reply", "meeting_booked", "unsubscribe"];
    Some(match tool {
        steps::SENDER => OF_MAIL.to_vec(),
        "email_replies" if has_webhooks => [&OF_MAIL[..], &OF_WEBHOOKS].concat(),
        "email_replies" => OF_MAIL.to_vec(),
        "simulated_audience" => [&simulated[..], &["spam_complaint", "email_delivered", "email_opened"]].concat(),
        "csv_leads" | "github_stargazers" | "hn_who_is_hiring" | "web_page" | "webhook_post" => Vec::new(),
        _ => return None,
    })
}

/// The events that an experiment's steps can say; none where one of its tools is not ours, so that nobody knows. What is not among them
/// happens only where a person says so. A dry run sends nothing, and hears of nobody.
pub fn said_in(spec: &Spec, mode: Mode) -> Option<BTreeSet<&'static str>> {
    let planned = steps::plan(spec).ok()?;
    let mut said: BTreeSet<&str> = OF_RUNS.into_iter().collect();
    let is_dry = mode == Mode::DryRun;
    for step in planned {
        if step.by == By::Person {
            let by_mail = spec.outreach.as_ref().is_some_and(|it| it.channel == OutreachChannel::Email);
            // Where no sender is named in it, the one of the settings sends.
            said.extend(OF_MAIL.iter().filter(|_| by_mail && !is_dry));
            continue;
        }
        let events = said_by(&step.step.tool, step.step.params.contains_key("webhooks"))?;
        let is_silent = is_dry && step.step.tool == steps::SENDER;
        said.extend(events.into_iter().filter(|_| !is_silent));
    }
    Some(said)
}

/// The event that a counter counts where it is not in the list: `conversations_started` counts `conversation_started`, `signups` counts
/// `signup`. The counter's own name comes first.
pub fn candidates(name: &str) -> Vec<String> {
    if let Some(event) = event_of(name) {
        return vec![event.to_owned()];
    }
    let singular = |word: &str| match word.strip_suffix("ies") {
        Some(stem) if stem.len() > 1 => Some(format!("{stem}y")),
        _ => word.strip_suffix('s').filter(|stem| stem.len() > 1 && !stem.ends_with('s')).map(str::to_owned),
    };
    let mut found = vec![name.to_owned()];
    let other = match name.split_once('_') {
        Some((first, rest)) => singular(first).map(|first| format!("{first}_{rest}")),
        None => singular(name),
    };
    found.extend(other);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::criteria::Formula;
    use pretty_assertions::assert_eq;

    #[test]
    fn words_count_events() {
        for (word, event) in [
            ("sends", "email_sent"),
            ("emails_sent", "email_sent"),
            ("email_sent", "email_sent"),
            ("messages_sent", "email_sent"),
            ("calls_sent", "email_sent"),
            ("replies", "reply"),
            ("bounces", "email_bounced"),
            ("unsubscribes", "unsubscribe"),
            ("meetings_booked", "meeting_booked"),
            ("reported_as_spam", "spam_complaint"),
        ] {
            assert_eq!(event_of(word), Some(event), "{word}");
        }
        assert_eq!(event_of("llamas"), None);
        assert_eq!(counted_as("llamas"), "llamas");
    }

    #[test]
    fn no_word_counts_two_events() {
        let mut seen = std::collections::BTreeSet::new();
        for word in EVENTS.iter().flat_map(|(event, words)| std::iter::once(event).chain(*words)) {
            assert!(seen.insert(word), "{word}");
        }
    }

    #[test]
    fn usual_shares_are_formulas_of_known_counters() {
        for (name, formula) in USUAL {
            let formula = Formula::parse(formula).unwrap();
            assert!(formula.names().iter().all(|counter| event_of(&counter.name).is_some()), "{name}");
        }
    }

    #[test]
    fn a_counter_that_is_not_known_counts_what_sounds_like_it() {
        assert_eq!(candidates("conversations_started"), ["conversations_started", "conversation_started"]);
        assert_eq!(candidates("signups"), ["signups", "signup"]);
        assert_eq!(candidates("stories"), ["stories", "story"]);
        assert_eq!(candidates("access"), ["access"]);
        assert_eq!(candidates("dms_sent"), ["dms_sent", "dm_sent"]);
        assert_eq!(candidates("replies"), ["reply"]);
    }

    #[test]
    fn a_follow_up_reaches_nobody_new() {
        assert_eq!(["email_sent", "dm_sent", FOLLOW_UP, "sentry"].map(is_sending), [true, true, false, false]);
        assert_eq!(in_a_later_round("email_sent"), FOLLOW_UP);
        assert_eq!(in_a_later_round("reply"), "reply");
        assert_eq!(
            ["reply", "email_bounced", "email_sent", "signup"].map(counts_people),
            [true, true, false, false],
            "what a team counts itself is as it says"
        );
    }

    #[test]
    fn what_the_steps_of_a_plan_can_say_is_known() {
        let spec = |steps: serde_json::Value| {
            let spec = serde_json::json!({
                "id": "exp_20260301_a", "hypothesis": "h", "target": { "description": "people" },
                "execution": { "steps": steps }, "metrics": [], "success_criteria": [], "failure_criteria": [],
                "outreach": { "channel": "email", "sender": "a@b.example", "template": "Hi" },
            });
            serde_json::from_value::<Spec>(spec).unwrap()
        };
        let mail = spec(serde_json::json!([{ "id": "list", "tool": "csv_leads" }]));
        let live = said_in(&mail, Mode::Live).unwrap();
        assert!(live.contains("reply") && live.contains("negative_reply") && live.contains("run_started"));
        assert!(!live.contains("email_opened") && !live.contains("meeting_booked"), "{live:?}");
        assert_eq!(said_in(&mail, Mode::DryRun).unwrap().len(), OF_RUNS.len());
        let market = spec(serde_json::json!([{ "id": "market", "tool": "simulated_audience" }]));
        assert!(said_in(&market, Mode::Simulation).unwrap().contains("meeting_booked"));
        let own = spec(serde_json::json!([{ "id": "list", "tool": "our_own" }]));
        assert_eq!(said_in(&own, Mode::Live), None, "nobody knows what it says");
    }
}
