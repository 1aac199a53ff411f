use pretty_assertions::assert_eq;

use super::*;
use crate::cli::testing::{Stage, json_lines};
use crate::contracts::ChannelName;

/// Two messages, of which the first caused the second, and one of another chain.
async fn said() -> (Stage, String, String) {
    let stage = Stage::new();
    let body = |text: &str| format!("{{\"type\":\"echo_request\",\"text\":\"{text}\"}}");
    let first = stage.message(ChannelName::Echo, "control_room", &body("first \\u001b[31m red"));
    let mut second = stage.message(ChannelName::Echo, "echo", &body("second"));
    second.envelope.trace = first.envelope.trace;
    second.envelope.cause = Some(first.envelope.id);
    let other = stage.message(ChannelName::Echo, "echo", &body("other"));
    let (trace, message) = (first.envelope.trace.to_string(), second.envelope.id.to_string());
    for message in [first, second, other] {
        stage.append(message).await;
    }
    (stage, trace, message)
}

#[tokio::test]
async fn a_chain_is_printed_as_a_tree_by_each_of_its_names() {
    let (stage, id, message) = said().await;
    for name in [id.as_str(), &id[28..], message.as_str()] {
        let (cx, results, _) = stage.context(false);
        assert_eq!(trace(name, &cx, &stage.bus).await.unwrap(), OK);
        let text = results.text();
        assert!(text.starts_with(&format!("{id}  2 steps · 0ms · $0.00\n")), "{text}");
        assert!(text.contains("now      nothing waits: the last was echo_request by "), "{text}");
        assert!(text.contains("control_room echo_request") && text.contains("└─echo echo_request"), "{text}");
        assert!(!text.contains("other") && !text.contains('\u{1b}'), "{text}");
    }
}

#[tokio::test]
async fn json_has_every_step_with_what_it_hangs_on() {
    let (stage, id, message) = said().await;
    let (cx, results, _) = stage.context(true);
    trace(&id, &cx, &stage.bus).await.unwrap();
    let all = json_lines(&results.text()).remove(0);
    assert_eq!((&all["trace"], &all["total"]["steps"]), (&id.clone().into(), &2.into()));
    assert_eq!((&all["steps"][1]["id"], &all["steps"][1]["parent"]), (&message.into(), &id.into()));
    assert_eq!(all["steps"][1]["body"]["text"], "second");
}

#[tokio::test]
async fn what_is_no_chain_or_several_is_said() {
    let (stage, id, _) = said().await;
    let (cx, ..) = stage.context(false);
    let none = trace("ffffffff", &cx, &stage.bus).await.unwrap_err().to_string();
    assert!(none.starts_with("no chain and no message has the id `ffffffff`"), "{none}");
    let several = trace(&id[..8], &cx, &stage.bus).await.unwrap_err().to_string();
    assert!(several.contains("is a part of several chains: ") && several.contains(&id), "{several}");
}
