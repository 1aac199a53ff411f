//! The real loop, with a bus in memory and keys that are injected.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use futures::Stream;
use pretty_assertions::assert_eq;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::Range;
use crate::bus::testing::World;
use crate::contracts::ChannelName;
use crate::contracts::notes::NoteName;
use crate::memory::{self, Author, NoteState};
use crate::tui::app::tests::{empty, event};

/// Keys that a test presses.
struct Pressed(mpsc::Receiver<Event>);

impl Stream for Pressed {
    type Item = Events;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Events>> {
        self.0.poll_recv(cx).map(|event| event.map(Ok))
    }
}

impl FromTerminal for Pressed {
    fn from_terminal() -> Option<Self> {
        None
    }
}

/// A room that runs.
struct Running {
    world: World,
    keys: mpsc::Sender<Event>,
    shutdown: CancellationToken,
    home: tempfile::TempDir,
    ended: tokio::task::JoinHandle<Ended>,
}

impl Running {
    fn new() -> Self {
        let world = World::new();
        let (keys, pressed) = mpsc::channel(256);
        let shutdown = CancellationToken::new();
        let home = tempfile::tempdir().unwrap();
        let room = Room {
            bus: Some(world.bus()),
            player: None,
            clock: Arc::clone(&world.clock),
            ids: Arc::clone(&world.ids),
            model: empty(80, 24),
            home: home.path().to_owned(),
            memory: Some(Memory::open(home.path()).0),
            beside: Beside::default(),
            themes: None,
            shutdown: shutdown.clone(),
        };
        let ended = tokio::spawn(async move {
            let mut screen = Terminal::new(TestBackend::new(80, 24)).unwrap();
            run_on(room, &mut screen, Pressed(pressed)).await.unwrap()
        });
        Self { world, keys, shutdown, home, ended }
    }

    async fn press(&self, chord: &str) {
        self.keys.send(Event::Key(event(chord))).await.unwrap();
    }

    async fn write(&self, words: &str) {
        for c in words.chars() {
            self.keys.send(Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))).await.unwrap();
        }
    }

    /// Everything that can happen now has happened: time goes on only then.
    async fn settles(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    async fn ended(self) -> Ended {
        tokio::time::timeout(Duration::from_hours(1), self.ended).await.expect("it goes on").unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_injected_is_on_the_bus_as_the_operators() {
    let room = Running::new();
    room.press("i").await;
    room.write("what if we asked the CTOs?").await;
    room.press("ctrl-s").await;
    room.world.until(async |world| !world.entries(ChannelName::DiscordRaw).await.is_empty()).await;
    let entries = room.world.entries(ChannelName::DiscordRaw).await;
    let message = entries[0].message().unwrap();
    assert_eq!((message.envelope.source.as_ref(), message.envelope.kind.as_ref()), ("control_room", "discord_message"));
    assert_eq!(message.envelope.trust, crate::contracts::Trust::Operator);
    assert!(message.body.contains("what if we asked the CTOs?") && message.body.contains("\"username\":\"mara\""));
    assert_eq!(entries.len(), 1);
    room.press("q").await;
    room.press("s").await;
    assert_eq!(room.ended().await, Ended::Asked(End::Stop));
}

#[tokio::test(start_paused = true)]
async fn an_order_is_on_the_bus_as_the_operators() {
    let room = Running::new();
    room.press("H").await;
    room.world.until(async |world| !world.entries(ChannelName::Control).await.is_empty()).await;
    let entries = room.world.bus().range(ChannelName::Control, Range::newest(9)).await.unwrap();
    assert!(entries[0].b.contains("\"type\":\"hold\"") && entries[0].b.contains("\"by\":\"mara\""), "{}", entries[0].b);
}

#[tokio::test(start_paused = true)]
async fn a_note_that_is_saved_is_the_operators_version_merged_with_what_came_meanwhile() {
    let room = Running::new();
    let text = async || NoteState::read(&room.world.bus(), NoteName::Worklist).await.unwrap();
    room.press("5").await;
    room.press("e").await;
    room.write("one").await;
    room.press("ctrl-s").await;
    room.world.until(async |_| text().await.version == 1).await;
    let note = text().await;
    assert_eq!((note.text.as_str(), note.by.as_deref()), ("one", Some("mara")));
    room.settles().await;
    // Somebody else adds a line at the end while another one is written at the beginning.
    room.press("e").await;
    room.write("zero").await;
    room.press("enter").await;
    let author = Author::of("orchestrator", &room.world.origin(crate::contracts::Trust::System));
    memory::write(&room.world.bus(), &author, NoteName::Worklist, "one\n\ntwo", 1, "a test").await.unwrap();
    room.press("ctrl-s").await;
    room.world.until(async |_| text().await.version == 3).await;
    assert_eq!(text().await.text, "zero\none\n\ntwo");
    // The history, and back to what it was at first.
    room.settles().await;
    room.press("h").await;
    room.settles().await;
    for key in ["down", "down", "r", "y"] {
        room.press(key).await;
    }
    room.world.until(async |_| text().await.version == 4).await;
    assert_eq!(text().await.text, "one");
}

#[tokio::test(start_paused = true)]
async fn what_is_being_written_survives_a_crash() {
    let room = Running::new();
    room.press("i").await;
    room.write("precious").await;
    let kept = room.home.path().join("room.0.json");
    room.world.until(async |_| std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("precious"))).await;
    room.ended.abort();
    let draft = || Memory::open(room.home.path()).1.draft;
    room.world.until(async |_| draft().is_some_and(|draft| draft.text == "precious")).await;
}

fn draft(words: &str) -> crate::tui::app::Draft {
    crate::tui::app::Draft { text: words.to_owned(), ..crate::tui::app::Draft::default() }
}

#[test]
fn two_rooms_of_one_home_do_not_undo_each_other() {
    use crate::tui::screens::Screen;
    let home = tempfile::tempdir().unwrap();
    let (mut one, mut first) = Memory::open(home.path());
    (first.draft, first.filter) = (Some(draft("of room one")), "echo".to_owned());
    one.keep(&first).unwrap();
    let (mut two, mut second) = Memory::open(home.path());
    assert_eq!((second.draft.clone(), second.filter.as_str()), (None, "echo"), "a draft is where it is written");
    (second.screen, second.draft) = (Screen::Alerts, Some(draft("of room two")));
    second.said.push(draft("said in two"));
    two.keep(&second).unwrap();
    first.said.push(draft("said in one"));
    first.theme = "light".to_owned();
    one.keep(&first).unwrap();
    // Both end, however they do; a new room has what was written in them.
    drop((one, two));
    let (_, kept) = Memory::open(home.path());
    assert_eq!((kept.screen, kept.filter.as_str(), kept.theme.as_str()), (Screen::Alerts, "echo", "light"));
    assert_eq!(kept.draft, Some(draft("of room one")));
    assert_eq!(kept.said, [draft("said in two"), draft("said in one"), draft("of room two")], "the other is recalled");
}

#[test]
fn what_an_older_version_remembered_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let old = crate::tui::app::Kept { draft: Some(draft("old")), ..crate::tui::app::Kept::default() };
    std::fs::write(home.path().join("room.json"), serde_json::to_string(&old).unwrap()).unwrap();
    let (mut memory, kept) = Memory::open(home.path());
    assert_eq!(kept.draft, Some(draft("old")));
    memory.keep(&kept).unwrap();
    drop(memory);
    assert_eq!(Memory::open(home.path()).1.draft, Some(draft("old")));
}

