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
        attachments: 10,
        attachment_bytes: 11,
        approvals_pending: 12,
        last_backup_ms: None,
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
        ("ekho_attachments_total", 10.0),
        ("ekho_attachment_bytes", 11.0),
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
    metrics.attachment_fetch(true);
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
        ("ekho_attachment_fetches_total{result=\"fetched\"}", 1.0),
        ("ekho_attachment_fetches_total{result=\"failed\"}", 0.0),
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

#[test]
fn errors_are_counted_from_zero_expected_or_not() -> Test {
    let metrics = Metrics::new()?;
    metrics.expect_errors(["overloaded", "internal"].into_iter());
    metrics.expect_errors(["overloaded", "internal"].into_iter());
    metrics.error_answered("overloaded");
    metrics.error_answered("overloaded");
    metrics.error_answered("unheard_of");
    let page = metrics.render(&StateCounts::default(), &NodeGauges::default());
    for (code, expected) in [("overloaded", 2.0), ("internal", 0.0), ("unheard_of", 1.0)] {
        let series = format!("ekho_errors_total{{code=\"{code}\"}}");
        assert_eq!(value(&page, &series), Some(expected), "{series}");
    }
    Ok(())
}

#[test]
fn the_cluster_is_shown_as_it_is_now() -> Test {
    let metrics = Metrics::new()?;
    let member = |node_id, is_reachable, lag_entries, round_trip_ms: Option<u64>| MemberGauges {
        node_id,
        is_reachable,
        lag_entries,
        round_trip: round_trip_ms.map(Duration::from_millis),
    };
    let worker = |busy_ms| WorkerGauges {
        busy: Duration::from_millis(busy_ms),
        ..WorkerGauges::default()
    };
    let mut node = NodeGauges {
        is_ready: true,
        disk_free_bytes: Some(70),
        disk_size_bytes: Some(90),
        cluster: ClusterGauges {
            is_leader: true,
            has_leader: true,
            term: 5,
            voters: 3,
            reachable_voters: 2,
            needed_voters: 2,
            members: vec![
                member(1, true, 0, None),
                member(2, true, 7, Some(250)),
                member(3, false, 900, Some(500)),
            ],
        },
        runtime: RuntimeGauges {
            workers: vec![worker(500), worker(1000)],
            tasks: 60,
            waiting_tasks: 8,
        },
        ..NodeGauges::default()
    };
    let page = metrics.render(&StateCounts::default(), &node);
    for (series, expected) in [
        ("ekho_ready", 1.0),
        ("ekho_raft_leader", 1.0),
        ("ekho_raft_has_leader", 1.0),
        ("ekho_raft_term", 5.0),
        ("ekho_raft_voters", 3.0),
        ("ekho_raft_voters_reachable", 2.0),
        ("ekho_raft_voters_needed", 2.0),
        ("ekho_node_reachable{node=\"1\"}", 1.0),
        ("ekho_node_reachable{node=\"3\"}", 0.0),
        ("ekho_node_lag_entries{node=\"1\"}", 0.0),
        ("ekho_node_lag_entries{node=\"3\"}", 900.0),
        ("ekho_node_round_trip_seconds{node=\"2\"}", 0.25),
        ("ekho_node_round_trip_seconds{node=\"3\"}", 0.5),
        ("ekho_disk_free_bytes", 70.0),
        ("ekho_disk_size_bytes", 90.0),
        ("ekho_runtime_workers", 2.0),
        ("ekho_runtime_tasks", 60.0),
        ("ekho_runtime_waiting_tasks", 8.0),
        ("ekho_runtime_busy_seconds_total", 1.5),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series} in\n{page}");
    }
    let own = "ekho_node_round_trip_seconds{node=\"1\"}";
    assert_eq!(value(&page, own), None, "a node does not ask itself");

    // A node that was removed is gone, one that does not answer has no time, and a disk that cannot
    // be asked is as it was.
    node.is_ready = false;
    node.disk_free_bytes = None;
    node.disk_size_bytes = None;
    node.cluster.is_leader = false;
    node.cluster.members = vec![member(1, true, 0, None), member(2, false, 8, None)];
    let page = metrics.render(&StateCounts::default(), &node);
    for (series, expected) in [
        ("ekho_ready", Some(0.0)),
        ("ekho_raft_leader", Some(0.0)),
        ("ekho_node_reachable{node=\"2\"}", Some(0.0)),
        ("ekho_node_lag_entries{node=\"2\"}", Some(8.0)),
        ("ekho_node_round_trip_seconds{node=\"2\"}", None),
        ("ekho_node_reachable{node=\"3\"}", None),
        ("ekho_node_lag_entries{node=\"3\"}", None),
        ("ekho_node_round_trip_seconds{node=\"3\"}", None),
        ("ekho_disk_free_bytes", Some(70.0)),
        ("ekho_disk_size_bytes", Some(90.0)),
    ] {
        assert_eq!(value(&page, series), expected, "{series} in\n{page}");
    }
    Ok(())
}
