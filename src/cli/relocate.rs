//! `fullsend move`: everything on one bus, to another.
//!
//! Owns the check that both hold the same afterwards. Must never change a message of the bus that it moves from, nor the settings.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::Section;
use color_eyre::eyre::{WrapErr, bail, eyre};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::output::{OK, Usage};
use super::{Context, open};
use crate::bus::bridge::Bridge;
use crate::bus::leased::Singleton;
use crate::bus::retention::{RetentionPolicy, Trimmer};
use crate::bus::timers::Timers;
use crate::bus::{BusError, SharedBus, backup};
use crate::config::{Config, Source};
use crate::contracts::{ChannelKind, ChannelName};
use crate::telemetry::{self, redact};

/// A consumer that gave a sign of life within this time is running.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// A lease is asked for, to see whether somebody holds it, and would be held no longer than this.
const ASKED: Duration = Duration::from_secs(1);
/// Progress is told every so many records.
const TELL: u64 = 100_000;

/// Moves everything on the bus to another bus
///
/// From the bus of the settings to the one named by `--to`, which must be empty: the embedded engine to Redis, back, or to another
/// server. Both are compared afterwards. The old bus stays as it is, and the settings too: the last lines say what to change.
///
/// Example: fullsend move --to embedded
#[derive(clap::Args)]
pub struct Args {
    /// Where to: `embedded`, or a URL
    #[arg(long, value_name = "URL")]
    pub to: SecretString,

    /// Move although programs are running on the bus; what they do meanwhile may be missing
    #[arg(long)]
    pub force: bool,
}

/// Moves.
///
/// # Errors
/// Where somebody is running on the bus, one of both cannot be used, the target is not empty, or they differ afterwards.
pub async fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let url = args.to.expose_secret();
    if let Some(password) = redact::password(url) {
        telemetry::register(&password.into());
    }
    let target = (url != EMBEDDED).then_some(&args.to);
    let advice = advice(&cx.config, target.map(|_| redact::patterns(url)).as_deref());
    let from = open::bus(cx).await?;
    let moved = match open::at(cx, target).await {
        Ok(to) => {
            let moved = relocate(&from, &to, cx, args.force, &advice).await;
            to.close().await;
            moved
        }
        Err(report) => Err(report.wrap_err("the bus to move to cannot be used")),
    };
    from.close().await;
    moved
}

/// How the embedded engine is asked for.
const EMBEDDED: &str = "embedded";

async fn relocate(
    from: &SharedBus,
    to: &SharedBus,
    cx: &Context,
    force: bool,
    advice: &str,
) -> color_eyre::Result<ExitCode> {
    let (here, there) = (from.health().await?, to.health().await?);
    if (here.engine, &here.location) == (there.engine, &there.location) && here.engine != "memory" {
        bail!(Usage(format!("the bus is on {} ({}) already", here.engine, here.location)));
    }
    let running = running(from, cx).await?;
    if !running.is_empty() && !force {
        return Err(eyre!("the bus is in use: {}", running.join("; ")))
            .suggestion("Stop `fullsend serve` everywhere and wait five seconds, or go on with `--force`");
    }
    let tell = |count: u64| {
        if count.is_multiple_of(TELL) {
            cx.out.remark(&format!("{count} moved"));
        }
    };
    let sent = match backup::copy(from, to, tell).await {
        Err(err @ BusError::NotEmpty(_)) => return Err(err.into()),
        copied => copied
            .wrap_err("not everything was moved; the old bus is as it was")
            .suggestion("The new one may hold a part: empty it before the next attempt")?,
    };
    compare(from, to, cx, &sent).await?;
    if cx.out.is_json() {
        cx.out.json(&json!({
            "from": { "engine": here.engine, "location": here.location },
            "to": { "engine": there.engine, "location": there.location },
            "counts": sent.counts, "records": sent.counts.total(), "next": advice,
        }))?;
    } else {
        let (old, new) = (here.location, there.location);
        cx.out.text(&format!(
            "moved {} from {} ({old}) to {} ({new}); both hold the same\n{advice}",
            sent.counts, here.engine, there.engine
        ))?;
    }
    Ok(OK)
}

