//! Times per edge as Prometheus histograms.

use std::collections::{BTreeMap, HashMap};

use overseer::mailbox::Histogram;
use prometheus::core::Desc;
use prometheus::proto::{Bucket, Histogram as ProtoHistogram, LabelPair, Metric, MetricFamily, MetricType};

/// The labels of an edge, in the order of their values below.
const LABELS: [&str; 3] = ["from", "to", "message"];

/// One kind of time.
pub(crate) struct Times {
    pub(crate) desc: Desc,
}

/// Adds the observations of `more`: a loop and its jobs may both send a message, and are one series.
pub(crate) fn add(sum: &mut Histogram, more: &Histogram) {
    for (bucket, count) in sum.buckets.iter_mut().zip(more.buckets) {
        *bucket = bucket.saturating_add(count);
    }
    sum.sum_nanos = sum.sum_nanos.saturating_add(more.sum_nanos);
}

impl Times {
    pub(crate) fn new(name: &str, help: &str) -> Result<Self, prometheus::Error> {
        let labels = LABELS.map(str::to_owned).to_vec();
        Ok(Self { desc: Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())? })
    }

    pub(crate) fn family(&self, edges: &BTreeMap<[&'static str; 3], Histogram>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(edges.iter().map(|(values, histogram)| metric(values, histogram)).collect());
        family
    }
}

fn metric(values: &[&'static str; 3], histogram: &Histogram) -> Metric {
    let label = |(name, value): (&str, &&str)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value((*value).to_owned());
        label
    };
    let mut metric = Metric::default();
    metric.set_label(LABELS.into_iter().zip(values).map(label).collect());
    let mut shown = ProtoHistogram::default();
    shown.set_sample_count(histogram.count());
    shown.set_sample_sum(histogram.sum_nanos as f64 / 1e9);
    shown.set_bucket(buckets(histogram));
    metric.set_histogram(shown);
    metric
}

/// Every second bucket: powers of four are fine enough, and half the lines. The last one is without a bound.
fn buckets(histogram: &Histogram) -> Vec<Bucket> {
    let mut cumulative = 0;
    let mut buckets = Vec::new();
    for (index, count) in histogram.buckets[..histogram.buckets.len() - 1].iter().enumerate() {
        cumulative += u64::from(*count);
        if index % 2 == 1 {
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(cumulative);
            bucket.set_upper_bound(Histogram::upper_bound_nanos(index) as f64 / 1e9);
            buckets.push(bucket);
        }
    }
    buckets
}
