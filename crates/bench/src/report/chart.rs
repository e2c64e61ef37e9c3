//! Throughput of everybody as horizontal bars, one group a case. Plain SVG, readable on light and dark ground.

use std::fmt::Write as _;

use crate::compare::Measured;
use crate::peer;

/// Cases that are drawn, with their headings.
const GROUPS: &[(&str, &str)] = &[
    ("enqueue.single", "enqueue, single: jobs/s"),
    ("enqueue.batch", "enqueue, batches: jobs/s"),
    ("drain.c128", "drain: jobs/s"),
    ("end_to_end", "end to end: jobs/s"),
];
const LABELS: f64 = 120.0;
const BARS: f64 = 520.0;
const LINE: f64 = 22.0;
const WIDTH: f64 = LABELS + BARS + 90.0;

pub(super) fn render(measured: &Measured) -> String {
    let mut body = String::new();
    let mut y = 10.0;
    for (label, heading) in GROUPS {
        let values: Vec<_> =
            peer::ALL.iter().filter_map(|peer| Some((peer, measured.median(label, peer.name, "per_s")?))).collect();
        let longest = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        if longest <= 0.0 {
            continue;
        }
        y += LINE;
        let _ = writeln!(body, r#"<text x="8" y="{y:.0}" font-weight="bold">{heading}</text>"#);
        for (peer, value) in values {
            let width = (value / longest * BARS).max(1.0);
            let colour = if peer.is_ours() { "#2f7ed8" } else { "#9aa5b1" };
            let (top, text) = (y + 7.0, y + LINE - 1.0);
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{text:.0}" text-anchor="end">{}</text><rect x="{LABELS:.0}" y="{top:.0}" width="{width:.0}" height="16" rx="2" fill="{colour}"/><text x="{:.0}" y="{text:.0}">{value:.0}</text>"#,
                LABELS - 8.0,
                peer.title,
                LABELS + width + 6.0,
            );
            y += LINE;
        }
        y += 8.0;
    }
    let height = y + 14.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDTH:.0} \
         {height:.0}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#57606a\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}