#[tokio::test(start_paused = true)]
async fn whatever_waits_is_taken_in_whole() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    let room = Room {
        bus: Some(world.bus()),
        player: None,
        clock: Arc::clone(&world.clock),
        ids: Arc::clone(&world.ids),
        model: empty(80, 24),
        home: home.path().to_owned(),
        memory: None,
        beside: Beside::default(),
        themes: None,
        shutdown: CancellationToken::new(),
    };
    let mut turning = Loop::new(room, None);
    for at in 0..QUEUE {
        turning.queue.try_send(vec![crate::tui::store::Item::Gap(at.to_string())]).unwrap();
    }
    while let Ok(batch) = turning.items.try_recv() {
        turning.take_in(batch).await.unwrap();
    }
    assert_eq!(turning.room.model.store.all.len(), QUEUE);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_it_and_so_does_a_terminal_that_is_gone() {
    let room = Running::new();
    room.shutdown.cancel();
    assert_eq!(room.ended().await, Ended::Shutdown);
    let mut room = Running::new();
    let (nobody, _) = mpsc::channel(1);
    room.keys = nobody;
    assert_eq!(room.ended().await, Ended::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_torn_memory_is_an_empty_one() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("room.json"), "{\"screen\":\"de").unwrap();
    assert_eq!(Memory::open(home.path()).1, crate::tui::app::Kept::default());
}

/// On the clock of the machine: the kernel says when a file has changed.
#[tokio::test]
async fn a_theme_that_is_changed_is_read_again_and_a_broken_one_leaves_the_old() {
    use crate::tui::theme::{Depth, Role, SHIPPED, person};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, SHIPPED[0].1).unwrap();
    let (told, mut found) = mpsc::channel(4);
    let watching = tokio::spawn(person::watch(folder.path().to_owned(), Depth::True, told, |found| found));
    let mut next = async |text: &str| -> person::Found {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            // The watch may have begun after the first write.
            std::fs::write(&path, text).unwrap();
            match tokio::time::timeout(Duration::from_millis(300), found.recv()).await {
                Ok(Some(found)) => return found,
                _ => assert!(tokio::time::Instant::now() < deadline, "it was never read again"),
            }
        }
    };
    let light = next(SHIPPED[1].1).await;
    let mut model = empty(80, 24);
    model.theme = crate::tui::theme::read("mine", SHIPPED[0].1).unwrap();
    update(&mut model, Msg::Outcome(Outcome::Themes(Box::new(light.clone()))));
    let shown = crate::tui::theme::read("mine", SHIPPED[1].1).unwrap();
    assert_eq!(model.theme, shown);
    let mut broken = next("roles = 3").await;
    while broken.broken.is_empty() {
        broken = next("roles = 3").await;
    }
    update(&mut model, Msg::Outcome(Outcome::Themes(Box::new(broken))));
    assert_eq!((&model.theme, model.theme.style(Role::Text)), (&shown, shown.style(Role::Text)));
    assert!(model.themes.contains(&shown), "it can still be chosen");
    let said = &model.toast.as_ref().unwrap().words;
    assert!(said.contains("mine.toml:1:") && said.contains("the old theme stays"), "{said}");
    watching.abort();
}
