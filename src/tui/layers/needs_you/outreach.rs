//! A request to write to people: whom it reaches, the mails as they would go out, from whom, and within which limits.
//!
//! Must never show a text that was not made harmless, nor an example as if somebody got it.

use serde_json::{Map, Value};

use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::tui::draw::text::{self, Piece};
use crate::tui::theme::Role;

/// The details that are told here, and their names for a person.
const FIELDS: [(&str, &str); 7] = [
    ("mode", "mode"),
    ("recipients", "to"),
    ("sender", "sender"),
    ("limits", "limits"),
    ("schedule", "when"),
    ("observed_for", "measured"),
    ("cost", "mail cost"),
];
/// Lists that are told here.
const LISTS: [(&str, &str); 5] = [
    ("steps", "What it does"),
    ("success", "It worked when"),
    ("failure", "It is stopped when"),
    ("first_by_hand", "First, by hand"),
    ("to_look_at", "To look at"),
];
const LINE_LIMIT: usize = 2_000;

/// Whether a detail is told by [`lines`].
pub(super) fn tells(name: &str) -> bool {
    matches!(name, "mails" | "follow_ups")
        || FIELDS.iter().any(|(field, _)| *field == name)
        || LISTS.iter().any(|(list, _)| *list == name)
}

/// What a person should see of it; nothing where the request writes to nobody.
pub(super) fn lines(details: &Map<String, Value>) -> Vec<Vec<Piece>> {
    let Some(Value::Array(mails)) = details.get("mails") else { return Vec::new() };
    let words = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        sanitize_line(&text, LINE_LIMIT)
    };
    let mut lines = vec![vec![], vec![Piece::new(Role::Title, "Whom it reaches")]];
    for (field, name) in FIELDS {
        if let Some(value) = details.get(field) {
            lines.push(vec![Piece::new(Role::Muted, text::padded(name, 10)), Piece::new(Role::Text, words(value))]);
        }
    }
    let follow_ups = details.get("follow_ups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (what, mails) in [("Mail", mails.as_slice()), ("Follow-up", follow_ups)] {
        for (number, mail) in mails.iter().enumerate() {
            let of = |field: &str| mail.get(field).map(words);
            let example = of("example").map(|it| format!(" ({it})")).unwrap_or_default();
            let variant = of("variant").map(|it| format!(", variant {it}")).unwrap_or_default();
            let when = of("when").map(|it| format!(", {it}")).unwrap_or_default();
            let to = of("to").unwrap_or_default();
            lines.push(vec![]);
            let title = format!("{what} {} to {to}{variant}{when}{example}", number + 1);
            lines.push(vec![Piece::new(Role::Title, title)]);
            lines.push(vec![Piece::new(Role::Name, of("subject").unwrap_or_default())]);
            let body = mail.get("text").and_then(Value::as_str).unwrap_or_default();
            lines.extend(sanitize(body, LINE_LIMIT).lines().map(|line| vec![Piece::new(Role::Text, line.to_owned())]));
        }
    }
    for (list, title) in LISTS {
        if let Some(Value::Array(items)) = details.get(list) {
            lines.push(vec![]);
            lines.push(vec![Piece::new(Role::Title, title)]);
            lines.extend(items.iter().map(|item| vec![Piece::new(Role::Text, format!("- {}", words(item)))]));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_sees_whom_it_reaches_and_what_they_get() {
        let details = json!({
            "mode": "live: it writes to people", "recipients": "at most 40 of 52 in leads.csv", "sender": "Mara <m@acme.example>",
            "limits": "20 a day", "mails": [
                { "to": "ada@example.com", "subject": "Your \u{1b}[2Jquestion", "text": "Hi Ada,\n\ndid you solve it?", "variant": "a" },
                { "to": "bo@example.com", "subject": "s", "text": "t", "example": "filled for a made-up person" },
            ],
            "follow_ups": [{ "to": "ada@example.com", "subject": "Re: Your question", "text": "Once more", "when": "4d after the first" }],
            "failure": ["bounce_rate > 8%"], "why": ["because"],
        });
        let text: Vec<String> = lines(details.as_object().unwrap())
            .iter()
            .map(|line| line.iter().map(|piece| piece.words.as_str()).collect::<Vec<&str>>().concat())
            .collect();
        for wanted in [
            "to        at most 40 of 52 in leads.csv",
            "sender    Mara <m@acme.example>",
            "limits    20 a day",
            "Mail 1 to ada@example.com, variant a",
            "Your question",
            "Hi Ada,",
            "did you solve it?",
            "Mail 2 to bo@example.com (filled for a made-up person)",
            "Follow-up 1 to ada@example.com, 4d after the first",
            "Once more",
            "- bounce_rate > 8%",
        ] {
            assert!(text.iter().any(|line| line == wanted), "{wanted}\n{text:#?}");
        }
        assert!(tells("mails") && tells("follow_ups") && tells("limits") && !tells("why"));
        assert!(lines(json!({ "decision": "x" }).as_object().unwrap()).is_empty());
    }
}
