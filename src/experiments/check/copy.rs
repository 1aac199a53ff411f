//! What is said to people: whether it is real copy, and whether every word of it can be filled in.

use std::collections::BTreeSet;

use super::{Found, Known, VARIANTS, source_of};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::list::field_name;
use crate::experiments::outreach::{self, field};
use crate::experiments::spec::{Mode, Outreach, OutreachChannel, Spec};
use crate::experiments::steps;

/// Characters of a subject, and of a text.
const SUBJECT: usize = 200;
const TEXT: usize = 20_000;
/// Findings from which on further people are not looked at.
const FOUND: usize = 60;

pub(super) fn outreach(spec: &Spec, known: &Known, found: &mut Found) {
    let Some(outreach) = &spec.outreach else { return };
    let mail = outreach.channel == OutreachChannel::Email;
    sender(spec, outreach, found);
    if outreach.daily_limit == Some(0) {
        found.error(
            "outreach.daily_limit",
            "nobody would ever be written to",
            "leave it out, or write a number from 1",
        );
    }
    let texts = texts(outreach);
    if texts.iter().all(|(path, _)| *path != "outreach.template") && outreach.template.trim().is_empty() {
        let every = !outreach.variants.is_empty() && outreach.variants.iter().all(|variant| variant.template.is_some());
        if !every {
            found.error(
                "outreach.template",
                "there is nothing to say",
                "write the text of the message into `outreach.template`",
            );
        }
    }
    let every = !outreach.variants.is_empty() && outreach.variants.iter().all(|variant| variant.subject.is_some());
    if mail && outreach.subject.is_none() && !every {
        found.error("outreach.subject", "a mail needs a subject", "write `outreach.subject`");
    }
    variants(outreach, found);
    follow_ups(spec, outreach, found);
    let columns = columns(spec, known);
    for (path, text) in &texts {
        words(path, text, columns.as_deref(), found);
    }
    let no_address = columns.as_ref().filter(|columns| mail && !columns.iter().any(|name| field_name(name) == "email"));
    if let Some(columns) = no_address {
        let has: Vec<_> = columns.iter().take(12).map(|name| sanitize_line(name, 40)).collect();
        let message = format!("those who are written to have no `email`; they have {}", has.join(", "));
        found.error("outreach.recipients", message, "say what it is called there, in `columns` of `csv_leads`");
    }
    people(spec, &texts, found);
}

/// People in the specification itself of whom something is not known that they are written.
fn people(spec: &Spec, texts: &[(String, &str)], found: &mut Found) {
    let Some((index, people)) = spec.execution.steps.iter().enumerate().find_map(|(index, step)| {
        let people = step.params.get("recipients")?.as_array()?;
        (step.tool == steps::SENDER).then_some((index, people))
    }) else {
        return;
    };
    let wanted: BTreeSet<&str> = texts
        .iter()
        .filter_map(|(_, text)| outreach::variables(text).ok())
        .flatten()
        .filter(|variable| variable.otherwise.is_none())
        .map(|variable| variable.name)
        .collect();
    for (at, person) in people.iter().enumerate().filter_map(|(at, person)| Some((at, person.as_object()?))) {
        if let Some(address) = field(person, "email").filter(|address| !is_address(address)) {
            let message = format!("`{}` is no address", sanitize_line(&address, 80));
            found.error(format!("execution.steps[{index}].params.recipients[{at}]"), message, "write only the address");
        }
        for name in &wanted {
            let path = || format!("execution.steps[{index}].params.recipients[{at}]");
            let shown = sanitize_line(name, 60);
            match field(person, name) {
                Some(text) if text.contains("{{") || placeholder(&text).is_some() => {
                    let message = format!("`{shown}` is `{}`, which they would read", sanitize_line(&text, 60));
                    found.error(path(), message, "write what it is, or take it out");
                }
                // That nobody has it is said of the text.
                None if people.iter().filter_map(serde_json::Value::as_object).any(|it| field(it, name).is_some()) => {
                    let fix = format!("write it, or `{{{{{shown}|other words}}}}` for those without");
                    found.error(path(), format!("nothing is known of them for `{{{{{shown}}}}}`"), fix);
                }
                _ => {}
            }
        }
        if found.0.len() > FOUND {
            return;
        }
    }
}

