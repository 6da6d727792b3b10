//! Everything that is promised of scopes and tasks, under seeded schedules and virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use deterministic::{Clock, Simulation};
use futures::FutureExt as _;
use overseer::node::Builder;
use overseer::{Ask, AskError, Context, Event, Failure, Nothing, Outside, Role as _, Subsystem, Wait};

use super::*;

const SEEDS: u64 = 32;
const LIMIT: usize = 4;

/// What a view says: active scopes, depths below an active one, height of the last final block.
#[derive(Default)]
struct Seen {
    active: BTreeSet<u32>,
    depths: BTreeMap<u32, u32>,
    finalized: u32,
}

impl ScopeView<u32> for Seen {
    fn is_active(&self, scope: &u32) -> bool {
        self.active.contains(scope)
    }
    fn is_in_view(&self, scope: &u32, depth: u32) -> bool {
        self.is_active(scope) || self.depths.get(scope).is_some_and(|at| *at <= depth)
    }
    fn finalized_height(&self) -> u32 {
        self.finalized
    }
}

struct Bench {
    simulation: Simulation,
    clock: Arc<dyn Clock>,
    jobs: Jobs<u32, u32>,
    /// How often any task was polled or dropped what it held.
    polls: Arc<AtomicU32>,
    drops: Arc<AtomicU32>,
}

/// Counts its own drop.
struct Held(Arc<AtomicU32>);
impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bench {
    fn new(seed: u64) -> Self {
        let simulation = Simulation::new(seed);
        let environment = simulation.environment("node");
        let jobs = Jobs::new(environment.clone(), LIMIT);
        Self { simulation, clock: environment.clock, jobs, polls: Arc::default(), drops: Arc::default() }
    }

    /// A task that returns `result` after so many seconds, and holds something.
    fn after(&self, seconds: u64, result: u32) -> impl Future<Output = u32> + Send + 'static {
        let sleep = self.clock.sleep(Duration::from_secs(seconds));
        let (held, polls) = (Held(self.drops.clone()), self.polls.clone());
        async move {
            let _held = held;
            let mut sleep = sleep;
            std::future::poll_fn(|cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                sleep.as_mut().poll(cx)
            })
            .await;
            result
        }
    }

    fn start(&mut self, scope: u32, seconds: u64, result: u32) {
        let task = self.after(seconds, result);
        self.jobs.spawn(&scope, "task", task).unwrap();
    }

    fn next(&mut self) -> (u32, Outcome<u32>) {
        let end = self.simulation.run_until(self.jobs.next()).unwrap();
        (end.scope, end.outcome)
    }

    /// The ends that are there now.
    fn ends(&mut self) -> Vec<(u32, u32)> {
        self.simulation.run_until_stalled().unwrap();
        let mut ends = Vec::new();
        while let Some(end) = self.jobs.next().now_or_never() {
            ends.extend(end.into_result());
        }
        ends
    }

    fn drops(&self) -> u32 {
        self.drops.load(Ordering::Relaxed)
    }

    /// Nothing of a stopped scope is left: not a task, not a timer that would wake one.
    fn finish(self) {
        let Self { simulation, jobs, .. } = self;
        drop(jobs);
        simulation.run_until_stalled().unwrap();
        let left: Vec<String> = simulation.tasks().iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "seed {}: {left:?}", simulation.seed());
    }
}

/// Opens one scope by `ending`, says which views end it and which do not, and checks that its task goes with it.
fn ends_by(ending: Ending, keeps: &[Seen], ends: &Seen) {
    for seed in 0..SEEDS {
        let mut bench = Bench::new(seed);
        assert!(bench.jobs.open(7, ending));
        bench.start(7, 100, 1);
        for view in keeps {
            assert_eq!(bench.jobs.end_by_view(view), [] as [u32; 0]);
            assert!(bench.jobs.is_open(&7));
        }
        bench.simulation.run_until_stalled().unwrap();
        assert_eq!((bench.jobs.running(), bench.drops()), (1, 0));
        assert_eq!(bench.jobs.end_by_view(ends), [7]);
        assert!(!bench.jobs.is_open(&7));
        assert_eq!(bench.jobs.running(), 0);
        bench.simulation.run_until_stalled().unwrap();
        assert_eq!(bench.drops(), 1, "cancelled at once: no time has passed");
        bench.finish();
    }
}

