//! Logs and metrics.
//!
//! **Role**: turns the overseer's counters into Prometheus metrics, one registry per node because many nodes share a
//! process, and sets up the tracing subscriber, the only thing that is global.
//!
//! **Invariants**: a scrape reads counters and never waits for a subsystem.
//!
//! **Limits**: one series per edge and per queue; their number is fixed by the wiring.

#![forbid(unsafe_code)]

use std::io::IsTerminal as _;

use overseer::Handle;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not of the form `target=level,…`.
    #[error("log filter {filter:?}: {reason}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A metric could not be made or written.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Sends log lines to standard error, filtered as in `info,network_bridge=debug`. A second call changes nothing.
///
/// # Errors
/// [`TelemetryError::Filter`].
pub fn init_logs(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|error| TelemetryError::Filter { filter: filter.to_owned(), reason: error.to_string() })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error here says that a subscriber is set already: the first one stays.
    let _ = match format {
        LogFormat::Text => builder.with_target(true).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}

/// The metrics of one node.
pub struct NodeMetrics {
    registry: Registry,
}

impl NodeMetrics {
    /// Metrics read from a running node whenever they are asked for.
    ///
    /// # Errors
    /// If the metrics cannot be registered.
    pub fn new(node: &str, handle: Handle) -> Result<Self, TelemetryError> {
        let labels = std::collections::HashMap::from([("node".to_owned(), node.to_owned())]);
        let registry = Registry::new_custom(Some("parahost".to_owned()), Some(labels))?;
        registry.register(Box::new(OverseerCollector::new(handle)?))?;
        Ok(Self { registry })
    }

    /// All metrics in the Prometheus text format.
    ///
    /// # Errors
    /// If a metric cannot be encoded.
    pub fn render(&self) -> Result<String, TelemetryError> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

struct OverseerCollector {
    handle: Handle,
    sent: IntCounterVec,
    refused: IntCounterVec,
    waited: IntCounterVec,
    waiting: IntGaugeVec,
}

impl OverseerCollector {
    fn new(handle: Handle) -> Result<Self, prometheus::Error> {
        let edge = ["from", "to", "message"];
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &edge);
        Ok(Self {
            handle,
            sent: counter("messages_sent_total", "Messages put into a subsystem's queue")?,
            refused: counter("messages_refused_total", "Casts refused by a full queue")?,
            waited: counter("messages_waited_total", "Sends that found the queue full and waited")?,
            waiting: IntGaugeVec::new(Opts::new("queue_messages", "Messages waiting in a queue"), &["subsystem"])?,
        })
    }
}

impl Collector for OverseerCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.sent.desc(), self.refused.desc(), self.waited.desc(), self.waiting.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.sent.reset();
        self.refused.reset();
        self.waited.reset();
        for edge in self.handle.edges() {
            let labels = [edge.from, edge.declared.to, edge.declared.message];
            self.sent.with_label_values(&labels).inc_by(edge.sent);
            self.refused.with_label_values(&labels).inc_by(edge.refused);
            self.waited.with_label_values(&labels).inc_by(edge.waited);
        }
        for queue in self.handle.queues() {
            self.waiting.with_label_values(&[queue.subsystem]).set(queue.waiting as i64);
        }
        [self.sent.collect(), self.refused.collect(), self.waited.collect(), self.waiting.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deterministic::Simulation;

    /// A message.
    pub(crate) struct Ping;
    overseer::inbox! {
        /// What the ear hears.
        pub(crate) enum Inbox for Ear as "ear" { tell { Ping } }
    }
    struct Mouth;
    impl overseer::Outside for Mouth {
        const NAME: &'static str = "mouth";
        type Sends = (overseer::Wait<Ping>,);
    }

    #[test]
    fn a_scrape_shows_what_was_sent() {
        let simulation = Simulation::new(1);
        let mut builder = overseer::node::Builder::new(simulation.environment("node"), &["ear"]);
        builder.fill(overseer::subsystem::Drain::<Ear>::default());
        let overseer = builder.build().expect("one slot, filled");
        let handle = overseer.handle();
        let outlet = handle.outlet::<Mouth>().expect("the ear has a slot");
        let metrics = NodeMetrics::new("alice", handle).expect("fresh registry");
        simulation.run_until(outlet.send(Ping)).expect("there is room").expect("the ear's mailbox is open");
        let text = metrics.render().expect("text");
        assert!(text.contains(r#"parahost_queue_messages{subsystem="ear",node="alice"} 1"#), "{text}");
        let sent = r#"parahost_messages_sent_total{from="mouth",message="Ping",to="ear",node="alice"} 1"#;
        assert!(text.contains(sent), "{text}");
    }

    #[test]
    fn a_wrong_filter_is_named() {
        let error = init_logs("info,=loud=", LogFormat::Text).expect_err("not a filter");
        assert!(error.to_string().starts_with("log filter \"info,=loud=\""));
    }
}
