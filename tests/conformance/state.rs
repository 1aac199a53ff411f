//! Documents with versions, counters, times to live, the other types, scans.

use std::collections::BTreeMap;
use std::time::Duration;

use fullsend::bus::{BusError, Commit, Expect, Key, Op, Outcome, Refusal, State, StateChange, Ttl};
use pretty_assertions::assert_eq;

use crate::stores::Engine;
use crate::tools::*;

fn change(key: &str, expect: Expect, fields: &[(&str, Option<&str>)], ttl: Ttl) -> Op {
    let owned = |(field, value): &(&str, Option<&str>)| ((*field).to_owned(), value.map(str::to_owned));
    Op::Change { key: Key::new(key), expect, fields: fields.iter().map(owned).collect(), ttl }
}

fn set(key: &str, expect: Expect, value: &str) -> Op {
    change(key, expect, &[("f", Some(value))], Ttl::Keep)
}

fn state(key: &str, change: StateChange) -> Op {
    Op::State { key: Key::new(key), change }
}

fn push(key: &str, value: &str, keep: usize) -> Op {
    let value = value.to_owned();
    state(key, StateChange::Push { value, keep })
}

fn delete(key: &str, expect: Expect) -> Op {
    Op::Delete { key: Key::new(key), expect }
}

fn conflict(key: &str, found: Option<u64>) -> Outcome {
    Outcome::Conflict { key: Key::new(key), found }
}

fn over(key: &str, value: i64) -> Outcome {
    Outcome::Ceiling { key: Key::new(key), field: "n".to_owned(), value }
}

fn no_number(key: &str, field: &str, outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::NotANumber { key: of, field: name }) if of.ends_with(key) && name == field)
}

async fn one(engine: &dyn fullsend::bus::Bus, op: Op) -> Outcome {
    commit(engine, Commit::of(vec![op])).await
}

pub(crate) async fn documents_are_created_once(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(document(&*store.a, "doc").await, None);
    done(&*store.a, vec![set("doc", Expect::Absent, "1")]).await;
    assert_eq!(one(&*store.b, set("doc", Expect::Absent, "2")).await, conflict("doc", Some(1)));
    let found = document(&*store.b, "doc").await.unwrap();
    assert_eq!((found.version, found.get("f")), (1, Some("1")));
    // A counter alone makes a document that was never changed.
    done(&*store.a, vec![add("count", 1, None)]).await;
    assert_eq!(one(&*store.b, set("count", Expect::Absent, "2")).await, conflict("count", Some(0)));
    done(&*store.a, vec![set("count", Expect::Version(0), "3")]).await;
    assert_eq!(document(&*store.a, "count").await.unwrap().version, 1);
}

pub(crate) async fn documents_change_by_version(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(one(&*store.a, set("doc", Expect::Version(1), "x")).await, conflict("doc", None));
    for (version, expect) in [Expect::Any, Expect::Version(1), Expect::Any, Expect::Version(3)].into_iter().enumerate()
    {
        done(&*store.a, vec![set("doc", expect, &version.to_string())]).await;
    }
    for wrong in [0, 1, 3, 5] {
        let outcome = one(&*store.b, set("doc", Expect::Version(wrong), "x")).await;
        assert_eq!(outcome, conflict("doc", Some(4)));
    }
    let found = document(&*store.b, "doc").await.unwrap();
    assert_eq!((found.version, found.get("f")), (4, Some("3")));
}

pub(crate) async fn fields_are_set_and_removed(engine: &dyn Engine) {
    let store = engine.open().await;
    let first = [("a", Some("1")), ("b", Some("2")), ("c", Some("3"))];
    done(&*store.a, vec![change("doc", Expect::Any, &first, Ttl::Keep)]).await;
    let second = [("b", None), ("a", Some("")), ("d", Some("4")), ("never", None)];
    done(&*store.a, vec![change("doc", Expect::Any, &second, Ttl::Keep)]).await;
    let found = document(&*store.b, "doc").await.unwrap();
    let expected = [("a", ""), ("c", "3"), ("d", "4")].map(|(field, value)| (field.to_owned(), value.to_owned()));
    assert_eq!(found.fields, BTreeMap::from(expected));
    let none = [("a", None), ("c", None), ("d", None)];
    done(&*store.a, vec![change("doc", Expect::Any, &none, Ttl::Keep)]).await;
    let found = document(&*store.b, "doc").await.unwrap();
    assert_eq!((found.version, found.fields), (3, BTreeMap::new()));
}

