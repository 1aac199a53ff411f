//! On paused time: every wait takes no time and happens in order.

use std::sync::Mutex;

use pretty_assertions::assert_eq;
use tokio::task::JoinHandle;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::testing::World;

/// Writes down from when to when it worked, and under which number.
type Log = Arc<Mutex<Vec<(&'static str, u64, Instant)>>>;

struct Worker {
    name: &'static str,
    log: Log,
}

impl Singleton for Worker {
    fn lease(&self) -> &'static str {
        "test"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        self.log.lock().unwrap().push((self.name, fence.number, Instant::now()));
        stop.cancelled().await;
        self.log.lock().unwrap().push(("end", fence.number, Instant::now()));
        Ok(())
    }
}

struct Holder {
    stop: CancellationToken,
    task: JoinHandle<Result<(), BusError>>,
    handle: Arc<MemoryBus>,
}

fn holder(world: &World, name: &'static str, log: &Log) -> Holder {
    let stop = CancellationToken::new();
    let handle = Arc::new(world.store.another());
    let bus: SharedBus = Arc::<MemoryBus>::clone(&handle);
    let worker = Worker { name, log: Arc::clone(log) };
    let (clock, ids, token) = (Arc::clone(&world.clock), Arc::clone(&world.ids), stop.clone());
    Holder { task: tokio::spawn(async move { hold(&worker, &bus, &clock, &ids, token).await }), stop, handle }
}

fn names(log: &Log) -> Vec<(&'static str, u64)> {
    log.lock().unwrap().iter().map(|(name, number, _)| (*name, *number)).collect()
}

#[tokio::test(start_paused = true)]
async fn one_works_at_a_time_and_another_takes_over_when_the_first_ends() {
    let world = World::new();
    let log = Log::default();
    let first = holder(&world, "a", &log);
    world.until(async |_| !log.lock().unwrap().is_empty()).await;
    let _second = holder(&world, "b", &log);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(names(&log), [("a", 1)], "the lease is renewed for as long as the holder lives");
    first.stop.cancel();
    first.task.await.unwrap().unwrap();
    world.until(async |_| log.lock().unwrap().len() >= 3).await;
    assert_eq!(names(&log), [("a", 1), ("end", 1), ("b", 2)]);
}

#[tokio::test(start_paused = true)]
async fn another_takes_over_from_one_that_stands_still() {
    let world = World::new();
    let log = Log::default();
    let first = holder(&world, "a", &log);
    world.until(async |_| !log.lock().unwrap().is_empty()).await;
    let _second = holder(&world, "b", &log);
    first.task.abort();
    world.until(async |_| log.lock().unwrap().len() >= 2).await;
    assert_eq!(names(&log), [("a", 1), ("b", 2)]);
}

#[tokio::test(start_paused = true)]
async fn the_work_of_one_that_is_cut_off_stops_before_another_can_hold_the_lease() {
    let world = World::new();
    let log = Log::default();
    let first = holder(&world, "a", &log);
    world.until(async |_| !log.lock().unwrap().is_empty()).await;
    let began = log.lock().unwrap()[0].2;
    first.handle.fail_next(1_000, BusError::Unreachable("a test".to_owned()));
    world.until(async |_| log.lock().unwrap().len() >= 2).await;
    let (what, _, at) = log.lock().unwrap()[1];
    assert_eq!(what, "end");
    assert!(at - began < TTL, "worked for {:?} under a lease of {TTL:?}", at - began);
}

#[tokio::test(start_paused = true)]
async fn the_work_stops_when_the_lease_is_somebody_elses() {
    let world = World::new();
    let log = Log::default();
    let _first = holder(&world, "a", &log);
    world.until(async |_| !log.lock().unwrap().is_empty()).await;
    world.store.flush_all();
    let taken = world.bus().lease("test", "a thief", Duration::from_hours(1)).await.unwrap();
    assert!(taken.is_some());
    world.until(async |_| log.lock().unwrap().len() >= 2).await;
    assert_eq!(names(&log)[1].0, "end");
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(log.lock().unwrap().len(), 2, "it waits while another holds the lease");
}

/// Never ends by itself, and does not listen.
struct Deaf(Log);

impl Singleton for Deaf {
    fn lease(&self) -> &'static str {
        "test"
    }

    async fn work(&self, fence: LeaseFence, _stop: CancellationToken) -> Result<(), BusError> {
        self.0.lock().unwrap().push(("deaf", fence.number, Instant::now()));
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_listen_is_dropped_with_its_lease() {
    let world = World::new();
    let log = Log::default();
    let handle = Arc::new(world.store.another());
    let bus: SharedBus = Arc::<MemoryBus>::clone(&handle);
    let stop = CancellationToken::new();
    let (worker, clock, ids) = (Deaf(Arc::clone(&log)), Arc::clone(&world.clock), Arc::clone(&world.ids));
    let token = stop.clone();
    let task = tokio::spawn(async move { hold(&worker, &bus, &clock, &ids, token).await });
    world.until(async |_| log.lock().unwrap().len() == 1).await;
    handle.fail_next(1_000_000, BusError::Unreachable("a test".to_owned()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    handle.fail_next(0, BusError::Closed);
    world.until(async |_| log.lock().unwrap().len() == 2).await;
    assert_eq!(names(&log)[1].0, "deaf", "it is begun anew under a new lease");
    let stopped = Instant::now();
    stop.cancel();
    task.await.unwrap().unwrap();
    assert!(stopped.elapsed() <= TTL, "it took {:?}", stopped.elapsed());
}

#[tokio::test(start_paused = true)]
async fn turns_are_those_of_the_work_and_not_of_the_lease() {
    struct Loop(Option<Duration>);
    impl Singleton for Loop {
        fn lease(&self) -> &'static str {
            "test"
        }
        async fn work(&self, _fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
            while let (Some(every), false) = (self.0, stop.is_cancelled()) {
                tokio::time::sleep(every).await;
            }
            std::future::pending().await
        }
    }
    let turns_in_a_minute = async |work: Loop| {
        let world = World::new();
        let counts = Arc::new(Counts::default());
        let (bus, stop) = (world.bus(), CancellationToken::new());
        let held = hold(&work, &bus, &world.clock, &world.ids, stop);
        let counted = COUNTS.scope(Arc::clone(&counts), held);
        assert!(tokio::time::timeout(Duration::from_mins(1), counted).await.is_err(), "it holds the lease to the end");
        counts.turns.load(std::sync::atomic::Ordering::Relaxed)
    };
    // One when it asks for the lease, one when the work begins; the lease is renewed more than seventy times.
    assert_eq!(turns_in_a_minute(Loop(None)).await, 2);
    assert_eq!(turns_in_a_minute(Loop(Some(Duration::from_secs(7)))).await, 2 + 8);
}
