//! How fast the control room answers keys, draws, filters and searches, and what it costs while it is open.
//!
//! ```text
//! cargo bench --bench room [-- --quick]
//! ```
//!
//! The loop is the real one on a screen that counts bytes; what is measured of a whole process is measured of the program itself on a
//! pseudo terminal. Starts a redis-server of its own. Figures are worth something on a quiet machine only.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on ends, and prints figures")]

#[path = "../support/redis_server.rs"]
mod redis_server;
mod room {
    pub(crate) mod process;
    pub(crate) mod screen;
}

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::filter::Filter;
use fullsend::bus::{Commit, Entry, EntryId, Op, Origin, Outgoing, RedisBus, RedisOptions, SharedBus};
use fullsend::cli::bench::quantiles;
use fullsend::cli::output::Output;
use fullsend::cli::runtime;
use fullsend::contracts::{ChannelName, Clock, Ids, SystemClock, Trust};
use fullsend::tui::app::told::Ways;
use fullsend::tui::app::{About, Kept, Model, Msg, update};
use fullsend::tui::draw::draw;
use fullsend::tui::feed::back;
use fullsend::tui::keys::Keymap;
use fullsend::tui::store::{Caps, Item, ReadBack, Row, Source, Toward};
use fullsend::tui::theme;
use fullsend::tui::zone::Zone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use redis_server::{RedisServer, Settings};
use room::{process, screen};
use tokio::sync::mpsc;

/// Messages of the ring.
const RING: usize = 100_000;
/// Messages that arrive in a second.
pub(crate) const FLOOD: usize = 20_000;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    stored: usize,
    keys: usize,
    seconds: u64,
}

/// A row of the table: what, on which engine, the figure, the reach.
pub(crate) type Line = [String; 4];

pub(crate) fn line(what: &str, engine: &str, figure: String, reach: &str) -> Line {
    [what.to_owned(), engine.to_owned(), figure, reach.to_owned()]
}

/// `p50 0.4 ms, p99 1.2 ms`.
pub(crate) fn times(times: &[Duration]) -> String {
    let figure = quantiles(times.iter().map(Duration::as_secs_f64).collect());
    format!("p50 {:.2} ms, p99 {:.2} ms", figure.p50 * 1e3, figure.p99 * 1e3)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("not measured; run it by `cargo bench --bench room`");
        return;
    }
    if cfg!(debug_assertions) {
        println!("warning: this is a debug build; its figures mean nothing");
    }
    println!("load    {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    let size = if arguments.iter().any(|argument| argument == "--quick") {
        Size { stored: 50_000, keys: 100, seconds: 5 }
    } else {
        Size { stored: 1_000_000, keys: 1_000, seconds: 60 }
    };
    let mut rows = pure(size);
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir_all(&home).unwrap();
    let server = RedisServer::start(Settings { durable: Some("everysec"), ..Settings::default() });
    runtime().unwrap().block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let options = EmbeddedOptions::new(home.join("fullsend.db"), Arc::clone(&clock));
        let embedded: SharedBus = Arc::new(tokio::task::block_in_place(|| EmbeddedBus::open(options)).unwrap());
        rows.extend(screen::keys(&embedded, "embedded", size.keys).await);
        rows.extend(searched(&embedded, "embedded", size).await);
        embedded.close().await;
        let options = RedisOptions::new(server.url(), clock);
        let redis: SharedBus = Arc::new(RedisBus::connect(options).await.unwrap());
        rows.extend(screen::keys(&redis, "redis", size.keys).await);
        rows.extend(searched(&redis, "redis", size).await);
        // The program itself: on the file with all these messages, then on the server, then flooded.
        rows.push(process::start(&home, None, "embedded", "<= 80 ms"));
        rows.push(process::start(&home, Some(&server.url()), "redis", "<= 120 ms"));
        rows.extend(process::idle(&home, &server.url()));
        rows.extend(process::flooded(&home, &server.url(), &redis, size.seconds).await);
        redis.close().await;
    });
    Output::standard(false).table(["WHAT", "ENGINE", "FIGURE", "REACH"], &rows).unwrap();
}

/// What needs no bus: frames and filters over a full ring.
fn pure(size: Size) -> Vec<Line> {
    let mut model = model(200, 60);
    for at in 0..RING {
        update(&mut model, Msg::Item(Item::Message(Arc::new(row(at)))));
    }
    let mut terminal = Terminal::new(TestBackend::new(200, 60)).unwrap();
    let mut frames = Vec::new();
    for at in 0..size.keys {
        // As in life: something came since the last frame.
        update(&mut model, Msg::Item(Item::Message(Arc::new(row(RING + at)))));
        let began = Instant::now();
        terminal.draw(|frame| draw(frame, &model)).unwrap();
        frames.push(began.elapsed());
    }
    let mut strokes = Vec::new();
    press(&mut model, KeyCode::Char('/'));
    for word in ["number 77", "-reply", "/9[05]$/", "priority:>=low x"] {
        for c in word.chars() {
            let began = Instant::now();
            press(&mut model, KeyCode::Char(c));
            strokes.push(began.elapsed());
        }
        for _ in word.chars() {
            let began = Instant::now();
            press(&mut model, KeyCode::Backspace);
            strokes.push(began.elapsed());
        }
    }
    let slowest = strokes.iter().max().copied().unwrap_or_default();
    vec![
        line("frame 200x60, ring of 100,000", "-", times(&frames), "p99 <= 2 ms"),
        line("filter over 100,000, a key stroke", "-", format!("{}, max {slowest:.1?}", times(&strokes)), "<= 30 ms"),
    ]
}

