//! What a call leaves behind: money, the journal, what viewers saw; and what happens when it is stopped.

use std::sync::Arc;
use std::time::Duration;

use fullsend::config::{Budgets, Config, Link, OnExceeded};
use fullsend::contracts::messages::{LlmCalls, LlmPart, Tokens};
use fullsend::contracts::{Body, ChannelName, Clock as _, Ids, SystemClock, TraceId};
use fullsend::llm::ledger::Prices;
use fullsend::llm::{NoAnswer, TaskName};
use pretty_assertions::assert_eq;
use tokio::sync::Notify;

use crate::http_server::{HttpServer, Step, chunk, chunk_end, stream, stream_head};
use crate::protocol::Protocol;
use crate::rig::{GOOD, about, ask, asking, bus, mind, mind_on};

/// What 80 tokens of input, 20 cached ones and 60 of output cost at the prices of today.
fn cost_of_one(protocol: Protocol) -> u64 {
    let tokens = Tokens { uncached: 80, cache_write: 0, cache_read: 20, output: 60 };
    let price = Prices::built_in().of(protocol.name(), protocol.model(), SystemClock.now().date_naive());
    assert!(price.is_known, "{protocol:?}");
    price.cost(&tokens.into())
}

#[rstest::rstest]
#[tokio::test]
async fn what_was_spent_is_exact(#[values(Protocol::Anthropic, Protocol::Gemini)] protocol: Protocol) {
    let server =
        HttpServer::start(vec![protocol.rejection(500, "later"), protocol.answer("nonsense"), protocol.answer(GOOD)])
            .await;
    let bus = bus();
    let mind = mind_on(&bus, protocol.config(&server.url()), Budgets::default());
    let answer = ask(&mind, &asking()).await.unwrap();
    assert!(cost_of_one(protocol) > 0);
    assert_eq!(answer.nano_usd, 2 * cost_of_one(protocol), "the failed attempt costs nothing, both answers do");
    let report = fullsend::llm::ledger::report::report(&bus, &Budgets::default(), SystemClock.now()).await.unwrap();
    let told = serde_json::to_string(&report).unwrap();
    assert!(told.contains(&format!("{}", 2 * cost_of_one(protocol))), "{told}");
}

#[tokio::test]
async fn a_server_on_this_machine_costs_nothing_and_is_counted() {
    let server = HttpServer::start(vec![Protocol::Openai.answer(GOOD)]).await;
    let mind = mind_on(&bus(), Protocol::Openai.config(&server.url()), Budgets::default());
    let answer = ask(&mind, &asking()).await.unwrap();
    assert_eq!((answer.nano_usd, answer.tokens.output), (0, 60));
}

