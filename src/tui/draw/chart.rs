//! Charts: lines of small bars, and a number over time with the lines that it must not, or should, cross.
//!
//! Must never say anything by colour alone: a line has its words, and where it goes is seen by shape. With plain frames only ASCII is drawn.

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::widgets::canvas::{Canvas, Line, Points};
use unicode_width::UnicodeWidthStr;

use super::text::{self, Piece};
use crate::tui::app::Model;
use crate::tui::store::experiments::fewer;
use crate::tui::theme::Role;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const PLAIN_BARS: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// Small bars in at most so many columns: the lowest for the least, the highest for the most.
pub fn sparkline(values: &[f64], columns: usize, is_plain: bool) -> String {
    let bars = if is_plain { PLAIN_BARS } else { BARS };
    let values = fewer(values, columns, false);
    let known = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = known().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(it), high.max(it)));
    // Nothing is nothing, wherever the rest is.
    let low = if low > 0.0 && low < high / 2.0 { 0.0 } else { low };
    let bar = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of seven, rounded")]
        let at = (share * 7.0).round() as usize;
        if value.is_finite() { bars.get(at).copied().unwrap_or(' ') } else { ' ' }
    };
    values.iter().map(|value| bar(*value)).collect()
}

/// How far something is, from 0 to 1, as a bar of so many columns and in percent.
pub fn progress(share: f64, columns: u16, is_plain: bool) -> String {
    let share = share.clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the columns, rounded")]
    let (done, percent) = ((share * f64::from(columns)).round() as usize, (share * 100.0).floor() as usize);
    let [full, open] = if is_plain { ["#", "."] } else { ["█", "░"] };
    format!("{}{} {percent}%", full.repeat(done), open.repeat(usize::from(columns).saturating_sub(done)))
}

/// Where the last third stands against the first, as a sign: up, down, level; nothing where too little is known.
pub fn trend(values: &[f64], is_plain: bool) -> &'static str {
    let third = values.len() / 3;
    let mean = |part: &[f64]| {
        let (count, sum) = part.iter().filter(|it| it.is_finite()).fold((0_u32, 0.0), |(n, sum), it| (n + 1, sum + it));
        (count > 0).then(|| sum / f64::from(count))
    };
    let first = values.get(..third).and_then(mean);
    let last = values.get(values.len() - third..).and_then(mean);
    let Some((first, last)) = first.zip(last) else { return " " };
    let change = last - first;
    let level = change.abs() <= first.abs().max(last.abs()) * 0.05;
    match (level, change > 0.0, is_plain) {
        (true, _, false) => "→",
        (true, _, true) => "=",
        (_, true, false) => "↗",
        (_, true, true) => "^",
        (_, false, false) => "↘",
        (_, false, true) => "v",
    }
}

/// A number for people: a share in percent, a large one in thousands, millions.
pub fn number(value: f64, is_share: bool) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if is_share {
        // Some write 12.4 for 12.4 %.
        let percent = if value.abs() > 1.5 { value } else { value * 100.0 };
        return if percent.abs() >= 1e4 { short(percent) + "%" } else { trimmed(percent, 1) + "%" };
    }
    short(value)
}

fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size >= 1e15 => format!("{value:.1e}"),
        _ if size >= 1e10 => trimmed(value / 1e9, 1) + "G",
        _ if size >= 1e7 => trimmed(value / 1e6, 1) + "M",
        _ if size >= 1e4 => trimmed(value / 1e3, 1) + "k",
        _ => trimmed(value, 2),
    }
}

/// With at most so many decimals.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A line across a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Where.
    pub value: f64,
    /// What it is, harmless.
    pub label: String,
    /// How it looks.
    pub role: Role,
}

/// A number over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TimeChart {
    /// The number, by time.
    pub points: Vec<(DateTime<Utc>, f64)>,
    /// What it should be compared with.
    pub levels: Vec<Level>,
    /// Whether it is shown in percent.
    pub is_share: bool,
}

/// Whether a number can be drawn: beyond this, differences are no numbers any more.
fn is_drawn(value: f64) -> bool {
    value.abs() < 1e100
}

/// What a chart covers.
struct Bounds {
    x: [f64; 2],
    y: [f64; 2],
}

impl TimeChart {
    /// What the chart covers; none where there is nothing to draw.
    fn bounds(&self) -> Option<Bounds> {
        let known = self.points.iter().filter(|(_, value)| is_drawn(*value));
        let (first, last) = (known.clone().next()?.0, known.clone().next_back()?.0);
        let values = known.map(|(_, value)| *value).chain(self.levels.iter().map(|level| level.value));
        let (low, high) = values
            .filter(|it| is_drawn(*it))
            .fold((0.0_f64, f64::NEG_INFINITY), |(low, high), it| (low.min(it), high.max(it)));
        let high = if high > low { high + (high - low) * 0.08 } else { low + 1.0 };
        Some(Bounds { x: [seconds(first), seconds(last).max(seconds(first) + 1.0)], y: [low, high] })
    }

