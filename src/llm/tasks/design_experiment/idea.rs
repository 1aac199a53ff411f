//! Reading an idea: what its words say about people, places, numbers and times.
//!
//! Must never take a word for an order: it fills gaps.

use std::sync::LazyLock;

use regex::Regex;

use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::{Mode, OutreachChannel};

/// Characters of an idea that are read.
const READ: usize = 6_000;

/// What an idea says. What it does not say is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Idea {
    pub(super) who: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) need: Option<String>,
    pub(super) place: Option<String>,
    pub(super) offer: Option<String>,
    pub(super) repos: Vec<String>,
    pub(super) list: Option<String>,
    pub(super) url: Option<String>,
    pub(super) days: Option<u64>,
    pub(super) size: Option<u64>,
    pub(super) per_day: Option<u64>,
    pub(super) good: Option<f64>,
    pub(super) schedule: Option<String>,
    /// Whether it says that it is done once.
    pub(super) once: bool,
    pub(super) mode: Option<Mode>,
    pub(super) channel: Option<OutreachChannel>,
}

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($text).ok());
    };
}

pattern!(
    WHO,
    r"(?i)\b(?:e-?mail(?:s|ed|ing)?(?: to)?|mail(?:ed|ing)?(?: to)?|wr(?:ite|iting|ote) to|contact(?:ing)?|reach(?:ing)?(?: out to)?|message|ask(?:ing)?|interview(?:ing)?|invit(?:e|ing)|target(?:ing)?|call(?:ing)?|pitch(?:ing)?|talk to|win back|bring back|follow up with|offer)\s+(?:the |our |all |those |some |these |more |up to )?(?:\d[\d,.]* )?([a-z][a-z0-9/&' -]{2,60}?)(?:\s+(?:who|that|which|whose|about|with|from|in|at|on|via|using|by|because|when|after|before|and|to|for|every|and ask|if|so|a|an)\b|[.,;:!?()]|$)"
);
pattern!(
    TOPIC,
    r"(?i)\b(?:about|regarding|struggl\w+ with|problems? with|interested in|questions? on)\s+(?:the |our |their |a |an )?([a-z0-9][a-z0-9&+#./' -]{2,50}?)(?:\s+(?:in|on|at|from|and|who|that|with|via|using|because|to|for|every|last|within|where|when|so)\b|[.,;:!?()]|$)"
);
pattern!(
    HIRING,
    r"(?i)\bhir(?:e|es|ing)\s+(?:for |a |an |their |more )*([a-z0-9][a-z0-9&+#/ -]{2,40}?)(?:\s+(?:engineers?|developers?|people|staff|in|on|at|who|and|via|with|to|for)\b|[.,;:!?()]|$)"
);
pattern!(
    NEED,
    r"(?i)\b(?:who|that) (?:still )?(?:have|need|want|try|struggle|hate) to\s+([a-z][a-z0-9' -]{3,60}?)(?:[.,;:!?()]|\s+(?:and|because|with our|who|via|using)\b|$)"
);
pattern!(
    PLACE,
    r"\b(?:at|from|of|after|during|in|on) (?:the |last |this )?((?:r/\w+)|(?:[A-Z][\w.&-]*(?: (?:[A-Z0-9][\w.&-]*|of|for))*))"
);
pattern!(
    OFFER,
    r"(?i)\b(?:offer(?:ing)?|giv(?:e|ing)|promis(?:e|ing))\s+(?:them |people |everybody |each |each of them )((?:a|an|the|one|two|three|free|\d+)\b[a-z0-9%$' -]{3,60}?)(?:[.,;:!?()]|\s+(?:if|when|who|in return|and then)\b|$)"
);
pattern!(REPO, r"(?:^|[\s(,;:`'\x22]|github\.com/)([A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{2,60})");
pattern!(LIST, r"(?i)(?:^|[\s(,;:`'\x22])((?:[\w.~-]*/)*[\w.-]+\.(?:csv|tsv))\b");
pattern!(URL, r"https?://[^\s)>\x22']+");
pattern!(
    DAYS,
    r"(?i)\b(?:last|past|previous|within|for|in the last|since)\s+(\d{1,3}|two|three|six|a|one)?\s*(day|week|month|quarter|year)s?\b"
);
pattern!(
    SIZE,
    r"(?i)\b(\d{2,3}(?:[,.]\d{3})*|\d{2,6})\s+(?:of (?:our|the|them) )?(?:[a-z-]+ ){0,2}?(?:people|contacts|users|leads|companies|prospects|customers|teams|developers|engineers|ctos|founders|maintainers|attendees|hosts|podcasts|newsletters|editors|partners|members|mails|emails|stargazers|visitors|trials|accounts|subscribers|startups)\b"
);
pattern!(PER_DAY, r"(?i)\b(\d{1,4})\s*(?:mails?|emails?|messages?|sends?)?\s*(?:a|per|each|every)\s+day\b");
pattern!(
    GOOD,
    r"(?i)(\d{1,2}(?:\.\d)?)\s?%\s*(?:\w+ ){0,2}(?:repl|respon|answer)|(?:repl\w*|respon\w*|answer\w*)(?: rate)?(?: of| above| over| at least| >=?| is)*\s*(\d{1,2}(?:\.\d)?)\s?%"
);
pattern!(
    EVERY,
    r"(?i)\b(?:every|each|on)\s+(mon|tues?|wednes|thurs?|fri|satur|sun)days?\b(?:\s+at\s+(\d{1,2})(?::(\d{2}))?\s*(am|pm)?)?"
);
pattern!(HOUR, r"(?i)\bat\s+(\d{1,2})(?::(\d{2}))?\s*(am|pm)?\b");

