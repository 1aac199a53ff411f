//! `fullsend bench bus`: how fast the bus is here, as ratios to a floor measured in the same run.
//!
//! A floor is the plainest program that does the same with the same store: a blocking client, no async runtime. Its absolute
//! figures are printed too, so that a floor that is slow by mistake shows. Must never touch the real data: it works under a prefix,
//! or in a folder, of its own, and removes it.

pub mod floor_redis;
pub mod floor_sqlite;
pub mod ours;
pub mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use color_eyre::eyre::WrapErr;
use secrecy::{ExposeSecret, SecretString};

use super::Context;
use super::output::OK;
use crate::bus::SharedBus;
use crate::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use crate::bus::redis::{RedisBus, RedisOptions};
use crate::contracts::Clock;
use report::{Comparison, Figure};

/// Measures how fast the bus is here
///
/// Sends, handles and relays messages on the bus of the settings, and prints each figure beside its floor: the same done with bare
/// commands by a blocking client in the same run. Works under a name of its own and leaves nothing behind.
///
/// Example: fullsend bench bus
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Sending, handling and relaying
    Bus {
        /// Fewer messages: quicker, and less steady
        #[arg(long)]
        quick: bool,

        /// Only the figures whose names hold this
        #[arg(long, value_name = "TEXT", default_value = "")]
        only: String,
    },
}

const SEND_ONE: &str = "send, one in flight";
const SEND_MANY: &str = "send with idempotency key, 64 in flight";
const CONSUME: &str = "read, handle, commit; one worker";
const RELAY_ONE: &str = "relay chain, one in flight";
const RELAY_FLOOD: &str = "relay chain, flooded";

/// How many messages each part takes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// One at a time.
    pub single: usize,
    /// In a flood.
    pub flood: usize,
}

impl Sizes {
    /// Enough for steady figures.
    pub const FULL: Self = Self { single: 5_000, flood: 100_000 };
    /// Enough for a look.
    pub const QUICK: Self = Self { single: 500, flood: 10_000 };
}

/// Measures, and prints the figures.
///
/// # Errors
/// Where the bus cannot be used.
pub async fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let What::Bus { quick, only } = &args.what;
    let sizes = if *quick { Sizes::QUICK } else { Sizes::FULL };
    let rows = if let Some(url) = &cx.config.bus.url {
        redis(url, cx.config.bus.ca.clone(), Arc::clone(&cx.clock), sizes, only).await?
    } else {
        cx.config.make_home()?;
        let folder = cx.config.home.join(format!("bench-{}", std::process::id()));
        let rows = embedded(&folder, Arc::clone(&cx.clock), sizes, only).await;
        std::fs::remove_dir_all(&folder).wrap_err_with(|| format!("{} could not be removed", folder.display()))?;
        rows?
    };
    if cx.out.is_json() {
        cx.out.json(&rows)?;
    } else {
        cx.out.table(Comparison::HEADINGS, &rows.iter().map(Comparison::cells).collect::<Vec<_>>())?;
    }
    Ok(OK)
}

/// All figures of the redis engine, beside those of a blocking client on the same server. Taken by a task, as services are.
///
/// # Errors
/// Where the server cannot be used.
pub async fn redis(
    url: &SecretString,
    ca_file: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    sizes: Sizes,
    only: &str,
) -> color_eyre::Result<Vec<Comparison>> {
    tokio::spawn(redis_rows(url.clone(), ca_file, clock, sizes, only.to_owned())).await?
}

