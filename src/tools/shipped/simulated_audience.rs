//! `simulated_audience`: a market of made-up people, for trials and demos. **A simulation.**
//!
//! Owns the model: who they are, and what they do by chance. Every event and the result carry `simulation: true`, and the addresses end in
//! `.invalid` (RFC 2606), which no mail can reach. Must never be taken for people: it refuses to be part of a live run.
//!
//! The model, for each person, with the rates of the segment and the variant: mail bounces, or is delivered; of the delivered some open it,
//! reply, unsubscribe, complain; some replies are positive, some of these book a meeting. Whoever replies has opened. When: opened and
//! bounced after exponential times (means: 8 hours, half an hour), answers after log-normal ones (median: 18 hours), which is how long
//! people take to answer mail (Eckmann, Moses, Sergi 2004, "Entropy of dialogues creates coherent structures in e-mail traffic").

use std::f64::consts::TAU;
use std::time::Duration;

use fastrand::Rng;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Failed, Job, fit, object};
use crate::experiments::outreach::variant_of;

/// What happens later is not waited for.
const DAYS: f64 = 10.0;
/// Events between two words on how far it is.
const REPORT_EVERY: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(default = "two_hundred")]
    size: usize,
    seed: Option<u64>,
    #[serde(default)]
    part: Part,
    #[serde(default)]
    recipients: Vec<Map<String, Value>>,
    #[serde(default)]
    segments: Vec<Segment>,
    #[serde(default)]
    variants: Vec<Variant>,
    #[serde(default)]
    rates: Rates,
    #[serde(default)]
    seconds_per_day: f64,
}

fn two_hundred() -> usize {
    200
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    /// People, what was sent to them, and what they did.
    #[default]
    Market,
    /// The list alone.
    People,
    /// What the given recipients do.
    Answers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Segment {
    name: String,
    #[serde(default = "one")]
    share: f64,
    #[serde(default)]
    fields: Map<String, Value>,
    #[serde(default)]
    times: Times,
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    name: String,
    #[serde(default)]
    times: Times,
}

/// Shares as fractions. The defaults are of the order that is told of cold mail; they are no measurement.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rates {
    bounce: f64,
    open: f64,
    reply: f64,
    positive: f64,
    meeting: f64,
    unsubscribe: f64,
    spam: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Self { bounce: 0.02, open: 0.4, reply: 0.05, positive: 0.4, meeting: 0.4, unsubscribe: 0.01, spam: 0.001 }
    }
}

/// By how much rates are higher.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Times {
    bounce: Option<f64>,
    open: Option<f64>,
    reply: Option<f64>,
    positive: Option<f64>,
    meeting: Option<f64>,
    unsubscribe: Option<f64>,
    spam: Option<f64>,
}

impl Rates {
    fn times(&self, times: &Times) -> Self {
        let by = |rate: f64, times: Option<f64>| (rate * times.unwrap_or(1.0)).clamp(0.0, 1.0);
        Self {
            bounce: by(self.bounce, times.bounce),
            open: by(self.open, times.open),
            reply: by(self.reply, times.reply),
            positive: by(self.positive, times.positive),
            meeting: by(self.meeting, times.meeting),
            unsubscribe: by(self.unsubscribe, times.unsubscribe),
            spam: by(self.spam, times.spam),
        }
    }
}

/// Something that a person does.
struct Happened {
    /// Days after the mail.
    day: f64,
    event: &'static str,
    person: usize,
}

