//! How often a verdict is wrong, and how soon it is there: 10,000 simulated experiments, each watched after every event.
//!
//! ```text
//! cargo bench --bench statistics
//! ```
//!
//! Under the null an experiment's share is the line itself, so that every verdict that it is beyond the line is a false alarm. Beside it stands what
//! a plain threshold does, and a test for a fixed size that is looked at after every event though it allows one look. Answers take their time, and
//! follow-ups bring more of them: both are simulated as well, looked at every hour. Everything is seeded: the figures are the same each time, and where
//! one is beyond its reach the bench fails.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on ends, and prints figures")]

use fullsend::cli::output::Output;
use fullsend::experiments::statistics::{Count, LEVEL, Side, Tally, difference, evidence};

const EXPERIMENTS: u64 = 10_000;
/// Experiments that are looked at every hour.
const ROUNDS: u64 = 1_000;
/// Events of each experiment under the null.
const EVENTS: u64 = 2_000;
/// A plain threshold is looked at from here on.
const FROM: u64 = 100;
/// Quantiles of the normal distribution: of 95 %, and of 90 %.
const Z_LEVEL: f64 = 1.644_854;
const Z_POWER: f64 = 1.281_552;
/// Hours of a week, for which answers are waited.
const WINDOW: u64 = 7 * 24;
/// Hours for which is looked.
const WATCHED: u64 = 2 * WINDOW;

/// What was found, and whether it reaches what it should.
#[derive(Default)]
struct Found {
    rows: Vec<[String; 3]>,
    missed: Vec<String>,
}

impl Found {
    fn row(&mut self, what: impl Into<String>, found: String) {
        self.rows.push([what.into(), found, String::new()]);
    }

    fn at_most(&mut self, what: impl Into<String>, share: f64, most: f64) {
        let what = what.into();
        if share > most {
            self.missed.push(what.clone());
        }
        self.rows.push([what, format!("{:.2} %", share * 100.0), format!("≤ {} %", most * 100.0)]);
    }

    fn at_least(&mut self, what: impl Into<String>, share: f64, least: f64) {
        let what = what.into();
        if share < least {
            self.missed.push(what.clone());
        }
        self.rows.push([what, format!("{share:.3}"), format!("≥ {least}")]);
    }
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured; run it by `cargo bench --bench statistics`");
        return;
    }
    if cfg!(debug_assertions) {
        println!("warning: this is a debug build; it takes long");
    }
    let mut found = Found::default();
    for line in [0.02, 0.05, 0.3] {
        for side in [Side::Below, Side::Above] {
            null(line, side, &mut found);
        }
    }
    for line in [0.02, 0.05, 0.1] {
        power(line, &mut found);
    }
    variants(&mut found);
    for (line, batches, each) in [(0.05, 1, 400), (0.08, 2, 200), (0.12, 1, 150), (0.05, 10, 40)] {
        young(line, batches, each, &mut found);
    }
    followed(&mut found);
    Output::standard(false).table(["WHAT", "FOUND", "REACH"], &found.rows).unwrap();
    assert!(found.missed.is_empty(), "beyond their reach: {:#?}", found.missed);
}

/// Above 0, to 1.
fn uniform(rng: &mut fastrand::Rng) -> f64 {
    1.0 - rng.f64()
}