async fn redis_rows(
    url: SecretString,
    ca_file: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    sizes: Sizes,
    only: String,
) -> color_eyre::Result<Vec<Comparison>> {
    let only = only.as_str();
    let prefix = format!("bench-{}:", std::process::id());
    let mut floor = floor_redis::Floor::open(url.expose_secret(), &prefix)?;
    let options =
        RedisOptions { prefix: prefix.clone(), ca_file, ..RedisOptions::new(url.expose_secret(), Arc::clone(&clock)) };
    let bus: SharedBus = Arc::new(RedisBus::connect(options).await?);
    let mut rows = Vec::new();
    if SEND_ONE.contains(only) {
        let plain = tokio::task::block_in_place(|| floor.send_one_by_one(sizes.single))?;
        let own = ours::send_one_by_one(&bus, &clock, sizes.single).await?;
        rows.push(Comparison::times(SEND_ONE, plain, own, "p50 ≤ 3 × floor, ≤ 0.15 ms"));
    }
    if SEND_MANY.contains(only) {
        let plain = tokio::task::block_in_place(|| floor.send_pipelined(sizes.flood, 64))?;
        let own = ours::send_many(&bus, &clock, sizes.flood, 64).await?;
        rows.push(Comparison::rates(SEND_MANY, plain, own, "≥ 25 % of floor, ≥ 40,000/s"));
    }
    if CONSUME.contains(only) {
        let one = tokio::task::block_in_place(|| floor.consume(sizes.flood, 1))?;
        let batched = tokio::task::block_in_place(|| floor.consume(sizes.flood, 32))?;
        let own = ours::consume(&bus, &clock, sizes.flood).await?;
        rows.push(Comparison::rates(CONSUME, one, own, "≥ 40 % of floor, ≥ 40,000/s"));
        rows.push(Comparison::rates("the same; floor 32 at a time", batched, own, "(for comparison)"));
    }
    if RELAY_ONE.contains(only) {
        let plain = tokio::task::block_in_place(|| floor.relay(sizes.single, 1))?.times;
        let (own, _) = ours::relay(&bus, &clock, sizes.single, 1).await?;
        rows.push(Comparison::times(RELAY_ONE, plain, own, "p50 ≤ 2 × floor, p99 ≤ 3 × floor"));
    }
    if RELAY_FLOOD.contains(only) {
        let plain = tokio::task::block_in_place(|| floor.relay(sizes.flood / 4, 64))?.rate;
        let (_, own) = ours::relay(&bus, &clock, sizes.flood / 4, 64).await?;
        rows.push(Comparison::rates(RELAY_FLOOD, plain, own, "≥ 50 % of floor"));
    }
    bus.close().await;
    floor.remove_everything()?;
    Ok(rows)
}

/// All figures of the embedded engine, beside those of plain SQLite in the same folder. Taken by a task, as services are.
///
/// # Errors
/// Where the folder cannot be used.
pub async fn embedded(
    folder: &Path,
    clock: Arc<dyn Clock>,
    sizes: Sizes,
    only: &str,
) -> color_eyre::Result<Vec<Comparison>> {
    tokio::spawn(embedded_rows(folder.to_owned(), clock, sizes, only.to_owned())).await?
}

async fn embedded_rows(
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    sizes: Sizes,
    only: String,
) -> color_eyre::Result<Vec<Comparison>> {
    let only = only.as_str();
    crate::config::private_folder(&folder)?;
    let options = EmbeddedOptions::new(folder.join("bench.db"), Arc::clone(&clock));
    let bus: SharedBus = Arc::new(tokio::task::block_in_place(|| EmbeddedBus::open(options))?);
    let mut floor = floor_sqlite::Floor::open(&folder.join("floor.db"))?;
    let mut rows = Vec::new();
    if SEND_MANY.contains(only) {
        let plain = tokio::task::block_in_place(|| floor.send(sizes.flood, 64))?;
        let own = ours::send_many(&bus, &clock, sizes.flood, 64).await?;
        rows.push(Comparison::rates(SEND_MANY, plain, own, "≥ 50 % of floor (64 rows a transaction)"));
    }
    if CONSUME.contains(only) {
        let plain = tokio::task::block_in_place(|| floor.consume(sizes.flood, 32))?;
        let own = ours::consume(&bus, &clock, sizes.flood).await?;
        rows.push(Comparison::rates(CONSUME, plain, own, "(for comparison; floor 32 at a time)"));
    }
    if RELAY_ONE.contains(only) {
        let plain = tokio::task::block_in_place(|| floor.relay(sizes.single, 1))?.times;
        let (own, _) = ours::relay(&bus, &clock, sizes.single, 1).await?;
        rows.push(Comparison::times(RELAY_ONE, plain, own, "p50 ≤ 0.25 ms"));
    }
    if RELAY_FLOOD.contains(only) {
        let plain = tokio::task::block_in_place(|| floor.relay(sizes.flood / 4, 64))?.rate;
        let (_, own) = ours::relay(&bus, &clock, sizes.flood / 4, 64).await?;
        rows.push(Comparison::rates(RELAY_FLOOD, plain, own, "≥ 15,000/s"));
    }
    bus.close().await;
    Ok(rows)
}

/// The p50 and p99 of durations in seconds.
pub fn quantiles(mut times: Vec<f64>) -> Figure {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = (times.len() as f64 * share) as usize;
        times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    Figure { p50: at(0.5), p99: at(0.99) }
}