pub(super) async fn run(job: &mut Job) -> Result<Map<String, Value>, Failed> {
    let params: Params = job.params()?;
    if job.is_live() {
        return Err(Failed::params(
            "`simulated_audience` is a simulation, and this experiment is live; set `mode: simulation`, or take real people",
        ));
    }
    check(&params)?;
    let seed = params.seed.unwrap_or_else(|| seed_of(&job.input.run.experiment_id, &job.input.run.run_id));
    let mut rng = Rng::with_seed(seed);
    let people = if params.part == Part::Answers {
        params.recipients.clone()
    } else {
        (1..=params.size).map(|number| person(number, &params.segments, &mut rng)).collect()
    };
    job.log(&format!("this is a simulation: {} made-up people, seed {seed}", people.len()))?;
    let mut stats = Map::new();
    if params.part != Part::People {
        let mut happened: Vec<Happened> = Vec::new();
        for (number, person) in people.iter().enumerate() {
            let rates = rates_of(person, &params);
            live(number, &rates, &mut rng, &mut happened);
        }
        happened.sort_by(|a, b| a.day.total_cmp(&b.day));
        tell(job, &params, seed, &people, &happened, &mut stats).await?;
    }
    let (rows, left_out) = fit(people);
    let stats = Value::Object(stats);
    Ok(object(json!({
        "simulation": true, "seed": seed, "count": rows.len(), "rows": rows, "left_out": left_out, "campaign_stats": stats,
    })))
}

fn check(params: &Params) -> Result<(), Failed> {
    let rates = &params.rates;
    let all = [rates.bounce, rates.open, rates.reply, rates.positive, rates.meeting, rates.unsubscribe, rates.spam];
    if all.iter().any(|rate| !(0.0..=1.0).contains(rate)) {
        return Err(Failed::params("parameter `rates`: each is a fraction between 0 and 1: 0.05 for 5 %"));
    }
    if params.segments.iter().any(|segment| !(segment.share > 0.0 && segment.share.is_finite())) {
        return Err(Failed::params("parameter `segments`: each `share` is more than 0"));
    }
    if params.size > 20_000 || params.recipients.len() > 20_000 {
        return Err(Failed::params("parameter `size`: at most 20000 people"));
    }
    if !(0.0..=300.0).contains(&params.seconds_per_day) {
        return Err(Failed::params("parameter `seconds_per_day`: between 0 and 300"));
    }
    if params.part == Part::Answers && params.recipients.is_empty() {
        return Err(Failed::params("parameter `recipients`: there is nobody who could answer"));
    }
    Ok(())
}

/// The same run has the same people, also when it is started again.
fn seed_of(experiment: &str, run: &str) -> u64 {
    let hash = Sha256::digest(format!("{experiment}\n{run}").as_bytes());
    // As JSON shows it exactly.
    hash.iter().take(6).fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
}

fn person(number: usize, segments: &[Segment], rng: &mut Rng) -> Map<String, Value> {
    const FIRST: [&str; 12] =
        ["Ada", "Bo", "Chidi", "Dara", "Elif", "Farid", "Goro", "Hana", "Ines", "Jonas", "Kavi", "Lena"];
    const LAST: [&str; 10] =
        ["Sample", "Muster", "Exemplo", "Modelo", "Proefman", "Esempio", "Vzor", "Ornek", "Naidis", "Mala"];
    const TITLES: [&str; 5] = ["CTO", "Head of Engineering", "Founder", "VP Operations", "Developer"];
    let segment = pick(segments, rng);
    let company = number % 97;
    let mut row = object(json!({
        "email": format!("p{number:05}@company{company:02}.invalid"),
        "first_name": FIRST[rng.usize(..FIRST.len())], "last_name": LAST[rng.usize(..LAST.len())],
        "title": TITLES[rng.usize(..TITLES.len())], "company": format!("Simulated Company {company:02}"),
        "segment": segment.map_or("all", |segment| segment.name.as_str()), "simulation": true,
    }));
    row.extend(segment.into_iter().flat_map(|segment| segment.fields.clone()));
    row
}

/// A segment, by its share.
fn pick<'a>(segments: &'a [Segment], rng: &mut Rng) -> Option<&'a Segment> {
    let mut at = rng.f64() * segments.iter().map(|segment| segment.share).sum::<f64>();
    segments
        .iter()
        .find(|segment| {
            at -= segment.share;
            at < 0.0
        })
        // What rounding leaves over is the last one's.
        .or(segments.last())
}

