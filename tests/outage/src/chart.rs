//! The chart: expected time over breaks an hour, one panel for each application.

use crate::figures::Mean;
use crate::method::Method;
use crate::survey::{RATES, Survey};
use crate::words::size;
use smcard_link::RecoveryKind;
use std::fmt::Write;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 440.0;
/// Of a panel's plot.
const TOP: f64 = 96.0;
const BOTTOM: f64 = 372.0;
const FIRST_LEFT: f64 = 64.0;
const PANEL: f64 = 318.0;
const PLOT: f64 = 252.0;
/// Between the frame and the first rate.
const INSET: f64 = 14.0;

/// Ticks of the time axis: seconds and their name.
const TICKS: [(f64, &str); 13] = [
    (1.0, "1 s"),
    (2.0, "2 s"),
    (5.0, "5 s"),
    (10.0, "10 s"),
    (20.0, "20 s"),
    (60.0, "1 min"),
    (120.0, "2 min"),
    (300.0, "5 min"),
    (900.0, "15 min"),
    (3_600.0, "1 h"),
    (14_400.0, "4 h"),
    (43_200.0, "12 h"),
    (172_800.0, "2 d"),
];

/// What tells points apart where colours do not.
#[derive(Clone, Copy)]
enum Mark {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
}

impl Mark {
    fn at(self, x: f64, y: f64, colour: &str) -> String {
        let steps = match self {
            Mark::Circle => return format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\" fill=\"{colour}\"/>"),
            Mark::Square => "m-3.2 -3.2h6.4v6.4h-6.4z",
            Mark::Diamond => "m0 -4.6l4.6 4.6l-4.6 4.6l-4.6 -4.6z",
            Mark::Up => "m0 -4.4l4.4 7.6h-8.8z",
            Mark::Down => "m0 4.4l4.4 -7.6h-8.8z",
        };
        format!("<path d=\"M{x:.1} {y:.1}{steps}\" fill=\"{colour}\"/>")
    }
}

/// Colour (Okabe and Ito's palette, told apart by everybody) and mark.
fn style(method: Method) -> (&'static str, Mark) {
    match method {
        Method::OneByOne => ("#D55E00", Mark::Square),
        Method::PackageByPackage => ("#E69F00", Mark::Diamond),
        Method::SelfIssue(RecoveryKind::Restart) => ("#CC79A7", Mark::Down),
        Method::SelfIssue(RecoveryKind::Function) => ("#56B4E9", Mark::Up),
        Method::SelfIssue(RecoveryKind::Command) => ("#0072B2", Mark::Circle),
    }
}

/// Places of a panel.
struct Panel {
    left: f64,
    least: f64,
    most: f64,
}

impl Panel {
    /// A panel whose time axis holds all means that are known.
    fn new(index: usize, survey: &Survey) -> Self {
        let known = survey.lines.iter().flat_map(|line| &line.figures).filter_map(|figures| known(figures.seconds));
        let (least, most) = known.fold((f64::INFINITY, 0.0_f64), |(least, most), s| (least.min(s), most.max(s)));
        Panel { left: FIRST_LEFT + PANEL * index as f64, least: least / 1.4, most: most * 1.6 }
    }

    fn x(&self, index: usize) -> f64 {
        self.left + INSET + (PLOT - 2.0 * INSET) * index as f64 / (RATES.len() - 1) as f64
    }

    fn y(&self, seconds: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (seconds / self.least).ln() / (self.most / self.least).ln()
    }
}

fn known(mean: Mean) -> Option<f64> {
    match mean {
        Mean::Exact(seconds) | Mean::Estimate(seconds) => Some(seconds),
        Mean::Above(_) => None,
    }
}

/// The chart, as SVG.
pub(crate) fn chart(surveys: &[Survey]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\" role=\"img\">\n\
         <title>Expected time of an issue over breaks of the link an hour</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{FIRST_LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"bold\">Expected time until an application is on \
         the card, over a link that breaks</text>\n"
    );
    legend(&mut svg, surveys);
    for (index, survey) in surveys.iter().enumerate() {
        panel(&mut svg, &Panel::new(index, survey), survey);
    }
    let middle = FIRST_LEFT + PANEL + PLOT / 2.0;
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">breaks an hour; time on a logarithmic axis; dashed: beyond \
         the axis, hardly any run ends</text>",
        HEIGHT - 14.0
    );
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, surveys: &[Survey]) {
    // The survey with most methods has all of them.
    let Some(lines) = surveys.iter().map(|survey| &survey.lines).max_by_key(|lines| lines.len()) else { return };
    let mut x = FIRST_LEFT;
    for line in lines {
        let (name, (colour, mark)) = (line.method.name(), style(line.method));
        let _ = writeln!(
            svg,
            "<path d=\"M{x} 50h24\" stroke=\"{colour}\" stroke-width=\"2.5\"/>{}<text x=\"{}\" y=\"54\">{name}</text>",
            mark.at(x + 12.0, 50.0, colour),
            x + 30.0,
        );
        x += 52.0 + 6.2 * name.chars().count() as f64;
    }
}

fn panel(svg: &mut String, panel: &Panel, survey: &Survey) {
    let Panel { left, .. } = *panel;
    let (height, middle) = (BOTTOM - TOP, left + PLOT / 2.0);
    let name = size(survey.application.size);
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" font-weight=\"bold\" text-anchor=\"middle\">{name}</text>\n\
         <rect x=\"{left}\" y=\"{TOP}\" width=\"{PLOT}\" height=\"{height}\" fill=\"none\" stroke=\"#888\"/>",
        TOP - 10.0,
    );
    for (seconds, name) in TICKS.iter().filter(|(seconds, _)| (panel.least..=panel.most).contains(seconds)) {
        let y = panel.y(*seconds);
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {y:.1}h{PLOT}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            left - 6.0,
            y + 4.0,
        );
    }
    for (index, rate) in RATES.iter().enumerate() {
        let (x, y) = (panel.x(index), BOTTOM + 17.0);
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{rate}</text>");
    }
    // What is best is drawn last, above the others.
    for line in &survey.lines {
        let (colour, mark) = style(line.method);
        let points = || line.figures.iter().enumerate().map_while(|(n, f)| known(f.seconds).map(|s| (n, s)));
        let places: Vec<_> = points().map(|(index, seconds)| (panel.x(index), panel.y(seconds))).collect();
        let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        let _ = writeln!(svg, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>");
        if let Some((x, y)) = places.last().filter(|_| places.len() < RATES.len()) {
            let to = panel.x(places.len());
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {y:.1}L{to:.1} {TOP}\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"5 4\"/>"
            );
        }
        for (x, y) in &places {
            let _ = writeln!(svg, "{}", mark.at(*x, *y, colour));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_logarithmic_and_holds_its_ends() {
        let panel = Panel { left: 0.0, least: 1.0, most: 100.0 };
        let places = [1.0, 10.0, 100.0].map(|seconds| panel.y(seconds));
        assert!((places[0] - BOTTOM).abs() < 1e-9 && (places[2] - TOP).abs() < 1e-9);
        assert!((places[1] - (BOTTOM + TOP) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn every_method_has_its_line_in_every_panel() {
        let surveys = [5_000, 70_000].map(|size| Survey::new(size, 4, 1).expect("a survey"));
        let svg = chart(&surveys);
        assert_eq!(svg.matches("<polyline").count(), 4 + 5);
        for line in &surveys[1].lines {
            assert!(svg.contains(&line.method.name()), "{}", line.method.name());
        }
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
