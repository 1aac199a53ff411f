//! Notes and their history on the engine in memory.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::{Commit, Expect, Key, Op, Outcome, SharedBus, StateChange, Ttl};
use crate::contracts::ManualClock;
use crate::contracts::notes::{NoteChange, NoteName, Section};

const WORKLIST: &str = "\
# Fullsend Worklist

## Active (In Progress)
- [ ] **GitHub stargazer campaign** - FULLSEND designing, exp_123
- [ ] **LinkedIn enrichment tool** - Builder working on it

## Ready (Prioritized Queue)
1. Test YC founder outreach (high priority, Jake's idea)
2. Try conference attendee scraping (medium priority)
3. A/B test email subject lines (low priority, optimization)

## Blocked
- Event scraping - need browserbase credits

## Completed This Week
- [x] Initial cold email campaign - 12% response rate
- [x] Resend integration - tool working
";

const LEARNINGS: &str = "\
# Strategic Learnings

## 2024-01-15
**Event-based targeting outperforms cold lists**
- GitHub stargazer campaign: 15% response rate

## 2024-01-14
**CTOs respond, CFOs ignore**
- 50 emails to CTOs: 8 responses
";

fn now() -> DateTime<Utc> {
    "2026-11-21T09:30:00Z".parse().unwrap()
}

fn bus() -> SharedBus {
    Arc::new(MemoryBus::new(Arc::new(ManualClock::at(now()))))
}

fn author(by: &str) -> Author {
    Author { by: by.to_owned(), trace: None, at: now() }
}

fn item(key: &str, section: Section, text: &str) -> NoteChange {
    NoteChange::Item { key: key.to_owned(), section, text: text.to_owned() }
}

fn learn(headline: &str, evidence: &[&str]) -> NoteChange {
    let evidence = evidence.iter().map(|&line| line.to_owned()).collect();
    NoteChange::Learn { headline: headline.to_owned(), evidence, experiment_id: Some("exp_9".to_owned()) }
}

fn of(name: NoteName, text: &str, change: &NoteChange) -> String {
    let mut state = NoteState::empty(name);
    text.clone_into(&mut state.text);
    apply(change, &state, now()).unwrap().text().to_owned()
}

fn worklist(text: &str, change: &NoteChange) -> String {
    of(NoteName::Worklist, text, change)
}

async fn commit(bus: &SharedBus, ops: Vec<Op>) -> Outcome {
    bus.commit(vec![Commit::of(ops)]).await.unwrap().remove(0)
}

async fn make(bus: &SharedBus, name: NoteName, change: &NoteChange, by: &str) -> u64 {
    let made = edits(bus, [(name, change)], now()).await.unwrap().remove(0);
    let outcome = commit(bus, made.ops(&author(by))).await;
    assert!(outcome.is_done(), "{outcome:?}");
    made.version()
}

async fn rewrite(bus: &SharedBus, text: &str) -> u64 {
    let base = NoteState::read(bus, NoteName::Worklist).await.unwrap().version;
    make(bus, NoteName::Worklist, &NoteChange::Rewrite { text: text.to_owned(), base }, "tests").await
}

async fn hset(bus: &SharedBus, key: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    let op = Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep };
    assert!(commit(bus, vec![op]).await.is_done());
}

fn lines_changed(old: &str, new: &str) -> Vec<String> {
    let diff = similar::TextDiff::from_lines(old, new);
    let changes = diff.iter_all_changes().filter(|change| change.tag() != similar::ChangeTag::Equal);
    changes.map(|change| format!("{}{}", change.tag(), change.value().trim_end())).collect()
}

