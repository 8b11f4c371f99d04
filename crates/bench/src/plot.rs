//! Plot: lines over two axes as an SVG picture, readable on a light and on a dark page, without
//! scripts and fonts of its own. Measures nothing, and writes no file.

use std::fmt::Write;

/// A picture of several lines.
#[derive(Debug)]
pub struct Plot {
    /// What was measured.
    pub title: String,
    /// How, in a second line.
    pub subtitle: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// The lines; the first [`STYLES`] of them can be told apart.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Debug)]
pub struct Axis {
    /// What its values are, with the unit if `text` does not say it.
    pub name: &'static str,
    /// Where a value stands on it.
    pub scale: Scale,
    /// A value in words, for a tick: [`number`], [`time`], [`percent`].
    pub text: fn(f64) -> String,
}

/// Where a value stands on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0, in equal steps.
    Linear,
    /// Each power of ten has the same length; for values above 0.
    Log,
    /// Percentiles from 0 to below 100: 90, 99, 99.9 and so on have the same distance.
    Percentile,
}

/// A line.
#[derive(Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// From left to right. Points that the scales of the axes have no place for are left out.
    pub points: Vec<(f64, f64)>,
}

/// So many lines look different.
pub const STYLES: usize = 8;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 450.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 776.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 394.0;

/// Series with at most so many points have each of them marked.
const MARKED_MAX: usize = 16;
/// An axis has at most so many ticks.
const TICKS_MAX: usize = 10;

/// Light, then dark. The lines differ by colour, and the second half by dashes, too.
const COLOURS: [(&str, &str); STYLES / 2] = [
    ("#0b62b8", "#6cb6ff"),
    ("#c2410c", "#ffa657"),
    ("#15803d", "#6bd08a"),
    ("#8b2fb0", "#d2a8ff"),
];

impl Plot {
    /// The picture as an SVG document.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut svg);
        svg
    }

    fn write(&self, svg: &mut String) -> std::fmt::Result {
        let title = escape(&self.title);
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        )?;
        write_style(svg)?;
        writeln!(svg, "<rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>")?;
        writeln!(svg, "<text class=\"title\" x=\"24\" y=\"30\">{title}</text>")?;
        writeln!(svg, "<text x=\"24\" y=\"50\">{}</text>", escape(&self.subtitle))?;
        let shown: Vec<Vec<(f64, f64)>> =
            self.series.iter().map(|series| self.shown(series)).collect();
        let values = |of: fn(&(f64, f64)) -> f64| shown.iter().flatten().map(of).collect();
        let x = Ruler::new(self.x.scale, values(|point| point.0), LEFT, RIGHT);
        let y = Ruler::new(self.y.scale, values(|point| point.1), BOTTOM, TOP);
        self.write_axes(svg, &x, &y)?;
        for (index, points) in shown.iter().enumerate() {
            write_line(svg, index % STYLES, points, &x, &y)?;
        }
        self.write_legend(svg)?;
        writeln!(svg, "</svg>")
    }

    /// The points of a series that have a place on both axes.
    fn shown(&self, series: &Series) -> Vec<(f64, f64)> {
        let is_shown = |point: &&(f64, f64)| {
            self.x.scale.place(point.0).is_finite() && self.y.scale.place(point.1).is_finite()
        };
        series.points.iter().filter(is_shown).copied().collect()
    }

    fn write_axes(&self, svg: &mut String, x: &Ruler, y: &Ruler) -> std::fmt::Result {
        for tick in &x.ticks {
            let at = x.at(*tick);
            writeln!(svg, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/>")?;
            let text = escape(&(self.x.text)(*tick));
            writeln!(svg, "<text class=\"x\" x=\"{at:.1}\" y=\"{}\">{text}</text>", BOTTOM + 18.0)?;
        }
        for tick in &y.ticks {
            let at = y.at(*tick);
            writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>")?;
            let text = escape(&(self.y.text)(*tick));
            let (right, base) = (LEFT - 8.0, at + 4.0);
            writeln!(svg, "<text class=\"y\" x=\"{right}\" y=\"{base:.1}\">{text}</text>")?;
        }
        writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>")?;
        let (middle, base) = ((LEFT + RIGHT) / 2.0, HEIGHT - 14.0);
        let name = escape(self.x.name);
        writeln!(svg, "<text class=\"x\" x=\"{middle}\" y=\"{base}\">{name}</text>")?;
        let (middle, name) = ((TOP + BOTTOM) / 2.0, escape(self.y.name));
        writeln!(
            svg,
            "<text class=\"x\" transform=\"translate(18 {middle})rotate(-90)\">{name}</text>"
        )
    }

    fn write_legend(&self, svg: &mut String) -> std::fmt::Result {
        let mut x = LEFT;
        for (index, series) in self.series.iter().enumerate() {
            let (end, text) = (x + 28.0, x + 36.0);
            let style = index % STYLES;
            writeln!(svg, "<path class=\"line s{style}\" d=\"M{x:.0} 72H{end:.0}\"/>")?;
            let name = escape(&series.name);
            writeln!(svg, "<text x=\"{text:.0}\" y=\"76\">{name}</text>")?;
            // The width of a letter is not known here: seven pixels are enough for most.
            x = text + 7.0 * series.name.chars().count() as f64 + 20.0;
        }
        Ok(())
    }
}