fn active(scopes: &[u32]) -> Seen {
    Seen { active: scopes.iter().copied().collect(), ..Seen::default() }
}

fn below(depth: u32) -> Seen {
    Seen { depths: [(7, depth)].into(), ..active(&[9]) }
}

#[test]
fn until_stop_ends_when_its_leaf_stops() {
    ends_by(Ending::UntilStop, &[active(&[7]), active(&[7, 8])], &below(1));
}

#[test]
fn while_in_view_ends_below_its_depth() {
    ends_by(Ending::WhileInView(3), &[active(&[7]), below(1), below(3)], &below(4));
}

#[test]
fn until_final_ends_when_its_height_is_final() {
    let at = |finalized| Seen { finalized, ..Seen::default() };
    ends_by(Ending::UntilFinal(5), &[active(&[7]), at(4)], &at(5));
    ends_by(Ending::UntilFinal(5), &[], &at(6));
}

#[test]
fn detached_outlives_every_view_and_ends_with_its_last_task() {
    let mut bench = Bench::new(1);
    bench.jobs.open(7, Ending::Detached(Duration::from_secs(10)));
    bench.start(7, 4, 1);
    let gone = Seen { finalized: 1000, ..Seen::default() };
    assert_eq!(bench.jobs.end_by_view(&gone), [] as [u32; 0]);
    bench.start(7, 5, 2);
    let nest = bench.jobs.nest(&7).unwrap();
    assert!(matches!(bench.next(), (7, Outcome::Done(1))));
    assert_eq!(bench.jobs.scopes(), [7], "one task of it runs");
    assert!(matches!(bench.next(), (7, Outcome::Done(2))));
    assert_eq!((bench.jobs.scopes(), bench.jobs.running()), (Vec::new(), 0), "it needs no view to be forgotten");
    assert_eq!(nest.spawn("late", async { 3 }), Err(JobRefused::NoScope));

    bench.jobs.open(8, Ending::Detached(Duration::from_secs(10)));
    assert!(bench.jobs.is_open(&8), "its first task is still to come");
    assert_eq!(bench.jobs.end_by_view(&gone), [8]);
    bench.finish();
}

#[test]
fn detached_runs_out_of_time_counted_from_its_opening() {
    let mut bench = Bench::new(1);
    bench.jobs.open(7, Ending::Detached(Duration::from_secs(10)));
    bench.simulation.run_for(Duration::from_secs(6)).unwrap();
    bench.start(7, 5, 1);
    let began = bench.simulation.now();
    assert!(matches!(bench.next(), (7, Outcome::TimedOut)));
    assert_eq!(bench.simulation.now() - began, Duration::from_secs(4));
    assert_eq!((bench.drops(), bench.jobs.running()), (1, 0));

    bench.jobs.open(7, Ending::Detached(Duration::from_secs(10)));
    bench.start(7, 9, 2);
    assert!(matches!(bench.next(), (7, Outcome::Done(2))), "opened anew, it has its whole time again");
    bench.finish();
}

#[test]
fn ending_cancels_at_once_and_an_ended_task_is_never_polled_again() {
    for seed in 0..SEEDS {
        let mut bench = Bench::new(seed);
        bench.jobs.open(1, Ending::UntilStop);
        bench.jobs.open(2, Ending::UntilStop);
        (0..2).for_each(|result| bench.start(1, 1, result));
        bench.start(2, 1, 5);
        bench.simulation.run_until_stalled().unwrap();
        let polls = bench.polls.load(Ordering::Relaxed);
        bench.jobs.end(&1);
        bench.jobs.end(&1);
        assert!(matches!(bench.next(), (2, Outcome::Done(5))));
        assert_eq!(bench.polls.load(Ordering::Relaxed), polls + 1, "only the sibling's");
        bench.finish();
    }
}

