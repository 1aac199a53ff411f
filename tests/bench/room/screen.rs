//! Keys pressed in the real loop, on a screen that counts the bytes written to it.

use std::io::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use fullsend::bus::SharedBus;
use fullsend::contracts::{Ids, SystemClock};
use fullsend::tui::run::{FromTerminal, Room, run_on};
use futures::Stream;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{FLOOD, Line, line, model, origin, say, times};

/// What the screen and the keys share.
#[derive(Default)]
struct Shared {
    /// Whether the key was taken, and its bytes are waited for.
    is_taken: AtomicBool,
    written: AtomicU64,
    /// Told when the bytes after the key were flushed.
    told: Mutex<Option<oneshot::Sender<Instant>>>,
}

/// A screen that only counts.
struct Counting(Arc<Shared>, u64);

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1 += u64::try_from(bytes.len()).unwrap_or_default();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let written = std::mem::take(&mut self.1);
        self.0.written.fetch_add(written, Ordering::Relaxed);
        if written > 0 && self.0.is_taken.swap(false, Ordering::SeqCst) {
            let told = self.0.told.lock().unwrap().take();
            told.map(|told| told.send(Instant::now()));
        }
        Ok(())
    }
}

/// Keys, marked when the loop takes them.
struct Keys(mpsc::Receiver<Event>, Arc<Shared>);

impl Stream for Keys {
    type Item = std::io::Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = self.0.poll_recv(cx);
        if matches!(event, Poll::Ready(Some(_))) {
            self.1.is_taken.store(true, Ordering::SeqCst);
        }
        event.map(|event| event.map(Ok))
    }
}

impl FromTerminal for Keys {
    fn from_terminal() -> Option<Self> {
        None
    }
}

/// From a key to its bytes: idle, and while messages flood in.
pub(crate) async fn keys(bus: &SharedBus, engine: &str, count: usize) -> Vec<Line> {
    let shared = Arc::new(Shared::default());
    let (keys, pressed) = mpsc::channel(16);
    let shutdown = CancellationToken::new();
    let home = tempfile::tempdir().unwrap();
    let room = Room {
        bus: Some(Arc::clone(bus)),
        player: None,
        clock: Arc::new(SystemClock),
        ids: Arc::new(Ids::random()),
        model: model(200, 60),
        home: home.path().to_owned(),
        memory: None,
        themes: None,
        beside: fullsend::tui::feed::Beside::default(),
        shutdown: shutdown.clone(),
    };
    let screen = Counting(Arc::clone(&shared), 0);
    let events = Keys(pressed, Arc::clone(&shared));
    let running = tokio::spawn(async move {
        let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, 200, 60)) };
        let mut terminal = Terminal::with_options(CrosstermBackend::new(screen), options).unwrap();
        run_on(room, &mut terminal, events).await.unwrap();
    });
    let origin = origin();
    say(bus, &origin, 0, 1_000).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let idle = pressed_all(&keys, &shared, count).await;
    let stop = CancellationToken::new();
    let (flooded, stopped) = (Arc::clone(bus), stop.clone());
    let flood = tokio::spawn(async move {
        let mut at = 0;
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        while !stopped.is_cancelled() {
            beat.tick().await;
            say(&flooded, &origin, at, at + FLOOD / 100).await;
            at += FLOOD / 100;
        }
        at
    });
    let began = Instant::now();
    let busy = pressed_all(&keys, &shared, count).await;
    let took = began.elapsed();
    stop.cancel();
    let said = flood.await.unwrap();
    shutdown.cancel();
    running.await.unwrap();
    let rate = crate::count(said) / took.as_secs_f64();
    vec![
        line("key to bytes, idle", engine, times(&idle), "p50 <= 3 ms, p99 <= 16 ms"),
        line(&format!("key to bytes, {rate:.0} messages/s"), engine, times(&busy), "p50 <= 3 ms, p99 <= 16 ms"),
    ]
}

/// Presses keys that change what is shown, each after the one before was drawn.
async fn pressed_all(keys: &mpsc::Sender<Event>, shared: &Shared, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for at in 0..count {
        let (told, drawn) = oneshot::channel();
        *shared.told.lock().unwrap() = Some(told);
        let code = if at % 2 == 0 { KeyCode::Tab } else { KeyCode::BackTab };
        let began = Instant::now();
        keys.send(Event::Key(KeyEvent::new(code, KeyModifiers::NONE))).await.unwrap();
        let drawn = tokio::time::timeout(Duration::from_secs(10), drawn).await.unwrap().unwrap();
        times.push(drawn - began);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    times
}
