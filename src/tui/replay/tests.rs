use std::io::Cursor;

use pretty_assertions::assert_eq;

use super::*;
use crate::tui::app::tests::{Speaker, about, apply, empty, event, press, themes};
use crate::tui::app::{Effect, Kept, Model, Msg, update};
use crate::tui::draw::tests::shown;
use crate::tui::keys::Keymap;
use crate::tui::recording::tests::{chat, recorded};

const CAPS: Caps = Caps { lines: 200_000, bytes: 256 << 20 };

/// A recording of so many messages, a second apart.
fn recording(count: usize) -> Arc<Recording> {
    let mut speaker = Speaker::new();
    let items: Vec<Item> = (0..count).map(|n| chat(&mut speaker, &format!("message {n}."))).collect();
    Arc::new(Recording::read(Cursor::new(recorded(&items))).unwrap())
}

/// A player that runs, and the model that it feeds.
struct Stage {
    model: Model,
    items: mpsc::Receiver<Batch>,
    seeks: mpsc::Sender<Seek>,
    _stop: tokio_util::sync::DropGuard,
}

impl Stage {
    fn new(recording: &Arc<Recording>, goes_on: bool) -> Self {
        let kept = Kept { welcomed: env!("CARGO_PKG_VERSION").to_owned(), ..Kept::default() };
        let mut model = Model::new(about(), Keymap::default(), themes(), kept, CAPS);
        update(&mut model, Msg::Resize(120, 40));
        let mut player = Player::new(Arc::clone(recording), CAPS, 1.0);
        model.store = player.store_at(recording.span().0);
        if goes_on {
            player.play();
        }
        let (queue, items) = mpsc::channel(16);
        let (seeks, wanted) = mpsc::channel(16);
        let stop = CancellationToken::new();
        tokio::spawn(player.run(wanted, queue, stop.clone()));
        Self { model, items, seeks, _stop: stop.drop_guard() }
    }

    fn newest(&self) -> String {
        let line = self.model.store.all.lines().last().and_then(|line| line.row().cloned());
        line.map(|row| row.gist().split("  ").next().unwrap().to_owned()).unwrap_or_default()
    }

    /// Takes what comes until it stands at this place.
    async fn until(&mut self, position: usize) {
        let stands = |model: &Model| {
            let playing = model.store.playing.as_ref().unwrap();
            playing.position == position && !playing.is_seeking
        };
        while !stands(&self.model) {
            let batch =
                tokio::time::timeout(Duration::from_hours(1), self.items.recv()).await.expect("it stands still");
            for item in batch.expect("it ended") {
                update(&mut self.model, Msg::Item(item));
            }
        }
    }

