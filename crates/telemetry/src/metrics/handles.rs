//! The handles by which code counts and measures. A handle knows its metric's place in the table, and costs nothing to have.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::labels::Labels;
use super::metric::{BASES, BOUNDS, Metric, MetricKind};
use super::slots;

/// The slots of one series of a histogram: its buckets, the last one without a bound, and the sum.
pub(super) const HISTOGRAM: usize = BOUNDS.len() + 2;

/// What a handle's type says of its metric.
pub(super) trait Handle {
    const KIND: MetricKind;
    type Labels: Labels;
}

macro_rules! handles {
    ($($(#[$doc:meta])* $type:ident: $kind:ident)+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $type<L> {
            metric: Metric,
            labels: PhantomData<fn(L)>,
        }

        impl<L> $type<L> {
            pub(super) const fn new(metric: Metric) -> Self {
                $type { metric, labels: PhantomData }
            }

            #[inline]
            fn base(self) -> usize {
                BASES[self.metric as usize]
            }
        }

        impl<L: Labels> Handle for $type<L> {
            const KIND: MetricKind = MetricKind::$kind;
            type Labels = L;
        }
    )+ };
}

handles! {
    /// Only grows. Seconds are counted in nanoseconds.
    Counter: Counter
    /// Goes up and down by steps.
    Gauge: Gauge
    /// Is set, and left out while it is unknown. Seconds are given in nanoseconds.
    Reading: Reading
    /// How long things took.
    Histogram: Histogram
}

impl<L: Labels> Counter<L> {
    /// Counts so many.
    #[inline]
    pub fn add(self, labels: L, amount: u64) {
        slots::add(self.base() + labels.place(), amount);
    }

    /// Counts one.
    #[inline]
    pub fn inc(self, labels: L) {
        self.add(labels, 1);
    }

    /// The sum of all threads.
    pub fn value(self, labels: L) -> u64 {
        slots::sum(self.base() + labels.place())
    }
}

impl<L: Labels> Gauge<L> {
    /// One more until the guard is dropped.
    #[inline]
    pub fn guard(self, labels: L) -> GaugeGuard {
        let slot = self.base() + labels.place();
        slots::add(slot, 1);
        GaugeGuard(slot)
    }

    /// The sum of all threads.
    pub fn value(self, labels: L) -> i64 {
        slots::sum(self.base() + labels.place()).cast_signed()
    }
}

/// One of what a gauge counts; dropping it counts one less.
#[derive(Debug)]
pub struct GaugeGuard(usize);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        slots::add(self.0, 1_u64.wrapping_neg());
    }
}

impl<L: Labels> Reading<L> {
    /// Sets the value.
    pub fn set(self, labels: L, value: u64) {
        // One more than it is: 0 stands for unknown.
        slots::set(self.base() + labels.place(), value.saturating_add(1));
    }

    /// Sets a value whose unit is seconds.
    pub fn set_duration(self, labels: L, value: Duration) {
        self.set(labels, nanoseconds(value));
    }

    /// The value is unknown from now on.
    pub fn forget(self, labels: L) {
        slots::set(self.base() + labels.place(), 0);
    }

    /// The value, if it is known.
    pub fn value(self, labels: L) -> Option<u64> {
        slots::get(self.base() + labels.place()).checked_sub(1)
    }
}

impl<L: Labels> Histogram<L> {
    /// Counts one duration.
    #[inline]
    pub fn observe(self, labels: L, took: Duration) {
        let took = nanoseconds(took);
        let base = self.base() + labels.place() * HISTOGRAM;
        let bucket = BOUNDS
            .iter()
            .position(|bound| took <= *bound)
            .unwrap_or(BOUNDS.len());
        slots::add(base + bucket, 1);
        slots::add(base + HISTOGRAM - 1, took);
    }

    /// How many were observed.
    pub fn count(self, labels: L) -> u64 {
        let base = self.base() + labels.place() * HISTOGRAM;
        (base..base + HISTOGRAM - 1).map(slots::sum).sum()
    }
}

/// Observes the time from its beginning until it is dropped.
#[derive(Debug)]
pub struct Timer<L: Labels> {
    histogram: Histogram<L>,
    labels: L,
    began: Instant,
}

impl<L: Labels> Timer<L> {
    /// Begins now.
    pub fn new(histogram: Histogram<L>, labels: L) -> Self {
        Timer {
            histogram,
            labels,
            began: Instant::now(),
        }
    }
}

impl<L: Labels> Drop for Timer<L> {
    fn drop(&mut self) {
        self.histogram.observe(self.labels, self.began.elapsed());
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
