//! A mail, composed: its headers, its text, what stands below it.
//!
//! Owns what every mail has: a Message-ID that names the experiment, the sender's postal address, a way to unsubscribe in its text and its
//! headers (RFC 2369; RFC 8058 for one click). What comes from a person's fields can end up in a text or a subject, never in a header of its
//! own: it is one line, and encoded.

use std::time::SystemTime;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::{Address, message::MessageBuilder};
use serde_json::{Map, Value, json};

use super::{Params, Trouble};
use crate::contracts::keys;
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::is_unseen;
use crate::experiments::outreach::{field, mailbox as mailbox_in, render, variables, variant_of};
use crate::tools::contract::Action;
use crate::tools::shipped::message_id::MailId;
use crate::tools::shipped::{Failed, Job, object};

/// The folder of mails that did not go out, within the tool's own.
pub(super) const OUTBOX: &str = "outbox";
/// Most characters of a subject, and of a text.
const SUBJECT_LIMIT: usize = 250;
const TEXT_LIMIT: usize = 50_000;

/// What all mails of a run have in common.
#[derive(Clone)]
pub(super) struct Letter<'a> {
    params: &'a Params,
    experiment: String,
    run: String,
    round: String,
    /// Where one mail goes in the place of its recipient.
    sample_to: Option<Address>,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    postal_address: String,
    unsubscribe: Unsubscribe,
    now: SystemTime,
}

/// How people unsubscribe.
#[derive(Clone)]
enum Unsubscribe {
    Mail(Address),
    Url(String),
    /// Not at all: only in a dry run.
    Missing,
}

/// A mail to one person.
pub(super) struct Composed {
    /// Names the act: the same for the same mail, whatever run it is tried in.
    pub(super) key: String,
    pub(super) address: Address,
    pub(super) from: Address,
    pub(super) variant: Option<String>,
    pub(super) subject: String,
    /// The text with what stands below it.
    pub(super) text: String,
    pub(super) message_id: String,
    /// As it goes out.
    pub(super) message: Message,
    /// Whether it goes to somebody else than whom it is written for, and counts for nothing.
    pub(super) is_sample: bool,
    round: String,
    experiment: String,
    timezone: Option<String>,
}

/// Checks what all mails have in common. A dry run may lack what a live one needs; it says so.
pub(super) fn letter<'a>(job: &mut Job, params: &'a Params) -> Result<Letter<'a>, Failed> {
    let missing = |what: &str, setting: &str| format!("nothing is sent without {what}; set `{setting}`");
    let mut lacks = Vec::new();
    let from = match params.sender.as_deref() {
        Some(sender) => mailbox(params.sender_name.as_deref(), sender)
            .map_err(|why| Failed::params(format!("parameter `sender`: {why}")))?,
        None => {
            lacks.push(missing("the address that it comes from", "outreach.sender"));
            mailbox(None, "nobody@dry-run.invalid").map_err(Failed::params)?
        }
    };
    let postal_address = params.postal_address.as_deref().map(text).filter(|it| it.trim().chars().count() >= 8);
    if postal_address.is_none() {
        lacks.push(missing("the sender's postal address", "outreach.postal_address"));
    }
    let unsubscribe = match params.unsubscribe.as_deref().filter(|it| !it.trim().is_empty()) {
        Some(way) => unsubscribe(way).map_err(|why| Failed::params(format!("parameter `unsubscribe`: {why}")))?,
        None => {
            lacks.push(missing("a way to unsubscribe", "outreach.unsubscribe"));
            Unsubscribe::Missing
        }
    };
    if job.is_live()
        && let Some(lack) = lacks.first()
    {
        return Err(Failed::params(lack));
    }
    for lack in &lacks {
        job.log(&format!("a live run would be refused: {lack}"))?;
    }
    let sample_to = params.sample_to.as_deref().map(|to| {
        let address = to.trim().parse::<Address>();
        address.map_err(|_| Failed::params("parameter `sample_to`: it is no mail address; write NAME@HOST"))
    });
    let reply_to = params.reply_to.as_deref().map(|it| mailbox(None, it)).transpose();
    let letter = Letter {
        params,
        experiment: job.input.run.experiment_id.clone(),
        run: job.input.run.run_id.clone(),
        sample_to: sample_to.transpose()?,
        round: params
            .follow_up
            .map_or_else(|| "first".to_owned(), |number| format!("followup-{}", u64::from(number) + 1)),
        from,
        reply_to: reply_to.map_err(|why| Failed::params(format!("parameter `reply_to`: {why}")))?,
        postal_address: postal_address.unwrap_or_else(|| "(the sender's postal address)".to_owned()),
        unsubscribe,
        now: job.clock.now().into(),
    };
    letter.check().map_err(Failed::params)?;
    Ok(letter)
}

