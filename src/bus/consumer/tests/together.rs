//! Several messages as one unit.

use pretty_assertions::assert_eq;

use super::*;

/// Counts texts together: `bad` is refused by itself, `boom` ends the attempt of all that it came with, and by itself it goes well.
struct Batch {
    log: Arc<Mutex<Vec<Vec<String>>>>,
    /// So often somebody else changes what is changed here.
    races: Mutex<u32>,
}

impl Batch {
    async fn count(&self, texts: Vec<String>, cx: &Context<grants::Echo>) -> Result<Effects<grants::Echo>, Failure> {
        self.log.lock().unwrap().push(texts.clone());
        let key = Key::new("counted");
        let found = cx.bus().get(&key).await?.and_then(|state| state.document().cloned());
        let (version, count) = found.map_or((None, 0), |found| {
            (Some(found.version), found.get("count").and_then(|text| text.parse().ok()).unwrap_or(0))
        });
        let lost = {
            let mut races = self.races.lock().unwrap();
            let lost = *races > 0;
            *races = races.saturating_sub(1);
            lost
        };
        if lost {
            let fields = vec![("by".to_owned(), Some("somebody else".to_owned()))];
            let change =
                Op::Change { key: key.clone(), expect: crate::bus::Expect::Any, fields, ttl: crate::bus::Ttl::Keep };
            cx.bus().commit(vec![Commit::of(vec![change])]).await?;
        }
        let expect = version.map_or(crate::bus::Expect::Absent, crate::bus::Expect::Version);
        let mut effects = cx.effects();
        let fields = vec![("count".to_owned(), Some((count + texts.len()).to_string()))];
        effects.change(key, expect, fields, crate::bus::Ttl::Keep);
        Ok(effects)
    }
}

fn text(message: &Received) -> Result<String, ShapeError> {
    match message.read::<Echoes>()? {
        Echoes::Request(EchoRequest { text }) => Ok(text),
        Echoes::Reply(_) => Ok(String::new()),
    }
}

fn refused() -> Failure {
    Failure::Terminal(color_eyre::eyre::eyre!("it is bad"))
}

impl Handler for Batch {
    type Grant = grants::Echo;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::Echo]
    }

    fn together(&self) -> usize {
        100
    }

    async fn handle(&self, message: Received, cx: Context<grants::Echo>) -> Result<Effects<grants::Echo>, Failure> {
        match text(&message)? {
            text if text == "bad" => Err(refused()),
            text => self.count(vec![text], &cx).await,
        }
    }

    async fn handle_together(
        &self,
        messages: Vec<Received>,
        cx: Context<grants::Echo>,
    ) -> Result<Together<grants::Echo>, Failure> {
        let (mut texts, mut bad) = (Vec::new(), Vec::new());
        for message in messages {
            match text(&message)? {
                text if text == "bad" => bad.push((message.entry.channel, message.entry.id, refused())),
                text => texts.push(text),
            }
        }
        assert!(!texts.contains(&"boom".to_owned()), "at the disco");
        Ok(Together { effects: self.count(texts, &cx).await?, refused: bad })
    }
}

/// Says these texts, lets a consumer handle them, and gives what it saw and the count that stands there.
async fn counted(texts: &[&str], races: u32) -> (World, Arc<Counts>, Vec<Vec<String>>, String) {
    let world = World::new();
    for text in texts {
        world.say(text).await;
    }
    let log = Arc::new(Mutex::default());
    let handler = Batch { log: Arc::clone(&log), races: Mutex::new(races) };
    let (clock, ids) = (Arc::clone(&world.clock), Arc::clone(&world.ids));
    let consumer = Consumer::new(world.bus(), handler, world.options.clone(), clock, ids);
    let (counts, stop) = (consumer.counts(), CancellationToken::new());
    let stopped = stop.clone();
    let task = tokio::spawn(async move { consumer.run(stopped).await });
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let groups = world.bus().inspect(ChannelName::Echo).await.unwrap().groups;
        if groups.iter().any(|group| group.pending == 0 && group.lag == Some(0)) {
            break;
        }
    }
    stop.cancel();
    task.await.unwrap().unwrap();
    let state = world.bus().get(&Key::new("counted")).await.unwrap().unwrap();
    let count = state.document().unwrap().get("count").unwrap().to_owned();
    let seen = log.lock().unwrap().clone();
    (world, counts, seen, count)
}

fn handled(counts: &Counts) -> (u64, u64) {
    (counts.handled.load(Ordering::Relaxed), counts.dead.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn what_came_together_is_one_unit() {
    let (_, counts, seen, count) = counted(&["a", "b", "c"], 0).await;
    assert_eq!((seen, count.as_str(), handled(&counts)), (vec![vec!["a".into(), "b".into(), "c".into()]], "3", (3, 0)));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_does_not_stop_the_others() {
    let (world, counts, seen, count) = counted(&["a", "bad", "c"], 0).await;
    assert_eq!((seen.len(), count.as_str(), handled(&counts)), (1, "2", (2, 1)));
    let letters =
        world.bus().range(ChannelName::DeadLetter, Range::after(crate::bus::EntryId::ZERO, 10)).await.unwrap();
    assert_eq!(letters.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_all_fail_each_is_handled_by_itself_in_order() {
    let (_, counts, seen, count) = counted(&["a", "boom", "c"], 0).await;
    assert_eq!(seen, [["a"], ["boom"], ["c"]]);
    assert_eq!((count.as_str(), handled(&counts)), ("3", (3, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_runs_all_of_them_again_together() {
    let (_, counts, seen, count) = counted(&["a", "b"], 3).await;
    assert_eq!((seen.len(), count.as_str(), handled(&counts)), (4, "2", (2, 0)));
    // One that never ends: each by itself, and then one that wins.
    let (_, counts, _, count) = counted(&["a", "b"], 22).await;
    assert_eq!((count.as_str(), handled(&counts)), ("2", (2, 0)));
}
