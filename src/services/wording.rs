//! Wording: what every text to people goes through before it is said.
//!
//! Owns making it harmless: no control characters, no mass mentions, no secrets, no longer than a chat takes. Must never change what
//! a text means.

use crate::contracts::untrusted::sanitize;
use crate::telemetry::redact::redact;

/// Most characters of a chat message, as Discord takes them.
pub const CHAT_LIMIT: usize = 2_000;

/// A text as it may leave.
pub fn outgoing(text: &str) -> String {
    let clean = redact(&sanitize(text, CHAT_LIMIT));
    let mut quiet = clean.replace("@everyone", "everyone").replace("@here", "here").replace("<@", "< @");
    if quiet.chars().count() > CHAT_LIMIT {
        quiet = quiet.chars().take(CHAT_LIMIT - 1).chain(['…']).collect();
    }
    quiet
}

/// The text on one line, cut to `limit` characters, for a title or a list.
pub fn line(text: &str, limit: usize) -> String {
    crate::contracts::untrusted::sanitize_line(text, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_wakes_nobody_and_carries_nothing_hidden() {
        let said = outgoing("hi @everyone and @here, <@&42> <@7>\x1b]52;c;aGk=\x07 \u{202e}x");
        assert_eq!(said, "hi everyone and here, < @&42> < @7> x");
        let long = outgoing(&"a".repeat(5_000));
        assert!(long.chars().count() <= CHAT_LIMIT && long.ends_with('…'));
    }
}