#[test]
fn a_task_of_an_ended_scope_that_was_not_polled_yet_never_is() {
    let mut bench = Bench::new(1);
    bench.jobs.open(1, Ending::UntilStop);
    bench.start(1, 0, 1);
    bench.jobs.end(&1);
    assert_eq!(bench.ends(), []);
    assert_eq!((bench.polls.load(Ordering::Relaxed), bench.drops()), (0, 1));
    bench.finish();
}

#[test]
fn results_of_ended_scopes_are_dropped_also_when_the_scope_is_open_again() {
    let mut bench = Bench::new(1);
    bench.jobs.open(1, Ending::UntilStop);
    bench.jobs.open(2, Ending::UntilStop);
    bench.start(1, 0, 1);
    bench.start(2, 0, 2);
    bench.simulation.run_until_stalled().unwrap();
    // Both results wait in the queue now.
    bench.jobs.end(&1);
    bench.jobs.open(1, Ending::UntilStop);
    bench.start(1, 0, 3);
    let mut ends = bench.ends();
    ends.sort_unstable();
    assert_eq!(ends, [(1, 3), (2, 2)]);
    assert_eq!(bench.jobs.running(), 0);
    bench.finish();
}

#[test]
fn results_of_many_ended_scopes_never_stop_a_live_one() {
    let mut bench = Bench::new(1);
    for round in 0..20 {
        bench.jobs.open(round, Ending::UntilStop);
        (0..LIMIT as u32).for_each(|result| bench.start(round, 0, result));
        bench.simulation.run_until_stalled().unwrap();
        bench.jobs.end(&round);
    }
    bench.jobs.open(99, Ending::UntilStop);
    bench.start(99, 0, 9);
    assert!(matches!(bench.next(), (99, Outcome::Done(9))));
    bench.finish();
}

