//! On paused time: every wait takes no time and happens in order.

use std::time::Duration;

use pretty_assertions::assert_eq;
use tokio::time::Instant;

use super::*;
use crate::bus::ConsumerOptions;
use crate::bus::testing::World;
use crate::cli::testing::{Page, Place};

fn echo(world: &World) -> Consumer<Echo> {
    let options = ConsumerOptions { host: "there".to_owned(), ..ConsumerOptions::default() };
    Consumer::new(world.bus(), Echo::default(), options, Arc::clone(&world.clock), Arc::clone(&world.ids))
}

#[tokio::test(start_paused = true)]
async fn another_that_serves_the_bus_is_named_while_it_lives() {
    let world = World::new();
    assert_eq!(others::others(&world.bus()).await.unwrap(), Vec::<String>::new());
    let (consumer, stop) = (echo(&world), CancellationToken::new());
    let token = stop.clone();
    let task = tokio::spawn(async move { consumer.run(token).await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(others::others(&world.bus()).await.unwrap(), ["echo@there#0"]);

    // One that has just ended gives no sign any more, and one that is long gone is not waited for.
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(others::others(&world.bus()).await.unwrap(), Vec::<String>::new());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    assert_eq!(others::others(&world.bus()).await.unwrap(), Vec::<String>::new());
    assert_eq!(began.elapsed(), Duration::ZERO);
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
