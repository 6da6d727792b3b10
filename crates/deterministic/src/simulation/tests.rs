use std::sync::atomic::AtomicU64;

use futures::channel::{mpsc, oneshot};
use futures::{SinkExt, StreamExt};

use super::*;
use crate::{ComputeError, ComputeKind, compute, entropy, timeout};

/// Some nodes that draw numbers, sleep, compute and talk; what the run leaves behind.
fn scenario(seed: u64) -> (u64, Vec<(usize, u64)>) {
    let simulation = Simulation::new(seed);
    let (sender, mut receiver) = mpsc::channel(4);
    for index in 0..5_usize {
        let node = simulation.environment(&format!("node {index}"));
        let mut sender = sender.clone();
        let inner = node.clone();
        node.spawner.spawn(
            "talker",
            Box::pin(async move {
                for _ in 0..10 {
                    let drawn = entropy::below(&*inner.entropy, 20);
                    inner.clock.sleep(Duration::from_millis(drawn % 3)).await;
                    compute(&*inner.compute, ComputeKind::Hash, 100, || ()).await.unwrap();
                    sender.send((index, drawn)).await.unwrap();
                }
            }),
        );
    }
    drop(sender);
    let tracer = simulation.clone();
    let heard = simulation
        .run_until(async move {
            let mut heard = Vec::new();
            while let Some((index, drawn)) = receiver.next().await {
                tracer.trace(&drawn.to_le_bytes());
                heard.push((index, drawn));
            }
            heard
        })
        .unwrap();
    assert_eq!((heard.len(), simulation.tasks()), (50, Vec::new()));
    (simulation.trace_hash(), heard)
}

#[test]
fn one_seed_gives_one_trace_and_others_give_others() {
    for seed in 0..20 {
        assert_eq!(scenario(seed), scenario(seed), "seed {seed}");
    }
    let orders: std::collections::BTreeSet<Vec<usize>> =
        (0..20).map(|seed| scenario(seed).1.into_iter().map(|(index, _)| index).collect()).collect();
    assert!(orders.len() > 15, "only {} different schedules", orders.len());
}