#[rstest]
#[case::moved_with_new_words(
    item("exp_123", Section::Completed, "exp_123 - 12% answered"),
    &["-- [ ] **GitHub stargazer campaign** - FULLSEND designing, exp_123", "+- [x] exp_123 - 12% answered (2026-11-21)"]
)]
#[case::new_words_where_it_stands(
    item("exp_123", Section::Active, "**Stargazers** exp_123 runs"),
    &["-- [ ] **GitHub stargazer campaign** - FULLSEND designing, exp_123", "+- [ ] **Stargazers** exp_123 runs"]
)]
#[case::nothing_new(item("exp_123", Section::Active, "**GitHub stargazer campaign** - FULLSEND designing, exp_123"), &[])]
#[case::a_new_one_with_its_key(item("req_7", Section::Active, "**Webinar** - designing"), &["+- [ ] **Webinar** - designing, req_7"])]
#[case::the_queue_counts_on(item("req_7", Section::Ready, "Try req_7"), &["+4. Try req_7"])]
#[case::blocked(item("req_7", Section::Blocked, "req_7 - needs a key"), &["+- req_7 - needs a key"])]
#[case::a_part_of_a_word_is_not_the_key(item("exp_12", Section::Blocked, "exp_12"), &["+- exp_12"])]
#[case::focus(
    NoteChange::Focus { text: "Only paying customers".to_owned() },
    &["+## Focus", "+- Only paying customers (2026-11-21)", "+"]
)]
fn an_item_moves_and_nothing_else(#[case] change: NoteChange, #[case] expected: &[&str]) {
    let once = worklist(WORKLIST, &change);
    assert_eq!(lines_changed(WORKLIST, &once), expected);
    assert_eq!(worklist(&once, &change), once, "a second time changes nothing");
}