pub(crate) async fn texts_in_documents_survive(engine: &dyn Engine) {
    let store = engine.open().await;
    let long = "x".repeat(300_000);
    let texts = ["", " ", "😀\u{0}\r\n\"'`\\", "%s $1 {} :a ?", "0012", "1e3", "-0", "null", "nil", long.as_str()];
    for text in texts {
        let fields = [(text.get(..text.len().min(20)).unwrap_or("f"), Some(text))];
        done(&*store.a, vec![change("doc", Expect::Any, &fields, Ttl::Keep)]).await;
        done(&*store.a, vec![state("string", StateChange::SetString(text.to_owned()))]).await;
        done(&*store.a, vec![push("list", text, 100)]).await;
        done(&*store.a, vec![state("set", StateChange::AddMember(text.to_owned()))]).await;
        assert_eq!(get(&*store.b, "string").await, Some(State::String(text.to_owned())));
        let found = document(&*store.b, "doc").await.unwrap();
        assert!(found.fields.values().any(|value| value == text), "{text:?} in {found:?}");
    }
    let all = texts.map(str::to_owned);
    assert_eq!(get(&*store.b, "list").await, Some(State::List(all.to_vec())));
    assert_eq!(get(&*store.b, "set").await, Some(State::Set(all.into())));
}

pub(crate) async fn concurrent_changes_of_a_version_have_one_winner(engine: &dyn Engine) {
    let store = engine.open().await;
    done(&*store.a, vec![set("doc", Expect::Absent, "")]).await;
    for version in 1..=10 {
        let callers = [&store.a, &store.b, &store.c].map(|bus| {
            let bus = bus.clone();
            tokio::spawn(async move { one(&*bus, set("doc", Expect::Version(version), "x")).await })
        });
        let outcomes: Vec<_> = futures::future::join_all(callers).await.into_iter().map(Result::unwrap).collect();
        let lost = outcomes.iter().filter(|outcome| **outcome == conflict("doc", Some(version + 1)));
        assert_eq!(lost.count(), 2, "{outcomes:?}");
        assert_eq!(document(&*store.a, "doc").await.unwrap().version, version + 1);
    }
}

pub(crate) async fn a_time_to_live_ends(engine: &dyn Engine) {
    let store = engine.open().await;
    done(&*store.a, vec![change("long", Expect::Any, &[("f", Some("1"))], Ttl::Set(LONG))]).await;
    done(&*store.a, vec![change("doc", Expect::Any, &[("f", Some("1"))], Ttl::Set(SHORT))]).await;
    store.pass(SHORT * 2);
    eventually("the document's end", async || document(&*store.b, "doc").await.is_none().then_some(())).await;
    assert_eq!(store.a.scan("doc", None, 10).await.unwrap().0, []);
    assert!(document(&*store.b, "long").await.is_some());
    // What comes after is new, and has no end.
    done(&*store.a, vec![set("doc", Expect::Absent, "2")]).await;
    assert_eq!(document(&*store.b, "doc").await.unwrap().version, 1);
    store.pass(SHORT * 2);
    done(&*store.a, vec![change("mark", Expect::Any, &[], Ttl::Set(SHORT))]).await;
    store.pass(SHORT * 2);
    eventually("the mark's end", async || document(&*store.b, "mark").await.is_none().then_some(())).await;
    assert!(document(&*store.b, "doc").await.is_some());
}

