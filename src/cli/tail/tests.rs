use std::io::{self, ErrorKind, Write};
use std::sync::Arc;

use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::bus::{BusError, Entry, EntryId, Outgoing};
use crate::cli::output::{Closed, Output};
use crate::cli::testing::{Kept, Stage, json_lines, noon};
use crate::contracts::{Priority, keys};

const HELLO: &str = r#"{"type":"echo_request","text":"hello"}"#;

fn echo(text: &str) -> String {
    json!({ "type": "echo_request", "text": text }).to_string()
}

/// `tail` with these words behind it, seen from UTC.
fn plan(words: &[&str]) -> Plan {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    let line = <Line as clap::Parser>::try_parse_from([&["tail"], words].concat()).unwrap();
    Plan::new(&line.args, noon(), Zone::Utc).unwrap()
}

async fn past(stage: &Stage, json: bool, words: &[&str]) -> String {
    let (cx, results, remarks) = stage.context(json);
    let plan = plan(&[words, &["--no-follow"]].concat());
    assert_eq!(tail(&plan, &cx, &stage.bus, &CancellationToken::new()).await.unwrap(), OK);
    assert_eq!(remarks.text(), "");
    results.text()
}

/// The texts of the echo requests that were shown.
fn texts(shown: &str) -> Vec<String> {
    json_lines(shown).iter().map(|line| line["body"]["text"].as_str().unwrap_or("-").to_owned()).collect()
}

/// Lets the other tasks go on until it holds.
async fn until(holds: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if holds() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to hold");
}

/// A tail that runs on its own handle of the stage's bus.
struct Following {
    memory: Arc<crate::bus::memory::MemoryBus>,
    results: Kept,
    remarks: Kept,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<color_eyre::Result<ExitCode>>,
}

impl Following {
    fn start(stage: &Stage, words: &[&str]) -> Self {
        let (cx, results, remarks) = stage.context(true);
        Self::with(stage, words, cx, results, remarks)
    }

    fn with(stage: &Stage, words: &[&str], cx: Context, results: Kept, remarks: Kept) -> Self {
        let memory = Arc::new(stage.memory.another());
        let bus: SharedBus = Arc::<crate::bus::memory::MemoryBus>::clone(&memory);
        let (plan, stop) = (plan(words), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move { tail(&plan, &cx, &bus, &stopped).await });
        Self { memory, results, remarks, stop, task }
    }

    async fn shows(&self, text: &str) {
        until(|| self.results.text().contains(text)).await;
    }

    async fn end(self) -> (String, String) {
        self.stop.cancel();
        assert_eq!(self.task.await.unwrap().unwrap(), OK);
        (self.results.text(), self.remarks.text())
    }
}

#[tokio::test]
async fn a_message_is_one_harmless_line() {
    let stage = Stage::new();
    let mut message = stage.message(ChannelName::Echo, "control_room", &echo("one\ntwo\u{1b}[2J"));
    message.envelope.trace = "019c0000-0000-7000-8000-0000feedbeef".parse().unwrap();
    stage.append(message.clone()).await;
    stage
        .append(Outgoing {
            body: "[1]".to_owned(),
            envelope: {
                message.envelope.priority = Priority::Urgent;
                message.envelope
            },
            ..message
        })
        .await;
    let shown = past(&stage, false, &["echo"]).await;
    assert_eq!(
        shown.lines().collect::<Vec<_>>(),
        [
            "09:30:00  echo                control_room  echo_request  one⏎two  feedbeef",
            "09:30:00  echo                control_room  echo_request  [urgent] [malformed: a body must be a JSON \
             object, this is a list] [1]  feedbeef",
        ]
    );
}

#[tokio::test]
async fn a_line_fits_the_terminal() {
    let stage = Stage::new();
    stage.say(ChannelName::Echo, "control_room", &echo(&"東京 tokyo ".repeat(40))).await;
    for width in [20, 80, 100, 200] {
        let (cx, results, _) = stage.context(false);
        let plan = Plan { width: Some(width), ..plan(&["-n1", "--no-follow"]) };
        tail(&plan, &cx, &stage.bus, &CancellationToken::new()).await.unwrap();
        let shown = results.text();
        assert_eq!(shown.lines().count(), 1);
        assert!(shown.trim_end().width() <= width && shown.contains('…'), "{shown}");
    }
}

#[tokio::test]
async fn json_keeps_what_was_said_on_one_line() {
    let stage = Stage::new();
    let body = "{\n  \"type\": \"echo_request\",\n  \"text\": \"a\\nb\", \"n\": 12345678901234567890123.10\n}";
    let id = stage.say(ChannelName::Echo, "control_room", body).await;
    stage.append(Outgoing { body: "{".to_owned(), ..stage.message(ChannelName::Echo, "bridge", HELLO) }).await;
    let shown = past(&stage, true, &[]).await;
    assert!(shown.contains("12345678901234567890123.10"), "{shown}");
    let lines = json_lines(&shown);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["channel"], "fullsend:echo");
    assert_eq!(lines[0]["entry"], id.to_string());
    assert_eq!(lines[0]["envelope"]["source"], "control_room");
    assert_eq!(lines[0]["body"]["text"], "a\nb");
    assert_eq!(lines[0].get("malformed"), None);
    assert_eq!(lines[1]["body"], "{");
    assert!(lines[1]["malformed"].as_str().unwrap().starts_with("not JSON"), "{}", lines[1]);
}