/// Panics when dropped.
struct Explosive;
impl Drop for Explosive {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_panic_is_named_with_its_scope_and_siblings_live_on() {
    for seed in 0..SEEDS {
        let mut bench = Bench::new(seed);
        bench.jobs.open(1, Ending::UntilStop);
        bench.start(1, 1, 5);
        bench.jobs.spawn(&1, "told", async { panic!("no such candidate: {}", 3) }).unwrap();
        bench.jobs.spawn(&1, "mute", async { std::panic::panic_any(3_u8) }).unwrap();
        // Dropped with the future, after its last poll.
        let explosive = Explosive;
        let exploding = std::future::poll_fn(move |_| {
            let _held = &explosive;
            std::task::Poll::Ready(1)
        });
        bench.jobs.spawn(&1, "holding", exploding).unwrap();
        let mut ends = BTreeMap::new();
        for _ in 0..4 {
            let end = bench.simulation.run_until(bench.jobs.next()).unwrap();
            assert_eq!(end.scope, 1);
            ends.insert(end.name, end.outcome);
        }
        assert!(matches!(&ends["told"], Outcome::Panicked(message) if message == "no such candidate: 3"));
        assert!(matches!(&ends["mute"], Outcome::Panicked(message) if message == "without a message"));
        assert!(matches!(&ends["holding"], Outcome::Panicked(message) if message == "dropped"));
        assert!(matches!(&ends["task"], Outcome::Done(5)), "the sibling lives on");
        bench.finish();
    }
}

#[test]
fn tasks_take_the_time_of_the_rule_that_their_scope_takes() {
    let mut bench = Bench::new(1);
    let detached = Ending::Detached(Duration::from_secs(5));
    let began = bench.simulation.now();
    bench.jobs.open(7, Ending::UntilStop);
    bench.start(7, 3600, 1);
    bench.simulation.run_for(Duration::from_secs(60)).unwrap();
    bench.jobs.open(7, detached);
    assert!(matches!(bench.next(), (7, Outcome::TimedOut)), "it became detached");
    assert_eq!(bench.simulation.now() - began, Duration::from_secs(65));
    assert_eq!((bench.jobs.scopes(), bench.drops()), (Vec::new(), 1));

    bench.jobs.open(8, detached);
    bench.start(8, 12, 2);
    bench.simulation.run_for(Duration::from_secs(4)).unwrap();
    bench.jobs.open(8, detached);
    bench.simulation.run_for(Duration::from_secs(4)).unwrap();
    bench.jobs.open(8, Ending::UntilFinal(1));
    assert!(matches!(bench.next(), (8, Outcome::Done(2))), "it is detached no longer");
    assert_eq!(bench.jobs.scopes(), [8], "and stays until its rule says so");
    bench.finish();
}

#[test]
fn results_that_nobody_wants_and_that_panic_when_dropped_take_nobody_down() {
    struct Explodes;
    impl Drop for Explodes {
        fn drop(&mut self) {
            panic!("dropped unwanted");
        }
    }
    let simulation = Simulation::new(1);
    let mut jobs = Jobs::<u32, Explodes>::new(simulation.environment("node"), LIMIT);
    for scope in [1, 2] {
        jobs.open(scope, Ending::UntilStop);
        jobs.spawn(&scope, "one", async { Explodes }).unwrap();
        jobs.spawn(&scope, "two", async { Explodes }).unwrap();
    }
    simulation.run_until_stalled().unwrap();
    jobs.end(&1);
    assert_eq!((jobs.scopes(), jobs.running()), (vec![2], 2));
    drop(jobs);
}

#[test]
fn a_task_whose_drop_panics_when_its_time_is_over_leaves_its_place() {
    struct Explodes;
    impl Drop for Explodes {
        fn drop(&mut self) {
            panic!("dropped late");
        }
    }
    let mut bench = Bench::new(1);
    bench.jobs.open(7, Ending::Detached(Duration::from_secs(10)));
    let holding = async {
        let _held = Explodes;
        std::future::pending().await
    };
    bench.jobs.spawn(&7, "holding", holding).unwrap();
    assert!(matches!(bench.next(), (7, Outcome::Panicked(message)) if message == "dropped late"));
    assert_eq!(bench.jobs.running(), 0);
    bench.finish();
}

#[test]
fn a_task_that_panics_with_what_panics_in_turn_leaves_its_place() {
    let mut bench = Bench::new(1);
    bench.jobs.open(1, Ending::UntilStop);
    bench.jobs.spawn(&1, "bomb", async { std::panic::panic_any(Explosive) }).unwrap();
    assert!(matches!(bench.next(), (1, Outcome::Panicked(message)) if message == "without a message"));
    assert_eq!(bench.jobs.running(), 0);
    bench.finish();
}

#[test]
fn only_a_result_is_a_result() {
    let end = |outcome| JobEnd { scope: 7, name: "task", outcome };
    assert_eq!(end(Outcome::Done(3)).into_result(), Some((7, 3)));
    assert_eq!(end(Outcome::Panicked("why".to_owned())).into_result(), None);
    assert_eq!(end(Outcome::TimedOut).into_result(), None);
}

#[test]
fn limits_are_held_and_what_is_refused_is_dropped() {
    let mut bench = Bench::new(1);
    let task = bench.after(1, 0);
    assert_eq!(bench.jobs.spawn(&1, "task", task), Err(JobRefused::NoScope));
    bench.jobs.open(1, Ending::UntilStop);
    (0..LIMIT as u32).for_each(|result| bench.start(1, 1, result));
    let task = bench.after(1, 0);
    assert_eq!(bench.jobs.spawn(&1, "task", task), Err(JobRefused::TooMany(LIMIT)));
    assert_eq!((bench.drops(), bench.jobs.running()), (2, LIMIT));
    bench.next();
    bench.start(1, 1, 9);

    for scope in 2..=SCOPES_MAX as u32 {
        assert!(bench.jobs.open(scope, Ending::UntilStop));
    }
    assert!(!bench.jobs.open(0, Ending::UntilStop), "no room for one more");
    assert!(bench.jobs.open(1, Ending::UntilFinal(1)), "one that is open needs no room");
    assert_eq!(bench.jobs.scopes().len(), SCOPES_MAX);
    let ended = bench.jobs.end_by_view(&Seen { finalized: 1, active: (2..3000).collect(), ..Seen::default() });
    assert_eq!(ended, [1], "it took the new rule");
    bench.finish();
}

#[test]
fn nested_tasks_report_count_and_end_with_their_scope() {
    for seed in 0..SEEDS {
        let mut bench = Bench::new(seed);
        assert!(bench.jobs.nest(&1).is_none());
        bench.jobs.open(1, Ending::UntilStop);
        let nest = bench.jobs.nest(&1).unwrap();
        assert_eq!(nest.scope(), &1);
        let children = [bench.after(2, 10), bench.after(3, 11)];
        let beyond = [bench.after(1, 12), bench.after(1, 13)];
        let parent = async move {
            for child in children {
                nest.clone().spawn("child", child).unwrap();
            }
            let refused = beyond.map(|task| nest.spawn("child", task).err());
            assert_eq!(refused, [None, Some(JobRefused::TooMany(LIMIT))]);
            1
        };
        bench.jobs.spawn(&1, "parent", parent).unwrap();
        assert!(matches!(bench.next(), (1, Outcome::Done(1))));
        assert!(matches!(bench.next(), (1, Outcome::Done(12))));
        assert!(matches!(bench.next(), (1, Outcome::Done(10))));
        assert_eq!(bench.jobs.running(), 1);
        bench.jobs.end(&1);
        assert_eq!(bench.ends(), []);
        assert_eq!(bench.drops(), 4, "the last child was cancelled");
        bench.finish();
    }
}

#[test]
fn a_nest_is_void_once_its_scope_has_ended() {
    let mut bench = Bench::new(1);
    bench.jobs.open(1, Ending::UntilStop);
    let nest = bench.jobs.nest(&1).unwrap();
    bench.jobs.end(&1);
    assert_eq!(nest.spawn("task", async { 1 }), Err(JobRefused::NoScope));
    bench.jobs.open(1, Ending::UntilStop);
    assert_eq!(nest.spawn("task", async { 1 }), Err(JobRefused::NoScope), "another scope of the same name");
    let nest = bench.jobs.nest(&1).unwrap();
    bench.start(1, 1, 1);
    let Bench { simulation, jobs, drops, .. } = bench;
    drop(jobs);
    assert_eq!(nest.spawn("task", async { 1 }), Err(JobRefused::NoScope), "the set is gone");
    simulation.run_until_stalled().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 1, "dropping the set cancels all");
    assert!(simulation.tasks().is_empty());
}

