//! The product context's form: what a person says of it stands in the first gap of the template, else at the end.
//!
//! Must never touch what somebody wrote.

use super::TEMPLATE_MARK;
use super::lines::{Lines, clean};

const TITLE: &str = "# Product context";

/// The text with these words in it; none where there are none, or they stand there.
pub(super) fn describe(text: &str, words: &str) -> Option<String> {
    let words = clean(words);
    if words.is_empty() || text.contains(&words) {
        return None;
    }
    let mut lines = Lines::of(text);
    match lines.all.iter_mut().find(|line| line.contains(TEMPLATE_MARK)) {
        Some(gap) => *gap = gap.replace(TEMPLATE_MARK, &words),
        None if text.trim().is_empty() => lines = Lines::of(&format!("{TITLE}\n\n{words}\n")),
        None => {
            let end = lines.all.len();
            lines.insert(end, [String::new(), words]);
        }
    }
    Some(lines.text())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::{PRODUCT_TEMPLATE, is_unwritten};
    use super::describe;

    #[rstest]
    #[case::none("", "# Product context\n\nA build cache.\n")]
    #[case::template("# P\n\nSold: (fill in)\n\nFor: (fill in)\n", "# P\n\nSold: A build cache.\n\nFor: (fill in)\n")]
    #[case::written("# P\n\nFor teams.\n", "# P\n\nFor teams.\n\nA build cache.\n")]
    fn what_is_sold_stands_where_it_belongs(#[case] text: &str, #[case] expected: &str) {
        let told = describe(text, "A build cache.").unwrap();
        assert_eq!(told, expected);
        assert!(!is_unwritten(&told));
        assert_eq!(describe(&told, "A build cache."), None, "twice is once");
    }

    #[test]
    fn the_template_says_nothing() {
        assert!(is_unwritten(PRODUCT_TEMPLATE) && is_unwritten("") && is_unwritten("# Product\n\n"));
        assert!(!is_unwritten("We sell tea."));
        assert_eq!(describe("", "  "), None);
    }
}
