//! What is said, and how often.

use pretty_assertions::assert_eq;

use super::*;
use crate::contracts::messages::Severity;

async fn heard(listener: &mut Listener) -> Costs {
    Costs::read(&listener.heard.recv().await.unwrap().body).unwrap()
}

#[tokio::test]
async fn a_cost_is_said_in_its_chain() {
    let desk = Desk::new(unlimited());
    let mut costs = desk.bus().listen(&[ChannelName::Costs]).await.unwrap();
    desk.ledger.reserve(call("c1")).await.unwrap().settle(used(), false).await.unwrap();
    let said = costs.heard.recv().await.unwrap();
    assert_eq!(said.envelope.unwrap().trace, call("c1").trace.unwrap());
    let Costs::Recorded(said) = Costs::read(&said.body).unwrap() else { panic!() };
    assert_eq!((said.nano_usd, said.tokens, said.estimated), (COST, used(), false));
    assert_eq!(
        (said.service.as_str(), said.task.as_deref(), said.model.as_str()),
        ("orchestrator", Some("decide"), "claude-opus-5-5")
    );
}

#[tokio::test]
async fn eighty_per_cent_is_warned_of_once_in_all_processes() {
    let budgets = Budgets { day: Limits { nano: Some(5 * MOST), ..Limits::NONE }, ..unlimited() };
    let desk = Desk::new(budgets.clone());
    let other = desk.another(budgets);
    let mut costs = desk.bus().listen(&[ChannelName::Costs]).await.unwrap();
    let mut held = Vec::new();
    for n in 0..3 {
        held.push(desk.ledger.reserve(call(&format!("c{n}"))).await.unwrap());
    }
    assert_eq!(desk.alerts().await.len(), 0, "60 %");
    held.push(other.reserve(call("c3")).await.unwrap());
    let alerts = desk.alerts().await;
    assert_eq!(alerts.len(), 1, "80 %");
    assert_eq!(alerts[0].alert_id, "budget:day");
    assert_eq!(alerts[0].message, "$0.1013 of the $0.1266 that the budget `day` allows are spent or reserved");
    let Costs::Warning(said) = heard(&mut costs).await else { panic!() };
    assert_eq!((said.scope.as_str(), said.limit, said.spent), ("day", 0.1266, 0.10128));
    held.push(desk.ledger.reserve(call("c4")).await.unwrap());
    held.pop().unwrap().release().await.unwrap();
    drop(other.reserve(call("c5")).await.unwrap());
    assert_eq!(desk.alerts().await.len(), 1, "crossing it again says nothing");
    // A raised limit is another line to cross; the next day is, too.
    desk.order("day", 0.1267, None).await;
    drop(desk.ledger.reserve(call("c6")).await.unwrap_err());
    assert_eq!(desk.alerts().await.len(), 2, "exceeded");
    desk.clock.advance(Duration::from_hours(24));
    for n in 10..15 {
        drop(desk.ledger.reserve(call(&format!("c{n}"))).await.unwrap());
    }
    assert_eq!(desk.alerts().await.len(), 3, "the next day's warning");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crossing_by_many_at_once_is_warned_of_once() {
    let desk = Desk::new(Budgets { day: room_for(20), ..unlimited() });
    let all = (0..20).map(|n| {
        let ledger = desk.another(Budgets { day: room_for(20), ..unlimited() });
        tokio::spawn(async move { ledger.reserve(call(&format!("c{n}"))).await })
    });
    let held = futures::future::join_all(all).await;
    assert!(held.into_iter().all(|held| held.unwrap().is_ok()));
    let alerts = desk.alerts().await;
    assert_eq!(alerts.iter().map(|alert| alert.severity).collect::<Vec<_>>(), [Severity::Warning]);
}

#[tokio::test]
async fn each_refusal_is_said_and_raises_one_alert() {
    let desk = Desk::new(Budgets { month: Limits { nano: Some(MOST / 2), ..Limits::NONE }, ..unlimited() });
    let mut costs = desk.bus().listen(&[ChannelName::Costs]).await.unwrap();
    for n in 0..3 {
        drop(desk.ledger.reserve(call(&format!("c{n}"))).await.unwrap_err());
        let Costs::Exceeded(said) = heard(&mut costs).await else { panic!() };
        assert_eq!((said.scope.as_str(), said.unit, said.spent), ("month", BudgetUnit::Usd, 0.0));
        assert_eq!(said.refused.as_deref(), Some("orchestrator: decide"));
    }
    let alerts = desk.alerts().await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].alert_id, "budget:month");
    assert!(alerts[0].message.starts_with("a model call (orchestrator: decide) was refused"), "{}", alerts[0].message);
    // A single call's limit has no period; it is said once a day.
    let desk = Desk::new(Budgets { call: Limits { nano: Some(1), ..Limits::NONE }, ..unlimited() });
    for n in 0..3 {
        drop(desk.ledger.reserve(call(&format!("c{n}"))).await.unwrap_err());
    }
    assert_eq!(desk.alerts().await.len(), 1);
}