/// Three messages on two channels, a minute apart.
async fn three() -> Stage {
    let stage = Stage::new();
    stage.clock.jump(TimeDelta::minutes(-3));
    for (channel, text) in
        [(ChannelName::Echo, "first"), (ChannelName::Roundtable, "second"), (ChannelName::Echo, "third")]
    {
        stage.say(channel, "control_room", &echo(text)).await;
        stage.clock.jump(TimeDelta::minutes(1));
    }
    stage
}

#[rstest]
#[case::everything(&["--since", "beginning"], &["first", "second", "third"])]
#[case::few(&[], &["first", "second", "third"])]
#[case::newest(&["-n", "2"], &["second", "third"])]
#[case::none(&["-n", "0"], &[])]
#[case::one_channel(&["echo", "--since", "beginning"], &["first", "third"])]
#[case::age(&["--since", "2m"], &["second", "third"])]
#[case::time(&["--since", "2026-03-01 09:29"], &["third"])]
#[case::newest_since(&["--since", "2m", "-n", "1"], &["third"])]
#[case::filtered(&["--filter", "-second"], &["first", "third"])]
#[case::newest_that_match(&["-n", "1", "--filter", "-third"], &["second"])]
#[tokio::test]
async fn the_past_comes_in_the_order_in_which_it_was_said(#[case] words: &[&str], #[case] expected: &[&str]) {
    let stage = three().await;
    assert_eq!(texts(&past(&stage, true, words).await), expected);
}

#[tokio::test]
async fn a_long_past_is_read_in_pages() {
    let stage = Stage::new();
    let all: Vec<String> = (0..700).map(|n| format!("n{n}")).collect();
    for text in &all {
        let channel = if text.ends_with('3') { ChannelName::Metrics } else { ChannelName::Echo };
        stage.say(channel, "control_room", &echo(text)).await;
        stage.clock.jump(TimeDelta::milliseconds(1));
    }
    assert_eq!(texts(&past(&stage, true, &["--since", "beginning"]).await), all);
    assert_eq!(texts(&past(&stage, true, &["-n", "600"]).await), all[100..]);
}

#[tokio::test]
async fn between_the_past_and_what_comes_lies_nothing() {
    let stage = three().await;
    let following = Following::start(&stage, &["--since", "beginning"]);
    following.shows("third").await;
    stage.say(ChannelName::Echo, "control_room", &echo("fourth")).await;
    following.shows("fourth").await;
    stage.say(ChannelName::Metrics, "control_room", &echo("fifth")).await;
    following.shows("fifth").await;
    let (shown, remarks) = following.end().await;
    assert_eq!(texts(&shown), ["first", "second", "third", "fourth", "fifth"]);
    assert_eq!(remarks, "");
}

