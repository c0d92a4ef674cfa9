//! One scrape of `/metrics`, read by a parser that is not ours.

use prometheus_parse::{Sample, Scrape as Parsed, Value};
use reqwest::StatusCode;

pub struct Scrape {
    pub text: String,
    samples: Vec<Sample>,
}

impl Scrape {
    pub async fn of(http: &reqwest::Client, url: &str, token: &str) -> Scrape {
        let answer = http.get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let text = answer.text().await.unwrap();
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let samples = Parsed::parse(lines).unwrap().samples;
        assert!(!samples.is_empty(), "{text}");
        Scrape { text, samples }
    }

    /// The sum over all series of a metric that have these labels, in the sample's full name; of histograms how many were
    /// observed.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).sum()
    }

    /// The value of the only series with these labels, if it is there.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found: Vec<f64> = self.find(name, labels).collect();
        assert!(found.len() < 2, "{name} has several series: {found:?}");
        found.first().copied()
    }

    fn find<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = f64> + 'a {
        let has = |sample: &Sample| {
            labels
                .iter()
                .all(|(key, value)| sample.labels.get(key) == Some(value))
        };
        self.samples
            .iter()
            .filter(move |sample| sample.metric == name && has(sample))
            .map(move |sample| match &sample.value {
                Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
                Value::Histogram(buckets) => buckets.last().map_or(0.0, |bucket| bucket.count),
                Value::Summary(_) => panic!("{name} is a summary"),
            })
    }
}
