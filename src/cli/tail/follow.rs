//! What comes: new entries and notices, also over times when the bus is away.

use std::future::Future;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Context, Plan, line};
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, Entry, EntryId, Heard, Listener, SharedBus};
use crate::cli::output::Output;
use crate::contracts::{ChannelName, keys};

/// How long one question for news waits.
const WAIT: Duration = Duration::from_secs(5);
/// Entries of a channel that one answer may hold.
const LIMIT: usize = 256;
/// News that wait to be shown.
const QUEUE: usize = 64;

/// Something to show, or to say about the showing.
enum Event {
    Entries(Vec<Entry>),
    Notice(Heard),
    /// The bus cannot be reached by this reader.
    Away(Reader, BusError),
    Back(Reader),
    /// So many notices came faster than they could be heard.
    Missed(u64),
    /// The channel cannot be read.
    LeftOut(ChannelName, BusError),
    /// Nothing more can come.
    Failed(BusError),
}

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Entries,
    Notices,
}

/// What comes from the bus, as one queue. The readers end when it is dropped.
pub(super) struct News {
    bus: SharedBus,
    queue: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    readers: Mutex<JoinSet<()>>,
}

impl News {
    pub(super) fn new(bus: &SharedBus) -> Self {
        let (queue, events) = mpsc::channel(QUEUE);
        Self { bus: bus.clone(), queue, events, readers: Mutex::default() }
    }

    /// Starts to listen for notices.
    pub(super) fn hear(&self, channels: &[ChannelName]) {
        if !channels.is_empty() {
            self.start(hear(self.bus.clone(), channels.to_vec(), self.queue.clone()));
        }
    }

    /// Starts to read what comes after the cursors.
    pub(super) fn watch(&self, cursors: Vec<(ChannelName, EntryId)>) {
        if !cursors.is_empty() {
            self.start(watch(self.bus.clone(), cursors, self.queue.clone()));
        }
    }

    /// A reader that finds the queue gone has nobody left to read for.
    fn start(&self, reader: impl Future<Output = Option<()>> + Send + 'static) {
        let reader = async {
            let _gone = reader.await;
        };
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).spawn(reader);
    }
}

/// Shows what comes, until `stop` is cancelled.
pub(super) async fn show(plan: &Plan, cx: &Context, news: News, stop: &CancellationToken) -> color_eyre::Result<()> {
    let News { mut events, queue, readers: _readers, .. } = news;
    // Only the readers hold the queue: when they have all ended, so has the news.
    drop(queue);
    let mut away: Vec<Reader> = Vec::new();
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            event = events.recv() => event,
        };
        match event {
            Some(Event::Entries(entries)) => {
                for entry in &entries {
                    line::show(plan, cx, &line::Shown::stored(entry))?;
                }
            }
            Some(Event::Notice(heard)) => line::show(plan, cx, &line::Shown::heard(&heard))?,
            Some(Event::Away(reader, err)) => {
                if away.is_empty() {
                    say_away(&cx.out, &err);
                }
                away.push(reader);
            }
            Some(Event::Back(reader)) => {
                away.retain(|gone| *gone != reader);
                if away.is_empty() {
                    say_back(&cx.out, !plan.notices.is_empty());
                }
            }
            Some(Event::Missed(count)) => {
                cx.out.remark(&format!("warning: {count} notices came faster than they could be shown"));
            }
            Some(Event::LeftOut(channel, err)) => cx.out.remark(&format!("warning: {channel} is left out: {err}")),
            Some(Event::Failed(err)) => return Err(err.into()),
            None => return Ok(()),
        }
    }
}

fn say_away(out: &Output, err: &BusError) {
    out.remark(&format!("warning: {err}; it is tried again"));
}

fn say_back(out: &Output, with_notices: bool) {
    let notices = if with_notices { "; notices of the meantime are lost" } else { "" };
    out.remark(&format!("the bus is back; going on from where it was{notices}"));
}