pub(crate) fn press(model: &mut Model, code: KeyCode) {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
}

pub(crate) fn model(width: u16, height: u16) -> Model {
    let about = About {
        workspace: String::new(),
        engine: "bench".to_owned(),
        location: String::new(),
        mode: "guarded".to_owned(),
        providers: "rules".to_owned(),
        operator: "bench".to_owned(),
        is_inside: false,
        team: None,
        day_limit: None,
        home: String::new(),
        remark: None,
        zone: Zone::UTC,
        ways: Ways { bell: false, notification: false, title: false },
        is_plain: false,
    };
    let kept = Kept { welcomed: env!("CARGO_PKG_VERSION").to_owned(), ..Kept::default() };
    let themes = theme::SHIPPED.iter().filter_map(|(name, _)| theme::shipped(name)).collect();
    let mut model = Model::new(about, Keymap::default(), themes, kept, Caps::of_lines(RING));
    update(&mut model, Msg::Resize(width, height));
    model
}

/// A chat message of about 200 bytes.
fn body(at: usize) -> String {
    let rare = if at == 7 { "zeppelin" } else { "balloon" };
    format!(
        r#"{{"content":"message number {at}: what if we asked the CTOs of {rare} makers whether they would pay for it?","username":"mara","author_id":"operator","channel_id":"room","message_id":"m{at}"}}"#
    )
}

fn row(at: usize) -> Row {
    let message = outgoing(&origin(), at);
    let id = EntryId { ms: 1_800_000_000_000 + u64::try_from(at).unwrap(), seq: 0 };
    Row::stored(Entry::new(message.channel, id, message.envelope.to_json(), message.body))
}

pub(crate) fn origin() -> Origin {
    Origin::new(Arc::new(SystemClock), Arc::new(Ids::random()), Trust::Operator)
}

/// A message of the flood.
pub(crate) fn outgoing(origin: &Origin, at: usize) -> Outgoing {
    Outgoing::new(ChannelName::DiscordRaw, origin.envelope("discord_message", "control_room"), body(at)).unwrap()
}

/// Says many messages, some in one unit.
pub(crate) async fn say(bus: &SharedBus, origin: &Origin, from: usize, to: usize) {
    let units: Vec<Commit> = (from..to)
        .collect::<Vec<_>>()
        .chunks(100)
        .map(|chunk| Commit::of(chunk.iter().map(|at| Op::Append(outgoing(origin, *at))).collect()))
        .collect();
    assert!(bus.commit(units).await.unwrap().iter().all(fullsend::bus::Outcome::is_done));
}

/// Search back through all that is stored.
async fn searched(bus: &SharedBus, engine: &str, size: Size) -> Vec<Line> {
    let origin = origin();
    for from in (0..size.stored).step_by(2_000) {
        say(bus, &origin, from, from + 2_000).await;
    }
    if engine == "embedded" {
        // The index follows behind what is said.
        let word = ["zeppelin".to_owned()];
        let deadline = Instant::now() + Duration::from_mins(15);
        let last = [format!("m{}", size.stored - 1)];
        for wanted in [&word[..], &last[..]] {
            while bus.search(wanted, 1, None).await.unwrap().is_none_or(|found| found.is_empty()) {
                assert!(Instant::now() < deadline, "the index never came so far");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    let mut rows = Vec::new();
    for (what, filter) in [("a word in every message", "balloon"), ("a word in one message", "zeppelin")] {
        let (first, all, found) = search(bus, filter).await;
        let rate = count(size.stored) / all.as_secs_f64();
        let figure = if engine == "embedded" {
            format!("first page {first:.1?} ({found} found)")
        } else if filter == "zeppelin" {
            format!("{rate:.0} messages/s, first news {first:.1?}")
        } else {
            format!("first page {all:.1?}, first news {first:.1?}")
        };
        let reach = match (engine, filter) {
            ("embedded", _) => "<= 100 ms",
            (_, "zeppelin") => ">= 150,000 messages/s",
            _ => "",
        };
        rows.push(line(&format!("search back through {}, {what}", size.stored), engine, figure, reach));
    }
    rows
}

#[expect(clippy::cast_precision_loss, reason = "a figure")]
fn count(number: usize) -> f64 {
    number as f64
}

/// How long the first news, and all of a page, take; and how many were found.
async fn search(bus: &SharedBus, filter: &str) -> (Duration, Duration, usize) {
    let from = [(ChannelName::DiscordRaw, EntryId::MAX)].into_iter().collect();
    let wanted = ReadBack {
        source: Source::All,
        serial: 1,
        toward: Toward::Older,
        from,
        until: fullsend::tui::store::Places::new(),
        filter: Filter::parse(filter).unwrap(),
        limit: 500,
    };
    let (queue, mut items) = mpsc::channel(16);
    let began = Instant::now();
    let reading = tokio::spawn(back::read(Arc::clone(bus), wanted, queue));
    let (mut first, mut all) = (None, 0);
    while let Some(batch) = items.recv().await {
        first.get_or_insert_with(|| began.elapsed());
        for item in batch {
            if let Item::Found { found, .. } = item {
                assert_eq!(found.failed, None);
                all += found.rows.len();
            }
        }
    }
    reading.await.unwrap();
    (first.unwrap_or_default(), began.elapsed(), all)
}
