//! `email_send`: mail to people.
//!
//! Owns what goes out and how: one mail a person, asked for before each, slowly enough for each domain. In a dry run or a simulation what
//! would go out is written into files (`outbox/*.eml` in its work folder), and nobody is connected to. Must never send without a postal
//! address and a way to unsubscribe, and never say of a mail that it was sent where that is not known.

mod compose;
mod resend;
mod smtp;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{Failed, Job, object};
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::{Span, Variant};
use crate::tools::contract::{ActOutcome, Answer};
use compose::{Composed, Letter};

/// Failures that are named in the result.
const NAMED: usize = 50;
/// So many refusals in a row end the run: they are about us.
const IN_ROW: u32 = 10;
/// So many that are not taken now end it for now.
const LATER_IN_ROW: u32 = 50;
/// Mails that are shown whole in the result of a dry run.
const PREVIEWS: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    recipients: Vec<Map<String, Value>>,
    subject: Option<String>,
    template: String,
    #[serde(default)]
    variants: Vec<Variant>,
    sender: Option<String>,
    sender_name: Option<String>,
    reply_to: Option<String>,
    postal_address: Option<String>,
    unsubscribe: Option<String>,
    smtp: Option<String>,
    ca_file: Option<String>,
    base_url: Option<String>,
    sample_to: Option<String>,
    follow_up: Option<u32>,
    daily_limit: Option<u64>,
    delay: Option<Span>,
    domain_gap: Option<Span>,
    patience: Option<Span>,
}

/// Why a mail did not go out, and what that means for the others.
#[derive(Debug, PartialEq)]
enum Trouble {
    /// The address is refused for good: a bounce.
    Bounce(String),
    /// This mail is refused.
    Mail(String),
    /// This mail is not taken now.
    Later(String),
    /// It was handed over, and then nothing more was heard: it may have gone out.
    Unknown(String),
    /// Nothing can be sent at all.
    Server(ErrorCode, String),
}

/// How mail goes out.
enum Way {
    /// Into files: a dry run, or a simulation.
    Files,
    Smtp(Box<smtp::Server>),
    Resend(Box<resend::Api>),
}

/// What became of everybody.
#[derive(Default)]
struct Counts {
    sent: u64,
    written: u64,
    skipped: u64,
    bounced: u64,
    deferred: u64,
    unknown: u64,
    duplicates: u64,
    failed: u64,
    failures: Vec<Value>,
    previews: Vec<Value>,
    by_variant: BTreeMap<String, u64>,
    /// So many in a row were refused, or not taken now.
    in_row: u32,
    later_in_row: u32,
    /// Whoever answers said that it should end, or its own limit was reached.
    ended: Option<&'static str>,
    left: usize,
}

impl Counts {
    /// Where nothing but refusals comes, they are about us and not about people: going on would spoil every address.
    fn refused(&mut self, why: &str) -> Result<(), Failed> {
        self.in_row += 1;
        if self.in_row >= IN_ROW {
            let what = format!("{IN_ROW} mails in a row were refused, so it is us who are refused: {why}");
            return Err(Failed::new(ErrorCode::Tool, what));
        }
        Ok(())
    }

    /// One was not taken now.
    fn deferred(&mut self, why: &str) -> Result<(), Failed> {
        self.deferred += 1;
        self.later_in_row += 1;
        if self.later_in_row >= LATER_IN_ROW {
            let what = format!("{LATER_IN_ROW} mails in a row were not taken now: {why}");
            return Err(Failed::new(ErrorCode::Transient, what));
        }
        Ok(())
    }

    fn taken(&mut self) {
        self.sent += 1;
        (self.in_row, self.later_in_row) = (0, 0);
    }

    fn fail(&mut self, address: &str, why: &str) {
        self.failed += 1;
        if self.failures.len() < NAMED {
            self.failures.push(json!({ "address": sanitize_line(address, 120), "reason": sanitize_line(why, 300) }));
        }
    }

    fn result(&self) -> Map<String, Value> {
        let mut result = object(json!({
            "sent": self.sent, "skipped": self.skipped, "failed": self.failed, "bounced": self.bounced,
            "deferred": self.deferred, "unknown": self.unknown,
            "duplicates": self.duplicates, "failures": self.failures, "left": self.left,
            "campaign_stats": {
                "total_sent": self.sent, "total_failed": self.failed + self.bounced, "total_skipped": self.skipped,
                "by_variant": self.by_variant,
            },
        }));
        if self.written > 0 {
            result.insert("would_send".to_owned(), json!(self.written));
            result.insert("previews".to_owned(), json!(self.previews));
            result.insert("folder".to_owned(), json!(compose::OUTBOX));
        }
        result.extend(self.ended.map(|why| ("ended".to_owned(), json!(why))));
        result
    }
}

