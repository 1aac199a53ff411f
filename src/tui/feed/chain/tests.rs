use pretty_assertions::assert_eq;

use super::*;
use crate::bus::Outgoing;
use crate::bus::testing::World;
use crate::contracts::Trust;

/// A request, and what was caused by it, with another chain between.
async fn said(world: &World) -> (Outgoing, Outgoing, Outgoing) {
    let first = world.request("first");
    let mut second = world.request("second");
    second.envelope.trace = first.envelope.trace;
    second.envelope.cause = Some(first.envelope.id);
    let other = world.request("other");
    for message in [&first, &other, &second] {
        world.say(message.clone()).await;
    }
    (first, other, second)
}

fn texts(chain: &Chain) -> Vec<String> {
    chain.tree().steps.iter().map(|step| step.words.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_read_from_the_streams_with_its_documents() {
    let world = World::new();
    let (first, ..) = said(&world).await;
    let budget = Key::new(format!("budgets:trace:{}", first.envelope.trace));
    world
        .commit(vec![crate::bus::Op::Change {
            key: budget,
            expect: crate::bus::Expect::Any,
            fields: vec![("spent_nano".to_owned(), Some("7000000".to_owned()))],
            ttl: crate::bus::Ttl::Clear,
        }])
        .await;
    let chain = read(&world.bus(), first.envelope.trace, Bounds::DEFAULT).await.unwrap();
    assert_eq!(texts(&chain), ["first", "second"]);
    assert_eq!((chain.tree().total.nano, chain.cut(), chain.is_read()), (7_000_000, None, true));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_looked_at_is_said_and_the_newest_is_there() {
    let world = World::new();
    let (first, ..) = said(&world).await;
    for n in 0..50 {
        world.say(world.request(&format!("noise {n}"))).await;
    }
    let mut last = world.request("last");
    last.envelope.trace = first.envelope.trace;
    world.say(last).await;
    let bounds = Bounds { entries: 2, newest: 10, time: Duration::from_secs(20) };
    // Pages are read whole: they must be smaller than what is said for anything to be left out.
    let chain = read(&world.bus(), first.envelope.trace, bounds).await.unwrap();
    assert!(texts(&chain).contains(&"last".to_owned()) && texts(&chain).contains(&"first".to_owned()));
    for n in 0..2 * PAGE {
        world.say(world.request(&format!("noise {n}"))).await;
    }
    let chain = read(&world.bus(), first.envelope.trace, bounds).await.unwrap();
    let said = chain.cut().expect("something was left out");
    assert!(said.starts_with("not everything between 2027-01-15"), "{said}");
    assert!(chain.tree().total.missing[0].contains("was looked at"));
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_found_by_its_id_by_a_message_and_by_the_end_that_tail_prints() {
    let world = World::new();
    let (first, other, second) = said(&world).await;
    let bus = world.bus();
    let trace = first.envelope.trace;
    for text in [
        trace.to_string(),
        second.envelope.id.to_string(),
        trace.to_string()[28..].to_owned(),
        second.envelope.id.to_string()[28..].to_uppercase(),
    ] {
        assert_eq!(find(&bus, &text, Bounds::DEFAULT).await.unwrap(), Meant::One(trace), "{text}");
    }
    let both = find(&bus, &trace.to_string()[..6], Bounds::DEFAULT).await.unwrap();
    let mut several = vec![trace, other.envelope.trace];
    several.sort_unstable();
    assert_eq!(both, Meant::Several(several));
    for text in ["ffffffff", "019c0000-0000-7000-8000-0000feedbeef", "apr_nothing", "\u{1b}[2J"] {
        assert_eq!(find(&bus, text, Bounds::DEFAULT).await.unwrap(), Meant::None, "{text}");
    }
    let origin = world.origin(Trust::Operator);
    let mut about = world.request("about");
    about.envelope = origin.envelope("echo_request", "echo");
    about.envelope.subject = Some("apr_77".to_owned());
    world.say(about.clone()).await;
    assert_eq!(find(&bus, "apr_77", Bounds::DEFAULT).await.unwrap(), Meant::One(about.envelope.trace));
}