/// The channels whose stream the error is about: their key holds something else.
pub(super) fn left_out(err: &BusError) -> Vec<ChannelName> {
    let BusError::ForeignType { key, .. } = err else { return Vec::new() };
    ChannelName::ALL.iter().copied().filter(|channel| key.ends_with(&keys::stream(*channel))).collect()
}

async fn watch(bus: SharedBus, mut cursors: Vec<(ChannelName, EntryId)>, queue: mpsc::Sender<Event>) -> Option<()> {
    let mut backoff = Backoff::quick();
    let mut away = false;
    while !cursors.is_empty() {
        match bus.watch(&cursors, LIMIT, WAIT).await {
            Ok(entries) => {
                if std::mem::take(&mut away) {
                    backoff.reset();
                    queue.send(Event::Back(Reader::Entries)).await.ok()?;
                }
                for (channel, cursor) in &mut cursors {
                    let newest = entries.iter().filter(|entry| entry.channel == *channel).map(|entry| entry.id).max();
                    *cursor = newest.unwrap_or(*cursor);
                }
                if !entries.is_empty() {
                    queue.send(Event::Entries(entries)).await.ok()?;
                }
            }
            Err(err) if err.is_passing() => {
                if !std::mem::replace(&mut away, true) {
                    queue.send(Event::Away(Reader::Entries, err)).await.ok()?;
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
            Err(err) => {
                let lost = left_out(&err);
                let before = cursors.len();
                cursors.retain(|(channel, _)| !lost.contains(channel));
                if cursors.len() == before {
                    queue.send(Event::Failed(err)).await.ok()?;
                    return None;
                }
                for channel in lost {
                    queue.send(Event::LeftOut(channel, err.clone())).await.ok()?;
                }
            }
        }
    }
    None
}

async fn hear(bus: SharedBus, channels: Vec<ChannelName>, queue: mpsc::Sender<Event>) -> Option<()> {
    let mut backoff = Backoff::quick();
    let mut away = false;
    loop {
        let lost = match bus.listen(&channels).await {
            Ok(listener) => {
                if std::mem::take(&mut away) {
                    backoff.reset();
                    queue.send(Event::Back(Reader::Notices)).await.ok()?;
                }
                pass_on(listener, &queue).await?;
                BusError::NoAnswer("the connection that listens for notices was lost".to_owned())
            }
            Err(err) if err.is_passing() => err,
            Err(err) => {
                queue.send(Event::Failed(err)).await.ok()?;
                return None;
            }
        };
        if !std::mem::replace(&mut away, true) {
            queue.send(Event::Away(Reader::Notices, lost)).await.ok()?;
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Passes notices on until the listener loses its connection.
async fn pass_on(mut listener: Listener, queue: &mpsc::Sender<Event>) -> Option<()> {
    let mut missed = 0;
    while let Some(heard) = listener.heard.recv().await {
        let dropped = listener.dropped.load(Ordering::Relaxed);
        if dropped > missed {
            queue.send(Event::Missed(dropped - missed)).await.ok()?;
            missed = dropped;
        }
        queue.send(Event::Notice(heard)).await.ok()?;
    }
    Some(())
}

/// Asks again while the bus is away, and says so once.
pub(super) struct Patience<'a> {
    out: &'a Output,
    backoff: Backoff,
    away: bool,
}

impl<'a> Patience<'a> {
    pub(super) fn new(out: &'a Output) -> Self {
        Self { out, backoff: Backoff::quick(), away: false }
    }

    pub(super) async fn ask<T, F>(&mut self, question: impl Fn() -> F) -> Result<T, BusError>
    where
        F: Future<Output = Result<T, BusError>>,
    {
        loop {
            match question().await {
                Err(err) if err.is_passing() => {
                    if !std::mem::replace(&mut self.away, true) {
                        say_away(self.out, &err);
                    }
                    tokio::time::sleep(self.backoff.next_delay()).await;
                }
                answer => {
                    if std::mem::take(&mut self.away) {
                        self.backoff.reset();
                        say_back(self.out, false);
                    }
                    return answer;
                }
            }
        }
    }
}
