//! Charts as SVG: panels under each other, each with axes, ticks, a grid and a legend beside it.

use std::fmt::Write;

/// Colours that can be told apart, in print and by the colour-blind (Okabe and Ito's, without yellow and black).
pub const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7f7f7f"];

const LEFT: f64 = 76.0;
const PLOT: (f64, f64) = (540.0, 230.0);
const TITLE: f64 = 34.0;
const FOOT: f64 = 50.0;

/// How values are laid along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps are equal differences.
    Linear,
    /// Equal steps are equal ratios; all values are above 0.
    Log,
}

/// What the numbers at an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Just numbers; thousands and millions are 1k and 1M.
    Plain,
    /// Bytes, as KiB and MiB.
    Bytes,
    /// Hundredths.
    Percent,
}

/// An axis: what it shows, and from where to where.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The words beside it.
    pub title: String,
    /// The values at its ends.
    pub ends: (f64, f64),
    /// How they are laid out.
    pub scale: Scale,
    /// What they are.
    pub unit: Unit,
}

impl Axis {
    /// Where a value lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let (from, to) = self.ends;
        match self.scale {
            Scale::Linear => (value - from) / (to - from),
            Scale::Log => (value / from).ln() / (to / from).ln(),
        }
    }

    /// Round values between the ends.
    fn ticks(&self) -> Vec<f64> {
        let (from, to) = self.ends;
        if self.scale == Scale::Log {
            let decades = (to / from).log10();
            let in_decade: &[f64] = if decades > 2.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let powers = from.log10().floor() as i32..=to.log10().ceil() as i32;
            let ticks = powers.flat_map(|power| in_decade.iter().map(move |digit| digit * 10_f64.powi(power)));
            return ticks.filter(|tick| (from * 0.999..=to * 1.001).contains(tick)).collect();
        }
        let base: f64 = if self.unit == Unit::Bytes { 2.0 } else { 10.0 };
        let rough = (to - from) / 5.0;
        let power = base.powf(rough.log(base).floor());
        let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough).unwrap_or(10.0);
        let step = if self.unit == Unit::Bytes { power * 2.0 } else { power * factor };
        let first = (from / step).ceil() as i64;
        (first..).map(|tick| tick as f64 * step).take_while(|&tick| tick <= to * 1.0001).collect()
    }

    fn name(&self, value: f64) -> String {
        match self.unit {
            Unit::Plain => number(value),
            Unit::Bytes => bytes(value),
            Unit::Percent => format!("{} %", number(value)),
        }
    }
}

/// A number as short as it can be: 0.5, 20, 3k, 1M.
fn number(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        large if large >= 1e6 => (value / 1e6, "M"),
        large if large >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.4}");
    format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A number of bytes, in the largest unit of which it has one.
pub fn bytes(value: f64) -> String {
    let (scaled, suffix) = match value {
        large if large >= 1048576.0 => (value / 1048576.0, "MiB"),
        large if large >= 1024.0 => (value / 1024.0, "KiB"),
        _ => (value, "B"),
    };
    let text = if scaled < 10.0 { format!("{scaled:.1}") } else { format!("{scaled:.0}") };
    format!("{} {suffix}", text.trim_end_matches(".0"))
}

/// One chart.
pub struct Panel {
    title: String,
    x: Axis,
    y: Axis,
    shapes: String,
    legend: Vec<(String, &'static str)>,
    labels: Vec<(f64, f64, String)>,
}

impl Panel {
    /// Axes and nothing between them.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, shapes: String::new(), legend: Vec::new(), labels: Vec::new() }
    }

    /// A curve through points, and its line in the legend. What leaves the panel is cut off.
    pub fn curve(&mut self, name: impl Into<String>, colour: &'static str, points: &[(f64, f64)]) {
        let places = points.iter().map(|&(x, y)| {
            let (x, y) = self.at(x, y);
            format!("{x:.1},{y:.1}")
        });
        let places: Vec<_> = places.collect();
        let _ = writeln!(
            self.shapes,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-linejoin=\"round\"/>",
            places.join(" ")
        );
        self.legend.push((name.into(), colour));
    }

    /// A point with its name beside it.
    pub fn point(&mut self, name: impl Into<String>, colour: &'static str, x: f64, y: f64) {
        let (x, y) = self.at(x, y);
        let _ = writeln!(self.shapes, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/>");
        self.labels.push((x, y, name.into()));
    }

    /// A dashed line up from a value of the lower axis.
    pub fn mark(&mut self, x: f64) {
        let (x, _) = self.at(x, self.y.ends.0);
        let _ = writeln!(
            self.shapes,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{}\" stroke=\"#555\" stroke-dasharray=\"5 4\"/>",
            PLOT.1
        );
    }

    /// Where a point lies in the panel.
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (PLOT.0 * self.x.place(x), PLOT.1 * (1.0 - self.y.place(y)))
    }

