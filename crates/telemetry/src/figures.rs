//! Numbers of a node that somebody else keeps, read at each scrape.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Opts};

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// A total since the start of the node.
    Total,
    /// How it is at the moment.
    Now,
}

/// A number with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The metric's name without its prefix; ends in `_total` if it is one.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What it is.
    pub kind: FigureKind,
    /// The number.
    pub value: u64,
}

/// One metric.
enum Series {
    Total(IntCounter),
    Now(IntGauge),
}

impl Series {
    fn new(figure: &Figure) -> Result<Self, prometheus::Error> {
        let options = Opts::new(figure.name, figure.help);
        Ok(match figure.kind {
            FigureKind::Total => Self::Total(IntCounter::with_opts(options)?),
            FigureKind::Now => Self::Now(IntGauge::with_opts(options)?),
        })
    }

    fn set(&self, value: u64) {
        match self {
            Self::Total(counter) => {
                counter.reset();
                counter.inc_by(value);
            }
            Self::Now(gauge) => gauge.set(i64::try_from(value).unwrap_or(i64::MAX)),
        }
    }

    fn metric(&self) -> &dyn Collector {
        match self {
            Self::Total(counter) => counter,
            Self::Now(gauge) => gauge,
        }
    }
}

type Read = Box<dyn Fn() -> Vec<Figure> + Send + Sync>;

/// Figures that are read together. Their names do not change.
pub(crate) struct Figures {
    read: Read,
    series: Vec<(&'static str, Series)>,
}

impl Figures {
    pub(crate) fn new(read: Read) -> Result<Self, prometheus::Error> {
        let named = |figure: &Figure| Ok((figure.name, Series::new(figure)?));
        let series = read().iter().map(named).collect::<Result<_, prometheus::Error>>()?;
        Ok(Self { read, series })
    }
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        self.series.iter().flat_map(|(_, series)| series.metric().desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for figure in (self.read)() {
            if let Some((_, series)) = self.series.iter().find(|(name, _)| *name == figure.name) {
                series.set(figure.value);
            }
        }
        self.series.iter().flat_map(|(_, series)| series.metric().collect()).collect()
    }
}