/// When somebody answers, in hours after the mail, as `simulated_audience` has it: some time after it was opened.
fn answers_after(rng: &mut fastrand::Rng) -> f64 {
    let opened = -8.0 * uniform(rng).ln();
    let normal = (-2.0 * uniform(rng).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
    opened + 18.0 * normal.exp()
}

/// Whether a share is ever taken to be below its line, looked at every hour. `people` are the hours at which each was written to, and at which each
/// answered, if ever.
fn falls(people: &[(u64, Option<f64>)], line: f64, settles: u64) -> bool {
    (0..WATCHED).any(|hour| {
        let sent = people.iter().filter(|(at, _)| *at <= hour);
        let (mut k, mut n, mut settled) = (0, 0, 0);
        for (at, answered) in sent {
            n += 1;
            k += u64::from(answered.is_some_and(|answered| answered <= count_of(hour)));
            settled += u64::from(at + settles <= hour);
        }
        let tally = Tally { count: Count { k, n }, settled };
        evidence(tally.highest(), Side::Below, line) >= -LEVEL.ln()
    })
}

/// Messages that are young: the share that answers within the window is the line, and at first nobody could answer yet.
fn young(line: f64, batches: u64, each: u64, found: &mut Found) {
    let alarms = |settles: u64| {
        let falls = |seed: &u64| {
            let mut rng = fastrand::Rng::with_seed(*seed);
            let mut person = |batch: u64| {
                let answers = rng.f64() < line;
                // What comes after the window is no answer to what is asked.
                let after =
                    std::iter::repeat_with(|| answers_after(&mut rng)).find(|after| *after < count_of(WINDOW) - 1.0);
                (24 * batch, after.filter(|_| answers).map(|after| count_of(24 * batch) + after))
            };
            let people: Vec<_> = (0..batches * each).map(|number| person(number / each)).collect();
            falls(&people, line, settles)
        };
        count_of((0..ROUNDS).filter(falls).count() as u64) / count_of(ROUNDS)
    };
    let what = format!("false alarms below a line of {line}, {batches} x {each} messages, answers take their time");
    found.at_most(what.clone(), alarms(WINDOW), LEVEL);
    found.row(format!("{what}: taken for unanswered after a day"), format!("{:.2} %", alarms(24) * 100.0));
}

/// Follow-ups: people are counted, so that those who answer the second mail add to the share, and the second mail takes nothing from it.
fn followed(found: &mut Found) {
    let (first, second, line) = (0.05, 0.015, 0.05);
    let falls = |seed: &u64| {
        let mut rng = fastrand::Rng::with_seed(*seed);
        let people: Vec<_> = (0..600)
            .map(|_| {
                let after = answers_after(&mut rng);
                let answered = if rng.f64() < first {
                    Some(after)
                } else if rng.f64() < second {
                    Some(4.0 * 24.0 + after)
                } else {
                    None
                };
                (0, answered)
            })
            .collect();
        falls(&people, line, WINDOW)
    };
    let share = count_of((0..ROUNDS).filter(falls).count() as u64) / count_of(ROUNDS);
    found.at_most(format!("false alarms below a line of {line}, 600 people, a follow-up on day 4"), share, LEVEL);
}

fn null(line: f64, side: Side, found: &mut Found) {
    let (mut alarms, mut plain, mut peeked) = (0, 0, 0);
    for seed in 0..EXPERIMENTS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut count = Count { k: 0, n: 0 };
        let (mut alarm, mut beyond, mut rejected) = (false, false, false);
        for n in 1..=EVENTS {
            count = Count { k: count.k + u64::from(rng.f64() < line), n };
            alarm = alarm || evidence(count, side, line) >= -LEVEL.ln();
            let distance = (count.share().unwrap() - line) * if side == Side::Above { 1.0 } else { -1.0 };
            beyond = beyond || (n >= FROM && distance > 0.0);
            rejected = rejected || (n >= FROM && distance / (line * (1.0 - line) / count_of(n)).sqrt() > Z_LEVEL);
        }
        alarms += u64::from(alarm);
        plain += u64::from(beyond);
        peeked += u64::from(rejected);
    }
    let share = |alarms: u64| format!("{:.2} %", 100.0 * count_of(alarms) / count_of(EXPERIMENTS));
    let what = format!("false alarms, {side:?} a line of {line}").to_lowercase();
    found.at_most(what.clone(), count_of(alarms) / count_of(EXPERIMENTS), LEVEL);
    found.row(format!("{what}: plain threshold after {FROM}"), share(plain));
    found.row(format!("{what}: fixed-size test, looked at each time"), share(peeked));
}

/// At half the line, within two and a half times what a test of a fixed size needs.
fn power(line: f64, found: &mut Found) {
    let truth = line / 2.0;
    let spread = |p: f64| (p * (1.0 - p)).sqrt();
    let fixed = ((Z_LEVEL * spread(line) + Z_POWER * spread(truth)) / (line - truth)).powi(2).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
    let most = (2.5 * fixed) as u64;
    let mut times: Vec<u64> = (0..EXPERIMENTS)
        .filter_map(|seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut count = Count { k: 0, n: 0 };
            (1..=most).find(|n| {
                count = Count { k: count.k + u64::from(rng.f64() < truth), n: *n };
                evidence(count, Side::Below, line) >= -LEVEL.ln()
            })
        })
        .collect();
    times.sort_unstable();
    let what = format!("power at half a line of {line}, within {most} events (a fixed size needs {fixed})");
    found.at_least(what, count_of(times.len() as u64) / count_of(EXPERIMENTS), 0.9);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    found.row(format!("half of them are found by, at half a line of {line}"), median.to_string());
}

/// Two variants that do not differ.
fn variants(found: &mut Found) {
    let told_apart = |seed: &u64| {
        let mut rng = fastrand::Rng::with_seed(*seed);
        let mut arms = [Count { k: 0, n: 0 }; 2];
        (0..EVENTS).any(|_| {
            let arm = &mut arms[usize::from(rng.bool())];
            *arm = Count { k: arm.k + u64::from(rng.f64() < 0.05), n: arm.n + 1 };
            difference(arms[0], arms[1]) >= -LEVEL.ln()
        })
    };
    let wrong = (0..EXPERIMENTS).filter(told_apart).count() as u64;
    found.at_most("variants told apart that do not differ", count_of(wrong) / count_of(EXPERIMENTS), LEVEL);
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn count_of(n: u64) -> f64 {
    n as f64
}
