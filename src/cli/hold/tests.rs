use pretty_assertions::assert_eq;

use super::*;
use crate::cli::testing::{Desk, json_lines};

async fn order(desk: &Desk, order: Control, wanted: &str) -> (ExitCode, String) {
    let (cx, results, _) = desk.verb(false);
    let ended = act(order, wanted, &cx, &desk.world.bus()).await.unwrap();
    (ended, results.text())
}

fn hold() -> Control {
    Control::from(messages::Hold { reason: Some("stop".to_owned()), by: Some("mara".to_owned()) })
}

#[tokio::test(start_paused = true)]
async fn an_order_without_a_gate_waits_for_one() {
    let desk = Desk::new();
    let (ended, said) = order(&desk, hold(), "paused").await;
    assert_eq!(ended, OK);
    assert_eq!(said, "said; no gate runs now, it takes effect when `fullsend serve` does\n");
    desk.gate();
    desk.world.until(async |world| world.bus().get(&Key::new(keys::STATUS)).await.unwrap().is_some()).await;
    let (ended, said) = order(&desk, hold(), "paused").await;
    assert_eq!((ended, said.as_str()), (OK, "hold everything: was so already, ordered by mara\n"));
    let go = Control::from(messages::Go { reason: None, by: Some("mara".to_owned()) });
    let (cx, results, _) = desk.verb(true);
    assert_eq!(act(go, "running", &cx, &desk.world.bus()).await.unwrap(), OK);
    assert_eq!(json_lines(&results.text()), [json!({ "status": "running", "handled": true })]);
}
