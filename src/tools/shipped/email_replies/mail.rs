//! What a mail means.
//!
//! Owns how replies, automatic answers (RFC 3834), reports of delivery (RFC 3464) and of complaints (RFC 5965), and wishes to unsubscribe are
//! told apart. What a mail claims is from outside: it can count only against the mail whose Message-ID or token it names, or whose recipient
//! it comes from.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use mail_parser::{HeaderValue, Message, MessageParser, MimeHeaders as _, PartType};
use regex::Regex;

use super::super::html;
use super::super::message_id::MailId;
use super::super::refusal::{About, about};
use super::{News, What, short};

/// Bytes of a bounce in which our Message-ID is looked for.
const LOOKED_AT: usize = 256 * 1_024;

/// Reads a mail; none where it is none.
pub(super) fn read(bytes: &[u8]) -> Option<News> {
    let mail = MessageParser::default().parse(bytes)?;
    mail.from()?;
    let at = mail.date().and_then(|date| DateTime::<Utc>::from_timestamp(date.to_timestamp(), 0));
    let id = mail.message_id().map_or_else(|| short(bytes), |id| short(id.as_bytes()));
    let (what, about, is_report) = meaning(&mail);
    let ids = if is_report { ids_within(bytes) } else { ids_named(&mail) };
    Some(News { mail: id, what, ids, about, at })
}

/// What it means, whom it is about, and whether it is a machine's report.
fn meaning(mail: &Message<'_>) -> (What, Vec<String>, bool) {
    let from = from(mail);
    let subject = mail.subject().unwrap_or_default().to_owned();
    if let Some((what, about)) = report(mail, &from) {
        return (what, about, true);
    }
    let wishes = subject.trim().to_lowercase();
    if let Some(rest) = wishes.strip_prefix("unsubscribe") {
        return (What::Unsubscribe { token: token(rest) }, from, false);
    }
    if is_automatic(mail, &wishes) {
        return (What::Automatic { subject }, from, false);
    }
    let text = said(mail);
    if is_unsubscribing(&text) {
        return (What::Unsubscribe { token: None }, from, false);
    }
    (What::Reply { subject, text }, from, false)
}

/// The token that our header `List-Unsubscribe` puts behind the word: whose mail it was, whatever account answers.
fn token(rest: &str) -> Option<String> {
    let is_hash = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    rest.split_whitespace().next().filter(is_hash).map(str::to_owned)
}

fn from(mail: &Message<'_>) -> Vec<String> {
    let addresses = [mail.from(), mail.reply_to()].into_iter().flatten();
    addresses.flat_map(|it| it.iter()).filter_map(|it| it.address()).map(str::to_lowercase).collect()
}

/// A report of a machine, and whom it is about.
fn report(mail: &Message<'_>, from: &[String]) -> Option<(What, Vec<String>)> {
    let kind = mail.content_type().filter(|kind| kind.ctype() == "multipart" && kind.subtype() == Some("report"));
    match kind.and_then(|kind| kind.attribute("report-type")).map(str::to_ascii_lowercase).as_deref() {
        Some("delivery-status") => {
            let status = part(mail, "message", "delivery-status")?;
            let fields = |name: &str| fields(&status, name);
            let whom = fields("final-recipient").into_iter().chain(fields("original-recipient"));
            let whom =
                whom.filter_map(|it| it.split_once(';').map(|(_, address)| address.trim().to_lowercase())).collect();
            let code = fields("status").into_iter().next().unwrap_or_default();
            let said = format!("{code} {}", fields("diagnostic-code").join(" "));
            let failed = fields("action").iter().any(|action| action.eq_ignore_ascii_case("failed"));
            let what = if failed { came_back(code, &said) } else { What::Delayed };
            Some((what, whom))
        }
        Some("feedback-report") => {
            let feedback = part(mail, "message", "feedback-report")?;
            let about = fields(&feedback, "original-rcpt-to")
                .iter()
                .map(|it| it.trim_matches(['<', '>']).to_lowercase())
                .collect();
            Some((What::Complaint, about))
        }
        // What is received, or read, is no news for us.
        Some(_) => Some((What::Delayed, Vec::new())),
        None => {
            let is_daemon = from.iter().any(|it| it.starts_with("mailer-daemon@") || it.starts_with("postmaster@"));
            let subject = mail.subject().unwrap_or_default().to_lowercase();
            let words = ["undeliver", "returned", "failure", "failed", "delivery status", "unzustellbar", "non remis"];
            let failed = words.iter().any(|word| subject.contains(word)) && !subject.contains("delay");
            is_daemon.then(|| {
                let what = if failed { came_back(String::new(), &said(mail)) } else { What::Delayed };
                (what, Vec::new())
            })
        }
    }
}

/// What a mail means that came back for good, by what was said of it.
fn came_back(status: String, said: &str) -> What {
    match about(None, said) {
        About::Address => What::Bounce { status },
        About::Now if status.starts_with('4') => What::Delayed,
        About::Now | About::Other => What::Refused { status },
    }
}

/// The text of the first part of a kind.
fn part(mail: &Message<'_>, kind: &str, subtype: &str) -> Option<String> {
    let part = mail.parts.iter().find(|part| part.is_content_type(kind, subtype))?;
    Some(String::from_utf8_lossy(part.contents()).into_owned())
}

