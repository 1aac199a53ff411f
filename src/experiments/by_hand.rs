//! What no tool says of an experiment: its numbers that come to be known only where a person says them, and how that is said.
//!
//! Must never ask for what a tool counts already: it would be counted twice.

use super::spec::{MetricKind, OutreachChannel, Spec};
use crate::contracts::untrusted::sanitize_line;

/// Counters that are named.
const NAMED: usize = 6;

/// How a person says what happens on a channel on which nothing sends and nothing listens; none where tools do.
pub fn to_say(spec: &Spec) -> Option<String> {
    let channel = spec.outreach.as_ref().map(|outreach| outreach.channel)?;
    if channel == OutreachChannel::Email {
        return None;
    }
    let sent = match channel {
        OutreachChannel::ColdCall => "calls_sent",
        _ => "messages_sent",
    };
    let counters = spec.metrics.iter().filter(|metric| metric.kind == MetricKind::Counter);
    let mut names: Vec<String> = counters.map(|metric| sanitize_line(&metric.name, 60)).take(NAMED).collect();
    if names.is_empty() {
        names = vec![sent.to_owned(), "replies".to_owned()];
    }
    // What was sent comes first: shares are taken of it.
    names.sort_by_key(|name| !name.ends_with("_sent"));
    let first = names.remove(0);
    let others = if names.is_empty() { String::new() } else { format!("; in the same way {}", names.join(", ")) };
    let id = sanitize_line(&spec.id, 100);
    Some(format!(
        "say what went out and what came back, nothing else counts it here: `fullsend metrics add {id} {first} --count N`{others}"
    ))
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;

    #[test]
    fn where_nothing_listens_a_person_is_told_how_to_say_what_the_criteria_count() {
        let spec = |channel: &str| {
            let spec = json!({
                "id": "exp_20260301_a", "hypothesis": "h", "target": { "description": "people" }, "execution": { "steps": [] },
                "metrics": [
                    { "name": "replies", "type": "counter" }, { "name": "calls_sent", "type": "counter" },
                    { "name": "reply_rate", "type": "percentage", "formula": "replies / calls_sent" },
                ],
                "success_criteria": [], "failure_criteria": [], "outreach": { "channel": channel, "template": "Hi" },
            });
            serde_json::from_value::<Spec>(spec).unwrap()
        };
        assert_eq!(to_say(&spec("email")), None);
        assert_eq!(
            to_say(&spec("cold_call")).unwrap(),
            "say what went out and what came back, nothing else counts it here: `fullsend metrics add exp_20260301_a calls_sent --count N`; in the same way replies"
        );
        let none = Spec { metrics: Vec::new(), ..spec("linkedin") };
        assert!(to_say(&none).unwrap().contains("exp_20260301_a messages_sent --count N"));
    }
}