#[test]
fn nested_tasks_share_the_time_of_a_detached_scope() {
    let mut bench = Bench::new(1);
    bench.jobs.open(1, Ending::Detached(Duration::from_secs(10)));
    let nest = bench.jobs.nest(&1).unwrap();
    let (wait, child) = (bench.after(8, 0), bench.after(3, 2));
    let parent = async move {
        wait.await;
        nest.spawn("child", child).unwrap();
        1
    };
    bench.jobs.spawn(&1, "parent", parent).unwrap();
    let began = bench.simulation.now();
    assert!(matches!(bench.next(), (1, Outcome::Done(1))));
    let nest = bench.jobs.nest(&1).unwrap();
    nest.spawn("late", bench.after(5, 3)).unwrap();
    // Its timer was set at the beginning, so three seconds are over; it is done at its first look.
    assert!(matches!(bench.next(), (1, Outcome::Done(2))));
    assert!(matches!(bench.next(), (1, Outcome::TimedOut)));
    assert_eq!(bench.simulation.now() - began, Duration::from_secs(10));
    bench.finish();
}

#[test]
fn next_waits_for_ever_while_nothing_runs_and_loses_nothing_when_dropped() {
    let mut bench = Bench::new(1);
    assert!(bench.jobs.next().now_or_never().is_none());
    bench.jobs.open(1, Ending::UntilStop);
    bench.start(1, 0, 4);
    assert!(bench.jobs.next().now_or_never().is_none(), "polled and dropped before the end is there");
    assert!(matches!(bench.next(), (1, Outcome::Done(4))));
    bench.finish();
}