/// The values of a field in a report.
fn fields(report: &str, name: &str) -> Vec<String> {
    let lines = report.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter(|(field, _)| field.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

fn is_automatic(mail: &Message<'_>, subject: &str) -> bool {
    let header =
        |name: &'static str| mail.header(name).and_then(HeaderValue::as_text).map(|text| text.trim().to_lowercase());
    let automatic = header("Auto-Submitted").is_some_and(|value| !value.starts_with("no"));
    let marked = ["X-Autoreply", "X-Autorespond", "X-Auto-Reply"].iter().any(|name| header(name).is_some());
    let precedence = header("Precedence").is_some_and(|value| matches!(value.as_str(), "auto_reply" | "bulk" | "junk"));
    let begins = [
        "out of office",
        "automatic reply",
        "auto reply",
        "auto-reply",
        "autoreply",
        "abwesend",
        "abwesenheit",
        "automatische antwort",
        "respuesta automática",
        "réponse automatique",
        "risposta automatica",
        "resposta automática",
        "fuera de la oficina",
        "absence du bureau",
    ];
    automatic || marked || precedence || begins.iter().any(|words| subject.starts_with(words))
}

/// What the person wrote, without what is quoted below it.
fn said(mail: &Message<'_>) -> String {
    let part = mail.text_part(0).or_else(|| mail.html_part(0));
    let text = match part.map(|part| &part.body) {
        Some(PartType::Text(text)) => text.to_string(),
        Some(PartType::Html(text)) => html::text_of_fragment(text),
        _ => String::new(),
    };
    unquoted(&text)
}

fn unquoted(text: &str) -> String {
    static ATTRIBUTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)^(on|am|le|el|il|op|em|den|dnia)\b.{5,200}\b(wrote|schrieb|écrit|escribió|ha scritto|schreef|escreveu|skrev|napisał\(?a?\)?).{0,120}:?$").ok()
    });
    let is_end = |line: &str| {
        let plain = line.trim();
        plain.starts_with("-----Original")
            || plain.starts_with("-----Ursprüngliche")
            || plain.starts_with("________________________________")
            || line.trim_end() == "--"
            || line == "-- "
            || ATTRIBUTION.as_ref().is_some_and(|it| it.is_match(plain))
    };
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.iter().position(|line| is_end(line)).unwrap_or(lines.len());
    // An attribution may be broken over two lines, and `From:` begins a quoted head.
    let end = lines
        .iter()
        .take(end)
        .enumerate()
        .position(|(at, line)| {
            let joined = format!("{} {}", line.trim(), lines.get(at + 1).map_or("", |next| next.trim()));
            let heads = |words: [&str; 2]| line.starts_with(words[0]) && joined.contains(words[1]);
            ATTRIBUTION.as_ref().is_some_and(|it| it.is_match(&joined))
                || heads(["From: ", "Sent:"])
                || heads(["Von: ", "Gesendet:"])
        })
        .unwrap_or(end);
    let own = lines.iter().take(end).filter(|line| !line.trim_start().starts_with('>'));
    own.copied().collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What people write who want no more mail.
const WISHES: [&str; 9] = [
    "unsubscribe",
    "unsubscribe now",
    "unsubscribe from this list",
    "unsuscribe",
    "stop",
    "remove",
    "opt out",
    "abmelden",
    "abbestellen",
];

/// Whether all that somebody wrote is the word.
fn is_unsubscribing(text: &str) -> bool {
    let words: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let words: Vec<&str> = words
        .split_whitespace()
        .filter(|word| !matches!(*word, "please" | "me" | "pls" | "thanks" | "thank" | "you" | "bitte"))
        .collect();
    WISHES.contains(&words.join(" ").as_str())
}

/// Message-IDs of ours in the headers that refer to others.
fn ids_named(mail: &Message<'_>) -> Vec<MailId> {
    let named = [mail.in_reply_to(), mail.references()];
    let texts = named.into_iter().flat_map(|value| match value {
        HeaderValue::Text(text) => vec![text.to_string()],
        HeaderValue::TextList(texts) => texts.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    });
    texts.flat_map(|text| text.split_whitespace().filter_map(MailId::read).collect::<Vec<_>>()).collect()
}

/// Message-IDs of ours anywhere in a report: it holds the mail that it is about, or its head.
fn ids_within(bytes: &[u8]) -> Vec<MailId> {
    static OURS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"fs1\.[A-Za-z0-9_.+-]{4,900}@[A-Za-z0-9.-]{1,253}").ok());
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LOOKED_AT)]);
    OURS.iter().flat_map(|ours| ours.find_iter(&text)).filter_map(|found| MailId::read(found.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Sure!\n\nOn Mon, 2 Mar 2026 at 10:00, Ada <ada@x.example> wrote:\n> Hi\n> there", "Sure!")]
    #[case("Ja\n\nAm 02.03.2026 um 10:00 schrieb Ada <ada@x.example>:\n\n> Hi", "Ja")]
    #[case("Yes\nOn Mon, 2 Mar 2026 at 10:00, Ada Lovelace of Engines\n<ada@x.example> wrote:\nHi", "Yes")]
    #[case("Ok\n-----Original Message-----\nFrom: x", "Ok")]
    #[case("Ok\nFrom: Ada\nSent: Monday\nHi", "Ok")]
    #[case("> quoted\nmy answer\n-- \nGrace\nCTO", "my answer")]
    #[case(
        "On the one hand it is nice.\nOn the other it is dear.",
        "On the one hand it is nice.\nOn the other it is dear."
    )]
    fn what_is_quoted_is_left_out(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(unquoted(text), expected);
    }

    #[rstest]
    #[case("Unsubscribe", true)]
    #[case("please remove me.", true)]
    #[case("STOP", true)]
    #[case("stop by our booth", false)]
    #[case("how do I unsubscribe my team from your competitor?", false)]
    fn a_wish_to_unsubscribe_is_the_whole_text(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_unsubscribing(text), expected);
    }

    proptest! {
        #[test]
        fn no_mail_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,200}") {
            let _ = read(&bytes);
            let _ = read(format!("From: a@b.example\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n{text}").as_bytes());
            let _ = unquoted(&text);
        }
    }
}