pub(super) async fn run(job: &mut Job) -> Result<Map<String, Value>, Failed> {
    let params: Params = job.params()?;
    let letter = compose::letter(job, &params)?;
    let mut way = way(job, &params)?;
    let mut counts = Counts::default();
    let mails = mails(&params, &letter, &mut counts);
    if mails.is_empty() && !params.recipients.is_empty() {
        let first =
            counts.failures.first().and_then(|it| it["reason"].as_str()).unwrap_or("the list is empty").to_owned();
        return Err(Failed::params(format!("no mail can be written to anybody: {first}")).with(counts.result()));
    }
    if matches!(way, Way::Files) {
        job.log(&format!("{}: {} mails are written into files, none goes out", job.input.run.mode, mails.len()))?;
    }
    let sent = send_all(job, &params, &mut way, mails, &mut counts).await;
    way.close().await;
    match sent {
        Ok(()) => Ok(counts.result()),
        Err(failed) => Err(failed.with(counts.result())),
    }
}

/// How it goes out; whatever would keep it from going out is found before anybody is asked.
fn way(job: &Job, params: &Params) -> Result<Way, Failed> {
    let patience = params.patience.map_or(Duration::from_mins(1), |span| span.0);
    let smtp = params
        .smtp
        .as_deref()
        .map(|url| smtp::Server::new(url, job.secret("SMTP_PASSWORD"), params.ca_file.as_deref(), patience));
    let smtp = smtp.transpose()?;
    if !job.is_live() {
        return Ok(Way::Files);
    }
    match (smtp, job.secret("RESEND_API_KEY")) {
        (Some(server), _) => Ok(Way::Smtp(Box::new(server))),
        (None, Some(key)) => Ok(Way::Resend(Box::new(resend::Api::new(
            params.base_url.as_deref(),
            key,
            std::sync::Arc::clone(&job.clock),
            patience,
        )?))),
        (None, None) => Err(Failed::params(
            "there is no way to send mail: set `outreach.smtp`, or the secret RESEND_API_KEY (`fullsend secrets set RESEND_API_KEY`)",
        )),
    }
}

/// The mails, one a person; who cannot get one is counted with the reason.
fn mails(params: &Params, letter: &Letter<'_>, counts: &mut Counts) -> VecDeque<Composed> {
    let (mut mails, mut seen) = (VecDeque::new(), HashSet::new());
    for person in &params.recipients {
        if letter.is_sample() && !mails.is_empty() {
            break;
        }
        match letter.to(person) {
            Ok(mail) if !seen.insert(mail.address.to_string().to_lowercase()) => counts.duplicates += 1,
            Ok(mail) => mails.push_back(mail),
            Err((address, why)) => counts.fail(&address, &why),
        }
    }
    mails
}

/// When the next mail may go out.
struct Pace {
    delay: Duration,
    gap: Duration,
    next: Instant,
    domains: BTreeMap<String, Instant>,
}

impl Pace {
    fn new(params: &Params, is_live: bool) -> Self {
        let of = |span: Option<Span>, otherwise| {
            if is_live { span.map_or(otherwise, |span| span.0) } else { Duration::ZERO }
        };
        Self {
            delay: of(params.delay, Duration::ZERO),
            gap: of(params.domain_gap, Duration::from_secs(2)),
            next: Instant::now(),
            domains: BTreeMap::new(),
        }
    }

    /// The first mail that may go out soonest, and when.
    fn next(&self, mails: &mut VecDeque<Composed>) -> Option<(Instant, Composed)> {
        let now = Instant::now();
        let when = |mail: &Composed| self.domains.get(mail.domain()).copied().unwrap_or(now).max(self.next);
        let ready = mails.iter().position(|mail| when(mail) <= now.max(self.next));
        let at = ready.or_else(|| mails.iter().enumerate().min_by_key(|(_, mail)| when(mail)).map(|(at, _)| at))?;
        let mail = mails.remove(at)?;
        Some((when(&mail), mail))
    }