/// Reads an idea.
pub(super) fn read(text: &str) -> Idea {
    let text: String = sanitize_line(text, READ).replace('⏎', " ");
    let low = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| low.contains(word));
    let mut idea = Idea {
        who: group(WHO.as_ref(), &text, 1).and_then(|who| people(&who)),
        topic: quoted(&text)
            .or_else(|| group(TOPIC.as_ref(), &text, 1))
            .or_else(|| group(HIRING.as_ref(), &text, 1))
            .and_then(|topic| phrase(&topic)),
        need: group(NEED.as_ref(), &text, 1).and_then(|need| phrase(&need)),
        offer: group(OFFER.as_ref(), &text, 1).and_then(|offer| phrase(&offer)),
        place: places(&text),
        repos: repos(&text),
        list: group(LIST.as_ref(), &text, 1),
        url: URL.as_ref().and_then(|it| it.find(&text)).map(|it| it.as_str().trim_end_matches(['.', ',']).to_owned()),
        days: days(&text),
        size: group(SIZE.as_ref(), &text, 1)
            .and_then(|n| n.replace([',', '.'], "").parse().ok())
            .filter(|n| (10..=100_000).contains(n)),
        per_day: group(PER_DAY.as_ref(), &text, 1).and_then(|n| n.parse().ok()).filter(|n| *n > 0),
        good: good(&text),
        once: says(&["once only", "only once", "one time", "one-off", "a single time"]),
        ..Idea::default()
    };
    idea.schedule = schedule(&text, &low);
    idea.mode = if says(&["simulat", "pretend", "made-up people", "trial market"]) {
        Some(Mode::Simulation)
    } else if says(&["dry run", "dry-run", "do not send", "don't send", "without sending"]) {
        Some(Mode::DryRun)
    } else if says(&[
        "really send",
        "send it for real",
        "for real",
        "go live",
        "send for real",
        "actually send",
        "live run",
        "send real",
        "send them out",
    ]) {
        Some(Mode::Live)
    } else {
        None
    };
    idea.channel = if says(&["linkedin"]) {
        Some(OutreachChannel::Linkedin)
    } else if says(&["twitter", " dm ", " dms ", "on x "]) {
        Some(OutreachChannel::Twitter)
    } else if says(&["cold call", "by phone", "telephone", "phone them"]) {
        Some(OutreachChannel::ColdCall)
    } else {
        None
    };
    idea
}

fn group(pattern: Option<&Regex>, text: &str, index: usize) -> Option<String> {
    let found = pattern?.captures(text)?.get(index)?.as_str().trim();
    (!found.is_empty()).then(|| found.to_owned())
}

/// Words that name nobody by themselves.
const NOBODY: &[&str] = &[
    "people",
    "them",
    "everyone",
    "everybody",
    "folks",
    "those",
    "person",
    "somebody",
    "others",
    "each",
    "all",
    "it",
    "us",
    "me",
    "you",
    "him",
    "her",
    "list",
    "the list",
    "leads",
    "contacts",
    "short",
    "them all",
];

/// Who is meant, where it names anybody.
fn people(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("the ").trim_start_matches("our ").trim();
    let low = text.to_lowercase();
    let one = low.split(' ').next().unwrap_or_default();
    let empty =
        NOBODY.contains(&low.as_str()) || ["a", "an", "one", "what", "how", "whether", "why", "if"].contains(&one);
    (!empty && text.len() > 2).then(|| capital(text))
}

/// A phrase, short and whole.
fn phrase(text: &str) -> Option<String> {
    let words: Vec<_> = text.split_whitespace().take(8).collect();
    let text = words.join(" ").trim_matches(['-', '\'', '.']).to_owned();
    (text.len() > 2 && !text.contains("[[") && !text.contains("{{")).then_some(text)
}

/// The text with a capital letter.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What stands in quotes.
fn quoted(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(['"', '“', '„'])?;
    let (inner, _) = rest.split_once(['"', '”', '“'])?;
    (3..=60).contains(&inner.len()).then(|| inner.trim().to_owned())
}

