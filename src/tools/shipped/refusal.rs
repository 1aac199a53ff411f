//! What it means that a mail server does not take a mail: in its answer, or in a report of delivery.
//!
//! Owns the one rule for both. Only an address that does not exist is a bounce, for which nobody writes to that person again; a quota, a
//! policy or a full mailbox says nothing about the address (RFC 3463, RFC 5321 4.2). Must never take for an address what may be about us.

use std::sync::LazyLock;

use regex::Regex;

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The address: it does not exist, or not any more.
    Address,
    /// Now: later it may be taken.
    Now,
    /// Anything else: us, what we say, their rules.
    Other,
}

/// Words for an address that does not exist, where no code says it.
const UNKNOWN: [&str; 17] = [
    "user unknown",
    "unknown user",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "no such address",
    "unknown recipient",
    "recipient unknown",
    "unknown address",
    "address unknown",
    "user not found",
    "recipient not found",
    "mailbox not found",
    "invalid mailbox",
    "no mailbox here",
    "does not exist",
    "doesn't exist",
];

/// What a refusal is about. `reply` is the code of an answer, where it is one; `text` is what was said, with whatever codes stand in it.
pub(super) fn about(reply: Option<u16>, text: &str) -> About {
    let codes = codes(text);
    let general = |(_, subject, detail): &(u8, u16, u16)| matches!((subject, detail), (0 | 5, 0));
    let code = codes.iter().find(|code| !general(code)).or(codes.first()).copied();
    match (reply, code) {
        (Some(400..=499), _) | (None, Some((4, ..))) => return About::Now,
        _ => {}
    }
    match code.filter(|code| !general(code)) {
        // The address itself; 1.7 and 1.8 are about that of the sender. 2.1: its mailbox is closed.
        Some((5, 1, 0..=4 | 6 | 10) | (5, 2, 1)) => About::Address,
        // Its mailbox is full, or ours may not send any more today.
        Some((5, 2, 2) | (5, 4, 5)) => About::Now,
        Some(_) => About::Other,
        None => {
            let text = text.to_lowercase();
            let may = matches!(reply, None | Some(550 | 551 | 553));
            if may && UNKNOWN.iter().any(|words| text.contains(words)) { About::Address } else { About::Other }
        }
    }
}

/// The codes of RFC 3463 in a text, in their order. What goes on like an address of a host is none.
fn codes(text: &str) -> Vec<(u8, u16, u16)> {
    static CODE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?:^|[\s(#\[:;-])([245])\.(\d{1,3})\.(\d{1,3})(\.\d)?").ok());
    let found = CODE.iter().flat_map(|code| code.captures_iter(text)).filter(|found| found.get(4).is_none());
    found.filter_map(|found| Some((found[1].parse().ok()?, found[2].parse().ok()?, found[3].parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::gmail(Some(550), "5.1.1 The email account that you tried to reach does not exist", About::Address)]
    #[case::domain(Some(550), "5.1.2 bad destination system address", About::Address)]
    #[case::null_mx(Some(556), "5.1.10 recipient domain has a null MX", About::Address)]
    #[case::closed(Some(550), "5.2.1 The email account is disabled", About::Address)]
    #[case::no_code(Some(550), "No such user here", About::Address)]
    #[case::general(Some(550), "5.5.0 Requested action not taken: user unknown", About::Address)]
    #[case::sender(Some(550), "5.1.8 sender address rejected: domain not found", About::Other)]
    #[case::quota(Some(550), "5.4.5 Daily sending quota exceeded", About::Now)]
    #[case::full(Some(552), "5.2.2 mailbox full", About::Now)]
    #[case::policy(Some(550), "5.7.1 relaying denied", About::Other)]
    #[case::relay(Some(554), "relay access denied", About::Other)]
    #[case::blocked(Some(550), "blocked, see https://x.example/5.1.1", About::Other)]
    #[case::host(Some(550), "host 5.1.1.9 is blocked", About::Other)]
    #[case::greylisted(Some(451), "4.7.1 greylisted, come back", About::Now)]
    #[case::unknown_for_now(Some(450), "5.1.1 user unknown", About::Now)]
    #[case::report(None, "5.1.1", About::Address)]
    #[case::report_in_the_diagnosis(None, "5.0.0 smtp; 550 5.1.1 nobody", About::Address)]
    #[case::report_of_policy(None, "5.7.26 smtp; 550 5.7.26 unauthenticated", About::Other)]
    #[case::report_of_delay(None, "4.4.1", About::Now)]
    #[case::report_in_words(None, "Sorry, no mailbox here by that name. (#5.1.1)", About::Address)]
    #[case::report_of_nothing(None, "Hi. This is qmail. <gone@one.example>: no", About::Other)]
    fn only_an_address_that_does_not_exist_is_a_bounce(
        #[case] reply: Option<u16>,
        #[case] text: &str,
        #[case] expected: About,
    ) {
        assert_eq!(about(reply, text), expected);
    }
}
