//! docs/METRICS.md, from the list of metrics.

use std::fmt::Write as _;

use super::labels::REGISTERED;
use super::metric::{BOUNDS, DEFINITIONS, Definition, MetricKind, Unit};

/// The page.
fn documentation() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| metric | kind | labels | what it says |\n|---|---|---|---|\n");
    for definition in DEFINITIONS {
        let suffix = if definition.kind == MetricKind::Counter {
            "_total"
        } else {
            ""
        };
        let kind = match definition.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge | MetricKind::Reading => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let unit = match definition.unit {
            Unit::None => "",
            Unit::Seconds => ", seconds",
            Unit::Bytes => ", bytes",
        };
        let _ = writeln!(
            page,
            "| `{}{suffix}` | {kind}{unit} | {} | {} |",
            definition.name,
            labels(definition),
            definition.help
        );
    }
    page.push_str("\n## Labels\n\n| label | of | values |\n|---|---|---|\n");
    let mut shown = Vec::new();
    for label in DEFINITIONS.iter().flat_map(|definition| definition.labels) {
        if shown.contains(&label) {
            continue;
        }
        shown.push(label);
        let of = DEFINITIONS
            .iter()
            .filter(|definition| definition.labels.contains(label));
        let of: Vec<String> = of
            .map(|definition| format!("`{}`", definition.name))
            .collect();
        let mut values: Vec<String> = label
            .values
            .iter()
            .map(|value| match *value {
                REGISTERED => "those of the application".to_owned(),
                value => format!("`{value}`"),
            })
            .collect();
        values.dedup();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            label.name,
            of.join(", "),
            values.join(", ")
        );
    }
    let bounds: Vec<String> = BOUNDS.iter().map(|bound| millis(*bound)).collect();
    let _ = writeln!(
        page,
        "\nHistograms have buckets up to {} ms and one without a bound.",
        bounds.join(", ")
    );
    page
}

fn labels(definition: &Definition) -> String {
    let names: Vec<String> = definition
        .labels
        .iter()
        .map(|label| format!("`{}`", label.name))
        .collect();
    names.join(", ")
}

#[allow(clippy::cast_precision_loss)] // some seconds
fn millis(nanoseconds: u64) -> String {
    (nanoseconds as f64 / 1e6).to_string()
}

const HEAD: &str = "# Metrics

`GET /metrics` gives what Prometheus scrapes, as OpenMetrics 1.0 to scrapers that accept it, else in the older text format. It is off
until a setting says where:

- `metrics.port` (with `metrics.host`): a port of its own, on which nothing else is answered. With `metrics.token` as well, a
  bearer token is needed there too.
- `metrics.token` (`METRICS_TOKEN`) alone: on the server's port, for requests with `Authorization: Bearer TOKEN`. Others get 401.

```yaml
scrape_configs:
  - job_name: gom
    authorization: { credentials_file: /run/secrets/gom_metrics_token }
    static_configs: [{ targets: [\"gom.internal:3000\"] }]
```

In a stack ([docker/README.md](../docker/README.md)), with a port of its own and Prometheus in the network `gom_back`, every server is found by name:

```yaml
scrape_configs:
  - job_name: gom
    dns_sd_configs: [{ names: [tasks.gom], type: A, port: 9464 }]
```

Numbers are of one process; `gom_push_jobs`, `gom_push_deliveries` and `gom_push_oldest_delivery_seconds` are of the database, and the
same from every server. Gauges that are unknown at the moment, labels of histograms that have not occurred, and of counters with more than a hundred
combinations of labels those that have not, are left out. No label has a value that comes from a request.

What to look at first:

| question | expression |
|---|---|
| Does it answer? | `sum(rate(gom_http_requests_total{status=\"5xx\",route!=\"/healthz\",route!=\"/readyz\"}[5m])) / sum(rate(gom_http_requests_total{route!=\"/healthz\",route!=\"/readyz\"}[5m]))` (probes left out) |
| How fast? | `histogram_quantile(0.99, sum by (le) (rate(gom_http_request_duration_seconds_bucket{route=\"/graphql\"}[5m])))` |
| What goes wrong? | `sum by (outcome) (rate(gom_graphql_operations_total{outcome!=\"ok\"}[5m]))` |
| Is the database the reason? | `gom_database_state{state=\"ready\"} == 0`, `gom_database_waiting > 0`, `rate(gom_database_retries_total[5m])` |
| Does something break inside? | `increase(gom_actor_restarts_total[1h]) > 0`, `increase(gom_actor_refused_total[5m]) > 0` |
| Do subscribers get what they should? | `gom_feed_lag_seconds > 5`, `gom_feed_looked_seconds > 5` |
| Do messages go out? | `gom_push_oldest_delivery_seconds > 300`, `gom_push_deliveries{state=\"due\"}` |
| Are our keys accepted? | `gom_push_refusing_services > 0` |
| Is somebody guessing passwords? | `rate(gom_login_attempts_total{verdict=~\"refused.*\"}[5m])` |

The table is made from the list in `crates/telemetry/src/metrics/metric.rs`; a test keeps the two equal (`UPDATE_EXPECT=1 cargo test -p gom-telemetry
--lib metrics_page` updates it).

## All metrics

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_page_shows_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/METRICS.md");
        let page = documentation();
        expect_test::expect_file![path].assert_eq(&page);
    }
}