/// Whether both hold what was sent.
async fn compare(from: &SharedBus, to: &SharedBus, cx: &Context, sent: &backup::Tally) -> color_eyre::Result<()> {
    let arrived = backup::tally(to).await.wrap_err("what arrived cannot be read")?;
    if let Some(difference) = sent.difference(&arrived, cx.clock.now()) {
        return Err(eyre!("what arrived is not what was sent: {difference}"))
            .suggestion("Use the old bus on, which is as it was; this is a defect, please report it");
    }
    let left = backup::tally(from).await.wrap_err("the old bus cannot be read again")?;
    if let Some(difference) = sent.difference(&left, cx.clock.now()) {
        return Err(eyre!("the old bus has changed while it was moved: {difference}"))
            .suggestion("Stop whatever runs on it, empty the new one, and move again");
    }
    Ok(())
}

/// Who is running on the bus, each in words. Asking for a lease that nobody holds raises its number, and nothing else.
async fn running(bus: &SharedBus, cx: &Context) -> Result<Vec<String>, BusError> {
    let mut found = Vec::new();
    let owner = cx.ids.next(cx.clock.now()).to_string();
    let mut slots = std::collections::BTreeSet::new();
    for channel in ChannelName::ALL.iter().copied().filter(|channel| channel.route().kind == ChannelKind::Work) {
        for group in bus.inspect(channel).await?.groups {
            for consumer in group.consumers {
                if consumer.idle < SIGN_OF_LIFE {
                    let ago = consumer.idle.as_millis();
                    found.push(format!("`{}` worked on {channel} {ago} ms ago", consumer.consumer));
                } else {
                    slots.insert(format!("slot:{}", consumer.consumer));
                }
            }
        }
    }
    slots.extend(singletons(bus, cx).map(str::to_owned));
    for lease in slots {
        match bus.lease(&lease, &owner, ASKED).await? {
            Some(_) => bus.unlease(&lease, &owner).await?,
            None => found.push(format!("somebody holds the lease `{lease}`")),
        }
    }
    Ok(found)
}

/// The leases of what runs once.
fn singletons(bus: &SharedBus, cx: &Context) -> [&'static str; 3] {
    let (clock, ids) = (|| Arc::clone(&cx.clock), || Arc::clone(&cx.ids));
    let policy = RetentionPolicy::default();
    [
        Bridge { bus: Arc::clone(bus), clock: clock(), ids: ids() }.lease(),
        Timers { bus: Arc::clone(bus), clock: clock() }.lease(),
        Trimmer { bus: Arc::clone(bus), policy, clock: clock(), ids: ids() }.lease(),
    ]
}

/// What to change so that the program uses the new bus. `url` is without its password; none for the embedded engine.
fn advice(config: &Config, url: Option<&str>) -> String {
    let shown = url.unwrap_or(EMBEDDED);
    let hidden = if shown.contains("***") { "\n(with the password in the place of ***)" } else { "" };
    let line = format!("url = \"{shown}\"");
    let change = match config.source("bus.url") {
        Source::File { path, line: number, .. } => {
            format!("put this into line {number} of {}, in the section [bus]:\n  {line}", path.display())
        }
        Source::Env(name) => match url {
            Some(_) => format!("set this in the environment:\n  {name}={shown}"),
            None => format!("take {name} out of the environment, or set it:\n  {name}={EMBEDDED}"),
        },
        Source::Flag(name) => format!("from now on give the flag:\n  {name} {shown}"),
        Source::Default => match &config.file {
            Some(path) => format!("put this into {}:\n  [bus]\n  {line}", path.display()),
            None => {
                format!("put this into fullsend.toml:\n  [bus]\n  {line}\nor set REDIS_URL={shown} in the environment")
            }
        },
    };
    let home = match (url, config.source("home")) {
        (None, Source::Flag(name)) => format!("\nand keep {name} {}: the store is in it", config.home.display()),
        _ => String::new(),
    };
    format!(
        "to use the new bus, {change}{hidden}{home}\nthe old one is as it was; remove it when you no longer need it"
    )
}

#[cfg(test)]
mod tests;