fn write_style(svg: &mut String) -> std::fmt::Result {
    writeln!(
        svg,
        "<style>\n\
         text{{font:12px system-ui,sans-serif;fill:#24292f}}.title{{font-size:16px;font-weight:600}}\n\
         .x{{text-anchor:middle}}.y{{text-anchor:end}}.page{{fill:#fff}}\n\
         path{{fill:none}}.grid{{stroke:#e2e5e9}}.axis{{stroke:#6e7781}}.line{{stroke-width:2}}"
    )?;
    let sets = |svg: &mut String, of: fn(&(&'static str, &'static str)) -> &'static str| {
        COLOURS.iter().map(of).enumerate().try_for_each(|(index, colour)| {
            let second = index + COLOURS.len();
            write!(svg, ".s{index},.s{second}{{stroke:{colour}}}")?;
            write!(svg, ".d{index},.d{second}{{fill:{colour}}}")
        })
    };
    sets(svg, |colours| colours.0)?;
    for index in COLOURS.len()..STYLES {
        write!(svg, ".s{index}{{stroke-dasharray:6 4}}")?;
    }
    writeln!(svg)?;
    writeln!(
        svg,
        "@media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}.page{{fill:#0d1117}}\
         .grid{{stroke:#2b323b}}.axis{{stroke:#8b949e}}"
    )?;
    sets(svg, |colours| colours.1)?;
    writeln!(svg, "}}\n</style>")
}

fn write_line(
    svg: &mut String,
    style: usize,
    points: &[(f64, f64)],
    x: &Ruler,
    y: &Ruler,
) -> std::fmt::Result {
    let places = || points.iter().map(|point| (x.at(point.0), y.at(point.1)));
    write!(svg, "<path class=\"line s{style}\" d=\"")?;
    for (index, (x, y)) in places().enumerate() {
        write!(svg, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' })?;
    }
    writeln!(svg, "\"/>")?;
    if points.len() <= MARKED_MAX {
        for (x, y) in places() {
            writeln!(svg, "<circle class=\"d{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>")?;
        }
    }
    Ok(())
}

impl Scale {
    /// Where a value stands, in a unit of its own; not finite where it has no place.
    fn place(self, value: f64) -> f64 {
        match self {
            _ if value < 0.0 => f64::NAN,
            Self::Linear => value,
            Self::Log => value.log10(),
            Self::Percentile => -(1.0 - value / 100.0).log10(),
        }
    }

    /// Ticks, the first not above `low` and the last not below `high`; percentiles end below it.
    fn ticks(self, low: f64, high: f64) -> Vec<f64> {
        match self {
            Self::Percentile => percentiles().take_while(|tick| *tick <= high).collect(),
            Self::Linear => {
                let is_enough = |step: &f64| high / step <= (TICKS_MAX - 2) as f64;
                let step = rounds(high / 1e3).find(is_enough).unwrap_or(1.0);
                (0..=(high / step).ceil().max(1.0) as u32).map(|at| f64::from(at) * step).collect()
            }
            Self::Log => {
                let mut ticks = rounds(low).take_while(|tick| *tick < high).collect::<Vec<_>>();
                ticks.extend(rounds(high).find(|tick| *tick >= high));
                let (first, last) = (ticks.first().copied(), ticks.last().copied());
                let is_kept = |tick: &f64| {
                    tick.log10().fract().abs() < 1e-9 || Some(*tick) == first || Some(*tick) == last
                };
                if ticks.len() > TICKS_MAX {
                    ticks.retain(is_kept);
                }
                ticks
            }
        }
    }
}

/// An axis with its ends and ticks: where a value stands in the picture.
struct Ruler {
    scale: Scale,
    /// Places of the ends, and where these are in the picture.
    ends: [(f64, f64); 2],
    ticks: Vec<f64>,
}

impl Ruler {
    fn new(scale: Scale, values: Vec<f64>, from: f64, to: f64) -> Self {
        let low = values.iter().copied().reduce(f64::min).unwrap_or(1.0);
        let high = values.iter().copied().reduce(f64::max).unwrap_or(1.0);
        let ticks = scale.ticks(low, high);
        let first = ticks.first().copied().unwrap_or(low);
        let last = ticks.last().copied().unwrap_or(high).max(high);
        let ends = [(scale.place(first), from), (scale.place(last), to)];
        Self { scale, ends, ticks }
    }

    fn at(&self, value: f64) -> f64 {
        let [(low, from), (high, to)] = self.ends;
        // Both ends are one where all values are.
        let share = (self.scale.place(value) - low) / (high - low).max(f64::MIN_POSITIVE);
        from + share * (to - from)
    }
}

/// 0, 50, 90, 99, 99.9 and so on.
fn percentiles() -> impl Iterator<Item = f64> {
    [0.0, 50.0].into_iter().chain((1..12).map(|nines| 100.0 - 10_f64.powi(2 - nines)))
}

/// The numbers 1, 2 and 5 times a power of ten, from the last that is not above `low`.
fn rounds(low: f64) -> impl Iterator<Item = f64> {
    let exponent = low.max(1e-9).log10().floor() as i32;
    let all = (exponent..exponent + 40).flat_map(|exponent| {
        // Parsed, for no error of rounding shows in a tick.
        [1, 2, 5].into_iter().filter_map(move |digit| format!("{digit}e{exponent}").parse().ok())
    });
    let mut all = all.peekable();
    let mut last = None;
    while let Some(round) = all.next_if(|round: &f64| *round <= low) {
        last = Some(round);
    }
    last.into_iter().chain(all)
}

/// A number, its thousands apart: `10 000`, `0.5`.
#[must_use]
pub fn number(value: f64) -> String {
    let text = format!("{}", (value * 1e6).round() / 1e6);
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut spaced = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            spaced.push('\u{a0}');
        }
        spaced.push(digit);
    }
    spaced + fraction
}

