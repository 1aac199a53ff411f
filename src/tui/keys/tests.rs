use std::path::Path;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

#[rstest]
#[case("x")]
#[case("X")]
#[case("?")]
#[case("-")]
#[case("ctrl-s")]
#[case("ctrl--")]
#[case("alt-enter")]
#[case("shift-tab")]
#[case("ctrl-alt-delete")]
#[case("space")]
#[case("f12")]
#[case("f")]
#[case("ü")]
fn chords_are_written_as_they_are_read(#[case] text: &str) {
    assert_eq!(text.parse::<Chord>().unwrap().to_string(), text);
}

#[rstest]
#[case("")]
#[case("ctrl-")]
#[case("ctrl-ctrl-x")]
#[case("xy")]
#[case("f13")]
#[case("shift-x")]
#[case("strg-x")]
#[case("\u{1b}")]
fn what_is_no_chord_is_refused(#[case] text: &str) {
    let said = text.parse::<Chord>().unwrap_err().to_string();
    assert!(said.contains("is no key; write it like"), "{said}");
}

#[rstest]
#[case::with_shift(KeyCode::Char('D'), KeyModifiers::SHIFT, "D")]
#[case::without(KeyCode::Char('D'), KeyModifiers::NONE, "D")]
#[case::back_tab(KeyCode::BackTab, KeyModifiers::SHIFT, "shift-tab")]
#[case::back_tab_alone(KeyCode::BackTab, KeyModifiers::NONE, "shift-tab")]
#[case::control_capital(KeyCode::Char('S'), KeyModifiers::CONTROL, "ctrl-s")]
fn terminals_report_the_same_key_differently(#[case] code: KeyCode, #[case] held: KeyModifiers, #[case] is: &str) {
    assert_eq!(Chord::of(KeyEvent::new(code, held)), is.parse().unwrap());
}

proptest! {
    #[test]
    fn any_text_is_a_chord_or_refused(text in "\\PC{0,12}") {
        if let Ok(chord) = text.parse::<Chord>() {
            prop_assert_eq!(chord.to_string().parse(), Ok(chord));
        }
    }
}

fn refused(text: &str) -> String {
    read(Path::new("/home/mara/.config/fullsend/keys.toml"), text).unwrap_err().to_string()
}

#[test]
fn a_person_chooses_other_keys() {
    let keymap = read(Path::new("k"), "inject = \"n\"\nkill = []\nquit = [\"Q\", \"ctrl-q\"]\n").unwrap();
    let find = |key: &str| keymap.find(key.parse().unwrap(), &[Scope::Room]);
    assert_eq!((find("n"), find("i"), find("x")), (Some(Action::Inject), None, None));
    assert_eq!((find("Q"), find("ctrl-q"), find("q")), (Some(Action::Quit), Some(Action::Quit), None));
}

#[test]
fn contradictions_are_refused_with_file_and_line() {
    let said = refused("# mine\ninject = \"n\"\n\nneeds-you = \"x\"\n");
    assert_eq!(
        said,
        "/home/mara/.config/fullsend/keys.toml:4: `x` is the key of `needs-you` and of `kill`, which work in the same place; \
         give one of them another key"
    );
}

#[rstest]
#[case("\n\ninjekt = \"n\"", ":3: unknown action `injekt`, did you mean `inject`?; `fullsend keys` lists them all")]
#[case("inject = \"strg-n\"", ":1: `strg-n` is no key; write it like")]
#[case("quit = []", ":1: `quit` cannot be without a key")]
#[case("inject = 5", ":1: ")]
#[case("a = \"x\"\ninject", ":2: ")]
fn what_cannot_be_used_is_refused_with_its_line(#[case] text: &str, #[case] words: &str) {
    let said = refused(text);
    assert!(said.contains(&format!("keys.toml{words}")), "{said}");
}

#[test]
fn without_a_file_the_keys_are_those_of_the_table() {
    assert_eq!(load(Path::new("/nowhere/keys.toml")).unwrap(), Keymap::default());
}