pub(crate) async fn a_time_to_live_is_kept(engine: &dyn Engine) {
    let store = engine.open().await;
    let units = vec![
        Commit::of(vec![change("doc", Expect::Any, &[("f", Some("1"))], Ttl::Set(SHORT))]),
        Commit::of(vec![set("doc", Expect::Any, "2"), add("doc", 1, None)]),
    ];
    let outcomes = store.a.commit(units).await.unwrap();
    assert!(outcomes.iter().all(Outcome::is_done), "{outcomes:?}");
    store.pass(SHORT * 2);
    eventually("the document's end", async || document(&*store.b, "doc").await.is_none().then_some(())).await;
}

pub(crate) async fn a_time_to_live_is_cleared(engine: &dyn Engine) {
    let store = engine.open().await;
    let ends = |key| change(key, Expect::Any, &[("f", Some("1"))], Ttl::Set(SHORT));
    let units = vec![
        Commit::of(vec![ends("cleared"), ends("prolonged")]),
        Commit::of(vec![
            change("cleared", Expect::Any, &[], Ttl::Clear),
            change("prolonged", Expect::Any, &[], Ttl::Set(LONG)),
        ]),
        Commit::of(vec![ends("mark")]),
    ];
    let outcomes = store.a.commit(units).await.unwrap();
    assert!(outcomes.iter().all(Outcome::is_done), "{outcomes:?}");
    store.pass(SHORT * 2);
    // The mark got its end last, so when it has gone, the others would have.
    eventually("the mark's end", async || document(&*store.b, "mark").await.is_none().then_some(())).await;
    assert_eq!(document(&*store.b, "cleared").await.unwrap().version, 2);
    assert_eq!(document(&*store.b, "prolonged").await.unwrap().version, 2);
}

pub(crate) async fn counters_stop_at_their_ceiling(engine: &dyn Engine) {
    let store = engine.open().await;
    done(&*store.a, vec![set("count", Expect::Absent, "text")]).await;
    done(&*store.a, vec![add("count", 3, Some(5))]).await;
    assert_eq!(one(&*store.b, add("count", 3, Some(5))).await, over("count", 3));
    done(&*store.a, vec![add("count", 2, Some(5))]).await;
    assert_eq!(one(&*store.b, add("count", 1, Some(5))).await, over("count", 5));
    assert_eq!(one(&*store.b, add("fresh", 6, Some(5))).await, over("fresh", 0));
    assert_eq!(document(&*store.a, "fresh").await, None);
    done(&*store.a, vec![add("count", 100, None)]).await;
    let found = document(&*store.a, "count").await.unwrap();
    assert_eq!((found.version, found.get("f"), found.get("n")), (1, Some("text"), Some("105")));
}

pub(crate) async fn counters_go_down(engine: &dyn Engine) {
    let store = engine.open().await;
    done(&*store.a, vec![add("count", 5, Some(5))]).await;
    done(&*store.a, vec![add("count", -2, Some(5))]).await;
    assert_eq!(count(&*store.b, "count").await, 3);
    done(&*store.a, vec![add("count", -10, None)]).await;
    assert_eq!(count(&*store.b, "count").await, -7);
    assert_eq!(one(&*store.a, add("count", 3, Some(-5))).await, over("count", -7));
    done(&*store.a, vec![add("count", 2, Some(-5))]).await;
    assert_eq!(count(&*store.b, "count").await, -5);
}

pub(crate) async fn counters_reach_the_edge_of_the_range(engine: &dyn Engine) {
    let store = engine.open().await;
    done(&*store.a, vec![add("count", i64::MAX - 2, None)]).await;
    done(&*store.a, vec![add("count", 1, Some(i64::MAX - 1))]).await;
    assert_eq!(count(&*store.b, "count").await, i64::MAX - 1, "rounded");
    assert_eq!(one(&*store.b, add("count", 1, Some(i64::MAX - 1))).await, over("count", i64::MAX - 1));
    done(&*store.a, vec![add("count", 1, None)]).await;
    let outcome = one(&*store.b, add("count", 1, None)).await;
    assert!(no_number("count", "n", &outcome), "{outcome:?}");
    assert_eq!(count(&*store.b, "count").await, i64::MAX);
    done(&*store.a, vec![add("low", i64::MIN, None)]).await;
    let outcome = one(&*store.b, add("low", -1, None)).await;
    assert!(no_number("low", "n", &outcome), "{outcome:?}");
    assert_eq!(count(&*store.b, "low").await, i64::MIN);
}

