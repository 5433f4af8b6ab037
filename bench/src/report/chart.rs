//! The entries of a report as pictures in SVG, without a library: a panel for each question, one below the other.

use super::Entry;
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 150.0;
const BAR: f64 = 18.0;
const PLOT: f64 = 200.0;
const MARGIN: f64 = 34.0;
const LINE: f64 = 14.0;

/// One colour for each system, in the order in which they come up.
const COLOURS: [&str; 9] =
    ["#1f77b4", "#8c564b", "#ff7f0e", "#9467bd", "#2ca02c", "#7f7f7f", "#bcbd22", "#17becf", "#d62728"];

/// A document of all panels that there are entries for.
pub(super) fn draw(entries: &[Entry]) -> String {
    let palette = Palette::of(entries);
    let mut body = String::new();
    let mut top = MARGIN;
    for row in ["work_ns", "core_share", "scaling"] {
        let bars: Vec<_> = entries.iter().filter(|entry| entry.row == row).collect();
        top = draw_bars(&mut body, row, &bars, &palette, top);
    }
    for row in ["clients_ok", "clients_p99_ms"] {
        for attack in ["syn", "ack", "mixed"] {
            let points: Vec<_> = entries
                .iter()
                .filter(|entry| entry.row == row && entry.params.attack == Some(attack))
                .filter(|entry| entry.params.syn_bytes != Some(60))
                .collect();
            top = draw_lines(&mut body, &format!("{row}, attack {attack}"), &points, &palette, top);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

/// The systems that there are, and the colour of each.
struct Palette {
    systems: Vec<String>,
}

impl Palette {
    fn of(entries: &[Entry]) -> Self {
        let mut systems = Vec::new();
        for entry in entries {
            let name = name_of(entry);
            if !systems.contains(&name) {
                systems.push(name);
            }
        }
        Self { systems }
    }

    fn colour(&self, name: &str) -> &'static str {
        let place = self.systems.iter().position(|system| system == name).unwrap_or_default();
        COLOURS[place % COLOURS.len()]
    }
}

/// A system, with who serves in its stead.
fn name_of(entry: &Entry) -> String {
    match entry.params.server {
        Some(server) => format!("{} ({server})", entry.system),
        None => entry.system.to_owned(),
    }
}

/// What tells the bars of a system apart.
fn circumstances(entry: &Entry) -> String {
    let params = &entry.params;
    let number = |name: &str, value: Option<u32>| value.map(|value| format!("{name} {value}"));
    let parts = [
        number("bytes", params.syn_bytes),
        number("burst", params.burst),
        params.by.map(|by| format!("by {by}")),
        number("prefixes", params.prefixes),
        number("flows", params.flows),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Returns where the next panel begins. Writing to a string cannot fail, so its results are dropped here and below.
fn draw_bars(body: &mut String, title: &str, bars: &[&Entry], palette: &Palette, top: f64) -> f64 {
    let Some(longest) = bars.iter().map(|entry| entry.max).reduce(f64::max) else { return top };
    let scale = (WIDTH - LEFT - RIGHT - 100.0) / longest.max(f64::MIN_POSITIVE);
    heading(body, &format!("{title} ({})", bars[0].unit), top);
    for (number, entry) in bars.iter().enumerate() {
        let y = top + LINE + BAR * number as f64;
        let (name, middle) = (name_of(entry), y + BAR * 0.65);
        let (length, low, high) = (entry.median * scale, entry.min * scale, entry.max * scale);
        label(body, LEFT - 6.0, middle, "end", &name);
        let _ = writeln!(
            body,
            "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>\n\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{2:.1}\" y2=\"{2:.1}\" stroke=\"black\"/>",
            length.max(0.0),
            BAR - 4.0,
            palette.colour(&name),
            LEFT + low,
            LEFT + high,
        );
        let text = format!("{:.1}  {}", entry.median, circumstances(entry));
        label(body, LEFT + high.max(length) + 6.0, middle, "start", &text);
    }
    top + LINE + BAR * bars.len() as f64 + MARGIN
}

fn draw_lines(body: &mut String, title: &str, points: &[&Entry], palette: &Palette, top: f64) -> f64 {
    let Some(greatest) = points.iter().map(|entry| entry.median).reduce(f64::max) else { return top };
    let rate_of = |entry: &Entry| entry.params.rate.unwrap_or_default() as f64;
    let fastest = points.iter().map(|entry| rate_of(entry)).fold(1.0, f64::max);
    let (width, greatest) = (WIDTH - LEFT - RIGHT, greatest.max(f64::MIN_POSITIVE));
    let x = |entry: &Entry| LEFT + rate_of(entry) / fastest * width;
    let y = |value: f64| top + LINE + PLOT * (1.0 - value / greatest);
    heading(body, &format!("{title} ({}) by thousand frames a second", points[0].unit), top);
    let _ = writeln!(
        body,
        "<path d=\"M{LEFT} {:.1}V{:.1}H{:.1}\" fill=\"none\" stroke=\"black\"/>",
        top + LINE,
        y(0.0),
        LEFT + width
    );
    label(body, LEFT - 6.0, y(greatest) + 4.0, "end", &format!("{greatest:.1}"));
    label(body, LEFT - 6.0, y(0.0) + 4.0, "end", "0");
    for entry in points.iter().filter(|entry| name_of(entry) == name_of(points[0])) {
        label(body, x(entry), y(0.0) + LINE, "middle", &format!("{:.0}", rate_of(entry) / 1e3));
    }
    for (number, name) in palette.systems.iter().enumerate() {
        let mut line: Vec<_> = points.iter().filter(|entry| name_of(entry) == *name).collect();
        line.sort_by(|a, b| rate_of(a).total_cmp(&rate_of(b)));
        if line.is_empty() {
            continue;
        }
        let corners: Vec<_> = line.iter().map(|entry| format!("{:.1},{:.1}", x(entry), y(entry.median))).collect();
        let colour = palette.colour(name);
        let _ = writeln!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            corners.join(" ")
        );
        let place = top + LINE * (number as f64 + 2.0);
        let _ = writeln!(
            body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>",
            LEFT + width + 8.0,
            place - 9.0
        );
        label(body, LEFT + width + 22.0, place, "start", name);
    }
    top + LINE + PLOT + LINE + MARGIN
}

fn heading(body: &mut String, text: &str, y: f64) {
    let _ = writeln!(body, "<text x=\"10\" y=\"{y:.1}\" font-weight=\"bold\">{text}</text>");
}

fn label(body: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::draw;
    use crate::report::{Params, Report, Subject};

    fn report() -> Report {
        let mut report = Report::default();
        for (system, server, value) in [("kernel", None, 87.5), ("xdp_drop", Some("engine"), 100.0)] {
            for rate in [0, 800_000] {
                let params = Params { rate: Some(rate), attack: Some("syn"), server, ..Params::default() };
                report.add(Subject { row: "clients_ok", system, params, unit: "%" }, value);
            }
        }
        let params = Params { syn_bytes: Some(74), by: Some("polls"), ..Params::default() };
        report.add(Subject { row: "work_ns", system: "kernel", params, unit: "ns" }, 2500.0);
        report
    }

    #[test]
    fn every_system_has_its_bar_or_line_and_its_name() {
        let picture = report().svg();
        assert_eq!(picture.matches("<polyline").count(), 2);
        assert!(picture.contains(">xdp_drop (engine)</text>") && picture.contains("2500.0  bytes 74, by polls"));
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    }

    #[test]
    fn the_picture_is_as_well_formed_as_it_must_be() {
        let picture = report().svg();
        for element in ["svg", "text"] {
            let (opened, closed) = (format!("<{element} "), format!("</{element}>"));
            assert_eq!(picture.matches(&opened).count(), picture.matches(&closed).count(), "{element}");
        }
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
    }

    #[test]
    fn nothing_to_show_is_an_empty_picture() {
        assert!(!draw(&[]).contains("<text"));
    }
}
