//! What is said to a person: which of several ways, and the text with the person's own words filled in.
//!
//! Owns the choice of a variant and the filling of templates. A template is filled in one pass: what comes from a person's fields is
//! data, whatever it looks like. Must never send anything, and never guess: a field that a person lacks is an error that names it.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::contracts::keys;
use crate::contracts::untrusted::sanitize_line;

/// Which of `n` variants whoever has this address gets: always the same one, whatever the order of the list. 0 where there are none.
pub fn variant_of(address: &str, n: usize) -> usize {
    variant_of_person(&keys::person(address), n)
}

/// The same for somebody of whom only the hash of the address is known, as keys name people.
pub fn variant_of_person(person: &str, n: usize) -> usize {
    let number = person.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
    // A remainder of a usize fits into a usize.
    usize::try_from(number.checked_rem(n as u64).unwrap_or_default()).unwrap_or_default()
}

/// A field of a person that a template asks for: `{{name}}`, or `{{name|what is said without it}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable<'a> {
    /// Its name, as it is written.
    pub name: &'a str,
    /// What stands there for whom it is not known of.
    pub otherwise: Option<&'a str>,
}

/// Why a template cannot be filled for a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// The person has no such field, or nothing in it.
    #[error("nothing is known for `{{{{{0}}}}}`; write `{{{{{0}|other words}}}}` for those without it")]
    Unknown(String),
    /// `{{` without `}}`.
    #[error("`{{{{` in line {0} has no end")]
    Open(usize),
    /// Something that is no field's name.
    #[error("`{{{{{0}}}}}` is no field's name: letters, digits and `_`")]
    NoName(String),
}

/// The fields that a template asks for, in their order.
///
/// # Errors
/// Where it is no template.
pub fn variables(template: &str) -> Result<Vec<Variable<'_>>, RenderError> {
    parts(template).filter_map(|part| part.map(|(_, variable)| variable).transpose()).collect()
}

/// The text for a person.
///
/// # Errors
/// Where it is no template, or the person lacks a field.
pub fn render(template: &str, person: &Map<String, Value>) -> Result<String, RenderError> {
    let mut out = String::with_capacity(template.len() + 64);
    for part in parts(template) {
        let (before, variable) = part?;
        out.push_str(before);
        let Some(Variable { name, otherwise }) = variable else { continue };
        match (field(person, name), otherwise) {
            (Some(text), _) => out.push_str(&text),
            (None, Some(otherwise)) => out.push_str(otherwise),
            (None, None) => return Err(RenderError::Unknown(name.to_owned())),
        }
    }
    Ok(out)
}

/// The address in a text: as it is, as a link (`mailto:`), or behind a name (`Ada <ada@x.io>`). None where it is no single one.
pub fn mailbox(text: &str) -> Option<lettre::Address> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return None;
    }
    let text = match text.rsplit_once('<') {
        Some((_, inner)) => inner.strip_suffix('>')?.trim(),
        None => text,
    };
    let text = match text.split_at_checked("mailto:".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("mailto:") => rest.split('?').next()?.trim(),
        _ => text,
    };
    text.parse().ok()
}

/// The address in a text as it is counted, everywhere: in lower case.
pub fn address(text: &str) -> Option<String> {
    mailbox(text).map(|address| address.to_string().to_lowercase())
}

/// What is known of a person under a name: not case, nor whether words are joined by spaces, `-` or `_`, make a difference. Fields in
/// `custom_fields` count as the person's own. None where there is nothing to be read.
pub fn field(person: &Map<String, Value>, name: &str) -> Option<String> {
    let wanted = folded(name);
    let direct = person.get(name).or_else(|| find(person, &wanted));
    let below = || find(person.get("custom_fields")?.as_object()?, &wanted);
    let text = match direct.or_else(below)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn find<'a>(fields: &'a Map<String, Value>, wanted: &str) -> Option<&'a Value> {
    fields.iter().find(|(name, _)| folded(name) == wanted).map(|(_, value)| value)
}