pub(crate) async fn counters_refuse_what_is_no_number(engine: &dyn Engine) {
    let store = engine.open().await;
    for text in ["", "x", "1.5", "1e3", "12 ", "0x10", "9223372036854775808", "007", "+5", "😀"] {
        done(&*store.a, vec![set("doc", Expect::Any, text)]).await;
        let add = Op::Add { key: Key::new("doc"), field: "f".to_owned(), n: 1, ceiling: Some(i64::MAX) };
        let outcome = one(&*store.b, add).await;
        assert!(no_number("doc", "f", &outcome), "{text:?} gave {outcome:?}");
        assert_eq!(document(&*store.b, "doc").await.unwrap().get("f"), Some(text));
    }
}

pub(crate) async fn a_ceiling_holds_within_a_unit(engine: &dyn Engine) {
    let store = engine.open().await;
    let twice = vec![append(WORK, 1), add("count", 3, Some(5)), add("count", 3, Some(5))];
    let outcome = commit(&*store.a, Commit::of(twice)).await;
    assert!(matches!(outcome, Outcome::Ceiling { .. }), "{outcome:?}");
    assert_eq!(document(&*store.a, "count").await, None);
    assert!(all(&*store.a, WORK).await.is_empty());
    done(&*store.a, vec![add("count", 3, Some(5)), add("count", 2, Some(5))]).await;
    assert_eq!(count(&*store.a, "count").await, 5);
}

pub(crate) async fn a_ceiling_holds_among_many(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..30 {
        let bus = [&store.a, &store.b, &store.c][n % 3].clone();
        callers.spawn(async move { one(&*bus, add("count", 1, Some(10))).await });
    }
    let outcomes = in_time("the callers", callers.join_all()).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_done()).count(), 10);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == over("count", 10)).count(), 20);
    assert_eq!(count(&*store.a, "count").await, 10);
}

pub(crate) async fn changes_of_one_unit_see_each_other(engine: &dyn Engine) {
    let store = engine.open().await;
    let ops = vec![
        set("doc", Expect::Absent, "1"),
        set("doc", Expect::Version(1), "2"),
        add("doc", 4, None),
        set("doc", Expect::Version(2), "3"),
        push("gone", "x", 5),
        delete("gone", Expect::Any),
        set("gone", Expect::Absent, "now a document"),
    ];
    done(&*store.a, ops).await;
    let found = document(&*store.b, "doc").await.unwrap();
    assert_eq!((found.version, found.get("f"), found.get("n")), (3, Some("3"), Some("4")));
    assert_eq!(document(&*store.b, "gone").await.unwrap().version, 1);
    let twice = vec![set("new", Expect::Absent, "1"), set("new", Expect::Absent, "2")];
    assert_eq!(commit(&*store.a, Commit::of(twice)).await, conflict("new", Some(1)));
    assert_eq!(document(&*store.b, "new").await, None);
}

pub(crate) async fn strings_are_set(engine: &dyn Engine) {
    let store = engine.open().await;
    for text in ["one", ""] {
        done(&*store.a, vec![state("key", StateChange::SetString(text.to_owned()))]).await;
        assert_eq!(get(&*store.b, "key").await, Some(State::String(text.to_owned())));
    }
}

pub(crate) async fn lists_are_bounded(engine: &dyn Engine) {
    let store = engine.open().await;
    for n in 0..7 {
        done(&*store.a, vec![push("list", &n.to_string(), 4)]).await;
    }
    let list = |values: &[&str]| Some(State::List(values.iter().map(|value| (*value).to_owned()).collect()));
    assert_eq!(get(&*store.b, "list").await, list(&["3", "4", "5", "6"]));
    done(&*store.a, vec![push("list", "6", 2)]).await;
    assert_eq!(get(&*store.b, "list").await, list(&["6", "6"]));
}

