//! What happens, by name: the events that tools report, and the words with which specifications count them.
//!
//! Owns the one list of both. Must never make an event of a word that it does not know.

/// Events that have a meaning here, each with the words that count it.
const EVENTS: [(&str, &[&str]); 12] = [
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
        ],
    ),
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

/// The name under which an event is counted: that of the list, or its own.
pub fn counted_as(name: &str) -> &str {
    event_of(name).unwrap_or(name)
}

/// How a share of this name is computed where nobody says it.
pub fn usual_formula(name: &str) -> Option<&'static str> {
    USUAL.iter().find(|(known, _)| *known == name).map(|(_, formula)| *formula)
}

/// Whether an event is a message to a person: what shares are usually taken of.
pub fn is_sending(event: &str) -> bool {
    event == "email_sent" || event.ends_with("_sent")
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
}
