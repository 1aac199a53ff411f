//! The loop: input, bus and time into the model; the model onto the terminal; effects out.
//!
//! Owns the order (shutdown before input, input before the bus, the bus before time), draining before drawing, and the rate: what comes
//! from the bus is drawn at most 60 times a second, a key at once, and nothing where nothing changed. Must never decide anything.

mod effects;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures::{Stream, StreamExt};
use ratatui::Terminal;
use ratatui::backend::Backend;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use memory::Memory;

use super::app::{Effect, End, Kept, Model, Msg, Now, Outcome, told, update};
use super::feed::{Batch, Beside, Feed, QUEUE};
use super::replay::{Player, Seek};
use super::store::Source;
use super::terminal::{self, Guard};
use super::theme::{Depth, person};
use crate::bus::SharedBus;
use crate::contracts::{Clock, Ids};

/// What is drawn for what came from the bus: at most 60 times a second.
const FRAME: Duration = Duration::from_micros(16_667);
/// Clock and countdowns change once a second.
const TICK: Duration = Duration::from_secs(1);
/// Batches that are taken in before something is drawn.
const DRAINED: usize = 8;

/// What a room is run with.
pub struct Room {
    /// The bus; none in a replay.
    pub bus: Option<SharedBus>,
    /// What plays a recording, where there is no bus.
    pub player: Option<Player>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<Ids>,
    /// The room as it begins.
    pub model: Model,
    /// Where texts for $EDITOR are.
    pub home: PathBuf,
    /// Where what is to be remembered is written; nowhere in a replay.
    pub memory: Option<Memory>,
    /// What is shown beside the bus.
    pub beside: Beside,
    /// Where the person's themes are, and how many colours there are.
    pub themes: Option<(PathBuf, Depth)>,
    /// Cancelled where the process is to end.
    pub shutdown: CancellationToken,
}

/// Why a room ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The person said how.
    Asked(End),
    /// The process is to end.
    Shutdown,
    /// The terminal is gone.
    Closed,
}

/// Runs the room on the terminal of this process.
///
/// # Errors
/// Where the terminal cannot be taken or written to.
pub async fn run(room: Room) -> color_eyre::Result<Ended> {
    let guard = Guard::take()?;
    if room.model.has_mouse {
        terminal::mouse(true)?;
    }
    let mut screen = Terminal::new(ratatui::backend::CrosstermBackend::new(std::io::stdout()))?;
    let watching = tokio::spawn(terminal::end_stuck(room.shutdown.clone()));
    let ended = Loop::new(room, Some(guard)).run(&mut screen, Some(EventStream::new())).await;
    terminal::give_back();
    watching.abort();
    match ended {
        Err(report) if is_gone(&report) => Ok(Ended::Closed),
        ended => ended,
    }
}

/// Runs the room on any screen, with these events: for tests and benchmarks. The terminal of this process is left alone.
///
/// # Errors
/// Where the screen cannot be written to.
pub async fn run_on<B, S>(room: Room, screen: &mut Terminal<B>, events: S) -> color_eyre::Result<Ended>
where
    B: Backend,
    B::Error: Send + Sync + 'static,
    S: Stream<Item = std::io::Result<Event>> + Unpin + FromTerminal,
{
    Loop::new(room, None).run(screen, Some(events)).await
}

/// Whether something failed because the terminal is no longer there.
fn is_gone(report: &color_eyre::Report) -> bool {
    let failed = report.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    failed.is_some_and(|err| {
        err.kind() == std::io::ErrorKind::BrokenPipe || err.raw_os_error() == Some(nix::errno::Errno::EIO as i32)
    })
}

/// Events of a terminal.
type Events = std::io::Result<Event>;

/// The loop and what it holds.
pub(crate) struct Loop {
    room: Room,
    guard: Option<Guard>,
    outcomes: mpsc::Sender<Outcome>,
    answers: mpsc::Receiver<Outcome>,
    /// What the feed brings, and what was read for the room.
    queue: mpsc::Sender<Batch>,
    items: mpsc::Receiver<Batch>,
    /// What is wanted of a replay.
    seeks: Option<mpsc::Sender<Seek>>,
    opened: Instant,
    is_changed: bool,
    /// What is being read back, for whom.
    readings: BTreeMap<Source, AbortHandle>,
    /// What the next start should know.
    kept: watch::Sender<Kept>,
}

