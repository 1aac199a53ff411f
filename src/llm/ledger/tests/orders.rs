//! What the operator orders while it runs.

use pretty_assertions::assert_eq;

use super::*;
use crate::llm::ledger::limits::{BadOrder, follow};

#[tokio::test]
async fn an_order_holds_over_the_settings_at_once_and_in_every_process() {
    let desk = Desk::new(Budgets { day: room_for(0), ..unlimited() });
    let other = desk.another(Budgets { day: room_for(0), ..unlimited() });
    drop(other.reserve(call("c1")).await.unwrap_err());
    desk.order("day", 1.0, None).await;
    drop(other.reserve(call("c1")).await.unwrap());
    desk.order("day", 0.03, None).await;
    let over = over(other.reserve(call("c2")).await.unwrap_err());
    assert_eq!((over.limit, over.spent), (30_000_000, MOST));
    desk.order("task:decide", 0.0, None).await;
    desk.order("day", 100.0, None).await;
    let over = super::over(other.reserve(call("c2")).await.unwrap_err());
    assert_eq!(over.scope, Scope::task("decide"), "a limit where the settings have none");
    desk.order_unit("task:decide", BudgetUnit::Usd, 5.0, None).await;
    desk.order_unit("call", BudgetUnit::Tokens, 2_063.0, None).await;
    let over = super::over(other.reserve(call("c2")).await.unwrap_err());
    assert_eq!((over.scope, over.unit, over.limit), (Scope::Call, Unit::Tokens, 2_063));
}

#[tokio::test]
async fn a_limit_for_a_while_gives_way_to_the_former_one() {
    let desk = Desk::new(Budgets { day: Limits::dollars(5), ..unlimited() });
    let limit = async || {
        let ordered = limits::ordered(&desk.bus(), &Scope::Day).await.unwrap();
        limits::in_force(Limits::dollars(5), ordered.as_ref(), desk.clock.now()).nano.unwrap() / money::DOLLAR
    };
    desk.order("day", 20.0, Some("2026-11-21T13:00:00Z")).await;
    assert_eq!(limit().await, 20);
    desk.clock.advance(Duration::from_hours(1));
    assert_eq!(limit().await, 5, "that of the settings");
    desk.order("day", 7.0, None).await;
    desk.order("day", 30.0, Some("2026-11-21T14:00:00Z")).await;
    desk.order("day", 40.0, Some("2026-11-21T15:00:00Z")).await;
    assert_eq!(limit().await, 40);
    desk.clock.advance(Duration::from_hours(2));
    assert_eq!(limit().await, 7, "the last that had no end");
}

#[tokio::test]
async fn an_older_order_changes_nothing() {
    let desk = Desk::new(unlimited());
    let now = desk.clock.now();
    let older = desk.ids.message(now);
    desk.order("day", 3.0, None).await;
    let order =
        SetBudget { scope: "day".into(), unit: BudgetUnit::Usd, limit: 9.0, until: None, reason: None, by: None };
    let found = limits::ordered(&desk.bus(), &Scope::Day).await.unwrap().unwrap();
    assert_eq!(follow(&order, older, Some(&found), now).unwrap(), None);
    let same = found.get("set_by_nano").unwrap().parse().unwrap();
    assert_eq!(follow(&order, same, Some(&found), now).unwrap(), None, "nor the same again");
    let tokens = SetBudget { unit: BudgetUnit::Tokens, limit: 9.0, ..order };
    assert!(follow(&tokens, older, Some(&found), now).unwrap().is_some(), "another unit is another limit");
}

#[test]
fn orders_that_cannot_be_followed_are_refused() {
    let now = NOON.parse().unwrap();
    let id = Ids::seeded(1).message(now);
    let order = |scope: &str, unit, limit| {
        let order = SetBudget { scope: scope.to_owned(), unit, limit, until: None, reason: None, by: None };
        follow(&order, id, None, now).unwrap_err()
    };
    assert!(matches!(order("experiment:e1", BudgetUnit::Usd, 1.0), BadOrder::Scope(_)));
    assert_eq!(order("day", BudgetUnit::Depth, 1.0), BadOrder::Unit("depth"));
    assert_eq!(order("day", BudgetUnit::Usd, -1.0), BadOrder::Amount("-1".to_owned()));
    assert_eq!(order("day", BudgetUnit::Calls, 1.5), BadOrder::Amount("1.5".to_owned()));
    assert!(matches!(order("day", BudgetUnit::Usd, f64::NAN), BadOrder::Amount(_)));
}