fn mailbox(name: Option<&str>, address: &str) -> Result<Mailbox, String> {
    let address = address.trim().parse::<Address>().map_err(|_| "it is no mail address; write NAME@HOST".to_owned())?;
    Ok(Mailbox::new(name.map(line).filter(|name| !name.is_empty()), address))
}

fn unsubscribe(way: &str) -> Result<Unsubscribe, String> {
    let way = way.trim();
    if let Ok(address) = way.trim_start_matches("mailto:").parse::<Address>() {
        return Ok(Unsubscribe::Mail(address));
    }
    let filled = way.replace("{{address}}", "x").replace("{{token}}", "x");
    match reqwest::Url::parse(&filled) {
        Ok(url) if url.scheme() == "https" && url.has_host() && way.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Unsubscribe::Url(way.to_owned()))
        }
        _ => Err("it is neither a mail address nor an https URL".to_owned()),
    }
}

/// Text as one line without anything that hides or steers: it may have come from anybody.
fn line(text: &str) -> String {
    let plain = text.chars().filter(|c| !is_unseen(*c));
    let plain: String =
        plain.map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text with its lines, without other control characters.
fn text(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

impl Letter<'_> {
    pub(super) const fn is_sample(&self) -> bool {
        self.sample_to.is_some()
    }

    /// Templates that are none are wrong for everybody.
    fn check(&self) -> Result<(), String> {
        let variants = self.params.variants.iter();
        let templates = [self.params.subject.as_deref(), Some(self.params.template.as_str())].into_iter().flatten();
        let own = variants.flat_map(|variant| [variant.subject.as_deref(), variant.template.as_deref()]).flatten();
        for template in templates.chain(own) {
            variables(template).map_err(|err| err.to_string())?;
        }
        let lacks_subject = self.params.subject.is_none()
            && self.params.follow_up.is_none()
            && (self.params.variants.is_empty()
                || self.params.variants.iter().any(|variant| variant.subject.is_none()));
        if lacks_subject { Err("a mail needs a `subject`".to_owned()) } else { Ok(()) }
    }

    /// The mail to a person; or the address, and why there is none.
    pub(super) fn to(&self, person: &Map<String, Value>) -> Result<Composed, (String, String)> {
        let written = field(person, "email").unwrap_or_default();
        let fail = |why: String| (written.clone(), why);
        if written.is_empty() {
            return Err(("(none)".to_owned(), "it has no address".to_owned()));
        }
        let address = mailbox_in(&written).ok_or_else(|| fail("it is no mail address".to_owned()))?;
        let variant = self.variant(person, address.as_ref());
        let (subject, template) = self.words(person, variant).map_err(&fail)?;
        let subject = line(&render(&subject, person).map_err(|err| fail(format!("subject: {err}")))?);
        if subject.is_empty() || subject.chars().count() > SUBJECT_LIMIT {
            return Err(fail(format!("the subject is empty, or has more than {SUBJECT_LIMIT} characters")));
        }
        let body = text(&render(template, person).map_err(|err| fail(format!("text: {err}")))?);
        if body.trim().is_empty() || body.chars().count() > TEXT_LIMIT {
            return Err(fail(format!("the text is empty, or has more than {TEXT_LIMIT} characters")));
        }
        let name = variant.map(|variant| variant.name.clone()).or_else(|| field(person, "variant"));
        match &self.sample_to {
            None => self.compose(person, address, name, subject, &body).map_err(fail),
            Some(to) => self.sample(&address, to.clone(), &subject, &body).map_err(fail),
        }
    }

    /// The mail to `of`, to somebody else: it says what it is, and whatever is done with it concerns nobody but whoever gets it. Its
    /// Message-ID names no experiment, so that an answer to it counts for none.
    fn sample(&self, of: &Address, to: Address, subject: &str, body: &str) -> Result<Composed, String> {
        let marked = line(&format!("[Sample for {of}] {subject}")).chars().take(SUBJECT_LIMIT).collect();
        let nobody = Map::new();
        let round = format!("sample-{}", self.run);
        let letter = Letter { experiment: String::new(), round, sample_to: None, ..self.clone() };
        let mail = letter.compose(&nobody, to, None, marked, body)?;
        Ok(Composed { is_sample: true, ..mail })
    }

    /// The way that it is said to a person: the one that the person had before, or by the address.
    fn variant(&self, person: &Map<String, Value>, address: &str) -> Option<&crate::experiments::spec::Variant> {
        let variants = &self.params.variants;
        let former = field(person, "variant").and_then(|name| variants.iter().find(|variant| variant.name == name));
        former.or_else(|| variants.get(variant_of(address, variants.len())))
    }

    /// The subject and the text that are to be filled in.
    fn words<'b>(
        &'b self,
        person: &Map<String, Value>,
        variant: Option<&'b crate::experiments::spec::Variant>,
    ) -> Result<(String, &'b str), String> {
        let subject = variant.and_then(|variant| variant.subject.clone()).or_else(|| self.params.subject.clone());
        // What was said before is no template any more.
        let former = || field(person, "first_subject").map(|subject| format!("Re: {}", subject.replace("{{", "{ {")));
        let subject = subject.or_else(former).ok_or("there is no subject, nor that of the first mail")?;
        Ok((subject, variant.and_then(|variant| variant.template.as_deref()).unwrap_or(&self.params.template)))
    }

    fn compose(
        &self,
        person: &Map<String, Value>,
        address: Address,
        variant: Option<String>,
        subject: String,
        body: &str,
    ) -> Result<Composed, String> {
        let written = address.to_string();
        let id = |round: &str| {
            MailId::of(&self.experiment, round, variant.as_deref(), &written).text(self.from.email.domain())
        };
        let message_id = id(&self.round);
        let experiment = if self.experiment.is_empty() { "none" } else { &self.experiment };
        let (below, headers) = self.unsubscribe.fill(&written);
        let text = format!("{}\n\n-- \n{}\n{below}\n", body.trim_end(), self.postal_address.trim());
        let mut builder = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(name_of(person), address.clone()))
            .subject(subject.clone())
            .date(self.now);
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        let mut headers = headers;
        headers.push(("Message-ID", format!("<{message_id}>")));
        if self.params.follow_up.is_some() {
            let first =
                field(person, "message_id").filter(|id| MailId::read(id).is_some()).unwrap_or_else(|| id("first"));
            let first = format!("<{}>", first.trim_matches(['<', '>']));
            headers.extend([("In-Reply-To", first.clone()), ("References", first)]);
        }
        let headers = headers.into_iter().chain([("X-Fullsend-Experiment", line(experiment))]);
        let builder = headers.fold(builder, |builder, (name, value)| raw(builder, name, &value));
        let message = builder.header(ContentType::TEXT_PLAIN).body(text.clone());
        Ok(Composed {
            key: format!("email:{experiment}:{}:{}", written.to_lowercase(), self.round),
            address,
            from: self.from.email.clone(),
            variant,
            subject,
            text,
            message_id,
            message: message.map_err(|err| format!("it cannot be composed: {err}"))?,
            is_sample: false,
            round: self.round.clone(),
            experiment: experiment.to_owned(),
            timezone: field(person, "timezone"),
        })
    }
}