    /// The labels of points, moved down until none covers another, and to the left where the right has no room.
    fn labels(&self) -> String {
        const HIGH: f64 = 14.0;
        let mut labels = self.labels.clone();
        labels.sort_by(|one, other| one.1.total_cmp(&other.1));
        let mut placed: Vec<(f64, f64, f64)> = Vec::new();
        let mut svg = String::new();
        for (x, y, name) in labels {
            let (mut y, left) = (y + 4.0, x + 16.0 + width(&name) > PLOT.0);
            let from = if left { x - 10.0 - width(&name) } else { x + 10.0 };
            while placed.iter().any(|&(a, b, at)| a < from + width(&name) && from < b && (at - y).abs() < HIGH) {
                y += 1.0;
            }
            placed.push((from, from + width(&name), y));
            let (x, anchor) = if left { (x - 10.0, "end") } else { (x + 10.0, "start") };
            let name = escaped(&name);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" stroke=\"white\" stroke-width=\"3\" \
                 paint-order=\"stroke\">{name}</text>"
            );
        }
        svg
    }

    fn draw(&self, id: usize, top: f64) -> String {
        let (wide, high) = PLOT;
        let mut svg = format!(
            "<g transform=\"translate({LEFT} {})\">\n<text y=\"-10\" font-weight=\"bold\">{}</text>\n",
            top + TITLE,
            escaped(&self.title)
        );
        for tick in self.x.ticks() {
            let (x, _) = self.at(tick, self.y.ends.0);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y2=\"{high}\" stroke=\"#e4e4e4\"/><text x=\"{x:.1}\" y=\"{}\" \
                 text-anchor=\"middle\">{}</text>",
                high + 16.0,
                self.x.name(tick)
            );
        }
        for tick in self.y.ticks() {
            let (_, y) = self.at(self.x.ends.0, tick);
            let _ = writeln!(
                svg,
                "<line x2=\"{wide}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#e4e4e4\"/><text x=\"-6\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                y + 4.0,
                self.y.name(tick)
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(-60 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n\
             <clipPath id=\"panel{id}\"><rect x=\"-6\" y=\"-1\" width=\"{}\" height=\"{}\"/></clipPath>\n\
             <g clip-path=\"url(#panel{id})\">\n{}</g>\n\
             <rect width=\"{wide}\" height=\"{high}\" fill=\"none\" stroke=\"#555\"/>\n{}",
            wide / 2.0,
            high + 34.0,
            escaped(&self.x.title),
            high / 2.0,
            escaped(&self.y.title),
            wide + 12.0,
            high + 2.0,
            self.shapes,
            self.labels()
        );
        for (line, (name, colour)) in self.legend.iter().enumerate() {
            let y = 8.0 + 17.0 * line as f64;
            let _ = writeln!(
                svg,
                "<line x1=\"{}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"3\"/>\
                 <text x=\"{}\" y=\"{}\">{}</text>",
                wide + 12.0,
                wide + 30.0,
                wide + 36.0,
                y + 4.0,
                escaped(name)
            );
        }
        svg + "</g>\n"
    }
}

/// The panels under each other, as one SVG picture.
pub fn svg(panels: &[Panel]) -> String {
    let names = panels.iter().flat_map(|panel| &panel.legend).map(|(name, _)| name.as_str());
    let wide = LEFT + PLOT.0 + 46.0 + names.map(width).fold(100.0, f64::max);
    let each = TITLE + PLOT.1 + FOOT;
    let height = each * panels.len() as f64 + 10.0;
    let drawn: String = panels.iter().enumerate().map(|(at, panel)| panel.draw(at, each * at as f64)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{height}\" viewBox=\"0 0 {wide} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{drawn}</svg>\n"
    )
}

/// About how wide a name is.
fn width(name: &str) -> f64 {
    7.0 * name.chars().count() as f64
}

/// Text as it stands in SVG, where it is no markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(ends: (f64, f64), scale: Scale, unit: Unit) -> Axis {
        Axis { title: "a".into(), ends, scale, unit }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let names = |axis: Axis| axis.ticks().into_iter().map(|tick| axis.name(tick)).collect::<Vec<_>>();
        assert_eq!(names(axis((0.0, 1.0), Scale::Linear, Unit::Plain)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(names(axis((0.0, 5e6), Scale::Linear, Unit::Bytes)), ["0 B", "1 MiB", "2 MiB", "3 MiB", "4 MiB"]);
        assert_eq!(names(axis((1e3, 1e7), Scale::Log, Unit::Plain)), ["1k", "10k", "100k", "1M", "10M"]);
        assert_eq!(names(axis((0.4, 3.0), Scale::Log, Unit::Plain)), ["0.5", "1", "2"]);
    }

    #[test]
    fn names_are_text_and_no_markup() {
        let whole = axis((0.0, 1.0), Scale::Linear, Unit::Percent);
        let mut panel = Panel::new("a<b", whole.clone(), whole);
        panel.point("x&y", COLOURS[0], 0.5, 0.5);
        let svg = svg(&[panel]);
        assert!(svg.contains("a&lt;b") && svg.contains("x&amp;y"), "{svg}");
    }
}
