use pretty_assertions::assert_eq;

use super::*;

fn best(text: &str) -> Intent {
    read::<Intent>(&Words::of(text), text).best()
}

fn is_in_order<M: Meaning + std::fmt::Debug>() {
    let examples = read_examples::<M>();
    for meaning in M::ALL {
        let own = examples.iter().filter(|(known, _)| known == meaning).count();
        assert!(own >= 4, "{meaning:?} has {own} examples");
    }
    let headings = M::EXAMPLES.iter().flat_map(|file| file.lines()).filter(|line| line.starts_with("= ")).count();
    assert_eq!(headings, M::ALL.len());
    assert!(M::ALL.len() <= ROOM);
    let mut texts: Vec<&str> = examples.iter().map(|(_, said)| said.text).collect();
    texts.sort_unstable();
    let twice: Vec<&str> = texts.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
    assert_eq!(twice, Vec::<&str>::new());
}

#[test]
fn every_meaning_has_examples_of_its_own_and_every_heading_is_a_meaning() {
    is_in_order::<Intent>();
    is_in_order::<Fault>();
    is_in_order::<Summary>();
    is_in_order::<Build>();
    is_in_order::<Refusal>();
    is_in_order::<Outcome>();
}

#[test]
fn what_was_learned_fits_new_words() {
    for (text, intent) in [
        ("kill the brewery experiment please", Intent::End),
        ("don't stop the brewery experiment, it works", Intent::Remark),
        ("what if we sent brewers a sample and counted who orders?", Intent::Idea),
        ("how many brewers answered the mails?", Intent::Question),
        ("8 of 11 brewers I called use a spreadsheet", Intent::Learning),
        ("we need a tool that reads beer labels", Intent::Tool),
        ("a brewer is furious and says his lawyer will write", Intent::Harm),
        ("thanks a lot!", Intent::Thanks),
        ("who is up for lunch?", Intent::Talk),
    ] {
        assert_eq!(best(text), intent, "{text}");
    }
}

#[test]
fn it_is_said_what_a_text_reads_like() {
    let text = "please kill the brewery experiment";
    let why = read::<Intent>(&Words::of(text), text).why(Intent::End);
    assert!(why.starts_with("It reads like \"") && why.ends_with("an order to end an experiment for good."), "{why}");
}

#[test]
fn the_shares_are_those_of_a_whole() {
    for text in ["", "?", "kill", "\u{202e}x", "今日は"] {
        let reading = read::<Intent>(&Words::of(text), text);
        let sum: f32 = Intent::ALL.iter().map(|intent| reading.share(*intent)).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{text}: {sum}");
    }
}