pub(crate) async fn sets_and_sorted_sets_change(engine: &dyn Engine) {
    let store = engine.open().await;
    let join = |member: &str| state("set", StateChange::AddMember(member.to_owned()));
    let leave = |key: &str, member: &str| state(key, StateChange::RemoveMember(member.to_owned()));
    let score = |member: &str, score| {
        let member = member.to_owned();
        state("zset", StateChange::Score { member, score })
    };
    done(&*store.a, vec![join("b"), join("a"), join("b"), leave("set", "never")]).await;
    let set = |members: &[&str]| Some(State::Set(members.iter().map(|member| (*member).to_owned()).collect()));
    assert_eq!(get(&*store.b, "set").await, set(&["a", "b"]));
    done(&*store.a, vec![leave("set", "a"), leave("zset", "not there yet")]).await;
    assert_eq!(get(&*store.b, "set").await, set(&["b"]));
    done(&*store.a, vec![leave("set", "b")]).await;
    assert_eq!(get(&*store.b, "set").await, None, "an empty set is none");

    let numbers = [1.5, -0.25, 1e300, 0.1 + 0.2, 9_007_199_254_740_993.0];
    let ops = numbers.iter().map(|n| score(&n.to_string(), *n)).collect();
    done(&*store.a, ops).await;
    done(&*store.a, vec![score("1.5", 3.0), leave("zset", "-0.25")]).await;
    let mut expected: BTreeMap<_, _> = numbers.iter().map(|n| (n.to_string(), *n)).collect();
    expected.insert("1.5".to_owned(), 3.0);
    expected.remove("-0.25");
    assert_eq!(get(&*store.b, "zset").await, Some(State::Sorted(expected)));
}

