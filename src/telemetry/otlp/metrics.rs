//! The metrics of `/metrics` as OTLP has them: the same names, labels and numbers.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{self, MetricFamily, MetricType};
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::send::Sender;
use super::{Gather, pair, scope};

/// Sends metrics again and again, and once more at the end.
pub(super) async fn run(
    sender: Sender,
    resource: Resource,
    interval: Duration,
    gather: Gather,
    stop: CancellationToken,
) {
    let began = nanos(SystemTime::now());
    loop {
        let is_last = stop
            .run_until_cancelled(tokio::time::sleep(interval))
            .await
            .is_none();
        if let Some(families) = gather().await {
            let now = nanos(SystemTime::now());
            let body = written(&families, resource.clone(), began, now).encode_to_vec();
            // What came of it is counted and said where it is sent. The next ones tell all that these
            // did, so they are not sent again.
            let _ = sender.send(body.into()).await;
        }
        if is_last {
            return;
        }
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos() as u64
}

fn written(
    families: &[MetricFamily],
    resource: Resource,
    began: u64,
    now: u64,
) -> ExportMetricsServiceRequest {
    let metrics = families
        .iter()
        .filter_map(|family| metric(family, began, now));
    let scope = ScopeMetrics {
        scope: Some(scope()),
        metrics: metrics.collect(),
        ..ScopeMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        }],
    }
}

/// None of kinds that are not measured here.
fn metric(family: &MetricFamily, began: u64, now: u64) -> Option<Metric> {
    let samples = family.get_metric().iter();
    let temporality = AggregationTemporality::Cumulative as i32;
    let number = |sample: &proto::Metric, value: f64| NumberDataPoint {
        attributes: labels(sample),
        start_time_unix_nano: began,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let data = match family.get_field_type() {
        MetricType::COUNTER => metric::Data::Sum(Sum {
            data_points: samples
                .map(|sample| number(sample, sample.get_counter().get_value()))
                .collect(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        MetricType::GAUGE => metric::Data::Gauge(Gauge {
            data_points: samples
                .map(|sample| number(sample, sample.get_gauge().get_value()))
                .collect(),
        }),
        MetricType::HISTOGRAM => metric::Data::Histogram(Histogram {
            data_points: samples
                .map(|sample| histogram(sample, began, now))
                .collect(),
            aggregation_temporality: temporality,
        }),
        _ => return None,
    };
    Some(Metric {
        name: family.name().to_string(),
        description: family.help().to_string(),
        data: Some(data),
        ..Metric::default()
    })
}

/// Prometheus adds each bucket up with all below it, OTLP counts each alone and has one more for what
/// is beyond the last bound.
fn histogram(sample: &proto::Metric, began: u64, now: u64) -> HistogramDataPoint {
    let histogram = sample.get_histogram();
    let count = histogram.get_sample_count();
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in histogram.get_bucket() {
        if bucket.upper_bound().is_finite() {
            bounds.push(bucket.upper_bound());
            counts.push(bucket.cumulative_count().saturating_sub(below));
            below = bucket.cumulative_count();
        }
    }
    counts.push(count.saturating_sub(below));
    HistogramDataPoint {
        attributes: labels(sample),
        start_time_unix_nano: began,
        time_unix_nano: now,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn labels(sample: &proto::Metric) -> Vec<KeyValue> {
    let labels = sample.get_label().iter();
    labels
        .map(|label| pair(label.name(), label.value()))
        .collect()
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntGauge, Registry};

    use super::*;

    type Test = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn numbers_and_buckets_are_as_they_were() -> Test {
        let registry = Registry::new();
        let counter = IntCounter::new("a_total", "Some")?;
        let gauge = IntGauge::new("b", "Others")?;
        let options = HistogramOpts::new("c_seconds", "Times").buckets(vec![0.1, 1.0]);
        let times = HistogramVec::new(options, &["route"])?;
        registry.register(Box::new(counter.clone()))?;
        registry.register(Box::new(gauge.clone()))?;
        registry.register(Box::new(times.clone()))?;
        counter.inc_by(3);
        gauge.set(-7);
        for seconds in [0.05, 0.5, 0.6, 7.0] {
            times.with_label_values(&["/x"]).observe(seconds);
        }
        let request = written(&registry.gather(), Resource::default(), 1, 2);
        let request = ExportMetricsServiceRequest::decode(&*request.encode_to_vec())?;
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let data = |name: &str| {
            let found = metrics.iter().find(|metric| metric.name == name);
            found.and_then(|metric| metric.data.clone())
        };
        let Some(metric::Data::Sum(sum)) = data("a_total") else {
            return Err("no sum".into());
        };
        let three = Some(number_data_point::Value::AsDouble(3.0));
        assert!(sum.is_monotonic && sum.data_points[0].value == three);
        let Some(metric::Data::Gauge(gauge)) = data("b") else {
            return Err("no gauge".into());
        };
        let minus_seven = Some(number_data_point::Value::AsDouble(-7.0));
        assert_eq!(gauge.data_points[0].value, minus_seven);
        let Some(metric::Data::Histogram(times)) = data("c_seconds") else {
            return Err("no histogram".into());
        };
        let point = &times.data_points[0];
        assert_eq!(point.attributes, [pair("route", "/x")]);
        assert_eq!((point.count, &point.bucket_counts), (4, &vec![1, 2, 1]));
        assert_eq!(point.explicit_bounds, [0.1, 1.0]);
        Ok(())
    }
}
