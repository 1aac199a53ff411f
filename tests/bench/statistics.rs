//! How often a verdict is wrong, and how soon it is there: 10,000 simulated experiments, each watched after every event.
//!
//! ```text
//! cargo bench --bench statistics
//! ```
//!
//! Under the null an experiment's share is the line itself, so that every verdict that it is beyond the line is a false alarm. Beside it stands what
//! a plain threshold does, and a test for a fixed size that is looked at after every event though it allows one look. Everything is seeded: the
//! figures are the same each time.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on ends, and prints figures")]

use fullsend::cli::output::Output;
use fullsend::experiments::statistics::{Count, LEVEL, Side, difference, evidence};

const EXPERIMENTS: u64 = 10_000;
/// Events of each experiment under the null.
const EVENTS: u64 = 2_000;
/// A plain threshold is looked at from here on.
const FROM: u64 = 100;
/// Quantiles of the normal distribution: of 95 %, and of 90 %.
const Z_LEVEL: f64 = 1.644_854;
const Z_POWER: f64 = 1.281_552;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured; run it by `cargo bench --bench statistics`");
        return;
    }
    if cfg!(debug_assertions) {
        println!("warning: this is a debug build; it takes long");
    }
    let mut rows = Vec::new();
    for line in [0.02, 0.05, 0.3] {
        for side in [Side::Below, Side::Above] {
            null(line, side, &mut rows);
        }
    }
    for line in [0.02, 0.05, 0.1] {
        power(line, &mut rows);
    }
    variants(&mut rows);
    Output::standard(false).table(["WHAT", "FOUND", "REACH"], &rows).unwrap();
}

fn null(line: f64, side: Side, rows: &mut Vec<[String; 3]>) {
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
    let share = |found: u64| format!("{:.2} %", 100.0 * count_of(found) / count_of(EXPERIMENTS));
    let what = format!("false alarms, {side:?} a line of {line}").to_lowercase();
    rows.push([what.clone(), share(alarms), "≤ 5 %".to_owned()]);
    rows.push([format!("{what}: plain threshold after {FROM}"), share(plain), String::new()]);
    rows.push([format!("{what}: fixed-size test, looked at each time"), share(peeked), String::new()]);
}

/// At half the line, within two and a half times what a test of a fixed size needs.
fn power(line: f64, rows: &mut Vec<[String; 3]>) {
    let truth = line / 2.0;
    let spread = |p: f64| (p * (1.0 - p)).sqrt();
    let fixed = ((Z_LEVEL * spread(line) + Z_POWER * spread(truth)) / (line - truth)).powi(2).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
    let most = (2.5 * fixed) as u64;
    let mut found: Vec<u64> = (0..EXPERIMENTS)
        .filter_map(|seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut count = Count { k: 0, n: 0 };
            (1..=most).find(|n| {
                count = Count { k: count.k + u64::from(rng.f64() < truth), n: *n };
                evidence(count, Side::Below, line) >= -LEVEL.ln()
            })
        })
        .collect();
    found.sort_unstable();
    rows.push([
        format!("power at half a line of {line}, within {most} events (a fixed size needs {fixed})"),
        format!("{:.3}", count_of(found.len() as u64) / count_of(EXPERIMENTS)),
        "≥ 0.9".to_owned(),
    ]);
    let median = found.get(found.len() / 2).copied().unwrap_or_default();
    rows.push([format!("half of them are found by, at half a line of {line}"), median.to_string(), String::new()]);
}

/// Two variants that do not differ.
fn variants(rows: &mut Vec<[String; 3]>) {
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
    rows.push([
        "variants told apart that do not differ".to_owned(),
        format!("{:.2} %", 100.0 * count_of(wrong) / count_of(EXPERIMENTS)),
        "≤ 5 %".to_owned(),
    ]);
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn count_of(n: u64) -> f64 {
    n as f64
}
