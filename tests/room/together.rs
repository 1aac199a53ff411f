//! Two rooms on one bus agree at every step.

use fullsend::approvals::{self, Wanted};
use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{Commit, Expect, Key, Op, Origin, RedisBus, RedisOptions, Sender, SharedBus, Ttl};
use fullsend::contracts::channel::grants;
use fullsend::contracts::messages::{Intent, Proposals};
use fullsend::contracts::wiring::PROPOSALS;
use fullsend::contracts::{ChannelName, Clock, Ids, Priority, ServiceName, SystemClock, Trust};

use super::redis_server::{RedisServer, Settings, Transport};
use super::*;

/// Does something on the bus of a home, or of a server.
fn on_bus(home: &Path, url: Option<&str>, act: &impl AsyncFn(&SharedBus, Arc<dyn Clock>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bus: SharedBus = match url {
            Some(url) => {
                Arc::new(RedisBus::connect(RedisOptions::new(url.to_owned(), Arc::clone(&clock))).await.unwrap())
            }
            None => {
                let file = home.join(".local/state/fullsend/fullsend.db");
                Arc::new(EmbeddedBus::open(EmbeddedOptions::new(file, Arc::clone(&clock))).unwrap())
            }
        };
        act(&bus, clock).await;
        bus.close().await;
    });
}

/// Writes a document past everybody.
pub(super) fn document(home: &Path, key: &str, fields: &[(&str, &str)]) {
    on_bus(home, None, &async |bus, _| {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
        let change = Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep };
        assert!(bus.commit(vec![Commit::of(vec![change])]).await.unwrap()[0].is_done());
    });
}

/// Proposes something that a person must allow.
pub(super) fn propose(home: &Path, number: usize) {
    propose_on(home, None, number);
}

fn propose_on(home: &Path, url: Option<&str>, number: usize) {
    on_bus(home, url, &async |bus, clock| {
        let body =
            serde_json::json!({ "type": "experiment_request", "idea": { "description": format!("idea {number}") } });
        let intent = Intent::Say {
            channel: ChannelName::ToFullsend,
            body: body.as_object().unwrap().clone(),
            priority: Priority::Medium,
            subject: None,
        };
        let wanted = Wanted {
            proposer: ServiceName::Orchestrator,
            title: format!("idea {number}"),
            reason: "why not".to_owned(),
            intents: vec![intent],
            facts: Vec::new(),
            details: serde_json::Map::new(),
            cost_usd: None,
            trust: Trust::Operator,
        };
        let proposal = approvals::propose(bus, wanted).await.unwrap();
        let origin = Origin::new(clock, Arc::new(Ids::random()), Trust::Operator);
        let sender = Sender::<grants::Orchestrator>::new(Arc::clone(bus), origin, Duration::from_secs(10));
        sender.send(PROPOSALS, Proposals::from(proposal)).await.unwrap();
    });
}

fn agree(home: &Path, url: Option<&str>) {
    let more: Vec<(&str, &str)> = url.iter().map(|url| ("REDIS_URL", *url)).collect();
    let mut first = Screen::with(home, &[], 40, 140, &more);
    first.shows("⏎ begins");
    first.press("\r");
    first.shows("needs you: 0");
    let mut second = Screen::with(home, &[], 40, 140, &more);
    second.shows("attached to it");
    second.press("\r");
    // A request comes up in both, is edited and approved in one, and is gone from both.
    propose_on(home, url, 1);
    for screen in [&first, &second] {
        screen.shows("NEEDS YOU 1");
    }
    second.press("a");
    second.shows("What happens on a yes");
    second.press("e");
    // The keys were not armed yet, perhaps.
    while !second.text().contains("see what changes") {
        second.press("e");
        moment(100);
    }
    second.press("\x1b");
    second.shows("y approve");
    while !second.text().contains("needs you: 0") {
        second.press("y");
        moment(100);
    }
    first.shows("needs you: 0");
    // A hold in one is a hold in the other, and the other lets go.
    second.press("H");
    first.shows("HOLD by mara");
    second.shows("HOLD by mara");
    first.press("H");
    first.shows("let the team go on");
    first.press("g");
    for screen in [&first, &second] {
        screen.until("it goes on", |text| !text.contains("HOLD"));
    }
    second.press("q");
    second.shows("leave it running");
    second.press("l");
    assert_eq!(second.ended(), 0);
    first.press("\x03\x03");
    assert_eq!(first.ended(), 0);
}

#[test]
fn two_rooms_on_one_file_agree() {
    let home = home();
    agree(home.path(), None);
}

#[test]
fn two_rooms_on_one_server_agree() {
    let home = home();
    let server = RedisServer::start(Settings { transport: Transport::Unix, ..Settings::default() });
    agree(home.path(), Some(&server.url()));
}