pub(crate) async fn the_wrong_type_is_refused(engine: &dyn Engine) {
    let store = engine.open().await;
    let member = || "m".to_owned();
    let changes: Vec<(&str, Op)> = ["hash", "string", "list", "set", "zset"]
        .into_iter()
        .flat_map(|key| {
            let score = StateChange::Score { member: member(), score: 1.0 };
            [
                ("hash", set(key, Expect::Any, "x")),
                ("hash", add(key, 1, None)),
                ("string", state(key, StateChange::SetString(member()))),
                ("list", push(key, "x", 3)),
                ("set", state(key, StateChange::AddMember(member()))),
                ("zset", state(key, score)),
            ]
        })
        .collect();
    let key_of = |op: &Op| match op {
        Op::Change { key, .. } | Op::Add { key, .. } | Op::State { key, .. } => key.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let fitting = changes.iter().filter(|(wanted, op)| key_of(op) == *wanted);
    done(&*store.a, fitting.map(|(_, op)| op.clone()).collect()).await;
    let before = snapshot(&*store.a).await;
    let mut unfitting: Vec<_> = changes.into_iter().filter(|(wanted, op)| key_of(op) != *wanted).collect();
    for key in ["hash", "string", "list"] {
        unfitting.push(("set", state(key, StateChange::RemoveMember(member()))));
    }
    for (wants, op) in unfitting {
        let outcome = commit(&*store.b, Commit::of(vec![append(WORK, 1), op.clone()])).await;
        let Outcome::Refused(Refusal::ForeignType { key, found, wanted }) = &outcome else {
            panic!("{op:?} gave {outcome:?}");
        };
        assert!(key.ends_with(&key_of(&op)), "{key}");
        assert_eq!(found, &key_of(&op));
        assert!(wanted.contains(wants), "{op:?} wants a {wanted}");
        assert_eq!(snapshot(&*store.a).await, before);
    }
}

pub(crate) async fn foreign_types_are_reported(engine: &dyn Engine) {
    let store = engine.open().await;
    let key = Key::new("theirs");
    if !store.by_hand.set_foreign(&key).await {
        return;
    }
    let error = store.a.get(&key).await.unwrap_err();
    assert!(matches!(&error, BusError::ForeignType { key, .. } if key.ends_with("theirs")), "{error:?}");
    for op in [set("theirs", Expect::Any, "x"), add("theirs", 1, None), push("theirs", "x", 1)] {
        let outcome = commit(&*store.a, Commit::of(vec![append(WORK, 1), op])).await;
        assert!(matches!(&outcome, Outcome::Refused(Refusal::ForeignType { .. })), "{outcome:?}");
    }
    assert!(all(&*store.a, WORK).await.is_empty());
    done(&*store.a, vec![delete("theirs", Expect::Any)]).await;
    assert_eq!(store.a.get(&key).await, Ok(None));
}

pub(crate) async fn deletes_have_expectations(engine: &dyn Engine) {
    let store = engine.open().await;
    done(&*store.a, vec![delete("doc", Expect::Any), delete("doc", Expect::Absent)]).await;
    assert_eq!(one(&*store.a, delete("doc", Expect::Version(1))).await, conflict("doc", None));
    done(&*store.a, vec![set("doc", Expect::Absent, "1"), push("list", "x", 1)]).await;
    assert_eq!(one(&*store.a, delete("doc", Expect::Version(2))).await, conflict("doc", Some(1)));
    assert_eq!(one(&*store.a, delete("doc", Expect::Absent)).await, conflict("doc", Some(1)));
    assert!(!one(&*store.a, delete("list", Expect::Version(1))).await.is_done());
    assert!(!one(&*store.a, delete("list", Expect::Absent)).await.is_done());
    assert!(get(&*store.a, "list").await.is_some());
    done(&*store.b, vec![delete("doc", Expect::Version(1)), delete("list", Expect::Any)]).await;
    assert_eq!((get(&*store.a, "doc").await, get(&*store.a, "list").await), (None, None));
}

pub(crate) async fn a_deleted_document_starts_afresh(engine: &dyn Engine) {
    let store = engine.open().await;
    done(&*store.a, vec![change("doc", Expect::Any, &[("old", Some("1"))], Ttl::Set(SHORT))]).await;
    done(&*store.a, vec![delete("doc", Expect::Any)]).await;
    done(&*store.a, vec![set("doc", Expect::Absent, "2")]).await;
    done(&*store.a, vec![change("mark", Expect::Any, &[], Ttl::Set(SHORT))]).await;
    store.pass(SHORT * 2);
    eventually("the mark's end", async || document(&*store.b, "mark").await.is_none().then_some(())).await;
    let found = document(&*store.b, "doc").await.expect("the old time to live has ended the new document");
    assert_eq!((found.version, found.fields.len()), (1, 1));
}

/// All keys with a prefix, page by page.
async fn scanned(bus: &dyn fullsend::bus::Bus, prefix: &str, limit: usize) -> Vec<String> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let (page, next) = bus.scan(prefix, cursor, limit).await.unwrap();
        keys.extend(page.into_iter().map(|key| key.0));
        assert!(keys.len() < 10_000, "the scan does not end");
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    keys.sort();
    keys
}

pub(crate) async fn scans_page_every_key_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut expected: Vec<_> = (0..300).map(|n| format!("thing:{n}")).collect();
    let ops = expected.iter().map(|key| set(key, Expect::Any, "1"));
    done(&*store.a, ops.collect()).await;
    let types = vec![push("thing:list", "x", 1), state("thing:string", StateChange::SetString("x".to_owned()))];
    done(&*store.a, types).await;
    done(&*store.a, vec![set("other", Expect::Any, "1"), append(WORK, 1)]).await;
    expected.extend(["thing:list".to_owned(), "thing:string".to_owned()]);
    expected.sort();
    for limit in [1_000, 37, 7] {
        assert_eq!(scanned(&*store.b, "thing:", limit).await, expected, "pages of {limit}");
    }
    assert_eq!(scanned(&*store.b, "thing:29", 3).await.len(), 11);
    assert_eq!(scanned(&*store.b, "nothing", 3).await, Vec::<String>::new());
}

pub(crate) async fn scans_take_the_prefix_literally(engine: &dyn Engine) {
    let store = engine.open().await;
    let odd = ["a*b", "a?b", "a[b]c", "a\\b", "a%b", "a_b", "a^b", "ä😀", "\u{10ffff}"];
    for key in odd {
        done(&*store.a, vec![set(&format!("{key}:1"), Expect::Any, "1")]).await;
    }
    done(&*store.a, vec![set("axb:1", Expect::Any, "1"), set("ab:1", Expect::Any, "1")]).await;
    for key in odd {
        assert_eq!(scanned(&*store.b, key, 10).await, [format!("{key}:1")]);
    }
}

