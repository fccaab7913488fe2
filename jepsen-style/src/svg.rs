//! A run as a picture: requests a second, what was done to the nodes, and how they were.

use std::fmt::Write;

use crate::history::{History, Micros};
use crate::timeline::{Event, Kind};

const LEFT: f64 = 90.0;
const WIDTH: f64 = 1400.0;
const CHART_TOP: f64 = 70.0;
const CHART_HEIGHT: f64 = 180.0;
const LANE_HEIGHT: f64 = 34.0;
/// Labels of faults stand in so many rows, so that they do not cover each other.
const LABEL_ROWS: usize = 4;
const STYLE: &str = "text{font:11px sans-serif;fill:#333}.t{font-size:15px}.ok{fill:#4a9}\
.no{fill:#db7}.doubt{fill:#c44}.fault{fill:#a5c;opacity:.35}.band{fill:#a5c;opacity:.09}\
.dead{fill:#c44;opacity:.55}.leads{fill:#e8b000}.lane{fill:#eef4f2}.axis{stroke:#bbb}";

/// Draws it. `title` says which run it is.
pub fn draw(
    title: &str,
    nodes: usize,
    history: &History,
    events: &[Event],
    ended: Micros,
) -> String {
    let seconds = (ended / 1_000_000 + 1) as usize;
    let scale = (WIDTH - LEFT - 20.0) / seconds as f64;
    let x = |at: Micros| LEFT + at as f64 / 1e6 * scale;
    let lanes_top = CHART_TOP + CHART_HEIGHT + 30.0 + 14.0 * LABEL_ROWS as f64;
    let height = lanes_top + LANE_HEIGHT * nodes as f64 + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\">\
         <style>{STYLE}</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text class=\"t\" x=\"{LEFT}\" y=\"24\">{}</text>\
         <text x=\"{LEFT}\" y=\"46\">requests a second: green answered, yellow refused, red in doubt; \
         lanes: red not ready, gold leads, violet faults</text>",
        escape(title)
    );
    chart(&mut svg, history, seconds, scale);
    for no in 0..nodes {
        let y = lanes_top + LANE_HEIGHT * no as f64;
        rect(
            &mut svg,
            "lane",
            LEFT,
            y,
            WIDTH - LEFT - 20.0,
            LANE_HEIGHT - 6.0,
            "",
        );
        let _ = write!(svg, "<text x=\"10\" y=\"{:.0}\">node {no}</text>", y + 18.0);
    }
    let mut labels = 0;
    for event in events {
        let until = event.ended.unwrap_or(ended);
        let (from, width) = (
            x(event.began),
            ((until - event.began) as f64 / 1e6 * scale).max(1.5),
        );
        let (class, inset, thickness) = match event.kind {
            Kind::Fault => ("fault", 0.0, LANE_HEIGHT - 6.0),
            Kind::NotReady => ("dead", 4.0, 10.0),
            Kind::Leads => ("leads", LANE_HEIGHT - 14.0, 6.0),
        };
        for no in &event.nodes {
            let y = lanes_top + LANE_HEIGHT * *no as f64 + inset;
            rect(&mut svg, class, from, y, width, thickness, &event.what);
        }
        if event.kind == Kind::Fault {
            let row = labels % LABEL_ROWS;
            labels += 1;
            rect(
                &mut svg,
                "band",
                from,
                CHART_TOP,
                width,
                CHART_HEIGHT,
                &event.what,
            );
            let y = CHART_TOP + CHART_HEIGHT + 36.0 + 14.0 * row as f64;
            let what = escape(&event.what);
            let _ = write!(svg, "<text x=\"{from:.1}\" y=\"{y:.0}\">{what}</text>");
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Bars, one a second, and the axes.
fn chart(svg: &mut String, history: &History, seconds: usize, scale: f64) {
    let mut counts = vec![[0_u32; 3]; seconds];
    for op in &history.ops {
        let at = (op.ended / 1_000_000) as usize;
        let kind = if op.outcome.is_success() {
            0
        } else if op.outcome.is_refusal() {
            1
        } else {
            2
        };
        if let Some(count) = counts.get_mut(at) {
            count[kind] += 1;
        }
    }
    let most = counts
        .iter()
        .map(|count| count.iter().sum::<u32>())
        .max()
        .unwrap_or(1)
        .max(1);
    let bottom = CHART_TOP + CHART_HEIGHT;
    for (second, count) in counts.iter().enumerate() {
        let mut y = bottom;
        for (kind, class) in ["ok", "no", "doubt"].into_iter().enumerate() {
            let height = f64::from(count[kind]) / f64::from(most) * CHART_HEIGHT;
            y -= height;
            if height > 0.0 {
                let x = LEFT + second as f64 * scale;
                rect(svg, class, x, y, scale.max(0.4), height, "");
            }
        }
    }
    let _ = write!(
        svg,
        "<text x=\"40\" y=\"{:.0}\">{most}/s</text><line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" \
         x2=\"{WIDTH}\" y2=\"{bottom}\"/>",
        CHART_TOP + 10.0
    );
    let step = (seconds / 12).max(1);
    for second in (0..seconds).step_by(step) {
        let x = LEFT + second as f64 * scale;
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.0}\">{}:{:02}</text>",
            bottom + 16.0,
            second / 60,
            second % 60
        );
    }
}

fn rect(svg: &mut String, class: &str, x: f64, y: f64, width: f64, height: f64, title: &str) {
    let title = if title.is_empty() {
        String::new()
    } else {
        format!("<title>{}</title>", escape(title))
    };
    let _ = write!(
        svg,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\">{title}</rect>"
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_anything_is_drawn() {
        let event = Event {
            kind: Kind::Fault,
            nodes: vec![0, 1],
            what: "a < b".into(),
            began: 500_000,
            ended: None,
        };
        let svg = draw("seed 1", 2, &History::default(), &[event], 3_000_000);
        assert!(svg.starts_with("<svg") && svg.contains("a &lt; b") && svg.contains("node 1"));
    }
}
