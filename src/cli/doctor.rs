//! `fullsend doctor`: what is wrong, and what to do about it.
//!
//! Owns the list of findings and how it reads. Every check is a module below: it looks at one thing, and what it cannot find out is
//! itself a finding. Must never mend anything; all that it writes is one echo request.

mod groups;
mod keys;
mod machine;
mod probe;
mod tools;
mod upkeep;

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::output::{FAILED, OK, Output};
use super::{Context, open};
use crate::bus::{BusError, Finding, Health, Level, SCHEMA_VERSION, SharedBus};

/// Looks for what is wrong, and says what to do about it
///
/// Looks at the settings, the bus (engine, version, durability, answers), its groups and what waits for them, its keys, the clock,
/// the disk and the home. Says one echo request on the bus. Ends with 1 if something is an error.
///
/// Example: fullsend doctor --json
#[derive(clap::Args)]
pub struct Args {}

/// Where a finding belongs, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Area {
    Settings,
    Machine,
    Bus,
    Work,
    Keys,
    Tools,
}

/// A finding and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Found {
    area: Area,
    #[serde(flatten)]
    finding: Finding,
}

/// Everything that was found out.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// How the bus is; none where it cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<Health>,
    /// The version of what the store holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<u32>,
    /// How long a confirmed write took.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_us: Option<u64>,
    /// How long until the echo service had answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    echo_us: Option<u64>,
    messages: u64,
    pending: u64,
    dead_letters: u64,
    keys: u64,
    groups: Vec<groups::Row>,
    /// How tools are shut in here.
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<crate::tools::sandbox::Level>,
    findings: Vec<Found>,
}

impl Report {
    fn add(&mut self, area: Area, level: Level, what: impl Into<String>, fix: impl Into<String>) {
        self.take(area, Finding { level, what: what.into(), fix: fix.into() });
    }

    fn take(&mut self, area: Area, finding: Finding) {
        self.findings.push(Found { area, finding });
    }

    /// A check that could not be made.
    fn failed(&mut self, area: Area, looked_at: &str, err: &BusError) {
        self.add(area, Level::Error, format!("{looked_at}: {err}"), FIX_OPEN);
    }

    fn worst(&self) -> Option<Level> {
        self.findings.iter().map(|found| found.finding.level).max()
    }
}

const FIX_OPEN: &str = "Mend what it names, and look again; `fullsend config` shows which bus is meant";

/// Looks at everything.
///
/// # Errors
/// Only where the report cannot be printed: everything else is a finding.
pub async fn run(cx: &Context) -> color_eyre::Result<ExitCode> {
    let mut report = Report::default();
    cx.config.findings().iter().for_each(|finding| report.take(Area::Settings, finding.clone()));
    if cx.config.bus.url.is_none() && !cx.config.store().exists() {
        let what = format!("there is no store in {} yet, so there is nothing to look at", cx.config.home.display());
        let place = cx.config.source("home");
        let fix = format!("Is that the home that you mean ({place})? `fullsend serve` makes the store");
        report.add(Area::Bus, Level::Warning, what, fix);
        machine::look(&cx.config, &mut report);
        tools::look(cx, &mut report).await;
        return print(report, &cx.out);
    }
    match open::bus(cx).await {
        Ok(bus) => {
            look_at(&bus, cx, &mut report).await;
            bus.close().await;
        }
        Err(err) => unopened(&err, cx, &mut report),
    }
    machine::look(&cx.config, &mut report);
    tools::look(cx, &mut report).await;
    print(report, &cx.out)
}

/// All checks that need the bus.
async fn look_at(bus: &SharedBus, cx: &Context, report: &mut Report) {
    match bus.health().await {
        Ok(health) => {
            health.findings.iter().for_each(|finding| report.take(Area::Bus, finding.clone()));
            let reachable = health.reachable;
            report.bus = Some(health);
            if !reachable {
                return;
            }
        }
        Err(err) => return report.failed(Area::Bus, "the bus", &err),
    }
    upkeep::schema(bus, report).await;
    // Before the probe, whose own message would be in the way.
    groups::look(bus, cx, report).await;
    upkeep::hold(bus, report).await;
    upkeep::lost(bus, report).await;
    upkeep::modes(bus, report).await;
    upkeep::timers(bus, cx, report).await;
    upkeep::bridge(bus, cx, report).await;
    keys::look(bus, report).await;
    probe::look(bus, cx, report).await;
}