/// What the loop does next.
enum Next {
    GoOn,
    /// Somebody else had the terminal.
    Return,
    End(Ended),
}

impl Loop {
    pub(crate) fn new(room: Room, guard: Option<Guard>) -> Self {
        let (outcomes, answers) = mpsc::channel(64);
        let (queue, items) = mpsc::channel(QUEUE);
        Self {
            room,
            guard,
            outcomes,
            answers,
            opened: Instant::now(),
            is_changed: true,
            readings: BTreeMap::new(),
            queue,
            items,
            seeks: None,
            kept: watch::Sender::default(),
        }
    }

    /// Runs until somebody ends it. `events` are those of the terminal.
    pub(crate) async fn run<B, S>(
        mut self,
        screen: &mut Terminal<B>,
        mut events: Option<S>,
    ) -> color_eyre::Result<Ended>
    where
        B: Backend,
        B::Error: Send + Sync + 'static,
        S: Stream<Item = Events> + Unpin + FromTerminal,
    {
        let queue = self.queue.clone();
        let stop = CancellationToken::new();
        let fed = self.feed(queue, stop.clone());
        let keeping = self.room.memory.take().map(|memory| tokio::spawn(effects::keep(memory, self.kept.subscribe())));
        let feeding = stop.drop_guard();
        let watched = self.room.themes.clone().map(|(folder, depth)| {
            let wrap = |found| Outcome::Themes(Box::new(found));
            tokio::spawn(person::watch(folder, depth, self.outcomes.clone(), wrap))
        });
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let size = screen.size()?;
        self.happens(Msg::Resize(size.width, size.height)).await?;
        // Whoever is heard before the first tick is heard now.
        self.passes().await?;
        let mut drawn = Instant::now();
        self.draw(screen)?;
        let shutdown = self.room.shutdown.clone();
        let ended = loop {
            let next = tokio::select! {
                biased;
                () = shutdown.cancelled() => break Ended::Shutdown,
                event = next_event(&mut events) => match event {
                    Some(Ok(event)) => {
                        let next = self.input(event).await?;
                        // A key is drawn at once.
                        self.draw(screen)?;
                        drawn = Instant::now();
                        next
                    }
                    Some(Err(_)) | None => break Ended::Closed,
                },
                Some(outcome) = self.answers.recv() => self.happens(Msg::Outcome(outcome)).await?,
                Some(batch) = self.items.recv(), if !self.is_full(drawn) => self.take_in(batch).await?,
                () = tokio::time::sleep_until(drawn + FRAME), if self.is_changed => {
                    self.draw(screen)?;
                    drawn = Instant::now();
                    Next::GoOn
                }
                _ = tick.tick() => {
                    self.is_changed = true;
                    self.passes().await?
                }
            };
            match next {
                Next::GoOn => {}
                Next::Return => {
                    // The old stream would take keys that were meant for the other program.
                    drop(events.take());
                    events = S::from_terminal();
                    // Not `clear`: that asks the terminal where its cursor is, and waits for an answer that may never come.
                    screen.resize(screen.size()?.into())?;
                    if let Some(title) = told::again(&self.room.model).filter(|_| self.guard.is_some()) {
                        terminal::tell(&title, self.room.model.about.ways)?;
                    }
                    self.is_changed = true;
                    self.draw(screen)?;
                }
                Next::End(ended) => break ended,
            }
        };
        drop(feeding);
        self.readings.values().for_each(AbortHandle::abort);
        watched.iter().for_each(JoinHandle::abort);
        fed.await.ok();
        // What was to be kept last is written before the end.
        drop(self);
        if let Some(keeping) = keeping {
            keeping.await.ok();
        }
        Ok(ended)
    }

    /// Lets the bus, or a recording, feed the room.
    fn feed(&mut self, queue: mpsc::Sender<Batch>, stop: CancellationToken) -> JoinHandle<()> {
        if let Some(player) = self.room.player.take() {
            let (seeks, wanted) = mpsc::channel(64);
            self.seeks = Some(seeks);
            return tokio::spawn(player.run(wanted, queue, stop));
        }
        let clock = Arc::clone(&self.room.clock);
        let (bus, beside) = (self.room.bus.clone(), self.room.beside.clone());
        tokio::spawn(async move {
            if let Some(bus) = bus {
                Feed { bus, clock, queue, beside }.run(stop).await;
            }
        })
    }

