use super::*;

#[test]
fn a_word_is_a_whole_word_whatever_its_dress() {
    let words = Words::of("URGNT!!! Können wir das boken… SOOOO don’t nonstop");
    assert!(words.has("urgent") && words.has("broken") && words.has("konnen wir") && words.has("dont"));
    assert!(!words.has("stop") && !words.has("nen wir"));
    assert!(words.begins("urgnt") && !words.begins("urg"));
}

#[test]
fn the_same_thing_in_other_words_overlaps() {
    let a = Words::of("we should mail CTOs who starred our competitors").stems();
    let b = Words::of("CTOs who star a rival respond to e-mails").stems();
    assert!(overlap(&a, &b) > 0.7, "{a:?} {b:?}");
    assert!(overlap(&a, &Words::of("sponsor a breakfast in Brno").stems()) < 0.1);
}

#[test]
fn endings_do_not_matter() {
    for (one, other) in
        [("starred", "stars"), ("asked", "asking"), ("companies", "company"), ("stargazers", "stargazer")]
    {
        assert_eq!(Words::of(one).stems(), Words::of(other).stems());
    }
}