/// The finding that the bus cannot be opened.
fn unopened(err: &color_eyre::Report, cx: &Context, report: &mut Report) {
    let what: Vec<String> = err.chain().map(ToString::to_string).collect();
    let place = cx.config.source("bus.url");
    let unreachable =
        err.chain().any(|cause| matches!(cause.downcast_ref(), Some(BusError::Unreachable(_) | BusError::NoAnswer(_))));
    let fix = match &cx.config.bus.url {
        Some(_) if unreachable => {
            format!("Start the server, or mend the URL ({place}); `--bus embedded` needs no server")
        }
        Some(_) => format!("Mend what it names, or choose another bus ({place})"),
        None => format!(
            "Look at {}; a backup goes into a fresh home by `fullsend restore FILE --home DIR`",
            cx.config.store().display()
        ),
    };
    report.add(Area::Bus, Level::Error, what.join(": "), fix);
}

// ---- the report ----------------------------------------------------------------------------------------------------------

fn print(mut report: Report, out: &Output) -> color_eyre::Result<ExitCode> {
    report.findings.sort_by_key(|found| (found.area, std::cmp::Reverse(found.finding.level)));
    let code = if report.worst() == Some(Level::Error) { FAILED } else { OK };
    if out.is_json() {
        out.json(&report)?;
        return Ok(code);
    }
    let facts = facts(&report);
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in &facts {
        out.text(&format!("{name:width$}  {value}"))?;
    }
    if !report.groups.is_empty() {
        out.text("")?;
        groups::print(&report.groups, out)?;
    }
    if let Some(level) = &report.sandbox {
        out.text(&format!("\ntools are shut in by: {}", level.line()))?;
    }
    findings(&report, out)?;
    Ok(code)
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let Some(health) = &report.bus else { return Vec::new() };
    let mut facts =
        vec![("engine", format!("{} ({})", health.engine, health.version)), ("store", health.location.clone())];
    if let Some(size) = health.size() {
        facts.push(("size", size));
    }
    facts.push(("durability", health.durability.clone()));
    facts.push((
        "schema",
        format!("{} (this program writes {SCHEMA_VERSION})", report.schema.unwrap_or(SCHEMA_VERSION)),
    ));
    facts.push((
        "holds",
        format!(
            "{} messages, {} of them pending; {} dead letters; {} keys",
            report.messages, report.pending, report.dead_letters, report.keys
        ),
    ));
    let ms = |us: u64| format!("{}.{} ms", us / 1_000, us % 1_000 / 100);
    let echo = report.echo_us.map_or_else(|| "not answered".to_owned(), |us| format!("answered after {}", ms(us)));
    if let Some(us) = report.commit_us {
        facts.push(("answers", format!("a write is confirmed after {}; echo {echo}", ms(us))));
    }
    facts
}

fn findings(report: &Report, out: &Output) -> color_eyre::Result<()> {
    let mut area = None;
    for Found { area: of, finding } in &report.findings {
        if area.replace(*of) != Some(*of) {
            let name = match of {
                Area::Settings => "settings",
                Area::Machine => "machine",
                Area::Bus => "bus",
                Area::Work => "work",
                Area::Keys => "keys",
                Area::Tools => "tools",
            };
            out.text(&format!("\n{name}"))?;
        }
        let level = match finding.level {
            Level::Note => "note   ",
            Level::Warning => "WARNING",
            Level::Error => "ERROR  ",
        };
        out.text(&format!("  {level}  {}\n           -> {}", finding.what, finding.fix))?;
    }
    match report.worst() {
        None | Some(Level::Note) => out.text("\neverything is fine"),
        Some(_) => {
            let count = |level| report.findings.iter().filter(|found| found.finding.level == level).count();
            out.text(&format!("\n{} errors, {} warnings", count(Level::Error), count(Level::Warning)))
        }
    }
}

/// How long something lasts, as people say it.
fn long(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} minutes", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} hours", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
