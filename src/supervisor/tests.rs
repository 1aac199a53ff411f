//! On paused time: every wait takes no time and happens in order.

use std::sync::Mutex;

use color_eyre::eyre::eyre;
use futures::FutureExt;
use futures::future::BoxFuture;
use pretty_assertions::assert_eq;
use tokio::task::JoinHandle;

use super::*;
use crate::bus::bridge::Bridge;
use crate::bus::consumer::Counts;
use crate::bus::memory::MemoryBus;
use crate::bus::retention::{RetentionPolicy, Trimmer};
use crate::bus::testing::World;
use crate::bus::timers::Timers;
use crate::bus::{BusError, Consumer, ConsumerOptions, Listener};
use crate::contracts::ChannelName;
use crate::services::echo::Echo;

const DRAIN: Duration = Duration::from_secs(10);

/// What a service does when it is run.
#[derive(Clone, Copy)]
enum Act {
    FailAfter(Duration),
    Panic,
    /// Cannot do everything for this long.
    Trouble(Duration),
    Work,
    /// Does not move from then on, and does not listen.
    StallAfter(Duration),
    /// Needs this long to stop.
    StopIn(Duration),
}

struct Planned {
    name: &'static str,
    phase: Phase,
    /// The last one is for all further runs.
    acts: Mutex<Vec<Act>>,
    counts: Arc<Counts>,
    log: Arc<Mutex<Vec<(&'static str, Instant)>>>,
}

impl Planned {
    /// Moves, as a loop with nothing to do.
    async fn turn_for(&self, time: Duration) {
        let turning = async {
            loop {
                self.counts.turned();
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
        };
        tokio::time::timeout(time, turning).await.ok();
    }
}

impl Service for Planned {
    fn name(&self) -> &'static str {
        self.name
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn counts(&self) -> Arc<Counts> {
        self.counts.handled.store(7, Ordering::Relaxed);
        Arc::clone(&self.counts)
    }

    fn run(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), color_eyre::Report>> {
        self.log.lock().unwrap().push((self.name, Instant::now()));
        let act = {
            let mut acts = self.acts.lock().unwrap();
            if acts.len() > 1 { acts.remove(0) } else { acts[0] }
        };
        async move {
            match act {
                Act::FailAfter(time) => {
                    self.turn_for(time).await;
                    return Err(eyre!("no luck"));
                }
                Act::Panic => panic!("at the disco"),
                Act::Work => {
                    stop.run_until_cancelled(self.turn_for(Duration::from_hours(9_999))).await;
                }
                Act::StallAfter(time) => {
                    self.turn_for(time).await;
                    std::future::pending::<()>().await;
                }
                Act::Trouble(time) => {
                    self.counts.trouble.send_replace(Some("half of it".to_owned()));
                    tokio::time::sleep(time).await;
                    self.counts.trouble.send_replace(None);
                    stop.cancelled().await;
                }
                Act::StopIn(time) => {
                    stop.run_until_cancelled(self.turn_for(Duration::from_hours(9_999))).await;
                    tokio::time::sleep(time).await;
                }
            }
            self.log.lock().unwrap().push(("end", Instant::now()));
            Ok(())
        }
        .boxed()
    }
}

struct Stage {
    supervisor: Supervisor,
    listener: Listener,
    log: Arc<Mutex<Vec<(&'static str, Instant)>>>,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new();
        let listener = world.bus().listen(&[ChannelName::Health]).await.unwrap();
        let supervisor = Supervisor::new(world.bus(), world.clock, world.ids, "h/1".to_owned(), DRAIN);
        Self { supervisor, listener, log: Arc::default() }
    }

    fn with(mut self, name: &'static str, phase: Phase, acts: &[Act]) -> Self {
        let (acts, log) = (Mutex::new(acts.to_vec()), Arc::clone(&self.log));
        self.supervisor.add(Planned { name, phase, acts, log, counts: Arc::default() });
        self
    }

    /// Runs it for a time, then stops it.
    async fn run_for(mut self, time: Duration) -> Run {
        let stop = CancellationToken::new();
        let token = stop.clone();
        let supervisor = self.supervisor;
        let task: JoinHandle<Ended> = tokio::spawn(async move { supervisor.run(token).await });
        tokio::time::sleep(time).await;
        let asked = Instant::now();
        stop.cancel();
        let ended = task.await.unwrap();
        let mut said = Vec::new();
        while let Ok(heard) = self.listener.heard.try_recv() {
            said.push(Health::read(&heard.body).unwrap());
        }
        let log = self.log.lock().unwrap().clone();
        Run { ended, took: asked.elapsed(), said, log }
    }
}

struct Run {
    ended: Ended,
    took: Duration,
    said: Vec<Health>,
    log: Vec<(&'static str, Instant)>,
}

impl Run {
    /// Seconds between the starts of a service.
    fn pauses(&self, name: &str) -> Vec<u64> {
        let starts: Vec<Instant> = self.log.iter().filter(|(of, _)| *of == name).map(|(_, at)| *at).collect();
        starts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }

    fn beats(&self, name: &str) -> Vec<&Heartbeat> {
        let beats = self.said.iter().filter_map(|said| match said {
            Health::Heartbeat(beat) if beat.service == name => Some(beat),
            _ => None,
        });
        beats.collect()
    }

    fn states(&self, name: &str) -> Vec<(RunState, u32, Option<&str>)> {
        let states = self.said.iter().filter_map(|said| match said {
            Health::State(state) if state.service == name => {
                Some((state.state, state.restarts, state.reason.as_deref()))
            }
            _ => None,
        });
        states.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_is_started_again_after_doubling_pauses_and_from_the_beginning_after_health() {
    let now = Act::FailAfter(Duration::ZERO);
    let acts = [now, now, now, now, now, now, now, now, Act::FailAfter(HEALTHY_AFTER), now, Act::Work];
    let run = Stage::new().await.with("a", Phase::Work, &acts).run_for(Duration::from_mins(20)).await;
    // The ninth run is healthy for five minutes, then it fails: one second, and two.
    assert_eq!(run.pauses("a"), [1, 2, 4, 8, 16, 32, 60, 60, 301, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_service_and_no_other_and_states_are_said() {
    let stage = Stage::new().await.with("a", Phase::Work, &[Act::Panic, Act::Work]);
    let run = stage.with("b", Phase::Work, &[Act::Work]).run_for(Duration::from_secs(30)).await;
    let reason = Some("it panicked; the log has the report");
    assert_eq!(
        run.states("a"),
        [
            (RunState::Running, 0, None),
            (RunState::Restarting, 1, reason),
            (RunState::Running, 1, None),
            (RunState::Stopped, 1, None)
        ]
    );
    assert_eq!(run.states("b"), [(RunState::Running, 0, None), (RunState::Stopped, 0, None)]);
    assert_eq!(run.ended, Ended { stopped: Vec::new() });
}

#[tokio::test(start_paused = true)]
async fn each_service_says_every_five_seconds_that_it_is_alive() {
    let run = Stage::new().await.with("a", Phase::Work, &[Act::Work]).run_for(Duration::from_secs(61)).await;
    let beats = run.beats("a");
    assert_eq!(beats.len(), 13, "at once, and twelve times in a minute");
    assert!(beats.iter().all(|beat| beat.service == "a" && beat.instance == "h/1" && beat.handled == 7));
}

#[tokio::test(start_paused = true)]
async fn shutdown_goes_phase_by_phase() {
    let slow = [Act::StopIn(Duration::from_secs(3))];
    let stage = Stage::new().await.with("last", Phase::Housekeeping, &slow);
    let stage = stage.with("first", Phase::Intake, &slow).with("second", Phase::Work, &slow);
    let run = stage.run_for(Duration::from_mins(1)).await;
    assert_eq!(run.ended, Ended { stopped: Vec::new() });
    assert_eq!(run.took, Duration::from_secs(9), "each phase waits for the one before");
    let order: Vec<&str> = run
        .said
        .iter()
        .filter_map(|said| match said {
            Health::State(state) if state.state == RunState::Stopped => Some(state.service.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["first", "second", "last"]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_is_stopped_at_the_deadline_and_named() {
    let stage = Stage::new().await.with("hangs", Phase::Work, &[Act::StopIn(Duration::from_hours(1))]);
    let stage = stage.with("good", Phase::Work, &[Act::Work]).with("keeper", Phase::Housekeeping, &[Act::Work]);
    let run = stage.run_for(Duration::from_mins(1)).await;
    assert_eq!(run.ended, Ended { stopped: vec!["hangs".to_owned()] });
    assert_eq!(run.took, DRAIN + STOP_MARGIN);
    assert_eq!(run.log.iter().filter(|(what, _)| *what == "end").count(), 2, "the others ended by themselves");
}

#[tokio::test(start_paused = true)]
async fn one_that_stands_still_is_stopped_and_started_again_and_nobody_says_it_is_alive() {
    let stage = Stage::new().await.with("a", Phase::Work, &[Act::StallAfter(Duration::from_mins(2)), Act::Work]);
    let run = stage.with("b", Phase::Work, &[Act::Work]).run_for(Duration::from_mins(10)).await;
    let reason = Some("it has stood still for 60 s and was stopped");
    assert_eq!(
        run.states("a"),
        [
            (RunState::Running, 0, None),
            (RunState::Restarting, 1, reason),
            (RunState::Running, 1, None),
            (RunState::Stopped, 1, None)
        ]
    );
    assert_eq!(run.states("b").len(), 2, "{:?}", run.states("b"));
    let pause = run.pauses("a")[0];
    assert!((120..=195).contains(&pause), "stopped after {pause} s");
    assert_eq!(run.beats("a").iter().map(|beat| beat.still_s).max(), Some(60));
    assert!(run.beats("b").iter().all(|beat| beat.still_s <= 25), "one that turns every 30 s is well");
}

/// All services that there are, on a bus that can be made to fail.
fn team(world: &World, name: &str) -> (Supervisor, Arc<MemoryBus>) {
    let handle = Arc::new(world.store.another());
    let bus: SharedBus = Arc::<MemoryBus>::clone(&handle);
    let (clock, ids) = (|| Arc::clone(&world.clock), || Arc::clone(&world.ids));
    let mut supervisor = Supervisor::new(Arc::clone(&bus), clock(), ids(), name.to_owned(), DRAIN);
    let leased = (Arc::clone(&bus), clock(), ids());
    supervisor.add(LeasedService::new(
        Bridge { bus: Arc::clone(&bus), clock: clock(), ids: ids() },
        Phase::Intake,
        leased.clone(),
    ));
    supervisor.add(LeasedService::new(
        Timers { bus: Arc::clone(&bus), clock: clock() },
        Phase::Housekeeping,
        leased.clone(),
    ));
    let policy = RetentionPolicy::default();
    let trimmer = Trimmer { bus: Arc::clone(&bus), policy, clock: clock(), ids: ids() };
    supervisor.add(LeasedService::new(trimmer, Phase::Housekeeping, leased));
    let consumer = Consumer::new(bus, Echo::default(), ConsumerOptions::default(), clock(), ids());
    supervisor.add(ConsumerService::new(consumer));
    (supervisor, handle)
}

#[tokio::test(start_paused = true)]
async fn what_waits_and_what_works_is_not_taken_for_standing_still() {
    let world = World::new();
    let mut listener = world.bus().listen(&[ChannelName::Health]).await.unwrap();
    let mut running = Vec::new();
    // Two of each, so that one has the leases and the other waits for them.
    for name in ["h/1", "h/2"] {
        let (supervisor, handle) = team(&world, name);
        let stop = CancellationToken::new();
        let token = stop.clone();
        running.push((stop, handle, tokio::spawn(async move { supervisor.run(token).await })));
    }
    let mut beats = 0;
    let mut look_for = async |time: Duration| {
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_secs(30)).await;
            while let Ok(heard) = listener.heard.try_recv() {
                match Health::read(&heard.body).unwrap() {
                    Health::Heartbeat(beat) => {
                        beats += 1;
                        assert!(beat.still_s <= 35, "{beat:?}");
                    }
                    Health::State(state) => assert_eq!(state.restarts, 0, "{state:?}"),
                }
            }
        }
    };
    look_for(Duration::from_mins(5)).await;
    let away = |calls| running.iter().for_each(|(_, handle, _)| handle.fail_next(calls, unreachable()));
    away(usize::MAX);
    tokio::time::sleep(Duration::from_mins(10)).await;
    away(0);
    look_for(Duration::from_mins(5)).await;
    for (stop, _, task) in running {
        stop.cancel();
        assert_eq!(task.await.unwrap(), Ended { stopped: Vec::new() });
    }
    look_for(Duration::from_secs(1)).await;
    assert!(beats > 500, "{beats}");
}

fn unreachable() -> BusError {
    BusError::Unreachable("a test".to_owned())
}

#[tokio::test(start_paused = true)]
async fn what_a_running_service_cannot_do_is_part_of_its_state() {
    let stage = Stage::new().await.with("a", Phase::Work, &[Act::Trouble(Duration::from_secs(5))]);
    let run = stage.run_for(Duration::from_secs(10)).await;
    let states = run.states("a");
    let running: Vec<_> = states.iter().filter(|(state, ..)| *state == RunState::Running).collect();
    assert_eq!(running.iter().map(|(.., reason)| *reason).collect::<Vec<_>>(), [None, Some("half of it"), None]);
}