    /// Whether a frame is due before more is taken in.
    fn is_full(&self, drawn: Instant) -> bool {
        self.is_changed && drawn.elapsed() >= FRAME
    }

    /// Takes in a batch and those that wait behind it, so many at most that a frame is not late. What is taken from the queue is shown.
    async fn take_in(&mut self, batch: Batch) -> color_eyre::Result<Next> {
        let mut next = Some(batch);
        for left in (0..DRAINED).rev() {
            let Some(batch) = next else { break };
            for item in batch {
                self.happens(Msg::Item(item)).await?;
            }
            next = if left > 0 { self.items.try_recv().ok() } else { None };
        }
        Ok(Next::GoOn)
    }

    async fn input(&mut self, event: Event) -> color_eyre::Result<Next> {
        self.passes().await?;
        let msg = match event {
            Event::Key(key) => Msg::Key(key),
            Event::Paste(text) => Msg::Paste(text),
            Event::Mouse(event) => Msg::Mouse(event),
            Event::Resize(width, height) => Msg::Resize(width, height),
            Event::FocusGained | Event::FocusLost => return Ok(Next::GoOn),
        };
        self.happens(msg).await
    }

    /// Tells the model what time it is.
    async fn passes(&mut self) -> color_eyre::Result<Next> {
        let now = Now { wall: self.room.clock.now(), open: self.opened.elapsed() };
        let changed = self.is_changed;
        let next = self.happens(Msg::Now(now)).await?;
        self.is_changed = changed;
        Ok(next)
    }

    async fn happens(&mut self, msg: Msg) -> color_eyre::Result<Next> {
        self.is_changed = true;
        let mut next = Next::GoOn;
        for effect in update(&mut self.room.model, msg) {
            match self.carry_out(effect).await? {
                Next::GoOn => {}
                other => next = other,
            }
        }
        Ok(next)
    }

    fn draw<B: Backend>(&mut self, screen: &mut Terminal<B>) -> color_eyre::Result<()>
    where
        B::Error: Send + Sync + 'static,
    {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        screen.autoresize()?;
        let size = screen.size()?;
        self.room.model.area = ratatui::layout::Rect::new(0, 0, size.width, size.height);
        screen.draw(|frame| super::draw::draw(frame, &self.room.model))?;
        Ok(())
    }
}

/// Events that can be begun anew after somebody else had the terminal.
pub trait FromTerminal: Sized {
    /// A new stream; none where there is none.
    fn from_terminal() -> Option<Self>;
}

impl FromTerminal for EventStream {
    fn from_terminal() -> Option<Self> {
        Some(Self::new())
    }
}

async fn next_event<S: Stream<Item = Events> + Unpin>(events: &mut Option<S>) -> Option<Events> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

impl Loop {
    async fn carry_out(&mut self, effect: Effect) -> color_eyre::Result<Next> {
        Ok(match effect {
            Effect::Quit(end) => Next::End(Ended::Asked(end)),
            Effect::Redraw => Next::Return,
            Effect::Say(ticket, saying) => {
                self.say(ticket, saying);
                Next::GoOn
            }
            Effect::Copy(text) => {
                effects::copy(&text)?;
                Next::GoOn
            }
            Effect::Mouse(wanted) => {
                terminal::mouse(wanted)?;
                Next::GoOn
            }
            Effect::Note(name, deed) => {
                self.note(name, deed);
                Next::GoOn
            }
            Effect::Letter(id, deed) => {
                self.letter(id, deed);
                Next::GoOn
            }
            Effect::Keep(kept) => {
                self.kept.send_replace(*kept);
                Next::GoOn
            }
            Effect::ReadBack(wanted) => {
                self.read_back(*wanted);
                Next::GoOn
            }
            Effect::StopReading(source) => {
                self.readings.remove(&source).iter().for_each(AbortHandle::abort);
                Next::GoOn
            }
            Effect::Tell(telling) => {
                if self.guard.is_some() {
                    terminal::tell(&telling, self.room.model.about.ways)?;
                }
                Next::GoOn
            }
            Effect::Chain(trace) => {
                self.read_chain(trace);
                Next::GoOn
            }
            Effect::Seek(seek) => {
                self.seek(seek);
                Next::GoOn
            }
            Effect::Suspend => {
                self.suspend()?;
                Next::Return
            }
            Effect::Edit(text) => {
                self.edit(text).await?;
                Next::Return
            }
        })
    }
}