    /// Draws it: the numbers at the left, the times below, lines across with their words.
    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let area = area.intersection(frame.area());
        let Some(bounds) = self.bounds().filter(|_| area.width >= 16 && area.height >= 3) else { return };
        let words = |value: f64| number(value, self.is_share);
        let [low, high] = bounds.y;
        let labels = [words(high), words(f64::midpoint(low, high)), words(low)];
        let gutter = labels.iter().map(|label| label.width()).max().unwrap_or(0).min(10) + 1;
        let gutter = u16::try_from(gutter).unwrap_or(8);
        let plot = Rect { x: area.x + gutter, width: area.width - gutter, height: area.height - 1, ..area };
        let rows = [plot.y, plot.y + plot.height / 2, plot.bottom().saturating_sub(1)];
        for (at, (label, y)) in labels.iter().zip(rows).enumerate() {
            if at != 1 || plot.height >= 5 {
                let row = Rect { y, height: 1, width: gutter, ..area };
                text::draw(
                    frame,
                    row,
                    model,
                    &[Piece::new(Role::Muted, format!("{label:>0$} ", usize::from(gutter) - 1))],
                    None,
                );
            }
        }
        self.line(frame, plot, model, &bounds);
        self.levels(frame, plot, model, &bounds);
        self.times(frame, Rect { y: plot.bottom(), height: 1, ..plot }, model);
    }

    /// The number itself. A single point is a point.
    fn line(&self, frame: &mut Frame<'_>, plot: Rect, model: &Model, bounds: &Bounds) {
        let points: Vec<(f64, f64)> = self
            .points
            .iter()
            .filter(|(_, value)| is_drawn(*value))
            .map(|(at, value)| (seconds(*at), *value))
            .collect();
        let is_plain = model.about.is_plain;
        let marker = if is_plain { Marker::Custom('*') } else { Marker::Braille };
        let canvas = Canvas::default().marker(marker).x_bounds(bounds.x).y_bounds(bounds.y).paint(|ctx| {
            ctx.draw(&Points::new(&points, Color::default()));
            for pair in points.windows(2) {
                if let [from, to] = pair {
                    ctx.draw(&Line::new(from.0, from.1, to.0, to.1, Color::default()));
                }
            }
        });
        frame.render_widget(canvas, plot);
        let ground = model.theme.background;
        for at in plot.positions() {
            let Some(cell) = frame.buffer_mut().cell_mut(at) else { continue };
            let is_drawn = cell.symbol() != " ";
            cell.set_style(ground.patch(model.theme.style(if is_drawn { Role::Accent } else { Role::Text })));
        }
    }

    fn levels(&self, frame: &mut Frame<'_>, plot: Rect, model: &Model, bounds: &Bounds) {
        let [low, high] = bounds.y;
        let row = |level: &Level| {
            let share = (high - level.value) / (high - low);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a row of the screen")]
            let row = (share * f64::from(plot.height.saturating_sub(1))).round() as u16;
            plot.y + row.min(plot.height.saturating_sub(1))
        };
        let levels = || self.levels.iter().filter(|level| is_drawn(level.value)).map(|level| (row(level), level));
        for (y, level) in levels() {
            let sign = if model.about.is_plain { "-" } else { "╌" };
            let style = model.theme.background.patch(model.theme.style(level.role));
            for x in plot.left()..plot.right() {
                if let Some(cell) = frame.buffer_mut().cell_mut((x, y)).filter(|cell| cell.symbol() == " ") {
                    cell.set_symbol(sign).set_style(style);
                }
            }
        }
        let mut taken: Vec<u16> = Vec::new();
        for (y, level) in levels() {
            // Two lines on one row: the words of the second stand below, or above.
            let free = [y, y.saturating_add(1), y.saturating_sub(1)];
            let free = free.into_iter().find(|y| !taken.contains(y) && (plot.top()..plot.bottom()).contains(y));
            if let Some(y) = free {
                taken.push(y);
                let label = text::clipped(&format!(" {} ", level.label), usize::from(plot.width));
                let width = u16::try_from(label.width()).unwrap_or(plot.width).min(plot.width);
                let place = Rect { x: plot.right() - width, y, width, height: 1 };
                text::draw(frame, place, model, &[Piece::new(level.role, label)], None);
            }
        }
    }

    /// From when to when.
    fn times(&self, frame: &mut Frame<'_>, row: Rect, model: &Model) {
        let (Some((first, _)), Some((last, _))) = (self.points.first(), self.points.last()) else { return };
        let (from, to) = (moment(*first, *last, model), moment(*last, *first, model));
        text::draw(frame, row, model, &[Piece::new(Role::Muted, from.clone())], None);
        let width = u16::try_from(to.width()).unwrap_or(row.width);
        if usize::from(row.width) > from.width() + to.width() + 1 {
            let place = Rect { x: row.right() - width, width, ..row };
            text::draw(frame, place, model, &[Piece::new(Role::Muted, to)], None);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in 53 bits")]
fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp() as f64
}

/// A time, with its date where the other end of the chart is another day.
fn moment(at: DateTime<Utc>, other: DateTime<Utc>, model: &Model) -> String {
    let whole = text::date_time(at, model);
    let (date, time) = whole.split_once(' ').unwrap_or((&whole, ""));
    let date = date.get(5..).unwrap_or(date);
    let time = time.get(..5).unwrap_or(time);
    if (at - other).abs() > TimeDelta::hours(20) { format!("{date} {time}") } else { time.to_owned() }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use rstest::rstest;

    use super::*;
    use crate::tui::app::tests::{empty, now};

    #[rstest]
    #[case::rising(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "▁▂▃▄▅▆▇█")]
    #[case::fewer_columns(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 9.0], "▂▂▂▂█")]
    #[case::nothing(&[0.0, 0.0, 0.0], "▁▁▁")]
    #[case::no_numbers(&[f64::NAN, f64::INFINITY, 1.0], "  ▁")]
    #[case::empty(&[], "")]
    fn small_bars_show_how_it_went(#[case] values: &[f64], #[case] bars: &str) {
        let columns = if values.len() == 10 { 5 } else { 8 };
        assert_eq!(sparkline(values, columns, false), bars);
        assert!(sparkline(values, columns, true).is_ascii());
    }

    #[rstest]
    #[case(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0], "↗")]
    #[case(&[2.0, 2.0, 2.0, 1.0, 1.0, 1.0], "↘")]
    #[case(&[2.0, 9.0, 2.0], "→")]
    #[case(&[1.0, 2.0], " ")]
    #[case(&[], " ")]
    fn a_trend_is_a_sign(#[case] values: &[f64], #[case] sign: &str) {
        assert_eq!(trend(values, false), sign);
    }

    #[rstest]
    #[case(0.124, true, "12.4%")]
    #[case(12.4, true, "12.4%")]
    #[case(0.018, true, "1.8%")]
    #[case(0.0, true, "0%")]
    #[case(3.0, false, "3")]
    #[case(-0.0001, false, "0")]
    #[case(12_345.0, false, "12.3k")]
    #[case(1e14, false, "100000G")]
    #[case(f64::NAN, false, "?")]
    #[case(f64::INFINITY, true, "?")]
    #[case(1e300, false, "1.0e300")]
    #[case(1e300, true, "1.0e300%")]
    fn numbers_are_short(#[case] value: f64, #[case] is_share: bool, #[case] words: &str) {
        assert_eq!(number(value, is_share), words);
    }

    fn drawn(chart: &TimeChart, is_plain: bool, width: u16, height: u16) -> String {
        let mut model = empty(width, height);
        model.about.is_plain = is_plain;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| chart.draw(frame, frame.area(), &model)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
        (0..height).flat_map(|y| [row(y).trim_end().to_owned(), "\n".to_owned()]).collect()
    }

    fn rising() -> TimeChart {
        let points =
            (0..60).map(|at| (now() + TimeDelta::minutes(at), f64::from(u32::try_from(at).unwrap()) / 1_000.0));
        let level = |value, label: &str| Level { value, label: label.to_owned(), role: Role::Danger };
        let levels = vec![level(0.05, "fails < 5%"), level(0.08, "works > 8%")];
        TimeChart { points: points.collect(), levels, is_share: true }
    }

    #[test]
    fn a_chart_has_its_numbers_its_times_and_its_lines_with_words() {
        let text = drawn(&rising(), false, 60, 12);
        for words in ["8.6%", "0%", "14:02", "15:01", "fails < 5%", "works > 8%", "╌╌╌"] {
            assert!(text.contains(words), "`{words}` is not in\n{text}");
        }
        assert!(text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{text}");
        let at = |words: &str| text.lines().position(|line| line.contains(words)).unwrap();
        assert!(at("works > 8%") < at("fails < 5%"), "the higher line stands higher\n{text}");
        insta::assert_snapshot!("chart_60x12", text);
    }

    #[test]
    fn plain_charts_are_ascii() {
        let text = drawn(&rising(), true, 60, 12);
        assert!(text.is_ascii() && text.contains('*') && text.contains("---"), "{text}");
    }

    #[test]
    fn words_of_lines_that_are_near_do_not_hide_each_other() {
        let mut chart = rising();
        chart.levels[1].value = 0.0501;
        let text = drawn(&chart, false, 60, 12);
        assert!(text.contains("fails < 5%") && text.contains("works > 8%"), "{text}");
    }

    #[test]
    fn one_point_is_seen() {
        let chart = TimeChart { points: vec![(now(), 3.0)], ..TimeChart::default() };
        let text = drawn(&chart, true, 30, 6);
        assert!(text.contains('*') && text.contains('3'), "{text}");
    }

    proptest! {
        #[test]
        fn whatever_the_numbers_and_the_place_it_is_drawn(
            values in prop::collection::vec(prop::num::f64::ANY, 0..40), line in prop::num::f64::ANY, width in 0_u16..50, height in 0_u16..20,
        ) {
            let points = (0..).zip(&values).map(|(at, value)| (now() + TimeDelta::minutes(at), *value)).collect();
            let levels = vec![Level { value: line, label: "line".to_owned(), role: Role::Warn }];
            drawn(&TimeChart { points, levels, is_share: false }, false, width, height);
            sparkline(&values, usize::from(width), false);
            trend(&values, true);
        }
    }
}
