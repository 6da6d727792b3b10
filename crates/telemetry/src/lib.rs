//! Logs and metrics.
//!
//! **Role**: turns the overseer's counters, and whatever else a node counts, into Prometheus metrics, one registry per node because many nodes share a
//! process, and sets up the tracing subscriber, the only thing that is global.
//!
//! **Invariants**: a scrape reads counters and never waits for a subsystem.
//!
//! **Limits**: one series per edge and per queue; their number is fixed by the wiring.

#![forbid(unsafe_code)]

mod figures;
mod histograms;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use overseer::Handle;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use tracing_subscriber::EnvFilter;

use figures::Figures;
use histograms::Times;

pub use figures::{Figure, FigureKind};

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

    /// Adds numbers that `read` tells at each scrape; it must not wait, and tells the same names each time.
    ///
    /// # Errors
    /// If a name is no metric's name, or taken.
    pub fn add_figures(&self, read: impl Fn() -> Vec<Figure> + Send + Sync + 'static) -> Result<(), TelemetryError> {
        Ok(self.registry.register(Box::new(Figures::new(Box::new(read))?))?)
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
    merged: IntCounterVec,
    in_flight: IntGaugeVec,
    open_feeds: IntGaugeVec,
    edge_queued: IntGaugeVec,
    edge_fill: GaugeVec,
    waiting: IntGaugeVec,
    bytes: IntGaugeVec,
    fill: GaugeVec,
    lag: IntGaugeVec,
    busy: GaugeVec,
    long_waits: IntGaugeVec,
    long_wait_chains: IntGaugeVec,
    stalled: IntGaugeVec,
    queued: Times,
    handled: Times,
}

impl OverseerCollector {
    fn new(handle: Handle) -> Result<Self, prometheus::Error> {
        let edge = ["from", "to", "message"];
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &edge);
        let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["subsystem"]);
        Ok(Self {
            handle,
            sent: counter("messages_sent_total", "Messages put into a subsystem's queue")?,
            refused: counter(
                "messages_refused_total",
                "Casts refused, and messages that nobody took because their consumer had ended",
            )?,
            waited: counter("messages_waited_total", "Sends that found the queue full and waited")?,
            merged: counter("messages_merged_total", "Casts folded into a queued message")?,
            in_flight: IntGaugeVec::new(Opts::new("questions_in_flight", "Questions without an answer yet"), &edge)?,
            open_feeds: IntGaugeVec::new(
                Opts::new("feeds_open", "Answers that are feeds or watches and still open"),
                &edge,
            )?,
            edge_queued: IntGaugeVec::new(
                Opts::new("messages_queued", "Messages of one kind and sender waiting in their consumer's queue"),
                &edge,
            )?,
            edge_fill: GaugeVec::new(
                Opts::new("messages_queued_fill", "Share of their consumer's places that these messages take"),
                &edge,
            )?,
            waiting: gauge("queue_messages", "Messages waiting in a queue")?,
            bytes: gauge("queue_bytes", "Bytes waiting in a queue or being delivered")?,
            fill: GaugeVec::new(
                Opts::new("queue_fill", "Taken share of a queue's places or bytes, whichever is more"),
                &["subsystem"],
            )?,
            lag: gauge("signals_behind", "Entries of its signal log that a subsystem has not taken")?,
            busy: GaugeVec::new(Opts::new("busy_share", "Share of its time that a subsystem works"), &["subsystem"])?,
            long_waits: IntGaugeVec::new(
                Opts::new("long_waits", "1 while somebody waits for longer than the threshold"),
                &["from", "to", "message"],
            )?,
            long_wait_chains: IntGaugeVec::new(
                Opts::new("long_wait_chains", "1 while these wait for each other for longer than the threshold"),
                &["chain"],
            )?,
            stalled: gauge(
                "stalled",
                "1 while a subsystem has messages and has taken none for longer than the threshold",
            )?,
            queued: Times::new("message_queued_seconds", "From send to receive, of one message in 64")?,
            handled: Times::new("message_handled_seconds", "Handling time, of one message in 64")?,
        })
    }
}

impl OverseerCollector {
    fn metrics(&self) -> Vec<&dyn Collector> {
        vec![
            &self.sent,
            &self.refused,
            &self.waited,
            &self.merged,
            &self.in_flight,
            &self.open_feeds,
            &self.edge_queued,
            &self.edge_fill,
            &self.waiting,
            &self.bytes,
            &self.fill,
            &self.lag,
            &self.busy,
            &self.long_waits,
            &self.long_wait_chains,
            &self.stalled,
        ]
    }
}

