use std::collections::BTreeSet;

use pretty_assertions::assert_eq;

use super::*;
use crate::tui::keys::{Chord, Keymap};

#[test]
fn an_action_is_at_its_own_row() {
    for (at, row) in ACTIONS.iter().enumerate() {
        assert_eq!(row.action as usize, at);
        assert_eq!(row.action.row().name, row.name);
    }
}

#[test]
fn names_are_unique_and_helps_are_sentences() {
    let names: BTreeSet<&str> = ACTIONS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), ACTIONS.len());
    for row in ACTIONS {
        assert!(row.help.ends_with('.') && row.help.starts_with(char::is_uppercase), "{}: {}", row.name, row.help);
        assert!(row.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", row.name);
    }
}

#[test]
fn the_keys_of_the_table_contradict_each_other_nowhere() {
    assert_eq!(Keymap::default().conflict(), None);
}

#[test]
fn every_key_of_the_table_can_be_read_and_finds_its_action() {
    let keymap = Keymap::default();
    for row in ACTIONS {
        for key in row.keys {
            let chord: Chord = key.parse().unwrap_or_else(|err| panic!("{}: {err}", row.name));
            assert_eq!(keymap.find(chord, &[row.scope]), Some(row.action), "{key}");
        }
        // A hold ends by name, or by its own question: no key that is pressed by mistake lets go.
        assert!(!row.keys.is_empty() || row.action == Action::Go, "{} has no key", row.name);
    }
}

#[test]
fn no_letter_acts_where_a_text_field_has_the_keys() {
    for row in ACTIONS {
        if let Scope::In(LayerKind::Inject | LayerKind::Palette | LayerKind::Filter) = row.scope {
            for key in row.keys {
                let chord: Chord = key.parse().unwrap();
                assert!(!chord.is_text(), "{} on {key} would be typed", row.name);
            }
        }
    }
}

#[test]
fn the_key_of_yes_is_not_one_that_asks() {
    let keys = |action: Action| action.row().keys.to_vec();
    for asks in [Action::Kill, Action::Quit, Action::NeedsYou] {
        for yes in [Action::ConfirmYes, Action::Approve, Action::QuitStop, Action::QuitLeave] {
            assert!(keys(asks).iter().all(|key| !keys(yes).contains(key)), "{asks:?} and {yes:?}");
        }
    }
}

#[test]
fn every_screen_has_an_action() {
    let reached: BTreeSet<Screen> = ACTIONS.iter().filter_map(|row| screen_of(row.action)).collect();
    assert_eq!(reached, Screen::ALL.into_iter().collect());
}
