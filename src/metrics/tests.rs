//! The page has the names of the contract, and what was recorded.

use super::*;

type Test = Result<(), Box<dyn std::error::Error>>;

fn counts() -> StateCounts {
    StateCounts {
        tier: "oss",
        org: None,
        messages_accepted: 9,
        fleets: 1,
        agents: vec![("healthy", 3), ("revoked", 1)],
        messages: vec![("queued", 5)],
        deliveries: vec![("acked", 8)],
        tasks: vec![("working", 7)],
        dead_letters: 2,
        rate_violations_24h: 4,
        heartbeats_recent: 6,
    }
}

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn the_names_of_the_contract_are_there() -> Test {
    let metrics = Metrics::new()?;
    let page = metrics.render(
        &counts(),
        &NodeGauges {
            disk_full: true,
            task_streams: 12,
            ..NodeGauges::default()
        },
    );
    let info = format!(
        "ekho_relay_info{{org=\"\",tier=\"oss\",version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    for (series, expected) in [
        ("ekho_up", 1.0),
        (info.as_str(), 1.0),
        ("ekho_fleets_total", 1.0),
        ("ekho_agents_total{status=\"healthy\"}", 3.0),
        ("ekho_agents_total{status=\"revoked\"}", 1.0),
        ("ekho_messages_total{status=\"queued\"}", 5.0),
        ("ekho_messages_accepted_total", 9.0),
        ("ekho_deliveries_total{status=\"acked\"}", 8.0),
        ("ekho_a2a_tasks_total{state=\"working\"}", 7.0),
        ("ekho_a2a_streams", 12.0),
        ("ekho_dead_letters_total", 2.0),
        ("ekho_rate_violations_24h", 4.0),
        ("ekho_heartbeats_recent", 6.0),
        ("ekho_disk_full", 1.0),
        ("ekho_http_connections_cut_total{reason=\"header\"}", 0.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series} in\n{page}");
    }
    assert!(value(&page, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 0.0));
    // A count that fell is shown as it is, and not added up.
    let page = metrics.render(&StateCounts::default(), &NodeGauges::default());
    assert_eq!(value(&page, "ekho_dead_letters_total"), Some(0.0));
    assert_eq!(value(&page, "ekho_disk_full"), Some(0.0));
    Ok(())
}

#[test]
fn measurements_end_up_in_their_histograms() -> Test {
    let metrics = Arc::new(Metrics::new()?);
    let observer = metrics.observer();
    observer.log_write(Duration::from_micros(300), 1, 512);
    observer.log_write(Duration::from_millis(3), 2, 1024);
    observer.commit(Duration::from_millis(2));
    observer.batch(17, 4096);
    observer.queue_depth(9);
    metrics.observe_delivery_lag(Duration::from_secs(2));
    metrics.connection_opened();
    metrics.connection_opened();
    metrics.connection_closed();
    metrics.connection_cut(Cut::Limit);
    let _waits = metrics.a2a_waiting();
    drop(metrics.a2a_waiting());
    let page = metrics.render(&StateCounts::default(), &NodeGauges::default());
    for (series, expected) in [
        ("ekho_fsync_seconds_count", 2.0),
        ("ekho_fsync_seconds_bucket{le=\"0.0005\"}", 1.0),
        ("ekho_log_written_bytes_total", 1536.0),
        ("ekho_commit_seconds_count", 1.0),
        ("ekho_batch_commands_sum", 17.0),
        ("ekho_queue_depth", 9.0),
        ("ekho_delivery_lag_seconds_sum", 2.0),
        ("ekho_http_connections", 1.0),
        ("ekho_a2a_blocking_waits", 1.0),
        ("ekho_http_connections_cut_total{reason=\"limit\"}", 1.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series} in\n{page}");
    }
    Ok(())
}

#[test]
fn requests_are_told_apart_and_bounded() -> Test {
    let metrics = Metrics::new()?;
    let took = Duration::from_millis(1);
    for _ in 0..3 {
        metrics.observe_request("/v1/messages", "POST", 200, took);
    }
    metrics.observe_request("/v1/messages", "POST", 429, took);
    metrics.observe_request("/v1/messages", "BREW", 418, took);
    for number in 0..1000 {
        metrics.observe_request(&format!("/made/up/{number}"), "GET", 404, took);
    }
    let page = metrics.render(&StateCounts::default(), &NodeGauges::default());
    for (series, expected) in [
        (
            "ekho_http_request_seconds_count{method=\"POST\",route=\"/v1/messages\",status=\"200\"}",
            3.0,
        ),
        (
            "ekho_http_request_seconds_count{method=\"POST\",route=\"/v1/messages\",status=\"429\"}",
            1.0,
        ),
        (
            "ekho_http_request_seconds_count{method=\"other\",route=\"/v1/messages\",status=\"other\"}",
            1.0,
        ),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series}");
    }
    let rows = page
        .lines()
        .filter(|line| line.starts_with("ekho_http_request_seconds_count"));
    assert!(rows.clone().count() <= 260, "{}", rows.count());
    let total: f64 = page
        .lines()
        .filter(|line| line.starts_with("ekho_http_request_seconds_count"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert_eq!(total, 1005.0, "every request is counted once");
    Ok(())
}

#[test]
fn a_route_learnt_by_many_threads_at_once_is_counted_once() -> Test {
    let metrics = Metrics::new()?;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for route in ["/a", "/b", "/c", "/d"] {
                    metrics.observe_request(route, "GET", 200, Duration::ZERO);
                }
            });
        }
    });
    let page = metrics.render(&StateCounts::default(), &NodeGauges::default());
    for route in ["/a", "/b", "/c", "/d"] {
        let series = format!(
            "ekho_http_request_seconds_count{{method=\"GET\",route=\"{route}\",status=\"200\"}}"
        );
        assert_eq!(value(&page, &series), Some(8.0), "{series}");
    }
    Ok(())
}