pub(crate) async fn case_matters(engine: &dyn Engine) {
    let store = engine.open().await;
    done(&*store.a, vec![set("Key:a", Expect::Absent, "1")]).await;
    done(&*store.a, vec![set("key:a", Expect::Absent, "2"), set("KEY:A", Expect::Absent, "3")]).await;
    assert_eq!(document(&*store.b, "Key:a").await.unwrap().get("f"), Some("1"));
    assert_eq!(scanned(&*store.b, "key:", 10).await, ["key:a"]);
    let fields = [("F", Some("big")), ("f", Some("small"))];
    done(&*store.a, vec![change("doc", Expect::Any, &fields, Ttl::Keep)]).await;
    assert_eq!(document(&*store.b, "doc").await.unwrap().get("F"), Some("big"));
    for once in ["once", "Once"] {
        let unit = Commit { once: Some(once.to_owned()), ..Commit::default() };
        assert_eq!(commit(&*store.a, unit).await, Outcome::Committed(Vec::new()));
    }
    for name in ["lease", "Lease"] {
        assert!(store.a.lease(name, name, LONG).await.unwrap().is_some());
    }
    for group in ["group", "Group"] {
        store.a.ensure_group(WORK, group).await.unwrap();
    }
    say(&*store.a, WORK, [1]).await;
    assert_eq!(read(&*store.a, &reader("Group", "a"), 5).await.len(), 1);
    let other = reader("Group", "A");
    assert!(own(&*store.a, &other).await.claimed.is_empty());
    assert_eq!(stale(&*store.a, &reader("group", "a"), Duration::ZERO).await.claimed, []);
}

pub(crate) async fn several_keys_are_read_in_one_go(engine: &dyn Engine) {
    let store = engine.open().await;
    let doc = change("doc", Expect::Absent, &[("f", Some("1")), ("g", Some("2"))], Ttl::Keep);
    let text = state("text", StateChange::SetString("t".to_owned()));
    done(&*store.a, vec![doc, text, push("list", "v", 3), add("count", 4, None)]).await;
    let has_foreign = store.by_hand.set_foreign(&Key::new("foreign")).await;
    let names: Vec<String> =
        ["doc", "none", "text", "list", "count", "foreign"].into_iter().map(str::to_owned).collect();
    // More than go in one go.
    let all: Vec<String> =
        names.iter().cloned().chain((0..1_200).map(|n| format!("none:{n}"))).chain(["doc".to_owned()]).collect();
    let keys: Vec<Key> = all.iter().map(Key::new).collect();
    for only in [None, Some(["g", "missing"].as_slice())] {
        let found = store.b.get_many(&keys, only).await.unwrap();
        assert_eq!(found.len(), keys.len());
        assert_eq!(found.first(), found.last());
        let fields = |at: usize| -> Vec<(String, String)> {
            let document = found[at].as_ref().unwrap().as_ref().unwrap().document().unwrap();
            document.fields.clone().into_iter().collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = if only.is_none() { vec![pair("f", "1"), pair("g", "2")] } else { vec![pair("g", "2")] };
        assert_eq!(fields(0), expected);
        assert_eq!(found[0].as_ref().unwrap().as_ref().unwrap().document().unwrap().version, 1);
        assert_eq!(found[1], Ok(None));
        assert_eq!(found[2], Ok(Some(State::String("t".to_owned()))));
        assert_eq!(found[3], Ok(Some(State::List(vec!["v".to_owned()]))));
        match only {
            None => assert_eq!(fields(4), [pair("n", "4")]),
            // It has no version and none of these fields.
            Some(_) => assert_eq!(found[4], Ok(None)),
        }
        assert_eq!(matches!(found[5], Err(BusError::ForeignType { .. })), has_foreign);
    }
    assert_eq!(store.b.get_many(&[], None).await.unwrap(), []);
}