/// The variant that a person gets: what it says itself, or by the address.
fn variant<'a>(person: &Map<String, Value>, variants: &'a [Variant]) -> Option<&'a Variant> {
    let text = |field: &str| person.get(field).and_then(Value::as_str);
    let named = text("variant").and_then(|name| variants.iter().find(|variant| variant.name == name));
    named.or_else(|| variants.get(variant_of(text("email")?, variants.len())))
}

fn rates_of(person: &Map<String, Value>, params: &Params) -> Rates {
    let name = person.get("segment").and_then(Value::as_str);
    let segment = params.segments.iter().find(|segment| Some(segment.name.as_str()) == name);
    let rates = segment.map_or_else(|| params.rates.clone(), |segment| params.rates.times(&segment.times));
    variant(person, &params.variants).map_or_else(|| rates.clone(), |variant| rates.times(&variant.times))
}

/// What one person does.
fn live(person: usize, rates: &Rates, rng: &mut Rng, happened: &mut Vec<Happened>) {
    let mut add = |day: f64, event: &'static str| happened.push(Happened { day, event, person });
    // A mail that goes to nobody is counted by nobody else: without this, no rate of a simulation would be known.
    add(0.0, "email_sent");
    if rng.f64() < rates.bounce {
        return add(exponential(rng, 0.5 / 24.0), "email_bounced");
    }
    add(exponential(rng, 0.01), "email_delivered");
    let replies = rng.f64() < rates.reply;
    let opened = exponential(rng, 8.0 / 24.0);
    if replies || rng.f64() < rates.open {
        add(opened, "email_opened");
    }
    if replies {
        let answered = opened + log_normal(rng, 18.0 / 24.0, 1.0);
        add(answered, "reply");
        if rng.f64() < rates.positive {
            add(answered, "positive_reply");
            if rng.f64() < rates.meeting {
                add(answered + log_normal(rng, 1.0, 0.7), "meeting_booked");
            }
        }
    }
    if rng.f64() < rates.unsubscribe {
        add(opened + exponential(rng, 0.1), "unsubscribe");
    }
    if rng.f64() < rates.spam {
        add(opened + exponential(rng, 0.1), "spam_complaint");
    }
}

fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * (1.0 - rng.f64()).ln()
}

/// By the Box-Muller transform.
fn log_normal(rng: &mut Rng, median: f64, sigma: f64) -> f64 {
    let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos();
    median * (sigma * normal).exp()
}

/// Says what happened, in its order, as slowly as it was asked for.
async fn tell(
    job: &mut Job,
    params: &Params,
    seed: u64,
    people: &[Map<String, Value>],
    happened: &[Happened],
    stats: &mut Map<String, Value>,
) -> Result<(), Failed> {
    let mut now = 0.0;
    for (number, it) in happened.iter().enumerate() {
        let Some(person) = people.get(it.person) else { continue };
        let until = it.day.min(DAYS);
        if until > now && params.seconds_per_day > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64((until - now) * params.seconds_per_day)).await;
            now = until;
        }
        let mut event = object(json!({
            "event": it.event, "id": format!("simulation:{seed}:{}:{}", it.person, it.event), "simulation": true,
            "day": (it.day * 100.0).round() / 100.0, "segment": person.get("segment"),
        }));
        if let Some(variant) = variant(person, &params.variants) {
            event.insert("variant".to_owned(), json!(variant.name));
        }
        job.metric(Value::Object(event))?;
        let count = stats.get(it.event).and_then(Value::as_u64).unwrap_or(0) + 1;
        stats.insert(it.event.to_owned(), json!(count));
        if number % REPORT_EVERY == 0 {
            let message = format!("simulated day {:.1}", it.day);
            job.progress(number as u64, Some(happened.len() as u64), &message)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