fn sender(spec: &Spec, outreach: &Outreach, found: &mut Found) {
    let mail = outreach.channel == OutreachChannel::Email;
    match &outreach.sender {
        Some(sender) if mail && !is_address(sender) => {
            let message = format!("`{}` is no address", sanitize_line(sender, 80));
            found.error("outreach.sender", message, "write only the address, and the name into `sender_name`");
        }
        None if mail && spec.mode == Mode::Live => {
            let message = "no sender is named: a person would have to send it";
            found.warn("outreach.sender", message, "name one, or set `outreach.sender` in the settings");
        }
        _ => {}
    }
    let lines = outreach.sender_name.as_ref().is_some_and(|name| name.chars().any(char::is_control));
    if lines {
        found.error("outreach.sender_name", "a name has one line", "");
    }
    if !mail {
        let channel = steps::channel_name(outreach.channel);
        found.warn("outreach.channel", format!("nothing sends by {channel} here: a person is asked to"), "");
    }
}

/// Whether a text can be the address of a sender.
pub(in crate::experiments) fn is_address(text: &str) -> bool {
    let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | '"');
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    !local.is_empty() && !domain.is_empty() && !domain.starts_with('.') && !text.chars().any(odd) && text.len() <= 254
}

fn variants(outreach: &Outreach, found: &mut Found) {
    found.most("outreach.variants", outreach.variants.len(), VARIANTS);
    for (index, variant) in outreach.variants.iter().enumerate() {
        let path = format!("outreach.variants[{index}]");
        if variant.name.trim().is_empty() || variant.name.chars().any(char::is_control) || variant.name.len() > 60 {
            found.error(format!("{path}.name"), "a variant needs a name of one short line", "");
        }
        if outreach.variants[..index].iter().any(|other| other.name == variant.name) {
            let message = format!("two variants are called `{}`", sanitize_line(&variant.name, 60));
            found.error(format!("{path}.name"), message, "their numbers could not be told apart");
        }
        if variant.subject.is_none() && variant.template.is_none() && outreach.variants.len() > 1 {
            let others = outreach.variants.iter().any(|other| other.subject.is_some() || other.template.is_some());
            if !others {
                found.warn(&path, "nothing is different about this variant", "give it its own `subject` or `template`");
            }
        }
    }
}

fn follow_ups(spec: &Spec, outreach: &Outreach, found: &mut Found) {
    found.most("outreach.follow_ups", outreach.follow_ups.len(), VARIANTS);
    let mut former = std::time::Duration::ZERO;
    for (index, follow_up) in outreach.follow_ups.iter().enumerate() {
        let path = format!("outreach.follow_ups[{index}]");
        if follow_up.template.trim().is_empty() {
            found.error(format!("{path}.template"), "there is nothing to say", "write the text of the follow-up");
        }
        if follow_up.after.0 <= former {
            let fix = "each comes later than the one before: `after: 4d`";
            found.error(
                format!("{path}.after"),
                format!("it would come {} after the first message", follow_up.after),
                fix,
            );
        }
        if follow_up.after.0 >= spec.measuring.window.0 {
            let window = &spec.measuring.window;
            found.error(
                format!("{path}.after"),
                format!(
                    "it would come {} after the first message, when nobody looks any more what comes of it ({window})",
                    follow_up.after
                ),
                "write a shorter time, or a longer `measuring.window`",
            );
        }
        former = follow_up.after.0;
    }
}

/// Every text that a person may get, and where it stands.
fn texts(outreach: &Outreach) -> Vec<(String, &str)> {
    let mut texts = vec![
        ("outreach.subject".to_owned(), outreach.subject.as_deref()),
        ("outreach.template".to_owned(), Some(outreach.template.as_str())),
    ];
    for (index, variant) in outreach.variants.iter().enumerate() {
        texts.push((format!("outreach.variants[{index}].subject"), variant.subject.as_deref()));
        texts.push((format!("outreach.variants[{index}].template"), variant.template.as_deref()));
    }
    for (index, follow_up) in outreach.follow_ups.iter().enumerate() {
        texts.push((format!("outreach.follow_ups[{index}].subject"), follow_up.subject.as_deref()));
        texts.push((format!("outreach.follow_ups[{index}].template"), Some(follow_up.template.as_str())));
    }
    texts.into_iter().filter_map(|(path, text)| Some((path, text.filter(|text| !text.is_empty())?))).collect()
}