fn places(text: &str) -> Option<String> {
    const NONE: &[&str] = &[
        "I",
        "We",
        "GitHub",
        "Github",
        "CSV",
        "LinkedIn",
        "Twitter",
        "Monday",
        "Mondays",
        "Tuesday",
        "Tuesdays",
        "Wednesday",
        "Wednesdays",
        "Thursday",
        "Thursdays",
        "Friday",
        "Fridays",
        "CTOs",
        "CEOs",
        "YC",
        "Series",
    ];
    let found =
        PLACE.as_ref()?.captures_iter(text).filter_map(|it| it.get(1)).map(|it| {
            it.as_str().trim_end_matches(['.', ',']).trim_end_matches(" of").trim_end_matches(" for").to_owned()
        });
    found.into_iter().find(|place| {
        place.len() > 2 && !NONE.contains(&place.as_str()) && !place.contains('/') || place.starts_with("r/")
    })
}

fn repos(text: &str) -> Vec<String> {
    const NONE: &[&str] =
        &["and", "or", "he", "she", "his", "her", "w", "km", "yes", "no", "in", "on", "either", "http:", "https:"];
    let Some(pattern) = REPO.as_ref() else { return Vec::new() };
    let mut repos: Vec<String> = Vec::new();
    for found in pattern.captures_iter(text).filter_map(|it| it.get(1)) {
        let repo = found.as_str().trim_end_matches(['.', ',']).to_owned();
        let (owner, name) = repo.split_once('/').unwrap_or_default();
        let letters = owner.chars().any(char::is_alphabetic) && name.chars().any(char::is_alphabetic);
        let file = [".csv", ".tsv", ".json", ".md"].iter().any(|end| name.to_lowercase().ends_with(end));
        if letters
            && !file
            && owner.len() > 1
            && !NONE.contains(&owner.to_lowercase().as_str())
            && !repos.contains(&repo)
        {
            repos.push(repo);
        }
    }
    repos.truncate(10);
    repos
}

fn days(text: &str) -> Option<u64> {
    let found = DAYS.as_ref()?.captures(text)?;
    let count = match found.get(1).map_or("one", |it| it.as_str()).to_lowercase().as_str() {
        "a" | "one" => 1,
        "two" => 2,
        "three" => 3,
        "six" => 6,
        number => number.parse().ok()?,
    };
    let unit = match found.get(2)?.as_str().to_lowercase().as_str() {
        "day" => 1,
        "week" => 7,
        "month" => 30,
        "quarter" => 90,
        _ => 365,
    };
    Some(count * unit).filter(|days| (1..=1_000).contains(days))
}

/// A share of replies that is wanted, as a fraction.
fn good(text: &str) -> Option<f64> {
    let found = GOOD.as_ref()?.captures(text)?;
    let percent: f64 = found.get(1).or_else(|| found.get(2))?.as_str().parse().ok()?;
    (0.5..=60.0).contains(&percent).then(|| (percent * 10.0).round() / 1_000.0)
}

/// A share of replies that a sentence speaks of.
pub(super) fn share_of_replies(text: &str) -> Option<f64> {
    good(text)
}

fn schedule(text: &str, low: &str) -> Option<String> {
    let at = |hour: Option<&str>, minute: Option<&str>, half: Option<&str>| {
        let hour: u32 = hour.and_then(|hour| hour.parse().ok()).unwrap_or(9);
        let hour = if half.is_some_and(|half| half.eq_ignore_ascii_case("pm")) && hour < 12 { hour + 12 } else { hour };
        let minute: u32 = minute.and_then(|minute| minute.parse().ok()).unwrap_or(0);
        (hour < 24 && minute < 60).then(|| format!("{minute} {hour}"))
    };
    if let Some(found) = EVERY.as_ref().and_then(|it| it.captures(text)) {
        let day = found.get(1)?.as_str().to_uppercase().chars().take(3).collect::<String>();
        let part = |index: usize| found.get(index).map(|it| it.as_str());
        return Some(format!("{} * * {day}", at(part(2), part(3), part(4))?));
    }
    let hour = HOUR.as_ref().and_then(|it| it.captures(text));
    let part = |index: usize| hour.as_ref().and_then(|it| it.get(index)).map(|it| it.as_str());
    let time = at(part(1), part(2), part(3)).unwrap_or_else(|| "0 9".to_owned());
    if ["every weekday", "each weekday", "on weekdays", "every workday"].iter().any(|it| low.contains(it)) {
        return Some(format!("{time} * * MON-FRI"));
    }
    if ["every day", "daily", "each day", "each morning", "every morning"].iter().any(|it| low.contains(it)) {
        return Some(format!("{time} * * *"));
    }
    if ["every hour", "hourly", "each hour"].iter().any(|it| low.contains(it)) {
        return Some("0 * * * *".to_owned());
    }
    if ["every minute", "each minute"].iter().any(|it| low.contains(it)) {
        return Some("* * * * *".to_owned());
    }
    if ["every week", "weekly", "each week"].iter().any(|it| low.contains(it)) {
        return Some(format!("{time} * * TUE"));
    }
    if ["every month", "monthly", "each month"].iter().any(|it| low.contains(it)) {
        return Some(format!("{time} 1 * *"));
    }
    None
}
