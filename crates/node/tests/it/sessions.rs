//! The scenario `sessions` in the simulator.

use node::local::{LocalConfig, ScenarioKind, SimulatedNetwork};

fn config() -> LocalConfig {
    LocalConfig {
        validators: 6,
        parachains: 2,
        parathreads: 1,
        session_blocks: 16,
        scenario: Some(ScenarioKind::Sessions),
        pov_size: 1024,
        fork_probability: 0.2,
        ..LocalConfig::default()
    }
}

#[test]
fn the_scenario_sessions_shows_everything() {
    let mut network = SimulatedNetwork::new(71, config());
    network.start_all().expect("every node starts");
    let (seen, complete) = network.play(0, 160).expect("the simulation runs");
    assert!(complete, "{seen:#?}");
    let block = |what: &str| seen.iter().find(|sight| sight.what.contains(what)).and_then(|sight| sight.block);
    assert!(block("upgrade was scheduled") < block("and applied") && block("and applied") < block("was pruned"));
    assert!(block("retried") < block("its block was included"));
    assert!(block("lost its core") < block("used again"));
}

#[test]
fn what_did_not_happen_is_not_seen() {
    let mut network = SimulatedNetwork::new(72, config());
    network.start_all().expect("every node starts");
    let (seen, complete) = network.play(0, 12).expect("the simulation runs");
    assert!(!complete);
    assert!(seen.iter().filter(|sight| sight.block.is_none()).count() >= 6, "{seen:#?}");
}

#[test]
fn networks_without_room_for_the_scenario_are_refused() {
    assert_eq!(config().check(), Ok(()));
    let refused = |change: fn(&mut LocalConfig)| {
        let mut config = config();
        change(&mut config);
        config.check().expect_err("it has no room").to_string()
    };
    assert!(refused(|config| config.session_blocks = 10).contains("16 to 200"));
    assert!(refused(|config| config.parachains = 1).contains("at least 2"));
    assert!(refused(|config| config.parathreads = 0).contains("1 to 8"));
    assert!(refused(|config| config.fork_probability = 0.0).contains("fork"));
    assert!(refused(|config| config.scenario = None).contains("0 without a scenario"));
}
