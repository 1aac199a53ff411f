//! On paused time: every wait takes no time and happens in order.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::bus::testing::World;
use crate::bus::timers::Timers;
use crate::cli::testing::{Page, Place};
use crate::supervisor::{LeasedService, Phase, Supervisor};
use pretty_assertions::assert_eq;

#[tokio::test(start_paused = true)]
async fn others_that_serve_the_bus_are_named_while_they_live() {
    let world = World::new();
    let look = async || others::others(&world.bus(), "here/1").await.unwrap();
    let mut running = Vec::new();
    for name in ["here/1", "there/2", "there/3"] {
        let (clock, ids) = (Arc::clone(&world.clock), Arc::clone(&world.ids));
        let mut supervisor = Supervisor::new(world.bus(), clock.clone(), ids.clone(), name.to_owned(), Duration::ZERO);
        let timers = Timers { bus: world.bus(), clock: clock.clone() };
        supervisor.add(LeasedService::new(timers, Phase::Housekeeping, (world.bus(), clock, ids)));
        let stop = CancellationToken::new();
        let token = stop.clone();
        running.push((stop, tokio::spawn(async move { supervisor.run(token).await })));
    }
    assert_eq!(look().await, ["there/2", "there/3"]);
    for (stop, task) in running.drain(1..) {
        stop.cancel();
        task.await.unwrap();
    }
    assert_eq!(look().await, Vec::<String>::new(), "what has ended says nothing, and we are not another");
}

#[test]
fn what_was_cut_off_is_named_and_fails() {
    let page = Page::new(false);
    assert_eq!(told(&Ended { stopped: Vec::new() }, &page.out), OK);
    assert_eq!(page.remarks(), "stopped; everything that was being handled has finished\n");
    let page = Page::new(false);
    let ended = Ended { stopped: vec!["bridge".to_owned(), "echo".to_owned()] };
    assert_eq!(told(&ended, &page.out), FAILED);
    assert!(
        page.remarks().starts_with("stopped; bridge, echo did not finish in time and was cut off"),
        "{}",
        page.remarks()
    );
}

#[tokio::test]
async fn only_a_bus_that_is_away_is_waited_for() {
    let mut place = Place::new(false);
    place.cx.config.bus.url = Some("http://127.0.0.1:1".to_owned().into());
    let stop = CancellationToken::new();
    assert!(opened(&place.cx, &stop).await.is_err(), "a URL that cannot be read is no server that may come");
    assert_eq!(place.remarks.text(), "");

    // No server: nothing listens on a socket that is not there.
    let url = format!("unix://{}/none.sock", place.home.path().display());
    place.cx.config.bus.url = Some(url.into());
    let ending = stop.clone();
    let (waited, ()) = tokio::join!(opened(&place.cx, &stop), async move {
        // Long enough for several tries.
        tokio::time::sleep(Duration::from_millis(600)).await;
        ending.cancel();
    });
    assert!(waited.unwrap().is_none());
    let said = place.remarks.text();
    assert_eq!(said.matches("waiting for it. Ctrl-C ends").count(), 1, "{said}");
    assert!(said.contains("none.sock") && !said.contains("by itself"), "{said}");
}