/// A header as it is: its value has been made of ASCII characters that are seen, and no line breaks.
fn raw(builder: MessageBuilder, name: &'static str, value: &str) -> MessageBuilder {
    let value: String = value.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    let name = HeaderName::new_from_ascii_str(name);
    builder.raw_header(HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value))
}

fn name_of(person: &Map<String, Value>) -> Option<String> {
    let parts = [field(person, "first_name"), field(person, "last_name")];
    let both = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let name = field(person, "name").unwrap_or(both);
    Some(line(&name)).filter(|name| !name.is_empty() && name.chars().count() <= 80)
}

impl Unsubscribe {
    /// What stands below a mail, and its headers.
    fn fill(&self, address: &str) -> (String, Vec<(&'static str, String)>) {
        let token = keys::person(address);
        match self {
            Self::Mail(to) => {
                let words = format!("To get no more mail from us, answer with \"unsubscribe\", or write to {to}.");
                let link = format!("<mailto:{to}?subject=unsubscribe%20{token}>");
                (words, vec![("List-Unsubscribe", link)])
            }
            Self::Url(url) => {
                let filled = if url.contains("{{") {
                    url.replace("{{address}}", &escaped(address)).replace("{{token}}", &token)
                } else {
                    let joint = if url.contains('?') { '&' } else { '?' };
                    format!("{url}{joint}recipient={token}")
                };
                let words = format!("To get no more mail from us, answer with \"unsubscribe\", or open {filled}");
                let one_click = "List-Unsubscribe=One-Click".to_owned();
                (words, vec![("List-Unsubscribe", format!("<{filled}>")), ("List-Unsubscribe-Post", one_click)])
            }
            Self::Missing => ("(how to unsubscribe)".to_owned(), Vec::new()),
        }
    }
}

/// As it stands in a URL.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
            out
        } else {
            format!("{out}%{byte:02X}")
        }
    })
}

