use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const ENVELOPE: &str = r#"{"id":"019c0000-0000-7000-8000-00000000abcd","type":"escalation","source":"watcher",
    "at":"2026-03-01T09:30:00Z","trace":"019c0000-0000-7000-8000-00000000abcd","priority":"high","subject":"exp_forum"}"#;
const BODY: &str =
    r#"{"type":"escalation","reason":"They said \"Gr\u00fc\u00dfe\" \ud83d\udc4b\nand left","path":"a\/b\\c"}"#;

fn matches(filter: &str) -> bool {
    let envelope = serde_json::from_str(ENVELOPE).unwrap();
    let entry = EntryView { channel: ChannelName::ToOrchestrator, envelope: Some(&envelope), body: BODY };
    Filter::parse(filter).unwrap_or_else(|err| panic!("{filter}: {err}")).matches(&entry)
}

#[rstest]
#[case::nothing("  ", true)]
#[case::word("left", true)]
#[case::upper_case("LEFT", true)]
#[case::part_of_a_word("escal", true)]
#[case::absent("right", false)]
#[case::all_words("left they", true)]
#[case::not_all_words("left right", false)]
#[case::negated("-right", true)]
#[case::negated_and_there("-left", false)]
#[case::escaped_letters("grüsse", false)]
#[case::decoded_letters("GRÜßE", true)]
#[case::emoji("👋", true)]
#[case::phrase("\"they said\"", true)]
#[case::phrase_over_other_words("\"they left\"", false)]
#[case::quotes_in_a_phrase(r#""said \"Gr""#, true)]
#[case::backslash_in_a_phrase(r#""a/b\\c""#, true)]
#[case::negated_phrase("-\"they left\"", true)]
#[case::subject("exp_forum", true)]
#[case::source_as_word("watcher", true)]
#[case::channel_as_word("to_orch", true)]
#[case::a_dot_is_a_dot("th.y", false)]
#[case::time_is_a_word("09:30", false)]
#[case::regex("/th.y/", false)]
#[case::regex_any_case("/th.y/i", true)]
#[case::regex_over_lines(r"/👋\s+and/", true)]
#[case::regex_with_slash(r"/a\/b/", true)]
#[case::regex_with_backslash_at_its_end(r"/b\\/", true)]
#[case::negated_regex("-/th.y/i", false)]
#[case::channel("channel:to_orchestrator", true)]
#[case::full_channel("channel:fullsend:to_orchestrator", true)]
#[case::channels("channel:metrics,to_orchestrator", true)]
#[case::other_channel("channel:metrics", false)]
#[case::kind("type:escalation", true)]
#[case::kind_is_whole("type:escal", false)]
#[case::kind_beginning("type:win_*,escal*", true)]
#[case::not_kind("-type:escalation", false)]
#[case::source("source:watcher", true)]
#[case::other_source("source:bridge", false)]
#[case::priority("priority:high", true)]
#[case::priority_equal("priority:=high", true)]
#[case::priority_at_least("priority:>=medium", true)]
#[case::priority_more("priority:>high", false)]
#[case::priority_at_most("priority:<=high", true)]
#[case::priority_less("priority:<normal", false)]
#[case::not_priority("-priority:<critical", false)]
#[case::whole_trace("trace:019C0000-0000-7000-8000-00000000ABCD", true)]
#[case::trace_beginning("trace:019c0000", true)]
#[case::trace_end("trace:0000abcd", true)]
#[case::trace_middle("trace:7000", false)]
#[case::all_terms("type:escalation priority:high -right /left/ \"and left\"", true)]
fn terms_match(#[case] filter: &str, #[case] expected: bool) {
    assert_eq!(matches(filter), expected, "{filter}");
}

#[test]
fn without_an_envelope_only_channel_and_text_can_match() {
    let entry = EntryView { channel: ChannelName::Metrics, envelope: None, body: "not JSON \\u00 \\" };
    let matches = |filter: &str| Filter::parse(filter).unwrap().matches(&entry);
    assert!(matches("json channel:metrics"));
    assert!(!matches("type:escalation"));
    assert!(!matches("priority:>=low"));
    assert!(matches("-type:escalation"));
}

#[rstest]
#[case("-", "filter, column 2: expected a term after `-` (for a lone `-` write `\"-\"`), found the end")]
#[case("a - b", "filter, column 4: expected a term after `-` (for a lone `-` write `\"-\"`), found a space")]
#[case("a \"b", "filter, column 5: expected a closing `\"`, found the end")]
#[case("\"\"", "filter, column 1: expected a text between the quotes, found nothing")]
#[case("\"a\"b", "filter, column 4: expected a space before the next term, found `b`")]
#[case(
    "ü /a",
    "filter, column 5: expected a closing `/` (to look for a text with a slash, put it in quotes), found the end"
)]
#[case("//", "filter, column 1: expected a regular expression between the slashes, found nothing")]
#[case("/(/", "filter, column 1: expected a regular expression, found one that cannot be used: unclosed group")]
#[case("/a/x", "filter, column 4: expected a space before the next term, found `x`")]
#[case("priority:>=hgih", "filter, column 12: expected low, medium, high or urgent, found `hgih`")]
#[case("priority:", "filter, column 10: expected low, medium, high or urgent, found nothing")]
#[case("channel:echo,metrisc", "filter, column 14: expected a channel, perhaps `metrics`, found `metrisc`")]
#[case("channel:appro", "filter, column 9: expected a channel, perhaps `approvals`, found `appro`")]
#[case("channel:nowhere", "filter, column 9: expected a channel (`fullsend wiring` lists them), found `nowhere`")]
#[case("type:a,,b", "filter, column 8: expected a value for `type:`, found `a,,b`")]
#[case("type:", "filter, column 6: expected a value for `type:`, found nothing")]
#[case(
    "trace:xyz",
    "filter, column 7: expected the id of a chain, its beginning or its end (hexadecimal digits), found `xyz`"
)]
#[case(
    "sorce:watcher",
    "filter, column 1: expected `channel:`, `type:`, `source:`, `priority:` or `trace:` \
     (to look for the text itself, put it in quotes), found `sorce:`"
)]
fn errors_say_where_and_what_was_expected(#[case] filter: &str, #[case] said: &str) {
    assert_eq!(Filter::parse(filter).unwrap_err().to_string(), said);
}

#[test]
fn an_expression_that_would_take_too_much_memory_is_refused() {
    let err = Filter::parse(r"/(\w{500}){500}/").unwrap_err();
    assert!(err.found.contains("size limit"), "{err}");
}

proptest! {
    #[test]
    fn reading_never_panics(text in r#"([-a-z:"/\\*<>=, ü(\[]|type:|priority:>=|trace:|channel:|high|\PC){0,24}"#) {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn any_text_in_quotes_is_found_where_it_stands(text in r#"[^\\"]{1,20}"#, before in "[a-z ]{0,5}") {
        let filter = Filter::parse(&format!("\"{text}\"")).unwrap();
        let body = serde_json::json!({ "content": format!("{before}{text}") }).to_string();
        let entry = EntryView { channel: ChannelName::Echo, envelope: None, body: &body };
        prop_assert!(filter.matches(&entry), "{body}");
    }

    #[test]
    fn any_body_can_be_looked_at(body in r#"(\\|u|[0-9a-f]|d83d|dc4b|"|ü|\PC){0,40}"#) {
        let entry = EntryView { channel: ChannelName::Echo, envelope: None, body: &body };
        Filter::parse("abc /x/ -\"q\"").unwrap().matches(&entry);
    }
}