    async fn seek(&mut self, seek: Seek, position: usize) {
        self.seeks.send(seek).await.unwrap();
        self.until(position).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_plays_at_its_pace_and_stands_still_at_the_end() {
    let mut stage = Stage::new(&recording(20), true);
    assert_eq!(stage.model.store.playing.as_ref().unwrap().position, 1, "what came at once is there");
    let began = Instant::now();
    stage.until(20).await;
    assert!((18..=20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let playing = stage.model.store.playing.clone().unwrap();
    assert_eq!((playing.goes_on, playing.at, stage.newest().as_str()), (false, playing.span.1, "message 19."));
}

#[tokio::test(start_paused = true)]
async fn a_pace_of_four_takes_a_quarter_of_the_time() {
    let mut stage = Stage::new(&recording(41), true);
    stage.seeks.send(Seek::Faster).await.unwrap();
    stage.seeks.send(Seek::Faster).await.unwrap();
    let began = Instant::now();
    stage.until(41).await;
    assert!((9..=11).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn it_goes_by_message_by_minute_and_to_both_ends() {
    let mut stage = Stage::new(&recording(200), false);
    stage.seek(Seek::Messages(1), 2).await;
    assert_eq!(stage.newest(), "message 1.");
    stage.seek(Seek::Messages(3), 5).await;
    stage.seek(Seek::Messages(-1), 4).await;
    assert_eq!(stage.newest(), "message 3.");
    stage.seek(Seek::Time(TimeDelta::minutes(1)), 64).await;
    assert_eq!(stage.newest(), "message 63.");
    stage.seek(Seek::Time(TimeDelta::minutes(-1)), 4).await;
    assert_eq!(stage.newest(), "message 3.");
    stage.seek(Seek::End, 200).await;
    assert_eq!(stage.newest(), "message 199.");
    stage.seek(Seek::Start, 0).await;
    assert_eq!(stage.newest(), "");
    stage.seek(Seek::Messages(-5), 0).await;
    stage.seek(Seek::Messages(1_000), 200).await;
}

#[tokio::test(start_paused = true)]
async fn wherever_it_goes_the_room_is_as_if_it_had_been_played_until_there() {
    let recording = recording(300);
    let mut stage = Stage::new(&recording, false);
    for position in [150, 20, 299, 1, 280] {
        let from = stage.model.store.playing.as_ref().unwrap().position;
        let by = isize::try_from(position).unwrap() - isize::try_from(from).unwrap();
        stage.seek(Seek::Messages(by), position).await;
        let at = recording.items[position - 1].0;
        let straight = store_at(&recording, CAPS, at);
        let lines = |store: &Store| {
            store.all.lines().map(|line| (line.number, line.row().unwrap().gist().to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(lines(&stage.model.store), lines(&straight), "at {position}");
    }
}

#[tokio::test]
async fn a_jump_in_a_long_recording_uses_the_checkpoint_before_it() {
    let mut speaker = Speaker::new();
    let item = chat(&mut speaker, "the same");
    let (head, first) = {
        let short = recording(1);
        (short.head.clone(), short.items[0].0)
    };
    let items = (0..100_000).map(|n| (first + TimeDelta::milliseconds(n), item.clone())).collect();
    let recording = Arc::new(Recording { head, items, is_torn: false });
    let mut stage = Stage::new(&recording, false);
    stage.seek(Seek::End, 100_000).await;
    let (_, kept) = built(&recording, CAPS, None, 100_000);
    assert_eq!(kept.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (1..10).map(|n| n * CHECKPOINT).collect::<Vec<_>>());
    let (store, further) = built(&recording, CAPS, kept.last().cloned(), 99_999);
    assert_eq!((store.all.len(), further.len()), (99_999, 0));
    stage.seek(Seek::Messages(-1), 99_999).await;
    assert_eq!(stage.model.store.all.len(), 99_999);
}

#[tokio::test(start_paused = true)]
async fn the_filter_and_the_chain_that_are_looked_at_stay_over_a_jump() {
    let recording = recording(50);
    let mut stage = Stage::new(&recording, false);
    stage.seek(Seek::Messages(30), 31).await;
    for key in ["/", "2", "enter"] {
        press(&mut stage.model, key);
    }
    press(&mut stage.model, "up");
    let effects = press(&mut stage.model, "t");
    let Some(Effect::Chain(trace)) = effects.first().cloned() else { panic!("{effects:?}") };
    stage.seeks.send(Seek::Chain(trace)).await.unwrap();
    stage.seek(Seek::Messages(-1), 30).await;
    assert_eq!(stage.model.filter, "2");
    assert!(stage.model.store.all.shown().len() < 30);
    assert_eq!(stage.model.store.chain.as_ref().map(Chain::trace), Some(trace));
}

fn replayed() -> Model {
    let mut model = empty(120, 40);
    let (first, last) = (model.now.wall, model.now.wall + TimeDelta::seconds(100));
    let at = first + TimeDelta::seconds(25);
    let playing =
        Playing { at, span: (first, last), position: 25, total: 100, speed: 4.0, goes_on: true, is_seeking: false };
    apply(&mut model, Item::Playing(playing));
    model
}

#[test]
fn the_banner_says_that_it_is_a_replay_and_where_it_stands() {
    for (width, height) in [(80, 24), (120, 40), (200, 60), (60, 18)] {
        let mut model = replayed();
        update(&mut model, Msg::Resize(width, height));
        let text = shown(&model, width, height);
        let banner = text.lines().nth(usize::from(height) - 2).unwrap();
        assert!(banner.starts_with(" REPLAY ▶ 4x "), "{text}");
        for words in if width >= 80 {
            vec!["14:02:36 of 14:03:51", "25 of 100", "●", if width > 80 { "nothing can be said" } else { "━" }]
        } else {
            vec!["14:02:36"]
        } {
            assert!(banner.contains(words), "{banner}");
        }
        assert!(text.lines().last().unwrap().contains("␣ play") || text.contains("space play"), "{text}");
    }
    let mut model = replayed();
    model.about.is_plain = true;
    let text = shown(&model, 120, 40);
    assert!(text.contains("REPLAY playing 4x ===") && !text.contains('━'), "{text}");
}

#[test]
fn in_a_replay_nothing_is_said_and_that_is_told() {
    for key in ["i", "x", "u", "H", "5 e", "5 E", "5 h", "0 r", "0 d", "0 b", "8 n"] {
        let mut model = replayed();
        key.split(' ').for_each(|key| assert_eq!(press(&mut model, key), [], "{key}"));
        assert!(model.layers.is_empty() && model.toast.as_ref().unwrap().words.contains("this is a replay"), "{key}");
    }
    let mut model = replayed();
    crate::tui::app::tests::need(&mut model, "apr_1", "a request", 30);
    press(&mut model, "a");
    crate::tui::app::tests::passes(&mut model, 5_000);
    let effects = press(&mut model, "y");
    assert!(!effects.iter().any(|it| matches!(it, Effect::Say(..) | Effect::Keep(_))), "{effects:?}");
    assert!(model.toast.as_ref().unwrap().words.contains("this is a replay, there is no bus"));
    assert!(model.answered.is_empty(), "the request is still there to be looked at");
}

#[test]
fn a_note_that_was_open_when_a_replay_began_waits_for_nothing() {
    use crate::contracts::notes::NoteName;
    use crate::tui::layers::{Layer, history::History, note::NoteEdit};
    let mut model = replayed();
    let note = NoteEdit::open(&model, NoteName::Worklist).unwrap();
    model.layers.push(Layer::Note(Box::new(note)));
    crate::tui::app::tests::write(&mut model, "x");
    assert_eq!(press(&mut model, "ctrl-s"), []);
    let text = shown(&model, 120, 40);
    assert!(!text.contains("saving…") && text.contains("this is a replay"), "{text}");
    let mut model = replayed();
    model.layers.push(Layer::History(History::open(NoteName::Worklist).0));
    let outcome = crate::tui::app::NoteOutcome::Versions(Err("a recording has no former versions".to_owned()));
    update(&mut model, Msg::Outcome(crate::tui::app::Outcome::Note(NoteName::Worklist, outcome)));
    assert!(!shown(&model, 120, 40).contains("reading…"));
}

#[test]
fn the_keys_of_the_scrubber_are_its_own_only_in_a_replay() {
    let seek = |model: &mut Model, key: &str| match update(model, Msg::Key(event(key))).as_slice() {
        [Effect::Seek(seek)] => Some(*seek),
        _ => None,
    };
    let mut model = replayed();
    let pressed = ["space", "right", "left", "shift-right", ",", "+", "-", "<", ">"].map(|key| seek(&mut model, key));
    let minute = TimeDelta::minutes(1);
    let expected = [
        Seek::Toggle,
        Seek::Messages(1),
        Seek::Messages(-1),
        Seek::Time(minute),
        Seek::Time(-minute),
        Seek::Faster,
        Seek::Slower,
        Seek::Start,
        Seek::End,
    ];
    assert_eq!(pressed, expected.map(Some));
    assert_eq!(seek(&mut empty(120, 40), "left"), None);
}