#[test]
fn cancelling_a_task_whose_drop_panics_takes_nobody_with_it() {
    for seed in 0..SEEDS {
        let mut bench = Bench::new(seed);
        for scope in [1, 2] {
            bench.jobs.open(scope, Ending::UntilStop);
        }
        let holding = async {
            let _held = Explosive;
            std::future::pending().await
        };
        bench.jobs.spawn(&1, "holding", holding).unwrap();
        bench.start(2, 1, 5);
        bench.simulation.run_until_stalled().unwrap();
        bench.jobs.end(&1);
        assert!(matches!(bench.next(), (2, Outcome::Done(5))));
        bench.finish();
    }
}

#[test]
fn detached_scopes_whose_tasks_have_ended_or_never_began_make_room() {
    let mut bench = Bench::new(1);
    let detached = Ending::Detached(Duration::from_secs(10));
    bench.jobs.open(0, detached);
    bench.start(0, 5, 1);
    for scope in 1..SCOPES_MAX as u32 {
        assert!(bench.jobs.open(scope, Ending::UntilStop));
    }
    assert!(!bench.jobs.open(5000, detached), "the task of the detached one runs");
    assert!(matches!(bench.next(), (0, Outcome::Done(1))));
    assert!(bench.jobs.open(5000, detached), "no view was needed");
    assert!(bench.jobs.open(5001, detached), "nothing was started in the one before");
    assert_eq!((bench.jobs.is_open(&0), bench.jobs.is_open(&5000)), (false, false));
    bench.finish();
}

#[test]
fn limits_may_be_as_large_as_a_number_gets() {
    let simulation = Simulation::new(1);
    let mut jobs = Jobs::<u32, u32>::new(simulation.environment("node"), usize::MAX);
    jobs.open(1, Ending::UntilStop);
    jobs.spawn(&1, "task", async { 1 }).unwrap();
    assert!(simulation.run_until(jobs.next()).is_ok());
    assert!(Router::<u32, u32>::new(usize::MAX).open(1).is_some());
}

#[test]
fn lines_whose_jobs_have_ended_make_room() {
    let mut router = Router::<u32, u32>::new(1);
    let mut lines: Vec<_> = (0..SCOPES_MAX as u32).map(|scope| router.open(scope).expect("there is room")).collect();
    assert!(router.open(5000).is_none());
    lines.pop();
    assert!(router.open(5000).is_some());
}

#[test]
fn a_router_hands_messages_to_the_job_of_their_scope() {
    let mut bench = Bench::new(1);
    let mut router = Router::<u32, u32>::new(2);
    assert_eq!(router.route(&1, 5), Err(NotRouted::Late(5)));
    for scope in [1, 2] {
        bench.jobs.open(scope, Ending::UntilStop);
        let mut line = router.open(scope).unwrap();
        let sum = async move {
            let mut sum = 0;
            while let Some(number) = line.next().await {
                sum += number;
            }
            sum
        };
        bench.jobs.spawn(&scope, "sum", sum).unwrap();
    }
    router.route(&1, 10).unwrap();
    router.route(&2, 20).unwrap();
    router.route(&1, 30).unwrap();
    assert_eq!(router.route(&1, 40), Err(NotRouted::Full(40)), "the loop does not wait for a job");
    assert_eq!(bench.ends(), []);
    router.route(&1, 50).unwrap();
    router.end(&1);
    assert_eq!(bench.ends(), [(1, 90)]);
    bench.jobs.end(&2);
    bench.simulation.run_until_stalled().unwrap();
    assert_eq!(router.route(&2, 60).map_err(NotRouted::into_message), Err(60), "its job was cancelled");
    assert_eq!(router.late(), 2);
    bench.finish();
}

struct About(u32);
struct Anyway(u32);
struct Question(u32);
overseer::inbox! {
    enum Inbox for Worker as "worker" { tell { About, Anyway } ask { Question -> u32 } }
}
impl Scoped<u32> for Inbox {
    fn goes_with(&self) -> Option<u32> {
        match self {
            Self::About(About(scope)) => Some(*scope),
            Self::Question(Question(scope), _) => Some(*scope),
            Self::Anyway(_) => None,
        }
    }
}