/// A time that is given in microseconds: `20 µs`, `5 ms`, `1 s`.
#[must_use]
pub fn time(us: f64) -> String {
    let (value, unit) = match us {
        0.0 => return "0".to_owned(),
        ..1e3 => (us, "µs"),
        ..1e6 => (us / 1e3, "ms"),
        _ => (us / 1e6, "s"),
    };
    format!("{}\u{a0}{unit}", number(value))
}

/// A percentile: `99.9 %`.
#[must_use]
pub fn percent(value: f64) -> String {
    format!("{}\u{a0}%", (value * 1e9).round() / 1e9)
}

/// A text as XML has it; what XML cannot have is replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            char if char.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node};

    use super::{Axis, Plot, STYLES, Scale, Series, escape, number, percent, time};

    fn latency(series: Vec<Series>) -> Plot {
        Plot {
            title: "cycle: 1 000 subscribers".to_owned(),
            subtitle: "polls, 3 rounds".to_owned(),
            x: Axis { name: "percentile", scale: Scale::Percentile, text: percent },
            y: Axis { name: "latency", scale: Scale::Log, text: time },
            series,
        }
    }

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.to_owned(), points: points.to_vec() }
    }

    fn texts<'x>(document: &'x Document, class: &str) -> Vec<&'x str> {
        let is_wanted =
            |node: &Node| node.has_tag_name("text") && node.attribute("class") == Some(class);
        let all = document.descendants().filter(is_wanted);
        all.filter_map(|node| node.text()).collect()
    }

    /// The points of all lines but those of the legend.
    fn lines(document: &Document) -> Vec<Vec<(f64, f64)>> {
        let paths = document.descendants().filter(|node| node.has_tag_name("path"));
        let line = |node: Node| {
            let d = node.attribute("d")?;
            let is_line = node.attribute("class")?.starts_with("line") && !d.contains('H');
            let points = d.split(['M', 'L']).skip(1).map(|point| {
                let (x, y) = point.split_once(' ').expect("two numbers");
                (x.parse().expect("a number"), y.parse().expect("a number"))
            });
            is_line.then(|| points.collect())
        };
        paths.filter_map(line).collect()
    }

    #[test]
    fn a_plot_is_xml_with_its_title_axes_and_legend_and_no_script() {
        let svg = latency(vec![
            series("ours", &[(0.0, 90.0), (90.0, 4e3), (99.9, 2e4)]),
            series("a <b> & \"c\"\u{1}", &[(0.0, 200.0), (99.0, 9e4)]),
        ])
        .svg();
        let document = Document::parse(&svg).expect("it is XML");
        let root = document.root_element();
        assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
        assert_eq!(texts(&document, "title"), ["cycle: 1 000 subscribers"]);
        assert_eq!(
            texts(&document, "x"),
            [
                "0\u{a0}%",
                "50\u{a0}%",
                "90\u{a0}%",
                "99\u{a0}%",
                "99.9\u{a0}%",
                "percentile",
                "latency"
            ]
        );
        assert_eq!(texts(&document, "y").first(), Some(&"50\u{a0}µs"));
        assert_eq!(texts(&document, "y").last(), Some(&"100\u{a0}ms"));
        for text in ["polls, 3 rounds", "ours", "a <b> & \"c\"\u{fffd}"] {
            assert!(root.descendants().any(|node| node.text() == Some(text)), "{text}: {svg}");
        }
        assert!(svg.contains("prefers-color-scheme:dark"), "{svg}");
        assert!(!root.descendants().any(|node| node.has_tag_name("script")), "{svg}");
        assert!(svg.len() < 4000, "{} bytes", svg.len());
    }

    #[test]
    fn nines_have_the_same_distance_and_so_have_powers_of_ten() {
        let points = [(0.0, 1e2), (90.0, 1e3), (99.0, 1e4), (99.9, 1e5)];
        let svg = latency(vec![series("ours", &points)]).svg();
        let lines = lines(&Document::parse(&svg).expect("it is XML"));
        let [points] = lines.as_slice() else { panic!("one line: {lines:?}") };
        for pair in points.windows(2) {
            let (right, up) = (pair[1].0 - pair[0].0, pair[0].1 - pair[1].1);
            let (all_right, all_up) = (points[3].0 - points[0].0, points[0].1 - points[3].1);
            assert!((right - all_right / 3.0).abs() < 0.2, "{points:?}");
            assert!((up - all_up / 3.0).abs() < 0.2, "{points:?}");
        }
    }

    #[test]
    fn every_line_lies_between_the_axes_whatever_its_values_are() {
        let hostile = [
            (f64::NAN, 1.0),
            (5.0, f64::INFINITY),
            (100.0, 7.0),
            (1e9, -3.0),
            (0.0, 0.0),
            (1e-9, 1e12),
            (7.0, 7.0),
        ];
        for scale in [Scale::Linear, Scale::Log, Scale::Percentile] {
            for points in [&hostile[..], &hostile[..3], &hostile[6..], &[]] {
                let turned = points.iter().map(|point| (point.1, point.0)).collect::<Vec<_>>();
                let mut plot = latency(vec![series("", points), series("", &turned)]);
                (plot.x.scale, plot.y.scale) = (scale, scale);
                let svg = plot.svg();
                let document = Document::parse(&svg).unwrap_or_else(|e| panic!("{e}: {svg}"));
                for (x, y) in lines(&document).into_iter().flatten() {
                    assert!((83.9..=776.1).contains(&x), "{scale:?}: {x} in {svg}");
                    assert!((91.9..=394.1).contains(&y), "{scale:?}: {y} in {svg}");
                }
            }
        }
    }

    #[test]
    fn as_many_lines_as_there_are_styles_look_different() {
        let all = (0..STYLES).map(|_| series("x", &[(0.0, 1.0), (90.0, 2.0)])).collect();
        let svg = latency(all).svg();
        for style in 0..STYLES {
            assert!(svg.contains(&format!("class=\"line s{style}\"")), "{style}: {svg}");
            assert!(svg.contains(&format!(".s{style}")), "{style}: {svg}");
        }
        assert!(svg.contains(".s7{stroke-dasharray"), "{svg}");
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(
            Scale::Linear.ticks(3.0, 143.0),
            [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0]
        );
        assert_eq!(Scale::Log.ticks(80.0, 1200.0), [50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0]);
        assert_eq!(Scale::Log.ticks(1e3, 1e6), [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6]);
        assert_eq!(Scale::Log.ticks(3.0, 1.1e4), [2.0, 10.0, 100.0, 1e3, 1e4, 2e4]);
        assert_eq!(Scale::Percentile.ticks(0.0, 99.95), [0.0, 50.0, 90.0, 99.0, 99.9]);
    }

    #[test]
    fn ticks_are_read_without_errors_of_rounding() {
        assert_eq!(
            [number(0.3), number(1e6), number(12_345.5)].map(plain),
            ["0.3", "1 000 000", "12 345.5"]
        );
        assert_eq!([time(0.5), time(2e4), time(1e6)].map(plain), ["0.5 µs", "20 ms", "1 s"]);
        let nines: Vec<String> = super::percentiles().take(7).map(percent).map(plain).collect();
        assert_eq!(nines, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]);
        assert_eq!(escape("a&b"), "a&amp;b");
    }

    fn plain(text: String) -> String {
        text.replace('\u{a0}', " ")
    }
}