impl Composed {
    pub(super) fn domain(&self) -> &str {
        self.address.domain()
    }

    /// What is asked for before it goes out.
    pub(super) fn action(&self) -> Action {
        let details = json!({
            "subject": self.subject, "variant": self.variant, "timezone": self.timezone, "sender": self.from.to_string(),
            "message_id": self.message_id, "round": self.round,
        });
        let details = object(details).into_iter().filter(|(_, value)| !value.is_null()).collect();
        Action {
            key: self.key.clone(),
            kind: "email".to_owned(),
            target: self.address.to_string().to_lowercase(),
            details,
        }
    }

    /// Names it to people who need not know whom it is to.
    pub(super) fn key_hash(&self) -> String {
        keys::person(&self.key).chars().take(20).collect()
    }

    /// Something that happened to it. It names the person by the hash of the address alone.
    pub(super) fn event(&self, name: &str) -> Value {
        let mut event = object(json!({
            "event": name, "id": format!("{name}:{}", self.key_hash()), "round": self.round, "experiment_id": self.experiment,
            "person": keys::person(self.address.as_ref()),
        }));
        event.extend(self.variant.as_ref().map(|variant| ("variant".to_owned(), json!(variant))));
        Value::Object(event)
    }
}

/// Writes a mail where it does not go out. Answers where.
pub(super) async fn write(mail: &Composed) -> Result<String, Trouble> {
    let path = format!("{OUTBOX}/{}.eml", mail.key_hash());
    let written = async {
        tokio::fs::create_dir_all(OUTBOX).await?;
        tokio::fs::write(&path, mail.message.formatted()).await
    };
    match written.await {
        Ok(()) => Ok(path),
        Err(err) => Err(Trouble::Server(ErrorCode::Tool, format!("{path} cannot be written: {err}"))),
    }
}
