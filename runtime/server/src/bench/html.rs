//! The result as a page with plots, which needs nothing else.

use std::fmt::Write;

use serde_json::Value;

use super::{
    report::{latencies, percentile, table},
    request::Seen,
};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 180.0;
/// Points of a line.
const POINTS: usize = 100;

/// The page.
pub fn page(result: &Value, seen: &[Seen]) -> String {
    let plots: String = latencies(seen).iter().map(|(_, title, sorted)| plot(title, sorted)).collect();
    let table = escaped(&table(std::slice::from_ref(result)));
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Load test</title>\n<style>\
         body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}}\
         pre{{overflow-x:auto;font-size:.85rem}}figure{{display:inline-block;margin:0 1rem 1rem 0;max-width:100%}}\
         svg{{max-width:100%;height:auto}}text{{font:12px system-ui,sans-serif;fill:currentColor}}\
         .axis{{stroke:#8c959f}}.line{{fill:none;stroke:#0b57d0;stroke-width:2}}\
         @media(prefers-color-scheme:dark){{body{{color:#e6edf3;background:#0d1117}}.line{{stroke:#79b8ff}}}}\
         </style>\n<h1>Load test</h1>\n{plots}\n<h2>Figures</h2>\n<pre>{table}</pre>\n</html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The part of requests whose latency is at most so long, up to the 99th percentile.
fn plot(title: &str, sorted: &[f64]) -> String {
    let Some(most) = percentile(sorted, 99.0).filter(|most| *most > 0.0) else { return String::new() };
    let mut points = String::new();
    for point in 0..=POINTS {
        let part = 99.0 * point as f64 / POINTS as f64;
        let at = percentile(sorted, part).unwrap_or(0.0);
        let (x, y) = (40.0 + (WIDTH - 60.0) * at / most, HEIGHT - 30.0 - (HEIGHT - 50.0) * part / 100.0);
        // Writing to a text does not fail.
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    let (right, bottom) = (WIDTH - 20.0, HEIGHT - 30.0);
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\" \
         aria-label=\"{title}: the part of requests against milliseconds\">\
         <line class=\"axis\" x1=\"40\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\
         <line class=\"axis\" x1=\"40\" y1=\"20\" x2=\"40\" y2=\"{bottom}\"/><polyline class=\"line\" points=\"{points}\"/>\
         <text x=\"4\" y=\"26\">100 %</text><text x=\"18\" y=\"{bottom}\">0</text>\
         <text x=\"40\" y=\"{}\">0 ms</text><text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{most:.1} ms</text></svg></figure>\n",
        bottom + 18.0,
        bottom + 18.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_plot_of_each_latency_that_was_seen() {
        let seen =
            Seen { to_first: Some(0.1), latency: 1.0, tokens: 5, between: vec![0.2; 4], ..Seen::default() };
        let page = page(&serde_json::json!({ "completed": 1 }), &[seen]);
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(page.contains("requests answered") && page.ends_with("</html>\n"));
        assert_eq!(escaped("<a&b>"), "&lt;a&amp;b&gt;");
    }
}