#[test]
fn schedule_alone_depends_on_the_seed() {
    let order = |seed| {
        let simulation = Simulation::new(seed);
        let order = Arc::new(Mutex::new(Vec::new()));
        for index in 0..8 {
            let order = order.clone();
            let task = Box::pin(async move { lock(&order).push(index) });
            simulation.environment("one").spawner.spawn("task", task);
        }
        simulation.run_until_idle().unwrap();
        std::mem::take(&mut *lock(&order))
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    assert_ne!(order(1), (0..8).collect::<Vec<_>>());
}

#[test]
fn labels_have_entropy_of_their_own() {
    let draw = |simulation: &Simulation, label: &str| entropy::u64(&*simulation.environment(label).entropy);
    let (left, right) = (Simulation::new(3), Simulation::new(3));
    let first = draw(&left, "bob");
    // What alice does changes nothing for bob.
    for _ in 0..7 {
        draw(&right, "alice");
    }
    assert_eq!(draw(&right, "bob"), first);
    // One stream per label, which goes on; another after the node's death.
    let second = draw(&right, "bob");
    assert_ne!(second, first);
    right.kill("bob");
    let reborn = draw(&right, "bob");
    assert!(reborn != first && reborn != second);
    assert_ne!(draw(&Simulation::new(4), "bob"), first);
}

#[test]
fn clock_moves_only_when_nothing_is_ready() {
    let simulation = Simulation::new(0);
    let clock = simulation.environment("a").clock;
    let far = clock.sleep(Duration::from_secs(1_000_000));
    assert_eq!(simulation.run_until(timeout(&*clock, Duration::from_secs(5), far)), Ok(None));
    assert_eq!(simulation.now(), START + Duration::from_secs(5));
    // The abandoned timer is gone: nothing is left to run for.
    simulation.run_until_idle().unwrap();
    assert_eq!(simulation.now(), START + Duration::from_secs(5));
    simulation.run_for(Duration::from_secs(3)).unwrap();
    assert_eq!(simulation.now(), START + Duration::from_secs(8));
}

#[test]
fn run_for_fires_what_is_due_and_no_more() {
    let simulation = Simulation::new(0);
    let node = simulation.environment("a");
    let ticks = Arc::new(AtomicU64::new(0));
    let (counter, clock) = (ticks.clone(), node.clock.clone());
    node.spawner.spawn(
        "ticker",
        Box::pin(async move {
            loop {
                clock.sleep(Duration::from_secs(1)).await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }),
    );
    simulation.run_until_stalled().unwrap();
    assert_eq!(ticks.load(Ordering::Relaxed), 0);
    simulation.run_for(Duration::from_secs(3)).unwrap();
    assert_eq!(ticks.load(Ordering::Relaxed), 3);
    simulation.run_for(Duration::from_millis(999)).unwrap();
    assert_eq!(ticks.load(Ordering::Relaxed), 3);
    simulation.run_for(Duration::ZERO).unwrap();
    simulation.run_for(Duration::from_millis(1)).unwrap();
    assert_eq!(ticks.load(Ordering::Relaxed), 4);
}

#[test]
fn compute_charges_virtual_time_and_a_panic_is_an_error() {
    let simulation = Simulation::new(0);
    let cost = Cost { fixed_ns: 1_000, per_kib_ns: 1_024 };
    simulation.set_costs(CostTable::free().with(ComputeKind::Hash, cost));
    let pool = simulation.environment("a").compute;
    assert_eq!(simulation.run_until(compute(&*pool, ComputeKind::Hash, 500, || 7)), Ok(Ok(7)));
    assert_eq!(simulation.now() - START, Duration::from_nanos(1_500));
    assert_eq!(simulation.run_until(compute(&*pool, ComputeKind::Sign, 500, || 7)), Ok(Ok(7)));
    assert_eq!(simulation.now() - START, Duration::from_nanos(1_500));
    let outcome = simulation.run_until(compute(&*pool, ComputeKind::Hash, 0, || -> u8 { panic!("no") })).unwrap();
    assert_eq!(outcome, Err(ComputeError::Panicked { kind: ComputeKind::Hash, message: "no".to_string() }));
}

#[test]
fn killed_node_is_gone_with_all_it_spawned_and_will_spawn() {
    struct OnDrop(Environment, Option<oneshot::Sender<()>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            // A destructor that spawns, as some do, must find no way back to life.
            self.0.spawner.spawn("zombie", Box::pin(std::future::pending()));
            drop(self.1.take());
        }
    }
    let simulation = Simulation::new(0);
    let (bob, alice) = (simulation.environment("bob"), simulation.environment("alice"));
    let (sender, receiver) = oneshot::channel::<()>();
    let held = OnDrop(bob.clone(), Some(sender));
    bob.spawner.spawn(
        "loop",
        Box::pin(async move {
            let _held = held;
            std::future::pending::<()>().await;
        }),
    );
    let clock = bob.clock.clone();
    bob.spawner.spawn("sleeper", Box::pin(async move { clock.sleep(Duration::from_secs(9)).await }));
    alice.spawner.spawn(
        "waits for bob",
        Box::pin(async move {
            assert!(receiver.await.is_err());
        }),
    );
    simulation.run_until_stalled().unwrap();
    assert_eq!(simulation.tasks().len(), 3);
    assert_eq!(simulation.kill("bob"), 2);
    simulation.run_until_idle().unwrap();
    assert_eq!((simulation.tasks(), simulation.now()), (Vec::new(), START));
    bob.spawner.spawn("late", Box::pin(async {}));
    assert_eq!((simulation.tasks(), simulation.kill("bob")), (Vec::new(), 0));
    simulation.environment("bob").spawner.spawn("again", Box::pin(std::future::pending()));
    assert_eq!(simulation.tasks()[0].to_string(), "bob/again");
}

#[test]
fn task_that_kills_its_own_node_ends_there() {
    let simulation = Simulation::new(0);
    let node = simulation.environment("a");
    let killer = simulation.clone();
    node.spawner.spawn(
        "killer",
        Box::pin(async move {
            killer.kill("a");
            std::future::pending::<()>().await;
        }),
    );
    simulation.run_until_idle().unwrap();
    assert_eq!(simulation.tasks(), []);
}

#[test]
fn live_lock_ends_with_the_busiest_named() {
    let simulation = Simulation::new(0);
    let node = simulation.environment("a");
    let spin = |rests: u64| async move {
        let mut round = 0_u64;
        futures::future::poll_fn(move |context| -> Poll<()> {
            round += 1;
            if round.is_multiple_of(rests) {
                return Poll::Pending;
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    };
    node.spawner.spawn("calm", Box::pin(spin(3)));
    node.spawner.spawn("mad", Box::pin(spin(u64::MAX)));
    simulation.set_step_limit(1_000);
    let error = simulation.run_until_idle().unwrap_err();
    let SimulationError::StepLimit { steps: 1_000, busiest, .. } = &error else { panic!("{error}") };
    assert_eq!(busiest[0].0, "a/mad");
    assert_eq!(busiest[1], ("a/calm".to_string(), 3));
    // It is still there for the next run.
    assert!(simulation.run_until_idle().is_err());
    simulation.kill("a");
    simulation.run_until_idle().unwrap();
}

#[test]
fn what_never_comes_is_an_error_that_names_who_waits() {
    let simulation = Simulation::new(0);
    simulation.environment("a").spawner.spawn("waiter", Box::pin(std::future::pending()));
    let error = simulation.run_until(std::future::pending::<()>()).unwrap_err();
    assert!(error.to_string().contains("waiter"), "{error}");
}

#[test]
fn panic_of_a_task_is_reported_once_and_others_go_on() {
    let simulation = Simulation::new(0);
    let node = simulation.environment("a");
    node.spawner.spawn("bad", Box::pin(async { panic!("oh {}", 1) }));
    let clock = node.clock.clone();
    let error = simulation.run_until(clock.sleep(Duration::from_secs(1))).unwrap_err();
    let task = TaskInfo { group: "a".to_string(), name: "bad".to_string() };
    assert_eq!(error, SimulationError::TaskPanicked { task, message: "oh 1".to_string() });
    simulation.run_until(clock.sleep(Duration::from_secs(1))).unwrap();
}

#[test]
fn running_inside_of_a_run_is_refused() {
    let simulation = Simulation::new(0);
    let inner = simulation.clone();
    let outcome = simulation.run_until(async move { inner.run_until_idle() });
    assert_eq!(outcome, Ok(Err(SimulationError::AlreadyRunning)));
    simulation.run_until_idle().unwrap();
}

#[test]
fn wakes_from_other_threads_are_heard() {
    let simulation = Simulation::new(0);
    let (sender, receiver) = oneshot::channel();
    let heard = Arc::new(AtomicBool::new(false));
    let flag = heard.clone();
    simulation.environment("a").spawner.spawn(
        "waiter",
        Box::pin(async move {
            flag.store(receiver.await == Ok(1), Ordering::Release);
        }),
    );
    simulation.run_until_stalled().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.send(1).unwrap());
    });
    simulation.run_until_stalled().unwrap();
    assert!(heard.load(Ordering::Acquire));
}

#[test]
fn below_is_in_range_and_even() {
    let entropy = Simulation::new(1).environment("a").entropy;
    assert_eq!((entropy::below(&*entropy, 0), entropy::below(&*entropy, 1)), (0, 0));
    let mut counts = [0_u32; 6];
    for _ in 0..6_000 {
        counts[entropy::below(&*entropy, 6) as usize] += 1;
    }
    assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    assert!((0..100).all(|_| entropy::below(&*entropy, u64::MAX) < u64::MAX));
}

#[test]
fn world_ends_with_its_original_handle() {
    let simulation = Simulation::new(0);
    let node = simulation.environment("a");
    let held = Arc::new(());
    let (inner, token) = (node.clone(), held.clone());
    node.spawner.spawn(
        "waiter",
        Box::pin(async move {
            inner.clock.sleep(Duration::from_secs(1)).await;
            drop(token);
        }),
    );
    simulation.run_until_stalled().unwrap();
    drop(simulation.clone());
    assert_eq!(Arc::strong_count(&held), 2);
    drop(simulation);
    assert_eq!(Arc::strong_count(&held), 1);
    node.spawner.spawn("late", Box::pin(async move { drop(held) }));
}