fn folded(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

/// A template in parts: a text, and the field after it.
fn parts(template: &str) -> impl Iterator<Item = Result<(&str, Option<Variable<'_>>), RenderError>> {
    let mut rest = Some(template);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(start) = text.find("{{") else { return Some(Ok((text, None))) };
        let before = &text[..start];
        let Some((inner, after)) = text[start + 2..].split_once("}}") else {
            let line = template[..template.len() - text.len() + start].matches('\n').count() + 1;
            return Some(Err(RenderError::Open(line)));
        };
        rest = Some(after);
        let (name, otherwise) = match inner.split_once('|') {
            Some((name, otherwise)) => (name.trim(), Some(otherwise.trim())),
            None => (inner.trim(), None),
        };
        let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
        // A list of choices is something that somebody still has to choose from.
        let choices = otherwise.is_some_and(|words| words.contains(['|', '{', '}']));
        if name.is_empty() || !name.chars().all(good) || choices {
            return Some(Err(RenderError::NoName(sanitize_line(inner.trim(), 60))));
        }
        Some(Ok((before, Some(Variable { name, otherwise }))))
    })
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn person(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(fields) => fields,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        for text in [
            "ada@x.io",
            " Ada@X.io ",
            "mailto:ada@x.io",
            "MAILTO:ada@x.io?subject=hi",
            "Ada Lovelace <ada@x.io>",
            "\"L, A\" < Ada@x.io >",
            "<mailto:ada@x.io>",
        ] {
            assert_eq!(address(text).as_deref(), Some("ada@x.io"), "{text}");
        }
        for text in
            ["", "ada", "ada@", "a@x.io, b@x.io", "a@x.io b@x.io", "Ada <ada@x.io> or Bo", "a@x.io\r\nTo: <b@x.io>"]
        {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn a_person_gets_the_same_variant_however_the_address_is_written() {
        assert_eq!(variant_of("Ada@Example.com ", 2), variant_of("ada@example.com", 2));
        assert_eq!(variant_of("ada@example.com", 0), 0);
        let mut counts = [0; 3];
        (0..3_000).for_each(|i| counts[variant_of(&format!("person{i}@example.com"), 3)] += 1);
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        // The choice outlives a change of this code: follow-ups and numbers rest on it.
        let first: Vec<usize> = (0..8).map(|i| variant_of(&format!("person{i}@example.com"), 2)).collect();
        assert_eq!(first, [0, 0, 0, 1, 1, 1, 0, 0], "who gets which variant has changed");
    }

    #[test]
    fn a_text_is_filled_with_what_is_known() {
        let ada = person(json!({ "first_name": "Ada", "Company Name": "Engines", "stars": 12, "x": null }));
        let text = "Hi {{ first_name }}, {{company_name}} has {{stars}} stars. {{city|Where you are}}, it rains.";
        assert_eq!(render(text, &ada).unwrap(), "Hi Ada, Engines has 12 stars. Where you are, it rains.");
        let nested = person(json!({ "custom_fields": { "industry": "fintech" } }));
        assert_eq!(render("{{industry}}", &nested).unwrap(), "fintech");
        for (text, why) in [
            ("{{last_name}}", "nothing is known for `{{last_name}}`"),
            ("{{x}}", "nothing is known for `{{x}}`"),
            ("a\n{{first_name", "`{{` in line 2 has no end"),
            ("{{}}", "is no field's name"),
            ("{{saas|fintech|health}}", "is no field's name"),
            ("{{a.b}}", "is no field's name"),
        ] {
            let err = render(text, &ada).unwrap_err().to_string();
            assert!(err.contains(why), "{text}: {err}");
        }
    }

    #[test]
    fn what_a_person_is_called_is_never_a_template() {
        let odd = person(json!({ "first_name": "{{email}}", "email": "a@example.com" }));
        assert_eq!(render("Hi {{first_name}}", &odd).unwrap(), "Hi {{email}}");
    }

    #[test]
    fn the_fields_of_a_template_are_known() {
        let found = variables("{{a}} {{ b | there }} }} {").unwrap();
        let variable = |name, otherwise| Variable { name, otherwise };
        assert_eq!(found, [variable("a", None), variable("b", Some("there"))]);
    }

    proptest! {
        #[test]
        fn no_template_is_too_odd(template in ".{0,200}", name in ".{0,20}") {
            let person = person(json!({ "a": name, "b": 1 }));
            let _ = variables(&template);
            let _ = render(&template, &person);
        }
    }
}
