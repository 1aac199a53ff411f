//! Random histories against a small model: what happens to every message, whoever crashes, comes late or cleans up.
//!
//! The model says what each call must answer. At the end everything is worked off, and each message has had its effect once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use fullsend::bus::{Commit, EntryId, LeaseFence, Op, Outcome, Reader, SharedBus, Timer, Want};
use fullsend::contracts::{Clock, SystemClock};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::stores::{Engine, TestBus};
use crate::tools::*;

const GROUP: &str = "g";
const CONSUMERS: usize = 3;

/// One thing that somebody does. `who` is a consumer, `pick` chooses among the messages that make sense.
#[derive(Debug, Clone)]
enum Step {
    /// Says new messages; with a key, twice.
    Send { count: u8, twice: bool },
    /// Reads.
    Read { who: usize, start: u8, ahead: u8 },
    /// A handler starts.
    Start { who: usize, pick: usize },
    /// A handler's effects are committed with the acknowledgement.
    Finish { who: usize, pick: usize },
    /// The same by two consumers at once, as after a takeover from somebody who was only slow.
    FinishTwice { pick: usize },
    /// A handler's effects are refused: nothing happens.
    FailToFinish { who: usize, pick: usize },
    /// A consumer has died, starts again and asks what it holds.
    Restart { who: usize },
    /// Takes over everything, as if everybody had been silent.
    TakeOver { who: usize, limit: u8 },
    /// Takes over what was handed back.
    TakeReleased { who: usize },
    /// Hands one back.
    Release { who: usize, pick: usize },
    /// Says that it works on one, that it may have lost.
    Extend { who: usize, pick: usize },
    /// Trims to a length.
    Trim { keep: u8 },
    /// Sets a timer, or another time for it.
    Schedule { timer: u8, at: u8 },
    /// Takes a timer back.
    Cancel { timer: u8 },
    /// Somebody takes the lease of the timers.
    ChangeHolder,
    /// Fires timers, under the present or the former lease.
    Fire { at: u8, limit: u8, late: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0..CONSUMERS;
    let pick = any::<usize>;
    let step = prop_oneof![
        4 => (1..5_u8, any::<bool>()).prop_map(|(count, twice)| Step::Send { count, twice }),
        6 => (who(), 0..3_u8, 0..4_u8).prop_map(|(who, start, ahead)| Step::Read { who, start, ahead }),
        4 => (who(), pick()).prop_map(|(who, pick)| Step::Start { who, pick }),
        6 => (who(), pick()).prop_map(|(who, pick)| Step::Finish { who, pick }),
        2 => pick().prop_map(|pick| Step::FinishTwice { pick }),
        1 => (who(), pick()).prop_map(|(who, pick)| Step::FailToFinish { who, pick }),
        2 => who().prop_map(|who| Step::Restart { who }),
        2 => (who(), 1..5_u8).prop_map(|(who, limit)| Step::TakeOver { who, limit }),
        2 => who().prop_map(|who| Step::TakeReleased { who }),
        2 => (who(), pick()).prop_map(|(who, pick)| Step::Release { who, pick }),
        1 => (who(), pick()).prop_map(|(who, pick)| Step::Extend { who, pick }),
        2 => (0..6_u8).prop_map(|keep| Step::Trim { keep }),
        2 => (0..4_u8, 0..10_u8).prop_map(|(timer, at)| Step::Schedule { timer, at }),
        1 => (0..4_u8).prop_map(|timer| Step::Cancel { timer }),
        1 => Just(Step::ChangeHolder),
        2 => (0..10_u8, 1..4_u8, any::<bool>()).prop_map(|(at, limit, late)| Step::Fire { at, limit, late }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Whether a message was handed back and waits to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Released {
    No,
    Yes,
    /// Its holder asked for it again afterwards; either is right.
    Perhaps,
}

#[derive(Debug, Clone)]
struct Held {
    who: usize,
    attempt: u32,
    released: Released,
}

/// What must be true.
struct Model {
    bus: [SharedBus; CONSUMERS],
    /// Keeps the store alive.
    _store: TestBus,
    /// Every message ever said, in order; the index is its number.
    said: Vec<EntryId>,
    /// How many of them were handed out.
    handed_out: usize,
    /// How many of the oldest were trimmed.
    trimmed: usize,
    pending: BTreeMap<usize, Held>,
    done: BTreeSet<usize>,
    timers: BTreeMap<u8, u8>,
    fence: LeaseFence,
    late_fence: LeaseFence,
    holders: u32,
}

fn who_reads(who: usize) -> Reader {
    reader(GROUP, ["a", "b", "c"][who])
}

fn at(seconds: u8) -> chrono::DateTime<chrono::Utc> {
    envelope(0).at + TimeDelta::seconds(seconds.into())
}

impl Model {
    async fn new(engine: &dyn Engine) -> Self {
        let store = engine.open().await;
        store.a.ensure_group(WORK, GROUP).await.unwrap();
        let fence = lease(&*store.a, "timers", "holder 0").await;
        Self {
            bus: [store.a.clone(), store.b.clone(), store.c.clone()],
            _store: store,
            said: Vec::new(),
            handed_out: 0,
            trimmed: 0,
            pending: BTreeMap::new(),
            done: BTreeSet::new(),
            timers: BTreeMap::new(),
            late_fence: fence.clone(),
            fence,
            holders: 0,
        }
    }

    /// One of the messages that were handed out; none before the first.
    fn picked(&self, pick: usize) -> Option<usize> {
        (self.handed_out > 0).then(|| pick % self.handed_out)
    }

    /// The effects of a message: an acknowledgement, a counter of its own, and a message.
    fn effects(&self, n: usize) -> Commit {
        let ops = vec![add(&format!("effect:{n}"), 1, None), append(OTHER, n as u64)];
        handled(&who_reads(0), self.said[n], ops)
    }

    async fn go(&mut self, step: &Step) {
        match *step {
            Step::Send { count, twice } => self.send(count, twice).await,
            Step::Read { who, start, ahead } => self.read(who, start.into(), ahead.into()).await,
            Step::Start { who, pick } => self.start(who, pick).await,
            Step::Finish { who, pick } => self.finish(who, pick).await,
            Step::FinishTwice { pick } => self.finish_twice(pick).await,
            Step::FailToFinish { who, pick } => self.fail_to_finish(who, pick).await,
            Step::Restart { who } => self.restart(who).await,
            Step::TakeOver { who, limit } => self.take_over(who, limit.into()).await,
            Step::TakeReleased { who } => self.take_released(who).await,
            Step::Release { who, pick } => self.release(who, pick).await,
            Step::Extend { who, pick } => self.extend(who, pick).await,
            Step::Trim { keep } => self.trim(keep.into()).await,
            Step::Schedule { timer, at: seconds } => {
                // The message is numbered by its timer, far from the others.
                let set = Timer {
                    id: timer.to_string(),
                    at: at(seconds),
                    message: message(NOTICE, 1_000 + u64::from(timer)),
                };
                done(&*self.bus[0], vec![Op::Schedule(set)]).await;
                self.timers.insert(timer, seconds);
            }
            Step::Cancel { timer } => {
                done(&*self.bus[1], vec![Op::Cancel { timer: timer.to_string() }]).await;
                self.timers.remove(&timer);
            }
            Step::ChangeHolder => self.change_holder().await,
            Step::Fire { at, limit, late } => self.fire(at, limit.into(), late).await,
        }
    }

    async fn send(&mut self, count: u8, twice: bool) {
        let first = self.said.len() as u64;
        let ops = (first..first + u64::from(count)).map(|n| append(WORK, n)).collect();
        let unit = Commit { once: twice.then(|| format!("send {first}")), ..Commit::of(ops) };
        let Outcome::Committed(ids) = commit(&*self.bus[0], unit.clone()).await else { panic!("not said") };
        if twice {
            assert_eq!(commit(&*self.bus[1], unit).await, Outcome::Duplicate(ids.clone()));
        }
        self.said.extend(ids);
        assert!(self.said.is_sorted_by(|a, b| a < b));
    }

    async fn read(&mut self, who: usize, start: usize, ahead: usize) {
        if start + ahead == 0 {
            return;
        }
        let want = Want { start, ahead };
        let read = self.bus[who].read(&who_reads(who), &[WORK], want, Duration::ZERO).await.unwrap();
        let last = self.said.len().min(self.handed_out + start + ahead);
        let expected: Vec<_> =
            (self.handed_out..last).enumerate().map(|(place, n)| (n as u64, u32::from(place < start))).collect();
        assert_eq!(attempts(&read), expected);
        for (n, attempt) in expected {
            let n = usize::try_from(n).unwrap();
            let released = Released::No;
            self.pending.insert(n, Held { who, attempt, released });
        }
        self.handed_out = last;
    }

    async fn start(&mut self, who: usize, pick: usize) {
        let Some(n) = self.picked(pick) else { return };
        let held = self.pending.get_mut(&n).filter(|held| held.who == who);
        // Who has handed a message back does not start it.
        if held.as_ref().is_some_and(|held| held.released != Released::No) {
            return;
        }
        let attempt = held.as_ref().map_or(1, |held| held.attempt + 1);
        let unit = Commit::of(vec![start(&who_reads(who), self.said[n], attempt)]);
        let outcome = commit(&*self.bus[who], unit).await;
        match held {
            Some(held) => {
                assert_eq!(outcome, Outcome::Committed(Vec::new()));
                held.attempt = attempt;
            }
            None => assert_eq!(outcome, Outcome::NotPending),
        }
    }

    async fn finish(&mut self, who: usize, pick: usize) {
        let Some(n) = self.picked(pick) else { return };
        let outcome = commit(&*self.bus[who], self.effects(n)).await;
        match self.pending.remove(&n) {
            Some(_) => {
                assert!(matches!(outcome, Outcome::Committed(ids) if ids.len() == 1));
                self.done.insert(n);
            }
            None => assert_eq!(outcome, Outcome::NotPending),
        }
    }

    async fn finish_twice(&mut self, pick: usize) {
        let Some(n) = self.picked(pick) else { return };
        let (one, two) = tokio::join!(commit(&*self.bus[0], self.effects(n)), commit(&*self.bus[1], self.effects(n)));
        let done = u8::from(one.is_done()) + u8::from(two.is_done());
        assert_eq!(done, u8::from(self.pending.remove(&n).is_some()), "{one:?} and {two:?}");
        self.done.insert(n);
    }

    async fn fail_to_finish(&mut self, who: usize, pick: usize) {
        let Some(n) = self.picked(pick) else { return };
        let mut unit = self.effects(n);
        unit.ops.push(add("never", 1, Some(0)));
        let outcome = commit(&*self.bus[who], unit).await;
        if self.pending.contains_key(&n) {
            assert!(matches!(outcome, Outcome::Ceiling { .. }), "{outcome:?}");
        } else {
            assert_eq!(outcome, Outcome::NotPending);
        }
    }

    async fn restart(&mut self, who: usize) {
        let held = own(&*self.bus[who], &who_reads(who)).await;
        assert_eq!(held.vanished, []);
        let found: BTreeMap<_, _> = attempts(&held.claimed).into_iter().collect();
        assert!(attempts(&held.claimed).is_sorted());
        for (n, held) in &mut self.pending {
            let found = found.get(&(*n as u64));
            if held.who != who {
                assert_eq!(found, None, "message {n} is another's");
            } else if held.released == Released::No {
                assert_eq!(found, Some(&held.attempt), "message {n}");
            } else if found.is_some() {
                held.released = Released::Perhaps;
            }
        }
        assert!(found.keys().all(|n| self.pending.contains_key(&usize::try_from(*n).unwrap())));
    }

    /// Notes what a consumer was given, and checks its attempts.
    fn given(&mut self, who: usize, given: &[(u64, u32)]) {
        assert!(given.is_sorted());
        for (n, attempt) in given {
            let held = self.pending.get_mut(&usize::try_from(*n).unwrap()).expect("it was pending");
            assert_eq!(held.attempt, *attempt, "message {n}");
            held.who = who;
            held.released = Released::No;
        }
    }

    async fn take_over(&mut self, who: usize, limit: usize) {
        let claims = self.bus[who].claim_stale(&who_reads(who), &[WORK], Duration::ZERO, limit).await.unwrap();
        assert_eq!(claims.vanished, []);
        let given = attempts(&claims.claimed);
        // What it holds itself may be among them, or not.
        let others = self.pending.iter().filter(|(_, held)| held.who != who).map(|(n, _)| *n as u64);
        let mut others: Vec<_> = others.take(limit).collect();
        if given.len() == limit {
            others.retain(|n| given.last().is_some_and(|(last, _)| n <= last));
        }
        for n in others {
            assert!(given.iter().any(|(given, _)| *given == n), "message {n} was passed over");
        }
        self.given(who, &given);
    }

    async fn take_released(&mut self, who: usize) {
        let claims = stale(&*self.bus[who], &who_reads(who), LONG).await;
        let given = attempts(&claims.claimed);
        for (n, held) in &self.pending {
            let taken = given.iter().any(|(given, _)| *given == *n as u64);
            match held.released {
                Released::Yes => assert!(taken, "message {n} was handed back"),
                Released::No => assert!(!taken, "message {n} was not handed back"),
                Released::Perhaps => {}
            }
        }
        self.given(who, &given);
    }

    async fn release(&mut self, who: usize, pick: usize) {
        let Some(n) = self.picked(pick) else { return };
        self.bus[who].release(&who_reads(who), &[(WORK, self.said[n])]).await.unwrap();
        if let Some(held) = self.pending.get_mut(&n).filter(|held| held.who == who) {
            held.released = match held.released {
                Released::No | Released::Yes => Released::Yes,
                Released::Perhaps => Released::Perhaps,
            };
        }
    }

    async fn extend(&mut self, who: usize, pick: usize) {
        let Some(n) = self.picked(pick) else { return };
        let held = self.pending.get_mut(&n).filter(|held| held.who == who);
        if held.as_ref().is_some_and(|held| held.released != Released::No) {
            return;
        }
        let message = (WORK, self.said[n]);
        let lost = self.bus[who].extend(&who_reads(who), &[message]).await.unwrap();
        assert_eq!(lost.is_empty(), held.is_some());
    }

    async fn trim(&mut self, keep: usize) {
        let never = chrono::DateTime::UNIX_EPOCH;
        self.bus[0].trim(WORK, never, keep as u64).await.unwrap();
        let left = numbers(&all(&*self.bus[1], WORK).await);
        let gone = self.said.len() - left.len();
        assert_eq!(left, (gone as u64..self.said.len() as u64).collect::<Vec<_>>());
        assert!((0..gone).all(|n| self.done.contains(&n)), "something that is needed has gone");
        let most = self.said.len().saturating_sub(keep).max(self.trimmed);
        assert!((self.trimmed..=most).contains(&gone), "{gone} have gone, at most {most} may");
        self.trimmed = gone;
    }

    async fn change_holder(&mut self) {
        let name = |holder| format!("holder {holder}");
        self.bus[0].unlease("timers", &name(self.holders)).await.unwrap();
        self.holders += 1;
        let next = lease(&*self.bus[1], "timers", &name(self.holders)).await;
        assert!(next.number > self.fence.number);
        self.late_fence = std::mem::replace(&mut self.fence, next);
    }

    async fn fire(&mut self, now: u8, limit: usize, late: bool) {
        let late = late && self.late_fence != self.fence;
        let fence = if late { &self.late_fence } else { &self.fence };
        let before = all(&*self.bus[0], NOTICE).await.len();
        let fired = self.bus[2].fire_timers(at(now), limit, fence).await.unwrap();
        let mut due: Vec<_> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, at)| (*at, *timer)).collect();
        due.sort_unstable();
        due.truncate(if late { 0 } else { limit });
        let said = numbers(&all(&*self.bus[0], NOTICE).await[before..]);
        assert_eq!((fired, said.len()), (due.len(), due.len()));
        for (n, (at, _)) in said.iter().zip(&due) {
            // Of timers for the same moment, either may come first.
            let timer = u8::try_from(n - 1_000).unwrap();
            assert_eq!(self.timers.remove(&timer), Some(*at));
        }
    }

    /// Works everything off as a last consumer does, and looks at what came of it.
    async fn end(mut self) {
        let last = who_reads(2);
        let bus = self.bus[2].clone();
        loop {
            let mut work = read(&*bus, &last, 10).await;
            work.extend(stale(&*bus, &last, Duration::ZERO).await.claimed);
            work.extend(own(&*bus, &last).await.claimed);
            if work.is_empty() {
                break;
            }
            for message in work {
                let n = usize::try_from(number(&message.entry)).unwrap();
                assert_eq!(message.entry.id, self.said[n]);
                let outcome = commit(&*bus, self.effects(n)).await;
                assert_eq!(outcome.is_done(), self.done.insert(n), "message {n}: {outcome:?}");
            }
        }
        assert_eq!(self.done.len(), self.said.len(), "something was lost");
        for n in 0..self.said.len() {
            assert_eq!(count(&*bus, &format!("effect:{n}")).await, 1, "the effect of message {n}");
        }
        let mut effects = numbers(&all(&*bus, OTHER).await);
        effects.sort_unstable();
        assert_eq!(effects, (0..self.said.len() as u64).collect::<Vec<_>>());
        assert_eq!(get(&*bus, "never").await, None);
        let info = bus.inspect(WORK).await.unwrap();
        assert_eq!((info.groups[0].pending, info.groups[0].lag.unwrap_or(0)), (0, 0));
        let later = SystemClock.now() + TimeDelta::days(1_000);
        bus.trim(WORK, later, 0).await.unwrap();
    }
}

/// Puts an engine through random histories, the same ones at each run.
pub(crate) fn random_histories(engine: &dyn Engine, histories: u32) {
    let config = Config { cases: histories, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcome = TestRunner::new_with_rng(config, rng).run(&steps(), |steps| {
        runtime.block_on(async {
            let mut model = Model::new(engine).await;
            for step in &steps {
                model.go(step).await;
            }
            model.end().await;
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
