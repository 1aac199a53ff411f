use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::contracts::Priority;
use crate::llm::tasks::{Action, Decision, Reply};

fn decision(text: &str) -> Result<Decision, Vec<String>> {
    read(text)
}

const BARE: &str = r#"{"action":"no_action","reasoning":"r","priority":"low"}"#;

#[rstest]
#[case::bare(BARE.to_owned())]
#[case::white_space_and_mark(format!("\u{feff}\n  {BARE}\n\n"))]
#[case::fenced(format!("```json\n{BARE}\n```"))]
#[case::prose_around(format!("Sure! Here is my decision:\n\n{BARE}\n\nLet me know {{if}} that helps."))]
#[case::braces_before(format!("For {{example}} and {{\"broken\": , I decide {BARE}"))]
#[case::two_objects(format!("{BARE} {{\"action\":\"kill_experiment\"}}"))]
#[case::braces_in_texts(r#"{"reasoning":"r","action":"no_action","x":"}{","priority":"low"}"#.to_owned())]
fn one_decision_in_many_forms(#[case] text: String) {
    let read = decision(&text).unwrap();
    assert_eq!((read.action, read.reasoning.as_str(), read.priority), (Action::NoAction, "r", Priority::Low));
}

#[rstest]
#[case("", "the answer is empty")]
#[case("I would rather not.", "holds no whole JSON object; it begins: I would rather not.")]
#[case(r#"{"action":"no_action","reasoning":"tru"#, "holds no whole JSON object")]
#[case("[1, 2]", "holds no whole JSON object")]
#[case(r#"{"action":"launch_rocket","reasoning":"r"}"#, "unknown action `launch_rocket`")]
#[case(r#"{"reasoning":"r"}"#, "`action` is missing")]
fn what_is_wrong_is_told(#[case] text: &str, #[case] fault: &str) {
    let faults = decision(text).unwrap_err();
    assert!(faults.len() == 1 && faults[0].contains(fault), "{faults:?}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let faults = read::<Reply>(r#"{"content":{"a":1}}"#).unwrap_err();
    assert_eq!(faults, ["at `content`: invalid type: map, expected a string"]);
}

#[test]
fn a_fault_is_one_harmless_line() {
    let faults = decision("{\"action\":\"x\u{1b}[2J\\ny\u{202e}\",\"reasoning\":\"r\"}").unwrap_err();
    assert!(faults[0].chars().all(|c| !crate::contracts::untrusted::is_unseen(c)), "{faults:?}");
}

#[test]
fn long_nonsense_is_refused_quickly() {
    for piece in ["{", "{\"a\":", "{\"a\":\"", "[{\"a\":1},", "\\"] {
        assert!(decision(&piece.repeat(900_000 / piece.len())).is_err(), "{piece}");
    }
    let faults = decision(&" x".repeat(LIMIT)).unwrap_err();
    assert!(faults[0].contains("at most"), "{faults:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(\\{|\\}|\"|:|,|\\[|\\]|action|no_action|reasoning|null|1|```|\\\\|é|\n| ){0,60}") {
        let _ = decision(&text);
    }
}