/// The fields of those who are written to; none where nobody knows.
fn columns(spec: &Spec, known: &Known) -> Option<Vec<String>> {
    if let Some(step) = source_of(spec) {
        return known.columns_of(step).map(|names| names.into_iter().map(str::to_owned).collect());
    }
    // People that stand in the specification itself.
    let planned = steps::plan(spec).ok()?;
    let sender = planned.iter().find(|planned| planned.step.tool == steps::SENDER)?;
    let people = sender.step.params.get("recipients")?.as_array()?;
    let mut names: Vec<String> = Vec::new();
    for person in people.iter().filter_map(serde_json::Value::as_object) {
        let custom = person.get("custom_fields").and_then(serde_json::Value::as_object);
        names.extend(person.keys().chain(custom.into_iter().flat_map(serde_json::Map::keys)).cloned());
    }
    Some(names)
}

fn words(path: &str, text: &str, columns: Option<&[String]>, found: &mut Found) {
    let subject = path.ends_with("subject");
    let (length, most) = (text.chars().count(), if subject { SUBJECT } else { TEXT });
    if length > most {
        found.error(path, format!("it has {length} characters; at most {most} are sent"), "");
    }
    if subject && text.chars().any(char::is_control) {
        found.error(path, "a subject has one line", "take out the line breaks");
    }
    if let Some(words) = placeholder(text) {
        let message = format!("`{}` is a placeholder that somebody would read", sanitize_line(words, 60));
        found.error(path, message, "write what belongs there, or a field of the person as `{{field}}`");
    }
    let variables = match outreach::variables(text) {
        Ok(variables) => variables,
        Err(err) => {
            found.error(path, err.to_string(), "");
            return;
        }
    };
    let Some(columns) = columns else { return };
    let known: serde_json::Map<_, _> =
        columns.iter().map(|name| (name.clone(), serde_json::Value::String("x".to_owned()))).collect();
    for variable in variables.into_iter().filter(|variable| variable.otherwise.is_none()) {
        if field(&known, variable.name).is_none() {
            let nearest = columns.iter().min_by_key(|name| strsim::damerau_levenshtein(name, variable.name));
            let near = nearest.filter(|name| strsim::damerau_levenshtein(name, variable.name) <= 1 + name.len() / 3);
            let fix = near.map_or_else(
                || {
                    let listed: Vec<_> = columns.iter().take(12).map(|name| sanitize_line(name, 40)).collect();
                    format!(
                        "they have {}; or write `{{{{{}|other words}}}}`",
                        listed.join(", "),
                        sanitize_line(variable.name, 60)
                    )
                },
                |near| format!("did you mean `{{{{{}}}}}`?", sanitize_line(near, 60)),
            );
            let message = format!("nothing is known of the people for `{{{{{}}}}}`", sanitize_line(variable.name, 60));
            found.error(path, message, fix);
        }
    }
}

/// What somebody would still have to write: `[Your Name]`, `TODO`, `<company>`; none where a text is real copy.
pub(in crate::experiments) fn placeholder(text: &str) -> Option<&str> {
    const WORDS: [&str; 8] = ["TODO", "TBD", "FIXME", "XXX", "lorem ipsum", "Lorem ipsum", "INSERT ", "to_be_sourced"];
    let word = WORDS.iter().find_map(|word| text.find(word).map(|at| &text[at..at + word.len()]));
    word.or_else(|| bracketed(text, '[', ']')).or_else(|| bracketed(text, '<', '>'))
}

/// Brackets around words that stand for others. `[1]`, `[link](https://…)` and addresses in angles are none.
fn bracketed(text: &str, open: char, close: char) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find(open) {
        let after = &rest[start + open.len_utf8()..];
        let end = after.find(close)?;
        let inner = &after[..end];
        let link = after[end + close.len_utf8()..].starts_with('(');
        let words = inner.chars().any(char::is_alphabetic)
            && inner.len() <= 60
            && !inner.contains(['\n', '@', '/', open])
            && inner.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '\'' | '’' | '.' | ','));
        if words && !link {
            return Some(&rest[start..start + open.len_utf8() + end + close.len_utf8()]);
        }
        rest = after;
    }
    None
}

/// Whether a line is a signature that only a placeholder stands in for: `[Your Name]`, `– [Your name]`, `[Company]`.
pub(in crate::experiments) fn is_signature(line: &str) -> bool {
    let line = line.trim().trim_start_matches(['-', '–', '—', ' ']).to_lowercase();
    let Some(inner) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    let words = [
        "your name",
        "name",
        "my name",
        "sender",
        "sender name",
        "company",
        "your company",
        "company name",
        "title",
        "your title",
    ];
    words.contains(&inner.trim())
}