/// Works on scope 1 only; says what it was told when it concludes.
struct Works(Arc<std::sync::Mutex<Vec<String>>>);
impl Subsystem for Works {
    type Role = Worker;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Jobs::<u32, u32>::new(context.environment().clone(), LIMIT);
        jobs.open(1, Ending::UntilStop);
        let say = |what: String| self.0.lock().unwrap().push(what);
        loop {
            match next_scoped(&mut context, &mut jobs).await {
                Input::Event(Event::Message(Inbox::About(message))) => {
                    let Some(About(scope)) = jobs.admit(&1, message) else { continue };
                    jobs.spawn(&scope, "double", async move { scope * 2 })?;
                }
                Input::Event(Event::Message(Inbox::Anyway(message))) => {
                    if let Some(Anyway(scope)) = jobs.admit(&2, message) {
                        say(format!("admitted {scope}"));
                    }
                }
                Input::Event(Event::Message(Inbox::Question(Question(scope), reply))) => drop(reply.answer(scope)),
                Input::Event(Event::Signal(never)) => match never {},
                Input::Event(Event::Conclude) => {
                    say(format!("late {:?}", jobs.late()));
                    return Ok(());
                }
                Input::Job(end) => say(format!("{:?}", end.into_result())),
            }
        }
    }
}

/// Ends the scope it is told of, then does something long.
struct Busy(Arc<std::sync::Mutex<Vec<String>>>);
impl Subsystem for Busy {
    type Role = Worker;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Jobs::<u32, u32>::new(context.environment().clone(), LIMIT);
        let _ = (jobs.open(1, Ending::UntilStop), jobs.open(2, Ending::UntilStop));
        loop {
            match next_scoped(&mut context, &mut jobs).await {
                Input::Event(Event::Message(Inbox::Anyway(Anyway(scope)))) => {
                    jobs.end(&scope);
                    purge(&mut context, &mut jobs);
                    context.environment().clock.sleep(Duration::from_secs(2)).await;
                }
                Input::Event(Event::Message(message)) => {
                    use overseer::message::Inbox as _;
                    self.0.lock().unwrap().push(format!("{} {:?}", message.message_name(), message.goes_with()));
                }
                Input::Event(Event::Signal(never)) => match never {},
                Input::Event(Event::Conclude) => {
                    self.0.lock().unwrap().push(format!("late {:?}", jobs.late()));
                    return Ok(());
                }
                Input::Job(_) => {}
            }
        }
    }
}

