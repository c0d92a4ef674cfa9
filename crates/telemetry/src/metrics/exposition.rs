//! The numbers as Prometheus reads them.

use std::fmt;
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit as NamedUnit};

use super::handles::HISTOGRAM;
use super::metric::{BASES, BOUNDS, DEFINITIONS, Definition, Metric, MetricKind, Unit};
use super::slots;

/// The two text formats that Prometheus reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older one, for scrapers that do not accept OpenMetrics.
    Prometheus,
}

impl Format {
    /// For the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All metrics with their values. `build`: the labels of [`super::BUILD_INFO`]; those of the first call are kept.
/// Of counters with very many series those that have not occurred are left out, as are labels of histograms, and readings
/// that are unknown. What alarms are made of is there from the start: a series that begins with 1 has not increased.
pub fn expose(format: Format, build: &[(&'static str, String)]) -> String {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    let registry = REGISTRY.get_or_init(|| {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(AllMetrics {
            build: build.to_vec(),
        }));
        registry
    });
    let mut text = String::with_capacity(32 * 1024);
    let written = match format {
        Format::OpenMetrics => text::encode(&mut text, registry),
        Format::Prometheus => prometheus_text::encode(&mut text, registry),
    };
    // Writing to a `String` cannot fail, and the encoder has no other reason.
    debug_assert!(written.is_ok());
    text
}

/// More series than this are shown only where they have occurred.
const MANY: usize = 100;

#[derive(Debug)]
struct AllMetrics {
    build: Vec<(&'static str, String)>,
}

impl Collector for AllMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for definition in DEFINITIONS {
            let (unit, name) = match definition.unit {
                Unit::None => (None, definition.name),
                Unit::Seconds => (Some(NamedUnit::Seconds), stem(definition.name, "_seconds")),
                Unit::Bytes => (Some(NamedUnit::Bytes), stem(definition.name, "_bytes")),
            };
            let kind = match definition.kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge | MetricKind::Reading => MetricType::Gauge,
                MetricKind::Histogram => MetricType::Histogram,
            };
            let encoder = encoder.encode_descriptor(name, definition.help, unit.as_ref(), kind)?;
            self.encode_series(definition, encoder)?;
        }
        Ok(())
    }
}

impl AllMetrics {
    fn encode_series(
        &self,
        definition: &Definition,
        mut encoder: MetricEncoder<'_>,
    ) -> fmt::Result {
        let base = BASES[definition.metric as usize];
        for place in 0..definition.series() {
            let mut labels = labels(definition, place);
            if definition.metric == Metric::BuildInfo {
                labels.extend(
                    self.build
                        .iter()
                        .map(|(name, value)| (*name, value.as_str())),
                );
            }
            let sparse = definition.series() > MANY;
            let mut encode = |write: &dyn Fn(&mut MetricEncoder<'_>) -> fmt::Result| {
                if labels.is_empty() {
                    write(&mut encoder)
                } else {
                    write(&mut encoder.encode_family(&labels)?)
                }
            };
            match definition.kind {
                MetricKind::Counter => {
                    let value = slots::sum(base + place);
                    if value == 0 && sparse {
                        continue;
                    }
                    if definition.unit == Unit::Seconds {
                        encode(&|encoder| encoder.encode_counter(&seconds(value), NO_EXEMPLAR))?;
                    } else {
                        encode(&|encoder| encoder.encode_counter(&value, NO_EXEMPLAR))?;
                    }
                }
                MetricKind::Gauge => {
                    let value = slots::sum(base + place).cast_signed();
                    encode(&|encoder| encoder.encode_gauge(&value))?;
                }
                MetricKind::Reading => {
                    let Some(value) = slots::get(base + place).checked_sub(1) else {
                        continue;
                    };
                    if definition.unit == Unit::Seconds {
                        encode(&|encoder| encoder.encode_gauge(&seconds(value)))?;
                    } else {
                        encode(&|encoder| encoder.encode_gauge(&value))?;
                    }
                }
                MetricKind::Histogram => {
                    let base = base + place * HISTOGRAM;
                    let bounds = BOUNDS
                        .iter()
                        .map(|bound| seconds(*bound))
                        .chain([f64::INFINITY]);
                    let buckets: Vec<(f64, u64)> = bounds
                        .enumerate()
                        .map(|(i, bound)| (bound, slots::sum(base + i)))
                        .collect();
                    let count: u64 = buckets.iter().map(|(_, count)| count).sum();
                    if count == 0 && !definition.labels.is_empty() {
                        continue;
                    }
                    let sum = seconds(slots::sum(base + HISTOGRAM - 1));
                    encode(&|encoder| {
                        encoder.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
                    })?;
                }
            }
        }
        Ok(())
    }
}

const NO_EXEMPLAR: Option<&Exemplar<[(&str, &str); 0], u64>> = None;

fn stem<'a>(name: &'a str, unit: &str) -> &'a str {
    name.strip_suffix(unit).unwrap_or(name)
}

/// The values of a series' labels, from its place.
fn labels(definition: &Definition, mut place: usize) -> Vec<(&'static str, &'static str)> {
    let mut labels = Vec::with_capacity(definition.labels.len());
    for label in definition.labels.iter().rev() {
        labels.push((label.name, label.text(place % label.values.len())));
        place /= label.values.len();
    }
    labels.reverse();
    labels
}

#[allow(clippy::cast_precision_loss)] // beyond 104 days of nanoseconds the last ones are of no interest
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
