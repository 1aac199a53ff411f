//! Being told while one looks elsewhere.

use pretty_assertions::assert_eq;

use super::*;
use crate::approvals::ApprovalState;
use crate::tui::app::told::{Telling, Ways};
use crate::tui::app::{Effect, Model, Msg, update};
use crate::tui::store::Item;

/// Changes something, and returns what is told.
fn told(model: &mut Model, item: Item) -> Vec<Telling> {
    let effects = update(model, Msg::Item(item));
    effects.into_iter().map(|it| if let Effect::Tell(telling) = it { telling } else { panic!("{it:?}") }).collect()
}

fn news(words: &str) -> Telling {
    Telling::News(words.to_owned())
}

fn title(words: &str) -> Telling {
    Telling::Title(words.to_owned())
}

/// A room whose requests and alerts were read: there are none.
fn quiet() -> Model {
    let mut model = empty(80, 24);
    for prefix in ["approvals:", "alerts:"] {
        update(&mut model, Msg::Item(Item::Documents { prefix: prefix.to_owned(), found: Vec::new(), left_out: 0 }));
    }
    model
}

fn alert(severity: &str, state: &str) -> Item {
    let fields = [("severity", severity), ("state", state), ("message", "bounces \x1b]0;x\x07 rise")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let state = crate::bus::State::Hash(crate::bus::Document { version: 1, fields });
    Item::Document { key: crate::bus::Key::new("alerts:a"), state: Some(state) }
}

#[test]
fn the_first_that_waits_is_told_the_second_is_counted_and_none_is_told_twice() {
    let mut model = quiet();
    let one = need_item("apr_1", "kill \x1b]0;owned\x07 exp_a", |_| {});
    assert_eq!(told(&mut model, one.clone()), [news("Fullsend needs you: kill  exp_a"), title("(1) fullsend")]);
    assert_eq!(told(&mut model, one.clone()), [], "the same");
    assert_eq!(told(&mut model, need_item("apr_2", "another", |_| {})), [title("(2) fullsend")]);
    let answered = |id| need_item(id, "x", |record| record.state = ApprovalState::Approved);
    assert_eq!(told(&mut model, answered("apr_2")), [title("(1) fullsend")]);
    assert_eq!(told(&mut model, answered("apr_1")), [title("fullsend")]);
    assert_eq!(told(&mut model, one), [title("(1) fullsend")], "it was told before");
    assert_eq!(told(&mut model, answered("apr_1")), [title("fullsend")]);
    let third = told(&mut model, need_item("apr_3", "a third", |_| {}));
    assert_eq!(third, [news("Fullsend needs you: a third"), title("(1) fullsend")]);
}

#[test]
fn what_waits_when_the_room_opens_is_on_the_screen_and_not_told() {
    let mut model = empty(80, 24);
    assert_eq!(told(&mut model, need_item("apr_1", "x", |_| {})), [title("(1) fullsend")]);
    assert_eq!(told(&mut model, alert("critical", "triggered")), []);
}

#[test]
fn a_critical_alert_is_told_once_until_it_is_over() {
    let mut model = quiet();
    assert_eq!(told(&mut model, alert("high", "triggered")), [], "not that bad");
    assert_eq!(told(&mut model, alert("critical", "triggered")), [news("Fullsend alert: bounces  rise")]);
    assert_eq!(told(&mut model, alert("critical", "acknowledged")), []);
    assert_eq!(told(&mut model, alert("critical", "triggered")), [], "the same");
    assert_eq!(told(&mut model, alert("critical", "resolved")), []);
    assert_eq!(told(&mut model, alert("critical", "triggered")), [news("Fullsend alert: bounces  rise")], "again");
}

#[test]
fn only_the_ways_that_are_wanted_are_used() {
    let mut model = quiet();
    model.about.ways = Ways { bell: false, notification: false, title: true };
    assert_eq!(told(&mut model, need_item("apr_1", "x", |_| {})), [title("(1) fullsend")]);
    let mut model = quiet();
    model.about.ways = Ways { bell: true, notification: false, title: false };
    assert_eq!(told(&mut model, need_item("apr_1", "x", |_| {})), [news("Fullsend needs you: x")]);
}