#[test]
fn queued_messages_leave_with_their_scope_and_waiting_senders_go_on_at_once() {
    let simulation = Simulation::new(1);
    let environment = simulation.environment("node");
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut builder = Builder::new(environment.clone(), &[Worker::NAME]);
    builder.mailbox_limits::<Worker>(overseer::mailbox::MailboxLimits { messages: 4, bytes: 1024 });
    builder.fill(Busy(said.clone()));
    let node = builder.build().unwrap();
    let (handle, test) = (node.handle(), node.handle().outlet::<Test>().unwrap());
    let answer = Arc::new(std::sync::Mutex::new(None));
    let (asking, place) = (test.clone(), answer.clone());
    simulation.run_until(async { test.send(Anyway(1)).await.unwrap() }).unwrap();
    simulation.run_until(async { test.send(About(1)).await.unwrap() }).unwrap();
    simulation.run_until(async { test.send(About(2)).await.unwrap() }).unwrap();
    let ask = async move { *place.lock().unwrap() = Some(asking.ask(Question(1)).await) };
    environment.spawner.spawn("ask", Box::pin(ask));
    simulation.run_until_stalled().unwrap();
    let waiting = test.clone();
    let wait = async move { waiting.send(About(2)).await.unwrap() };
    environment.spawner.spawn("wait", Box::pin(wait));
    simulation.run_until_stalled().unwrap();
    assert_eq!(handle.queues()[0].waiting, 4);
    environment.spawner.spawn("node", Box::pin(async move { drop(node.run().await) }));
    simulation.run_for(Duration::from_secs(1)).unwrap();
    let ended = AskError::Ended { message: "Question", by: "worker", scope: "1".to_owned() };
    assert_eq!(answer.lock().unwrap().take(), Some(Err(ended)), "while the loop does something long");
    assert!(!simulation.tasks().iter().any(|task| task.name == "wait"), "its place was freed");
    assert_eq!(said.lock().unwrap().len(), 0);
    handle.stop();
    simulation.run_for(Duration::from_secs(2)).unwrap();
    let said = said.lock().unwrap().clone();
    assert_eq!(said, [r#"late {"About": 1, "Question": 1}"#], "after its long work it hears that the node ends first");
    assert!(simulation.tasks().is_empty(), "left behind: {:?}", simulation.tasks());
}

enum Test {}
impl Outside for Test {
    const NAME: &'static str = "test";
    type Sends = (Wait<About>, Wait<Anyway>, Ask<Question>);
}

#[test]
fn messages_that_go_with_an_ended_scope_are_dropped_and_counted() {
    let simulation = Simulation::new(1);
    let environment = simulation.environment("node");
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut builder = Builder::new(environment, &[Worker::NAME]);
    builder.fill(Works(said.clone()));
    let node = builder.build().unwrap();
    let (handle, test) = (node.handle(), node.handle().outlet::<Test>().unwrap());
    let script = async move {
        test.send(About(1)).await.unwrap();
        test.send(About(2)).await.unwrap();
        test.send(Anyway(2)).await.unwrap();
        assert_eq!(test.ask(Question(1)).await, Ok(1));
        let refused = test.ask(Question(2)).await;
        assert_eq!(refused, Err(AskError::Ended { message: "Question", by: "worker", scope: "2".to_owned() }));
        handle.stop();
    };
    let (report, ()) = simulation.run_until(futures::future::join(node.run(), script)).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let said = said.lock().unwrap().clone();
    assert_eq!(said, ["Some((1, 2))", r#"late {"About": 1, "Anyway": 1, "Question": 1}"#]);
    assert!(simulation.tasks().is_empty());
}

/// Finds more ends of jobs than come in a row, and a message, when it begins to look.
struct Piled(Arc<std::sync::Mutex<String>>);
impl Subsystem for Piled {
    type Role = Worker;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let clock = context.environment().clock.clone();
        let mut jobs = Jobs::<u32, ()>::new(context.environment().clone(), 64);
        jobs.open(1, Ending::UntilStop);
        for _ in 0..ENDS_IN_A_ROW_MAX + 4 {
            jobs.spawn(&1, "task", async {})?;
        }
        clock.sleep(Duration::from_secs(1)).await;
        loop {
            let seen = match next(&mut context, &mut jobs).await {
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Event(Event::Signal(never)) => match never {},
                Input::Event(Event::Message(_)) => 'm',
                Input::Job(_) => 'j',
            };
            self.0.lock().unwrap().push(seen);
        }
    }
}

#[test]
fn ends_of_jobs_come_first_but_not_for_ever() {
    let simulation = Simulation::new(1);
    let environment = simulation.environment("node");
    let seen = Arc::new(std::sync::Mutex::new(String::new()));
    let mut builder = Builder::new(environment.clone(), &[Worker::NAME]);
    builder.fill(Piled(seen.clone()));
    let node = builder.build().unwrap();
    let (handle, test) = (node.handle(), node.handle().outlet::<Test>().unwrap());
    for _ in 0..2 {
        simulation.run_until(async { test.send(Anyway(1)).await.unwrap() }).unwrap();
    }
    environment.spawner.spawn("node", Box::pin(async move { drop(node.run().await) }));
    simulation.run_for(Duration::from_secs(2)).unwrap();
    let expected = "j".repeat(ENDS_IN_A_ROW_MAX as usize) + "mjjjjm";
    assert_eq!(*seen.lock().unwrap(), expected);
    handle.stop();
    simulation.run_for(Duration::from_secs(2)).unwrap();
    assert!(simulation.tasks().is_empty(), "left behind: {:?}", simulation.tasks());
}