#[test]
fn an_empty_worklist_begins_as_in_the_founding_document() {
    let text = worklist("", &item("exp_1", Section::Active, "**First** - exp_1"));
    insta::assert_snapshot!(text, @r"
    # Fullsend Worklist

    ## Active (In Progress)
    - [ ] **First** - exp_1

    ## Ready (Prioritized Queue)

    ## Blocked

    ## Completed This Week
    ");
    let text = worklist(&text, &NoteChange::Focus { text: "one thing".to_owned() });
    let text = worklist(&text, &NoteChange::Focus { text: "another thing".to_owned() });
    assert!(text.starts_with("# Fullsend Worklist\n\n## Focus\n- another thing (2026-11-21)\n\n## Active"), "{text}");
}

#[test]
fn odd_markdown_is_kept_byte_for_byte() {
    let odd = "Mara's list\r\n\r\n```\r\n## Active\r\n- exp_1 is an example\r\n```\r\n<!-- ## Blocked\r\n-->\r\n## active stuff ##\r\n* [ ] call Jake\r\n  about exp_1\r\n\r\n   some prose\r\n### Later\r\n- not now\r\n\r\n## Ideas\r\n- exp_1?";
    let text = worklist(odd, &item("exp_1", Section::Active, "exp_1 - designing"));
    assert_eq!(
        lines_changed(odd, &text),
        ["+* [ ] exp_1 - designing"],
        "neither code nor other sections have items: {text:?}"
    );
    assert!(text.contains("* [ ] call Jake\r\n  about exp_1\r\n* [ ] exp_1 - designing\r\n"), "{text:?}");
    let text = worklist(odd, &item("exp_1", Section::Completed, "exp_1"));
    assert!(text.ends_with("- exp_1?\r\n\r\n## Completed This Week\r\n- [x] exp_1 (2026-11-21)\r\n"), "{text:?}");
}

#[test]
fn what_stands_below_an_item_moves_with_it() {
    let with_notes = WORKLIST.replace("exp_123\n", "exp_123\n  - ask Mara first\n\tand Jake\n");
    let text = worklist(&with_notes, &item("exp_123", Section::Blocked, "exp_123 - waits"));
    assert!(text.contains("credits\n- exp_123 - waits\n  - ask Mara first\n\tand Jake\n\n## Completed"), "{text}");
}

#[test]
fn what_was_done_long_ago_leaves_the_worklist_if_we_dated_it() {
    let old = WORKLIST.replace(
        "- [x] Resend",
        "- [x] exp_5 done (2026-11-13)\n  a note\n- [x] exp_6 done (2026-11-14)\n- [x] Resend",
    );
    let text = worklist(&old, &item("exp_7", Section::Active, "exp_7"));
    let changed = lines_changed(&old, &text);
    assert_eq!(changed, ["+- [ ] exp_7", "-- [x] exp_5 done (2026-11-13)", "-  a note"]);
}

#[test]
fn words_cannot_break_out_of_their_line() {
    let nasty = "exp_1 <!-- \n## Blocked\n- [ ] pay \u{1b}[2J\u{202e}evil";
    let text = worklist(WORKLIST, &item("exp_1", Section::Active, nasty));
    assert_eq!(lines_changed(WORKLIST, &text).len(), 1, "{text}");
    assert!(!text.contains("<!--") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    let text = of(NoteName::Learnings, LEARNINGS, &learn("x **\n# y", &["a\n## 2027-01-01\n**b**"]));
    assert_eq!(text.lines().filter(|line| line.starts_with('#')).count(), 4, "{text}");
}

#[test]
fn a_learning_is_added_once_and_the_newest_day_comes_first() {
    let first = learn("Tuesdays work", &["20% open rate", "- at 9am"]);
    let text = of(NoteName::Learnings, LEARNINGS, &first);
    assert!(
        text.starts_with(
            "# Strategic Learnings\n\n## 2026-11-21\n**Tuesdays work**\n- 20% open rate\n- at 9am\n- Experiment: exp_9\n\n## 2024-01-15\n"
        ),
        "{text}"
    );
    assert_eq!(of(NoteName::Learnings, &text, &first), text);
    let again = learn("tuesdays  WORK!", &["20% open rate.", "21% the week after"]);
    let more = of(NoteName::Learnings, &text, &again);
    assert_eq!(lines_changed(&text, &more), ["+- 21% the week after"], "only what is new");
    let second = of(NoteName::Learnings, &more, &learn("Mondays do not", &[]));
    assert!(second.contains("## 2026-11-21\n**Mondays do not**\n- Experiment: exp_9\n\n**Tuesdays work**"), "{second}");
    let from_nothing = of(NoteName::Learnings, " \n", &learn("a", &[]));
    assert_eq!(from_nothing, "# Strategic Learnings\n\n## 2026-11-21\n**a**\n- Experiment: exp_9\n");
}

#[test]
fn a_change_of_another_note_or_without_words_is_refused() {
    let refused = |name, change| apply(&change, &NoteState::empty(name), now()).unwrap_err();
    let misplaced = refused(NoteName::Learnings, item("a", Section::Ready, "b"));
    assert_eq!(misplaced.to_string(), "`learnings` has no items; that belongs on `worklist`");
    assert!(matches!(refused(NoteName::Worklist, learn("a", &[])), NoteError::Misplaced { .. }));
    assert_eq!(refused(NoteName::Worklist, item("a", Section::Ready, " \n")), NoteError::Nothing(NoteName::Worklist));
    let huge = NoteChange::Rewrite { text: "x".repeat(note::NOTE_LIMIT + 1), base: 0 };
    assert!(matches!(refused(NoteName::Worklist, huge), NoteError::TooLong { .. }));
}

#[tokio::test]
async fn every_version_can_be_had_again() {
    let bus = bus();
    let mut texts = Vec::new();
    for n in 0..47_u64 {
        let lines: Vec<String> =
            (0..400).filter(|line| (line + n) % 11 != 0).map(|line| format!("line {line} of it\n")).collect();
        texts.push(lines.concat());
        assert_eq!(rewrite(&bus, &texts[texts.len() - 1]).await, n + 1);
    }
    for (n, text) in (1..).zip(&texts) {
        assert_eq!(&history::text(&bus, NoteName::Worklist, n).await.unwrap(), text, "version {n}");
    }
    let whole = |n: u64| {
        let bus = bus.clone();
        async move {
            bus.get(&history::key(NoteName::Worklist, n))
                .await
                .unwrap()
                .unwrap()
                .document()
                .unwrap()
                .get("text")
                .is_some()
        }
    };
    assert!(whole(1).await && whole(20).await && !whole(21).await, "one in twenty is kept whole");
    let listed = history::list(&bus, NoteName::Worklist, 3).await.unwrap();
    assert_eq!(listed.iter().map(|version| version.version).collect::<Vec<_>>(), [47, 46, 45]);
    assert_eq!((listed[0].by.as_str(), listed[0].reason.as_str()), ("tests", "written anew, from version 46"));
    assert!(matches!(history::text(&bus, NoteName::Worklist, 48).await, Err(history::HistoryError::Missing { .. })));
    // Somebody meddles with the history: it is said, and no other text is shown in its place.
    hset(&bus, "note_versions:worklist:21", &[("patch", "[]")]).await;
    let broken = history::text(&bus, NoteName::Worklist, 22).await.unwrap_err().to_string();
    assert!(broken.starts_with("version 22 of `worklist` cannot be made again"), "{broken}");
}

#[tokio::test]
async fn what_others_changed_meanwhile_stays_in_a_rewrite() {
    let bus = bus();
    let base = rewrite(&bus, WORKLIST).await;
    make(&bus, NoteName::Worklist, &item("exp_123", Section::Active, "exp_123 runs"), "gate").await;
    let text = WORKLIST.replace("need browserbase credits", "credits are there");
    make(&bus, NoteName::Worklist, &NoteChange::Rewrite { text, base }, "orchestrator").await;
    let merged = NoteState::read(&bus, NoteName::Worklist).await.unwrap();
    assert!(
        merged.text.contains("- [ ] exp_123 runs\n") && merged.text.contains("credits are there"),
        "{}",
        merged.text
    );
    assert_eq!((merged.version, merged.by.as_deref()), (3, Some("orchestrator")));

    let text = WORKLIST.replace("FULLSEND designing", "no longer wanted");
    let change = NoteChange::Rewrite { text: text.clone(), base };
    let refused = edits(&bus, [(NoteName::Worklist, &change)], now()).await.unwrap_err();
    let ChangeError::Note(NoteError::Conflict(conflict)) = refused else { panic!("{refused:?}") };
    assert_eq!((conflict.base, conflict.version, &conflict.ours, &conflict.theirs), (1, 3, &merged.text, &text));
    assert_eq!(conflict.hunks.len(), 1);
    assert_eq!((conflict.hunks[0].line, conflict.hunks[0].ours.as_str()), (4, "- [ ] exp_123 runs\n"));
    assert!(conflict.marked.contains("<<<<<<< the note now\n"), "{}", conflict.marked);
}

#[tokio::test]
async fn a_change_on_an_old_version_conflicts_on_the_bus() {
    let bus = bus();
    rewrite(&bus, "one\n").await;
    let change = item("a", Section::Ready, "a");
    let made = edits(&bus, [(NoteName::Worklist, &change)], now()).await.unwrap().remove(0);
    rewrite(&bus, "two\n").await;
    assert!(matches!(commit(&bus, made.ops(&author("x"))).await, Outcome::Conflict { .. }));
    assert_eq!(history::list(&bus, NoteName::Worklist, 9).await.unwrap().len(), 2, "nothing of it was written");
}

#[tokio::test]
async fn several_changes_of_a_note_go_in_one_commit() {
    let bus = bus();
    let changes = [item("a", Section::Ready, "a"), item("b", Section::Ready, "b"), item("a", Section::Completed, "a")];
    let learned = learn("c", &[]);
    let all = changes.iter().map(|change| (NoteName::Worklist, change)).chain([(NoteName::Learnings, &learned)]);
    let made = edits(&bus, all, now()).await.unwrap();
    let ops = made.iter().flat_map(|edit| edit.ops(&author("gate"))).collect();
    assert!(commit(&bus, ops).await.is_done());
    let state = NoteState::read(&bus, NoteName::Worklist).await.unwrap();
    assert_eq!(state.version, 3);
    assert!(state.text.contains("2. b\n") && state.text.contains("- [x] a (2026-11-21)\n"), "{}", state.text);
    assert_eq!(NoteState::read(&bus, NoteName::Learnings).await.unwrap().version, 1);
}

#[tokio::test]
async fn a_text_that_was_written_past_the_history_becomes_a_version() {
    let bus = bus();
    rewrite(&bus, "ours\n").await;
    hset(&bus, "notes:worklist", &[("text", "by hand\n")]).await;
    let state = NoteState::read(&bus, NoteName::Worklist).await.unwrap();
    assert!(!state.is_recorded());
    let version = rewrite(&bus, "next\n").await;
    let texts = [version - 1, version].map(|version| history::text(&bus, NoteName::Worklist, version));
    let texts: Vec<_> = futures::future::join_all(texts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(texts, ["by hand\n", "next\n"]);
}

#[tokio::test]
async fn a_document_that_was_deleted_goes_on_where_its_history_ended() {
    let bus = bus();
    for n in 1..=3 {
        rewrite(&bus, &format!("{n}\n")).await;
    }
    let gone = Op::Delete { key: note::key(NoteName::Worklist), expect: Expect::Any };
    assert!(commit(&bus, vec![gone]).await.is_done());
    assert_eq!(make(&bus, NoteName::Worklist, &item("a", Section::Ready, "a"), "gate").await, 4);
    assert_eq!(NoteState::read(&bus, NoteName::Worklist).await.unwrap().version, 4);
    assert_eq!(history::text(&bus, NoteName::Worklist, 3).await.unwrap(), "3\n");
}

#[tokio::test]
async fn a_context_holds_what_is_on_the_bus_whoever_wrote_it() {
    let bus = bus();
    rewrite(&bus, WORKLIST).await;
    let created = "2026-11-20T09:00:00Z";
    hset(
        &bus,
        "experiments:exp_1",
        &[("state", "running"), ("hypothesis", "h1"), ("tool", "t1"), ("created_at", created)],
    )
    .await;
    let spec = r#"{"experiment":{"hypothesis":"h2"},"execution":{"tool":"t2"}}"#;
    hset(&bus, "experiments:exp_2", &[("status", "run"), ("spec_json", spec), ("created_at", "2026-11-21T09:00:00Z")])
        .await;
    hset(&bus, "experiments:exp_3", &[("state", "archived")]).await;
    let string =
        |key: &str, text: &str| Op::State { key: Key::new(key), change: StateChange::SetString(text.to_owned()) };
    let member =
        |key: &str, member: &str| Op::State { key: Key::new(key), change: StateChange::AddMember(member.to_owned()) };
    commit(&bus, vec![string("experiments:exp_4", r#"{"hypothesis":"h4","state":"draft","n":1}"#)]).await;
    commit(&bus, vec![member("experiments:exp_5", "x"), string("fullsend:status", "paused")]).await;
    hset(&bus, "metrics_aggregated:exp_1", &[("emails_sent", "50"), ("rate", "0.12"), ("last", "never")]).await;
    hset(&bus, "tools:mailer", &[("status", "active")]).await;
    hset(&bus, "tools:broken", &[("state", "broken")]).await;
    for n in 0..3 {
        hset(
            &bus,
            &format!("learnings:tactical:l{n}"),
            &[("text", &format!("learned {n}")), ("experiment_id", "exp_1")],
        )
        .await;
        let change = StateChange::Score { member: format!("learnings:tactical:l{n}"), score: f64::from(n) };
        let run = StateChange::Push { value: format!(r#"{{"summary":"run {n}"}}"#), keep: 10 };
        let ops = [("learnings:tactical:index", change), ("fullsend:recent_runs", run)];
        let ops = ops.into_iter().map(|(key, change)| Op::State { key: Key::new(key), change });
        commit(&bus, ops.collect()).await;
    }
    let memory = Memory::default();
    let team = memory.load(&bus).await.unwrap();
    assert_eq!((team.worklist.text.as_str(), team.worklist.version), (WORKLIST, 1));
    let seen: Vec<_> = team
        .experiments
        .iter()
        .map(|e| (e.id.as_str(), e.state.as_str(), e.hypothesis.as_str(), e.tool.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("exp_2", "completed", "h2", Some("t2")),
            ("exp_1", "running", "h1", Some("t1")),
            ("exp_4", "draft", "h4", None)
        ]
    );
    assert_eq!(
        team.experiments[1].metrics.iter().map(|(name, n)| (name.as_str(), *n)).collect::<Vec<_>>(),
        [("emails_sent", 50.0), ("rate", 0.12)]
    );
    assert_eq!(
        (team.archived.as_slice(), team.tools.as_slice()),
        (["exp_3".to_owned()].as_slice(), ["mailer".to_owned()].as_slice())
    );
    assert_eq!(team.tactical, ["learned 2 (exp_1)", "learned 1 (exp_1)", "learned 0 (exp_1)"]);
    assert_eq!(team.recent_runs, ["run 2", "run 1", "run 0"]);
    assert!(team.held);
    assert!(
        team.warnings.contains(&"there is no product_context; it counts as empty".to_owned()),
        "{:?}",
        team.warnings
    );
    assert!(
        team.warnings.contains(&"`experiments:exp_5` holds a set, a hash belongs there; it is left out".to_owned()),
        "{:?}",
        team.warnings
    );

    // What changes is seen at the next look, and in the digest.
    assert_eq!(memory.load(&bus).await.unwrap().digest(), team.digest());
    assert!(team.digest().starts_with("product:0 worklist:1 learnings:0 state:"), "{}", team.digest());
    hset(&bus, "experiments:exp_1", &[("state", "archived")]).await;
    commit(
        &bus,
        vec![Op::Add { key: Key::new("metrics_aggregated:exp_2"), field: "n".to_owned(), n: 3, ceiling: None }],
    )
    .await;
    rewrite(&bus, "new\n").await;
    let next = memory.load(&bus).await.unwrap();
    assert_eq!((next.worklist.text.as_str(), next.archived.len()), ("new\n", 2));
    assert_eq!(next.experiments[0].metrics.get("n"), Some(&3.0));
    assert_ne!(next.digest(), team.digest());
    assert_eq!(load(&bus).await.unwrap(), *next, "what is remembered makes no difference");
}

#[tokio::test]
async fn a_context_is_bounded_and_says_so() {
    let bus = bus();
    for n in 0..load::EXPERIMENTS + 5 {
        hset(&bus, &format!("experiments:e{n:05}"), &[("state", "ready")]).await;
    }
    let team = load(&bus).await.unwrap();
    assert_eq!((team.experiments.len(), team.experiments[0].id.as_str()), (load::EXPERIMENTS, "e01004"));
    assert!(team.warnings.iter().any(|said| said.contains("1005 experiments")), "{:?}", team.warnings);
}

#[test]
fn what_should_not_stand_in_a_note_is_found() {
    let note = |text: &str| NoteBrief { text: text.to_owned(), version: 1 };
    let key = format!("{}{}", "sk-ant-", "0123456789abcdefghijklmnop");
    let team = TeamContext {
        product: note(PRODUCT_TEMPLATE),
        worklist: note(&format!("fine\nkey: {key}\n")),
        learnings: note(&"long enough\n".repeat(6_000)),
        ..TeamContext::default()
    };
    let said: Vec<String> = check::findings(&team).into_iter().map(|finding| finding.what).collect();
    assert_eq!(
        said,
        [
            "the product_context is still the template",
            "line 2 of the worklist looks as if a secret was pasted into it; models read it",
            "the learnings has 70 KiB, which every decision reads",
        ]
    );
    let missing = check::findings(&TeamContext::default());
    let missing: Vec<String> = missing.into_iter().map(|finding| finding.what).collect();
    assert_eq!(missing, ["the product_context is missing", "the worklist is missing", "there are no learnings yet"]);
}

/// Texts of a few lines that often have lines in common.
fn some_text() -> impl Strategy<Value = String> {
    let line =
        prop_oneof![Just("a\n"), Just("b\n"), Just("c\n"), Just("\n"), Just("- x\n"), Just("## h\r\n"), Just("é\n")];
    (proptest::collection::vec(line, 0..12), proptest::bool::ANY).prop_map(|(lines, ended)| {
        let text = lines.concat();
        if ended { text } else { text.trim_end_matches('\n').to_owned() }
    })
}

/// An edit of a text: lines of its own put in, others taken out.
fn some_edits() -> impl Strategy<Value = Vec<(usize, bool)>> {
    proptest::collection::vec((0..14_usize, proptest::bool::ANY), 0..4)
}

fn edit(text: &str, edits: &[(usize, bool)], mark: &str) -> (String, Vec<String>) {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let mut added = Vec::new();
    for (n, (at, put)) in edits.iter().enumerate() {
        let at = at % (lines.len() + 1);
        if *put {
            if let Some(before) = at.checked_sub(1)
                && !lines[before].ends_with('\n')
            {
                lines[before].push('\n');
            }
            let line = format!("{mark}{n}\n");
            lines.insert(at, line.clone());
            added.push(line);
        } else if at < lines.len() && !added.contains(&lines[at]) {
            lines.remove(at);
        }
    }
    (lines.concat(), added)
}

fn lines_of(text: &str) -> Vec<&str> {
    text.lines().collect()
}

proptest! {
    #[test]
    fn a_clean_merge_loses_no_line_of_anybody(
        base in some_text(), ours in some_edits(), theirs in some_edits(),
    ) {
        let (ours, from_us) = edit(&base, &ours, "ours");
        let (theirs, from_them) = edit(&base, &theirs, "theirs");
        if let Ok(merged) = merge::merge(&base, &ours, &theirs) {
            for line in from_us.iter().chain(&from_them) {
                prop_assert!(lines_of(&merged).contains(&line.trim_end()), "{line:?} is lost in {merged:?}");
            }
            // A line that both kept is there at least as often as in the side that has fewer of it.
            for line in lines_of(&base) {
                let count = |text: &str| lines_of(text).iter().filter(|found| **found == line).count();
                let removed = count(&base).saturating_sub(count(&ours)) + count(&base).saturating_sub(count(&theirs));
                prop_assert!(count(&merged) + removed >= count(&base), "{line:?} is lost in {merged:?}");
            }
        }
    }

    #[test]
    fn what_only_adds_keeps_every_line(old in some_text(), new in some_text()) {
        if merge::only_adds(&old, &new) {
            let mut lines = new.split_inclusive('\n');
            prop_assert!(old.split_inclusive('\n').all(|line| lines.any(|found| found == line)), "{old:?} is not within {new:?}");
        }
    }

    #[test]
    fn a_patch_makes_the_new_text(old in some_text(), new in some_text()) {
        prop_assert_eq!(patch::applied(&old, &patch::between(&old, &new)), Some(new));
    }

    #[test]
    fn an_item_moved_anywhere_keeps_every_line_of_others(text in some_text(), section in 0..4_usize) {
        let base = format!("{WORKLIST}{text}");
        let section = Section::ALL[section];
        let moved = worklist(&base, &item("exp_123", section, "exp_123 new"));
        let others = |text: &str| -> Vec<String> {
            text.split_inclusive('\n').filter(|line| !line.contains("exp_123")).map(|line| line.trim_end_matches('\n').to_owned()).collect()
        };
        prop_assert_eq!(others(&moved), others(&base));
        prop_assert_eq!(moved.matches("exp_123").count(), 1);
    }
}
