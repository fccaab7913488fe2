//! Request times by route, method and status, without a lock on the way.
//!
//! Routes are the templates the router knows, so their number is bounded; what does not belong to
//! any is one route. A route's histograms are made when first needed and kept.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{Error, Histogram, HistogramOpts, HistogramVec};

use super::Make;

/// More routes than this share one row: a bound in case a path is passed instead of a template.
const MAX_ROUTES: usize = 256;
const OTHER: &str = "other";
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", OTHER];
/// Statuses the relay answers with; the rest share a row.
const STATUSES: [(u16, &str); 20] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
    (504, "504"),
    (0, OTHER),
];
const SECONDS: [f64; 16] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Times of one route, by method and status.
type Cells = [[OnceLock<Histogram>; STATUSES.len()]; METHODS.len()];

pub(super) struct HttpMetrics {
    seconds: HistogramVec,
    routes: ArcSwap<HashMap<Box<str>, Arc<Cells>>>,
}

impl HttpMetrics {
    pub fn new(make: &Make<'_>) -> Result<Self, Error> {
        let options = HistogramOpts::new(
            "ekho_http_request_seconds",
            "From a request's head to its answer's",
        )
        .buckets(SECONDS.to_vec());
        let seconds = make.add(HistogramVec::new(options, &["route", "method", "status"])?)?;
        Ok(HttpMetrics {
            seconds,
            routes: ArcSwap::default(),
        })
    }

    pub fn observe(&self, route: &str, method: &str, status: u16, took: Duration) {
        let routes = self.routes.load();
        match routes.get(route) {
            Some(cells) => self.record(cells, route, method, status, took),
            None if routes.len() < MAX_ROUTES || route == OTHER => {
                drop(routes);
                self.record(&self.learn(route), route, method, status, took);
            }
            None => {
                drop(routes);
                self.observe(OTHER, method, status, took);
            }
        }
    }

    fn record(&self, cells: &Cells, route: &str, method: &str, status: u16, took: Duration) {
        let method = METHODS
            .iter()
            .position(|known| *known == method)
            .unwrap_or(METHODS.len() - 1);
        let status = STATUSES
            .iter()
            .position(|(known, _)| *known == status)
            .unwrap_or(STATUSES.len() - 1);
        let histogram = cells[method][status].get_or_init(|| {
            self.seconds
                .with_label_values(&[route, METHODS[method], STATUSES[status].1])
        });
        histogram.observe(took.as_secs_f64());
    }

    /// Adds a route; two that do so at once agree on one.
    fn learn(&self, route: &str) -> Arc<Cells> {
        let cells: Arc<Cells> = Arc::default();
        self.routes.rcu(|routes| {
            let mut routes = HashMap::clone(routes);
            routes
                .entry(route.into())
                .or_insert_with(|| Arc::clone(&cells));
            routes
        });
        self.routes.load().get(route).map_or(cells, Arc::clone)
    }
}