#[tokio::test]
async fn notices_are_shown_as_they_come_with_all_channels() {
    let stage = Stage::new();
    let following = Following::start(&stage, &[]);
    let body = crate::contracts::schema::find("cost_recorded").unwrap().example().to_string();
    let notice = stage.message(ChannelName::Costs, "ledger", &body);
    // Nobody is told when a listener has begun: it is said until it is heard.
    for _ in 0..10_000 {
        stage.bus.notify(notice.clone()).await.unwrap();
        tokio::task::yield_now().await;
        if following.results.text().contains("cost_recorded") {
            break;
        }
    }
    stage.memory.publish_bare(ChannelName::Health, "nothing of ours");
    following.shows("nothing of ours").await;
    let (shown, _) = following.end().await;
    let lines = json_lines(&shown);
    assert_eq!((&lines[0]["channel"], &lines[0]["entry"]), (&json!("fullsend:costs"), &Value::Null));
    assert_eq!(lines[0]["envelope"]["source"], "ledger");
    assert_eq!(lines.last().unwrap()["malformed"], "published without an envelope");
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_is_said_once_and_nothing_is_missed() {
    let stage = Stage::new();
    let following = Following::start(&stage, &["echo", "-n1"]);
    stage.say(ChannelName::Echo, "control_room", &echo("before")).await;
    following.shows("before").await;
    following.memory.fail_next(4, BusError::Unreachable("a test".to_owned()));
    stage.say(ChannelName::Echo, "control_room", &echo("wakes it")).await;
    stage.say(ChannelName::Echo, "control_room", &echo("meanwhile")).await;
    // The bell rings where the bus is asked again; time passes by itself where everybody waits.
    while !following.results.text().contains("meanwhile") || !following.remarks.text().contains("back") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (shown, remarks) = following.end().await;
    assert_eq!(texts(&shown), ["before", "wakes it", "meanwhile"]);
    assert_eq!(
        remarks.lines().collect::<Vec<_>>(),
        [
            "warning: the bus cannot be reached: a test; it is tried again",
            "the bus is back; going on from where it was",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_at_the_beginning_is_waited_for() {
    let stage = three().await;
    stage.memory.fail_next(3, BusError::Unreachable("a test".to_owned()));
    let (cx, results, remarks) = stage.context(true);
    tail(&plan(&["--no-follow"]), &cx, &stage.bus, &CancellationToken::new()).await.unwrap();
    assert_eq!(texts(&results.text()), ["first", "second", "third"]);
    assert_eq!(remarks.text().lines().count(), 2);
}

#[tokio::test]
async fn a_channel_that_cannot_be_read_is_left_out() {
    let foreign =
        |channel| BusError::ForeignType { key: keys::stream(channel), found: "hash".to_owned(), wanted: "stream" };
    let stage = Stage::new();
    let following = Following::start(&stage, &["metrics", "alerts", "echo", "-n", "1"]);
    // It has not begun yet; its first question is for the newest of the first channel.
    following.memory.fail_next(1, foreign(ChannelName::Metrics));
    until(|| following.remarks.text().contains("fullsend:metrics is left out")).await;
    stage.say(ChannelName::Echo, "control_room", &echo("one")).await;
    following.shows("one").await;
    following.memory.fail_next(1, foreign(ChannelName::Alerts));
    stage.say(ChannelName::Echo, "control_room", &echo("two")).await;
    until(|| following.remarks.text().contains("fullsend:alerts is left out")).await;
    stage.say(ChannelName::Echo, "control_room", &echo("three")).await;
    following.shows("three").await;
    stage.say(ChannelName::Alerts, "control_room", &echo("unseen")).await;
    stage.say(ChannelName::Echo, "control_room", &echo("four")).await;
    following.shows("four").await;
    let (shown, remarks) = following.end().await;
    assert_eq!(texts(&shown), ["one", "two", "three", "four"]);
    assert_eq!(remarks.lines().count(), 2);
}

struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it() {
    let stage = Stage::new();
    let (cx, results, remarks) = stage.context(false);
    let cx = Context { out: Output::to(false, Box::new(Gone), Box::new(remarks.clone())), ..cx };
    let following = Following::with(&stage, &["echo", "-n1"], cx, results, remarks);
    stage.say(ChannelName::Echo, "control_room", HELLO).await;
    let ended = following.task.await.unwrap();
    assert!(ended.unwrap_err().is::<Closed>());
}

#[rstest]
#[case("beginning", "")]
#[case("10m", "2026-03-01T09:20:00Z")]
#[case("09:15", "2026-03-01T09:15:00Z")]
#[case("2026-02-28", "2026-02-28T00:00:00Z")]
#[case("2026-02-28T09:00:00+02:00", "2026-02-28T07:00:00Z")]
#[case("9000000w", "")]
fn times_are_read(#[case] text: &str, #[case] expected: &str) {
    let expected = if expected.is_empty() { Since::Beginning } else { Since::Time(expected.parse().unwrap()) };
    assert_eq!(since(text, noon(), Zone::Utc).unwrap(), expected);
}

#[test]
fn what_is_no_time_is_refused() {
    assert!(since("yesterday", noon(), Zone::Utc).unwrap_err().to_string().contains("`yesterday` is neither an age"));
}

#[test]
fn heartbeats_are_left_out_where_nothing_was_chosen() {
    use crate::bus::filter::EntryView;
    let filter = super::Filter::parse(super::ALL_BUT_HEARTBEATS).unwrap();
    let stage = Stage::new();
    let shown = |kind: &'static str| {
        let envelope = stage.origin().envelope(kind, "supervisor");
        filter.matches(&EntryView { channel: ChannelName::Health, envelope: Some(&envelope), body: "{}" })
    };
    assert_eq!((shown("heartbeat"), shown("service_state")), (false, true));
}

#[tokio::test]
async fn what_another_program_added_is_shown_with_all_that_came_with_it() {
    let stage = Stage::new();
    let id = EntryId { ms: 1_772_357_400_000, seq: 0 };
    let foreign = Entry {
        fields: Some(r#"{"foo":"bar\u001b[2J","n":"1"}"#.into()),
        ..Entry::new(ChannelName::Echo, id, String::new(), String::new())
    };
    let bare = Entry::new(ChannelName::Echo, id, String::new(), HELLO.to_owned());
    for (json, words) in [(false, ["foo=bar", "hello"]), (true, ["\"n\":\"1\"", "\"source\":\"bridge\""])] {
        let (cx, results, _) = stage.context(json);
        for (entry, word) in [&foreign, &bare].into_iter().zip(words) {
            line::show(&plan(&[]), &cx, &line::Shown::stored(entry)).unwrap();
            let shown = results.text();
            let last = shown.lines().last().unwrap_or_default();
            assert!(last.contains(word) && !last.contains('\u{1b}'), "{last}");
            assert_eq!(last.contains("malformed"), word.contains("foo") || word.contains("n\""), "{last}");
        }
    }
}
