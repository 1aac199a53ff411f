//! The screen of a chain.

use super::*;
use crate::tui::app::tests::{document, passes};
use crate::tui::store::Item;
use crate::tui::store::chain::tests::story;

/// A room that shows the chain of an idea.
fn traced(width: u16, height: u16) -> Model {
    let mut model = furnished(width, height);
    press(&mut model, "9");
    let chain = story();
    model.trace = Some(chain.trace());
    model.store.follow(chain.trace());
    model.store.apply(Item::Chain(Box::new(chain)));
    document(&mut model, "experiments:exp_stars", &[("state", "running")]);
    passes(&mut model, 10_000);
    model
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn trace_shows_a_chain_as_a_tree_and_the_step_that_is_selected(#[case] width: u16, #[case] height: u16) {
    let mut model = traced(width, height);
    let text = shown(&model, width, height);
    has(
        &text,
        &[
            "▸Trace …00000000 · 8 steps · 1m 30s · $0.0253",
            "now      exp_stars (dry run) is running",
            "@mara discord_message",
        ],
    );
    has(&text, &["├─watcher escalation", "@mara approval_verdict", "about apr_stars", "+41.3s", "steps    8"]);
    for _ in 0..2 {
        press(&mut model, "down");
    }
    let text = shown(&model, width, height);
    has(
        &text,
        &[
            "escalation by watcher at 2026-11-21 14:02:11,",
            "20ms after discord_message",
            "\"reason\": \"It proposes something.\"",
        ],
    );
    assert_snapshot!(format!("trace_{width}x{height}"), picture(&model, width, height));
}

#[test]
fn a_step_is_opened_and_its_chain_is_followed_live() {
    let mut model = traced(120, 40);
    press(&mut model, "down");
    press(&mut model, "enter");
    has(&shown(&model, 120, 40), &["discord_raw · discord_message", "\"username\": \"mara\""]);
    press(&mut model, "esc");
    let before = model.store.chain.as_ref().unwrap().rows().len();
    let chain = story();
    let again = chain.rows()[0].clone();
    model.store.apply(Item::Message(again));
    assert_eq!(model.store.chain.as_ref().unwrap().rows().len(), before, "nothing is shown twice");
}

#[test]
fn the_plain_tree_has_no_signs_that_are_read_aloud() {
    let mut model = traced(120, 40);
    model.about.is_plain = true;
    let text = shown(&model, 120, 40);
    assert!(!text.contains(['├', '└', '│']), "{text}");
    has(&text, &["+-watcher"]);
}