    fn went(&mut self, mail: &Composed) {
        let now = Instant::now();
        self.next = now + self.delay;
        self.domains.insert(mail.domain().to_owned(), now + self.gap);
    }
}

async fn send_all(
    job: &mut Job,
    params: &Params,
    way: &mut Way,
    mut mails: VecDeque<Composed>,
    counts: &mut Counts,
) -> Result<(), Failed> {
    let total = mails.len() as u64;
    let mut pace = Pace::new(params, job.is_live());
    let mut handled = 0;
    while let Some((when, mail)) = pace.next(&mut mails) {
        if params.daily_limit.is_some_and(|limit| counts.sent + counts.written >= limit) {
            counts.ended = Some("the limit of this run is reached");
            counts.left = mails.len() + 1;
            return Ok(());
        }
        tokio::time::sleep_until(when).await;
        way.ready().await?;
        match job.ask(mail.action()).await? {
            Answer::Go => {
                send(job, way, &mail, counts).await.inspect_err(|_| counts.left = mails.len())?;
                pace.went(&mail);
            }
            Answer::Skip => counts.skipped += 1,
            Answer::Stop => {
                counts.ended = Some("it was told to stop");
                counts.left = mails.len() + 1;
                return Ok(());
            }
        }
        handled += 1;
        job.progress(handled, Some(total), "mails")?;
    }
    Ok(())
}

/// Sends one, and says what came of it.
async fn send(job: &mut Job, way: &mut Way, mail: &Composed, counts: &mut Counts) -> Result<(), Failed> {
    let address = mail.address.to_string();
    let came = way.send(mail).await;
    match came {
        Ok(receipt) => {
            job.done(&mail.key, &receipt)?;
            if matches!(way, Way::Files) {
                counts.written += 1;
                if counts.previews.len() < PREVIEWS {
                    counts.previews.push(json!({ "to": address, "subject": mail.subject, "text": mail.text }));
                }
                return Ok(());
            }
            counts.taken();
            if let Some(variant) = &mail.variant {
                *counts.by_variant.entry(variant.clone()).or_default() += 1;
            }
            if mail.is_sample { Ok(()) } else { job.metric(mail.event("email_sent")) }
        }
        Err(Trouble::Bounce(why)) => {
            counts.bounced += 1;
            job.not_done(&mail.key, ActOutcome::Failed, &why)?;
            if mail.is_sample {
                return Ok(());
            }
            // It was sent, as far as rates go: a bounce is counted against what was sent.
            job.metric(mail.event("email_sent"))?;
            job.metric(mail.event("email_bounced"))?;
            job.log(&format!("the address of mail {} is refused: {why}", mail.key_hash()))?;
            // One that does not exist among others that do says nothing about us.
            if counts.sent == 0 { counts.refused(&why) } else { Ok(()) }
        }
        Err(Trouble::Mail(why)) => {
            counts.fail(&address, &why);
            job.not_done(&mail.key, ActOutcome::Failed, &why)?;
            counts.refused(&why)
        }
        Err(Trouble::Later(why)) => {
            job.not_done(&mail.key, ActOutcome::Later, &why)?;
            job.log(&format!("mail {} is not taken now: {why}", mail.key_hash()))?;
            counts.deferred(&why)
        }
        Err(Trouble::Unknown(why)) => {
            counts.unknown += 1;
            counts.fail(&address, &why);
            job.not_done(&mail.key, ActOutcome::Unknown, &why)
        }
        Err(Trouble::Server(code, why)) => {
            counts.fail(&address, &why);
            let is_passing = code == ErrorCode::Transient;
            let outcome = if is_passing { ActOutcome::Later } else { ActOutcome::Failed };
            job.not_done(&mail.key, outcome, &format!("not sent: {why}"))?;
            Err(Failed::new(code, why))
        }
    }
}

impl Way {
    /// Makes sure that it can send, before anybody is asked.
    async fn ready(&mut self) -> Result<(), Failed> {
        match self {
            Self::Files | Self::Resend(_) => Ok(()),
            Self::Smtp(server) => server.ready().await.map_err(|(code, why)| Failed::new(code, why)),
        }
    }

    async fn send(&mut self, mail: &Composed) -> Result<String, Trouble> {
        match self {
            Self::Files => compose::write(mail).await,
            Self::Smtp(server) => server.send(mail).await,
            Self::Resend(api) => api.send(mail).await,
        }
    }

    async fn close(self) {
        if let Self::Smtp(server) = self {
            server.close().await;
        }
    }
}