impl Collector for OverseerCollector {
    fn desc(&self) -> Vec<&Desc> {
        let times = [&self.queued.desc, &self.handled.desc];
        self.metrics().into_iter().flat_map(Collector::desc).chain(times).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for counter in [&self.sent, &self.refused, &self.waited, &self.merged] {
            counter.reset();
        }
        self.edge_fill.reset();
        for gauge in [
            &self.in_flight,
            &self.open_feeds,
            &self.edge_queued,
            &self.long_waits,
            &self.long_wait_chains,
            &self.stalled,
        ] {
            gauge.reset();
        }
        let (mut queued, mut handled) = (BTreeMap::new(), BTreeMap::new());
        for edge in self.handle.edges() {
            let labels = [edge.from, edge.declared.to, edge.declared.message];
            // A loop and its jobs may both send a message: one series for both.
            self.sent.with_label_values(&labels).inc_by(edge.sent);
            self.refused.with_label_values(&labels).inc_by(edge.refused);
            self.waited.with_label_values(&labels).inc_by(edge.waited);
            self.merged.with_label_values(&labels).inc_by(edge.merged);
            self.in_flight.with_label_values(&labels).add(edge.in_flight as i64);
            self.open_feeds.with_label_values(&labels).add(edge.open_feeds as i64);
            self.edge_queued.with_label_values(&labels).add(edge.queued as i64);
            self.edge_fill.with_label_values(&labels).add(edge.fill());
            if let Some(times) = edge.times {
                histograms::add(queued.entry(labels).or_default(), &times.queued);
                histograms::add(handled.entry(labels).or_default(), &times.handled);
            }
        }
        for queue in self.handle.queues() {
            let label = [queue.subsystem];
            self.waiting.with_label_values(&label).set(queue.waiting as i64);
            self.bytes.with_label_values(&label).set(queue.bytes as i64);
            let fill = (queue.waiting as f64 / queue.limit as f64).max(queue.bytes as f64 / queue.bytes_limit as f64);
            self.fill.with_label_values(&label).set(fill);
            self.lag.with_label_values(&label).set(queue.lag as i64);
            if let Some(share) = queue.busy.share() {
                self.busy.with_label_values(&label).set(share);
            }
        }
        let readiness = self.handle.readiness();
        for wait in readiness.long_waits {
            self.long_waits.with_label_values(&[wait.from, wait.to, wait.message]).set(1);
        }
        for (subsystem, _) in readiness.stalled {
            self.stalled.with_label_values(&[subsystem]).set(1);
        }
        for chain in readiness.chain_names {
            self.long_wait_chains.with_label_values(&[chain]).set(1);
        }
        let times = [self.queued.family(&queued), self.handled.family(&handled)];
        self.metrics().into_iter().flat_map(Collector::collect).chain(times).collect()
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
    fn times_are_histograms_and_a_queue_shows_how_full_it_is() {
        let simulation = Simulation::new(1);
        let mut builder = overseer::node::Builder::new(simulation.environment("node"), &["ear"]);
        builder.fill(overseer::subsystem::Drain::<Ear>::default());
        let overseer = builder.build().expect("one slot, filled");
        let handle = overseer.handle();
        let outlet = handle.outlet::<Mouth>().expect("the ear has a slot");
        let metrics = NodeMetrics::new("alice", handle).expect("fresh registry");
        for _ in 0..128 {
            simulation.run_until(outlet.send(Ping)).expect("there is room").expect("the ear's mailbox is open");
        }
        let text = metrics.render().expect("text");
        assert!(text.contains(r#"parahost_queue_fill{subsystem="ear",node="alice"} 0.125"#), "{text}");
        for line in [
            r#"queued{from="mouth",message="Ping",to="ear",node="alice"} 128"#,
            r#"queued_fill{from="mouth",message="Ping",to="ear",node="alice"} 0.125"#,
        ] {
            assert!(text.contains(&format!("parahost_messages_{line}")), "{text}");
        }
        simulation.run_for(std::time::Duration::from_micros(900)).expect("no live-lock");
        simulation.environment("node").spawner.spawn("node", Box::pin(async { drop(overseer.run().await) }));
        simulation.run_until_stalled().expect("no live-lock");
        let text = metrics.render().expect("text");
        let labels = r#"from="mouth",to="ear",message="Ping",node="alice""#;
        for line in [
            "# TYPE parahost_message_queued_seconds histogram".to_owned(),
            format!(r#"parahost_message_queued_seconds_bucket{{{labels},le="0.000524288"}} 0"#),
            format!(r#"parahost_message_queued_seconds_bucket{{{labels},le="0.002097152"}} 2"#),
            format!(r#"parahost_message_queued_seconds_bucket{{{labels},le="+Inf"}} 2"#),
            format!("parahost_message_queued_seconds_sum{{{labels}}} 0.0018"),
            format!("parahost_message_queued_seconds_count{{{labels}}} 2"),
        ] {
            assert!(text.contains(&line), "{line} is missing:\n{text}");
        }
    }

    #[test]
    fn figures_of_others_are_read_at_each_scrape() {
        let simulation = Simulation::new(1);
        let mut builder = overseer::node::Builder::new(simulation.environment("node"), &["ear"]);
        builder.fill(overseer::subsystem::Drain::<Ear>::default());
        let overseer = builder.build().expect("one slot, filled");
        let metrics = NodeMetrics::new("alice", overseer.handle()).expect("fresh registry");
        let scrapes = std::sync::atomic::AtomicU64::new(0);
        let read = move || {
            let value = scrapes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let total = Figure { name: "things_total", help: "Things", kind: FigureKind::Total, value };
            vec![total, Figure { name: "things", help: "Things now", kind: FigureKind::Now, value: 7 }]
        };
        metrics.add_figures(read).expect("names that nobody has");
        for scrape in 1..3 {
            let text = metrics.render().expect("text");
            assert!(text.contains("# TYPE parahost_things_total counter"), "{text}");
            assert!(text.contains(&format!("parahost_things_total{{node=\"alice\"}} {scrape}")), "{text}");
            assert!(text.contains("parahost_things{node=\"alice\"} 7"), "{text}");
        }
        let taken = metrics.add_figures(|| vec![Figure { name: "things", help: "", kind: FigureKind::Now, value: 0 }]);
        assert!(taken.is_err(), "a name is given once");
    }

    #[test]
    fn a_wrong_filter_is_named() {
        let error = init_logs("info,=loud=", LogFormat::Text).expect_err("not a filter");
        assert!(error.to_string().starts_with("log filter \"info,=loud=\""));
    }
}
