//! `fullsend screenshot`: a picture of a screen of the control room, as SVG or as text.
//!
//! The frame is the one that the room draws, of a recording or of what is on the bus now. Changes nothing.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use color_eyre::eyre::eyre;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::output::{OK, Usage};
use super::{Context, replay, room};
use crate::bus::SharedBus;
use crate::contracts::TraceId;
use crate::tui::app::About;
use crate::tui::feed::{self, Feed, QUEUE};
use crate::tui::picture::{self, Scene};
use crate::tui::screens::Screen;
use crate::tui::store::{Caps, Item, Store};

/// How long the bus is given to say all that it has.
const LONGEST: Duration = Duration::from_secs(10);
/// Where nothing came for so long, all of it is there.
const QUIET: Duration = Duration::from_millis(400);

/// Draws a screen of the control room as SVG
///
/// The real frame, of a recording (`--from FILE`) at its end or at a moment of it, or of what is on the bus now. `--press` presses keys
/// first, so that a layer or another line is shown.
///
/// Example: fullsend screenshot deck --size 160x48 --theme dark --from launch.recording
#[derive(clap::Args)]
pub struct Args {
    /// The screen: deck, channels, mind, experiments, notes, alerts, builds, roundtable, trace or system
    #[arg(value_parser = screen)]
    pub screen: Screen,

    /// Columns and rows
    #[arg(long, default_value = "160x48", value_name = "WIDTHxHEIGHT", value_parser = size)]
    pub size: (u16, u16),

    /// A theme of `fullsend themes`
    #[arg(long, default_value = "dark", value_name = "NAME")]
    pub theme: String,

    /// A recording instead of the bus
    #[arg(id = "source", long = "from", value_name = "FILE")]
    pub from: Option<PathBuf>,

    /// A moment of the recording: a time, or how long after its beginning (`+2m`); without it, its end
    #[arg(long, value_name = "TIME|+DURATION", requires = "source")]
    pub at: Option<String>,

    /// The chain that Trace shows; without it, the one with the most messages
    #[arg(long, value_name = "ID")]
    pub trace: Option<TraceId>,

    /// Keys that are pressed first, as `fullsend keys` writes them
    #[arg(long, value_name = "KEYS")]
    pub press: Option<String>,

    /// As text, without colours
    #[arg(long)]
    pub text: bool,
}

fn screen(text: &str) -> Result<Screen, String> {
    let found = Screen::ALL.into_iter().find(|screen| screen.title().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let names: Vec<_> = Screen::ALL.iter().map(|screen| screen.title().to_lowercase()).collect();
        format!("there is no such screen; there are {}", names.join(", "))
    })
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let read = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    read.filter(|(width, height)| (1..=500).contains(width) && (1..=200).contains(height))
        .ok_or_else(|| "write it like 160x48; the most is 500x200".to_owned())
}

/// Draws it.
///
/// # Errors
/// Where the recording or the bus cannot be read, or there is no such theme or key.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let (about, store, at) = match &args.from {
        Some(file) => {
            let recording = replay::opened(file, cx)?;
            let at = args.at.as_deref().map(|text| replay::moment(text, &recording, "--at")).transpose()?;
            let at = at.unwrap_or(recording.span().1);
            let about = recording.head.about();
            let (mut store, trace) = (crate::tui::replay::store_at(&recording, Caps::DEFAULT, at), args.trace);
            if args.screen == Screen::Trace {
                crate::tui::replay::follow(&mut store, &recording, at, trace);
            }
            (about, store, at)
        }
        None => super::runtime()?.block_on(live(args, cx))?,
    };
    let press = args.press.as_deref().unwrap_or_default();
    let scene = Scene { screen: args.screen, size: args.size, theme: &args.theme, press };
    let model = picture::model(about, store, at, &scene).map_err(|why| Usage(why.to_string()))?;
    let cells = picture::cells(&model)?;
    let drawn = if args.text {
        picture::text(&cells)
    } else {
        picture::svg(&cells, &format!("{} of fullsend", args.screen.title()))
    };
    cx.out.verbatim(&drawn)?;
    Ok(OK)
}

/// What is on the bus now.
async fn live(args: &Args, cx: &Context) -> color_eyre::Result<(About, Store, DateTime<Utc>)> {
    let bus = super::open::bus(cx).await?;
    let about = room::about(cx, &bus, false, None).await?;
    let mut store = filled(&bus, cx).await?;
    if args.screen == Screen::Trace
        && let Some(trace) = args.trace.or_else(|| store.longest_chain())
    {
        store.follow(trace);
        store.apply(Item::Chain(Box::new(feed::chain::read(&bus, trace, feed::chain::Bounds::DEFAULT).await?)));
    }
    bus.close().await;
    Ok((about, store, cx.clock.now()))
}

/// A store that has taken in all that the bus has to say at first.
async fn filled(bus: &SharedBus, cx: &Context) -> color_eyre::Result<Store> {
    let (queue, mut items) = mpsc::channel(QUEUE);
    let stop = CancellationToken::new();
    let fed = tokio::spawn(Feed { bus: Arc::clone(bus), clock: Arc::clone(&cx.clock), queue }.run(stop.clone()));
    let mut store = Store::new(Caps::DEFAULT);
    store.tick(cx.clock.now());
    let all = async {
        loop {
            match timeout(QUIET, items.recv()).await {
                Ok(Some(batch)) => batch.into_iter().for_each(|item| store.apply(item)),
                Ok(None) => return,
                // Documents come after the messages.
                Err(_) if store.is_filled && store.has_documents() => return,
                Err(_) => {}
            }
        }
    };
    let came = timeout(LONGEST, all).await;
    stop.cancel();
    fed.await.ok();
    if came.is_err() && !store.is_filled {
        return Err(eyre!(
            "the bus did not say what it has within {} s; `fullsend doctor` says more",
            LONGEST.as_secs()
        ));
    }
    Ok(store)
}