#[tokio::test]
async fn over_budget_nothing_is_sent() {
    let server = HttpServer::start(vec![Protocol::Anthropic.answer(GOOD)]).await;
    let mut budgets = Budgets::default();
    budgets.call.nano = Some(1);
    let config = Protocol::Anthropic.config(&server.url());
    let answer = ask(&mind_on(&bus(), config.clone(), budgets.clone()), &asking()).await.unwrap();
    assert_eq!(answer.provider, "rules");
    assert!(answer.fell_back[0].contains("budget"), "{:?}", answer.fell_back);
    budgets.on_exceeded = OnExceeded::Ask;
    let ended = ask(&mind_on(&bus(), config, budgets), &asking()).await.unwrap_err();
    assert!(matches!(ended, NoAnswer::OverBudget(_)), "{ended:?}");
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn an_answer_is_paid_once_also_after_a_crash() {
    let protocol = Protocol::Anthropic;
    let server = HttpServer::start(vec![protocol.answer("nonsense"), protocol.answer(GOOD)]).await;
    let bus = bus();
    let message = Ids::random().message(SystemClock.now());
    let first = ask(&mind_on(&bus, protocol.config(&server.url()), Budgets::default()), &about(message)).await.unwrap();
    // Another process, the same message.
    let mind = mind_on(&bus, protocol.config(&server.url()), Budgets::default());
    let again = ask(&mind, &about(message)).await.unwrap();
    assert_eq!(server.asked().len(), 2, "the answer and its repair, both from the journal the second time");
    assert_eq!((again.output, again.tokens, again.nano_usd), (first.output, first.tokens, first.nano_usd));
    assert_eq!((again.flagged, again.reasoning), (true, first.reasoning));
    let other = Ids::random().message(SystemClock.now());
    ask(&mind, &about(other)).await.unwrap();
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_repair_that_a_crash_prevented_is_made_with_what_was_journalled() {
    let protocol = Protocol::Gemini;
    let bus = bus();
    let message = Ids::random().message(SystemClock.now());
    // The repair never comes: the process is stopped while it waits.
    let server = HttpServer::start(vec![protocol.answer("nonsense"), vec![Step::Silence]]).await;
    let asking = about(message);
    let mind = mind_on(&bus, protocol.config(&server.url()), Budgets::default());
    let (ended, ()) = tokio::join!(ask(&mind, &asking), async {
        server.wait_until_asked(2).await;
        asking.stop.cancel();
    });
    assert!(matches!(ended, Err(NoAnswer::Stopped)), "{ended:?}");
    let server = HttpServer::start(vec![protocol.answer(GOOD)]).await;
    let mind = mind_on(&bus, protocol.config(&server.url()), Budgets::default());
    let answer = ask(&mind, &about(message)).await.unwrap();
    assert!(answer.flagged && answer.provider == "gemini");
    assert!(server.asked()[0].text.contains("nonsense"), "the repair goes on from the first answer");
}

#[tokio::test]
async fn a_stop_ends_the_call_and_counts_what_was_seen() {
    let protocol = Protocol::Anthropic;
    let server =
        HttpServer::start(vec![vec![stream_head(), chunk(protocol.beginning().as_bytes()), Step::Silence]]).await;
    let bus = bus();
    let mind = mind_on(&bus, protocol.config(&server.url()), Budgets::default());
    let mut heard = bus.listen(&[ChannelName::LlmCalls]).await.unwrap().heard;
    let asking = asking();
    let (ended, ()) = tokio::join!(ask(&mind, &asking), async {
        // Once something of the answer was seen.
        while !heard.recv().await.unwrap().body.contains("no_acti") {}
        asking.stop.cancel();
    });
    assert!(matches!(ended, Err(NoAnswer::Stopped)), "{ended:?}");
    let report = fullsend::llm::ledger::report::report(&bus, &Budgets::default(), SystemClock.now()).await.unwrap();
    let told = serde_json::to_string(&report).unwrap();
    assert!(told.contains("\"estimated"), "{told}");
    assert!(matches!(ask(&mind, &asking).await, Err(NoAnswer::Stopped)), "and nothing new begins");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn viewers_see_the_reasoning_while_it_comes() {
    let protocol = Protocol::Anthropic;
    let whole = protocol.whole(GOOD);
    let middle = whole.find("think.").unwrap();
    let at = middle + whole[middle..].find("\n\n").unwrap() + 2;
    let go_on = Arc::new(Notify::new());
    let steps = vec![
        stream_head(),
        chunk(&whole.as_bytes()[..at]),
        Step::Wait(Arc::clone(&go_on)),
        chunk(&whole.as_bytes()[at..]),
        chunk_end(),
    ];
    let server = HttpServer::start(vec![steps]).await;
    let bus = bus();
    let mind = mind_on(&bus, protocol.config(&server.url()), Budgets::default());
    let mut heard = bus.listen(&[ChannelName::LlmCalls]).await.unwrap().heard;
    let message = Ids::random().message(SystemClock.now());
    let asking = about(message);
    let watch = async {
        let mut seen = Vec::new();
        loop {
            let notice = heard.recv().await.unwrap();
            assert_eq!(notice.envelope.as_ref().unwrap().source, "orchestrator");
            assert_eq!(notice.envelope.as_ref().unwrap().trace, TraceId::from(message));
            let said = LlmCalls::read(&notice.body).unwrap();
            if let LlmCalls::Delta(delta) = &said
                && delta.text.raw().contains("think.")
            {
                // The answer has not come to its end: it is told while it comes.
                go_on.notify_one();
            }
            let is_over = matches!(said, LlmCalls::Complete(_));
            seen.push(said);
            if is_over {
                return seen;
            }
        }
    };
    let (answer, seen) = tokio::join!(ask(&mind, &asking), watch);
    let answer = answer.unwrap();
    let LlmCalls::Start(start) = &seen[0] else { panic!("{seen:?}") };
    assert_eq!((start.operation.as_str(), start.source.as_deref()), ("llm.orchestrator.decide", Some("orchestrator")));
    assert_eq!(start.meta["model"], "claude-opus-4-6");
    let (mut reasoning, mut text) = (String::new(), String::new());
    for (number, said) in seen[1..seen.len() - 1].iter().enumerate() {
        let LlmCalls::Delta(delta) = said else { panic!("{said:?}") };
        assert_eq!((Some(&delta.call_id), delta.seq), (start.call_id.as_ref(), Some(number as u64)));
        let so_far = if delta.part == LlmPart::Reasoning { &mut reasoning } else { &mut text };
        so_far.push_str(delta.text.raw());
    }
    assert_eq!((reasoning.as_str(), text.as_str()), ("Let me think.", GOOD));
    let Some(LlmCalls::Complete(end)) = seen.last() else { panic!("{seen:?}") };
    assert_eq!((end.tokens, end.nano_usd, &end.error), (Some(answer.tokens), Some(answer.nano_usd), &None));
    assert_eq!((&end.call_id, end.operation.as_str()), (&start.call_id, "llm.orchestrator.decide"));
    assert!(end.duration_ms.is_some_and(|ms| ms > 0.0));
}

#[tokio::test]
async fn the_next_in_the_order_answers_and_the_answer_says_why() {
    let down = HttpServer::start(vec![Protocol::Anthropic.rejection(401, "no")]).await;
    let up = HttpServer::start(vec![Protocol::Gemini.answer(GOOD)]).await;
    let mut config = Protocol::Anthropic.config(&down.url());
    config.gemini.url = Some(up.url());
    config.decide.insert(1, Link::parse("gemini:gemini-3.6-flash").unwrap());
    let answer = ask(&mind(config), &asking()).await.unwrap();
    assert_eq!((answer.provider, answer.flagged), ("gemini", false));
    assert_eq!(
        answer.fell_back,
        ["anthropic:claude-opus-4-6: it answered 401: authentication_error: no (request req_1)"]
    );
}

#[tokio::test]
async fn without_rules_in_the_order_there_may_be_no_answer() {
    let down = HttpServer::start(vec![Protocol::Anthropic.rejection(404, "no such model")]).await;
    let mut config = Protocol::Anthropic.config(&down.url());
    config.decide.pop();
    let ended = ask(&mind(config), &asking()).await.unwrap_err();
    let told = ended.to_string();
    assert!(told.starts_with("no provider answered `decide`: anthropic:claude-opus-4-6: it answered 404"), "{told}");
}

#[tokio::test]
async fn without_a_key_the_rules_answer_and_nothing_is_said_or_kept() {
    let bus = bus();
    let config = Config::at(std::path::Path::new("/nowhere")).llm;
    let mind = mind_on(&bus, config, Budgets::default());
    let message = Ids::random().message(SystemClock.now());
    let answer = ask(&mind, &about(message)).await.unwrap();
    assert_eq!(
        (answer.provider, answer.reasoning.as_str(), answer.took),
        ("rules", "the rules say so", Duration::ZERO)
    );
    assert_eq!(mind.chain(TaskName::Decide).unwrap().candidates.len(), 1);
    assert_eq!(bus.scan("", None, 10).await.unwrap().0, []);
}

#[tokio::test]
async fn one_probe_is_one_call_and_its_failure_is_told() {
    let protocol = Protocol::Openai;
    let server =
        HttpServer::start(vec![stream(&protocol.whole("{\"ok\":true}"), 512), protocol.rejection(500, "ill")]).await;
    let mind = mind(protocol.config(&server.url()));
    let candidate = mind.chain(TaskName::Decide).unwrap().candidates[0].clone();
    let probe = mind.probe(&asking(), &candidate).await.unwrap();
    assert_eq!(probe.tokens.output, 60);
    assert_eq!(mind.probe(&asking(), &candidate).await.unwrap_err(), "it answered 500: ill");
    assert_eq!(server.asked().len(), 2);
}
