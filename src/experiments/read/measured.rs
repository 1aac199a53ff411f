//! What is counted and computed, and when it is good or bad.

use super::reader::{Fields, Reader, in_words, node_of};
use super::scaled;
use super::tree::{Kind, Node, Place};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::{Measuring, Metric, MetricKind, Span};

impl Reader {
    pub(super) fn metrics(&mut self, found: Option<(&Node, String)>, at: Place) -> Vec<Metric> {
        let Some((node, path)) = found else {
            self.place("metrics", at);
            return Vec::new();
        };
        self.place("metrics", node.at);
        self.in_percent = in_percent(node);
        let mut metrics = Vec::new();
        match &node.kind {
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    metrics.extend(self.metric(item, None, index));
                }
            }
            Kind::Map(named) => {
                for (index, (key, item)) in named.iter().enumerate() {
                    metrics.extend(self.metric(item, Some(&key.name), index));
                }
            }
            _ => self.misfit(node, &path, "a list of metrics, each with `name` and `type`"),
        }
        metrics
    }

    fn metric(&mut self, node: &Node, name: Option<&str>, index: usize) -> Option<Metric> {
        let path = format!("metrics[{index}]");
        self.place(&path, node.at);
        if let (Kind::Text(text), None) = (&node.kind, name) {
            // A name alone.
            return Some(metric(text.trim(), guessed(text.trim())));
        }
        let Some(mut fields) = Fields::of(node, &path) else {
            self.misfit(node, &path, "fields (`name`, `type`, `formula`)");
            return None;
        };
        let written = fields.take(&["name", "metric"]).and_then(|(node, path)| self.text(node, &path));
        let Some(name) = written.or_else(|| name.map(str::to_owned)) else {
            self.error(&path, node.at, "the metric has no `name`".to_owned(), None);
            return None;
        };
        let name = name.trim().to_owned();
        let kind = match fields.take(&["type", "kind"]) {
            None => guessed(&name),
            Some((node, path)) => {
                let text = self.text(node, &path).unwrap_or_default();
                kind(&text).unwrap_or_else(|| {
                    let message = format!("`{}` is no type of metric", sanitize_line(&text, 40));
                    let fix = "write `counter`, `percentage` or `duration`".to_owned();
                    self.error(&path, node.at, message, Some(fix));
                    guessed(&name)
                })
            }
        };
        let formula = fields.take(&["formula", "calculation", "expression"]).and_then(|(node, written)| {
            self.place(&format!("{path}.formula"), node.at);
            self.text(node, &written).map(|text| text.trim().to_owned())
        });
        let mut threshold = |reader: &mut Self, name: &str| {
            let (node, written) = fields.take(&[name])?;
            reader.place(&format!("{path}.{name}"), node.at);
            reader.number(node, &written).map(|number| (number, is_percent(node)))
        };
        let success = threshold(self, "success_threshold");
        let failure = threshold(self, "failure_threshold");
        let unit = self.unit(&mut fields, kind);
        let mut described: Vec<String> = Vec::new();
        for name in ["description", "tracking"] {
            described.extend(fields.take(&[name]).and_then(|(node, path)| self.words(node, &path)));
        }
        for (key, node) in fields.rest() {
            described.push(format!("{}: {}", key.name, in_words(node)));
        }
        let mut read = metric(&name, kind);
        read.description = (!described.is_empty()).then(|| described.join("; "));
        let scaled = scaled::is_percent(formula.as_deref());
        read.formula = formula;
        for (name, line) in [("success_threshold", success), ("failure_threshold", failure)] {
            if let Some((number, false)) = line
                && kind == MetricKind::Percentage
                && !scaled
                && let Some(written) = node.get(name)
                && (is_whole(written, 1) || self.in_percent && number > 0.0 && number < 1.0)
            {
                let message = format!("{number} may be {number} % or {} %", number * 100.0);
                let at = written.at;
                let fix = format!("write `{number}%` or `{}%`", number * 100.0);
                self.error(&format!("{path}.{name}"), at, message, Some(fix));
            }
        }
        let line = |found: Option<(f64, bool)>| {
            found.map(|(number, percent)| (scale(&read, number, percent, scaled, unit), number))
        };
        let (success, failure) = (line(success), line(failure));
        for (name, line) in [("success_threshold", success), ("failure_threshold", failure)] {
            if let Some((now, was)) = line.filter(|(now, was)| (now - was).abs() > f64::EPSILON) {
                let message = format!("{was} is read as {}", shown(kind, now));
                let at = node.get(name).map_or(node.at, |node| node.at);
                self.warn(&format!("{path}.{name}"), at, message, Some(format!("write `{now}`")));
            }
        }
        read.success_threshold = success.map(|(number, _)| number);
        read.failure_threshold = failure.map(|(number, _)| number);
        Some(read)
    }

    /// The seconds of the unit in which the thresholds of a length of time are written. Of anything else it is a word for people.
    fn unit(&mut self, fields: &mut Fields<'_>, kind: MetricKind) -> f64 {
        if kind != MetricKind::Duration {
            return 1.0;
        }
        let Some((node, path)) = fields.take(&["unit", "units"]) else { return 1.0 };
        let text = self.text(node, &path).unwrap_or_default();
        match text.trim().to_lowercase().as_str() {
            "weeks" | "week" | "w" => 604_800.0,
            "days" | "day" | "d" => 86_400.0,
            "hours" | "hour" | "h" => 3_600.0,
            "minutes" | "minute" | "min" | "m" => 60.0,
            "seconds" | "second" | "sec" | "s" => 1.0,
            "milliseconds" | "millisecond" | "ms" => 0.001,
            _ => {
                let message = format!("`{}` is no unit of time", sanitize_line(&text, 40));
                self.error(&path, node.at, message, Some("write `hours`, `days` or `seconds`".to_owned()));
                1.0
            }
        }
    }

    /// Criteria: a list of texts. Other forms are kept as they are said, for the check to refuse.
    pub(super) fn criteria(&mut self, fields: &mut Fields<'_>, name: &str, at: Place) -> Vec<String> {
        let found = node_of(fields.take(&[name]));
        if found.is_none() {
            self.place(name, at);
        }
        self.list(found, name)
    }

    pub(super) fn measuring(&mut self, found: Option<(&Node, String)>) -> Measuring {
        let mut measuring = Measuring::default();
        let Some((node, path)) = found else { return measuring };
        self.place("measuring", node.at);
        let Some(mut fields) = Fields::of(node, "measuring") else {
            if let Some(window) = self.span(node, &path, "d") {
                measuring.window = window;
            }
            return measuring;
        };
        let mut span = |reader: &mut Self, names: &[&str], unit: &str, place: &str| -> Option<Span> {
            let (node, path) = fields.take(names)?;
            reader.place(&format!("measuring.{place}"), node.at);
            reader.span(node, &path, unit)
        };
        if let Some(window) = span(self, &["window"], "d", "window") {
            measuring.window = window;
        }
        if let Some(every) = span(self, &["collect_every", "every"], "m", "collect_every") {
            measuring.collect_every = every;
        }
        for (key, node) in fields.rest() {
            self.keep(&format!("measuring.{}", key.name), key.at, node);
        }
        measuring
    }
}

fn metric(name: &str, kind: MetricKind) -> Metric {
    Metric {
        name: name.to_owned(),
        kind,
        formula: None,
        success_threshold: None,
        failure_threshold: None,
        description: None,
    }
}

fn kind(text: &str) -> Option<MetricKind> {
    Some(match text.trim().to_lowercase().as_str() {
        "counter" | "count" | "number" | "integer" | "sum" => MetricKind::Counter,
        "percentage" | "percent" | "rate" | "ratio" | "share" => MetricKind::Percentage,
        "duration" | "time" | "timer" => MetricKind::Duration,
        _ => return None,
    })
}

fn guessed(name: &str) -> MetricKind {
    if name.ends_with("_rate") {
        MetricKind::Percentage
    } else if name.starts_with("time_to_") || name.ends_with("_duration") {
        MetricKind::Duration
    } else {
        MetricKind::Counter
    }
}

/// Whether thresholds of shares are written as numbers of percent: one of them is no fraction.
fn in_percent(metrics: &Node) -> bool {
    let items: Vec<&Node> = match &metrics.kind {
        Kind::List(items) => items.iter().collect(),
        Kind::Map(named) => named.iter().map(|(_, node)| node).collect(),
        _ => Vec::new(),
    };
    let text = |node: &Node, name: &str| match &node.get(name)?.kind {
        Kind::Text(text) => Some(text.clone()),
        _ => None,
    };
    items.into_iter().any(|item| {
        let share = match text(item, "type") {
            Some(written) => kind(&written) == Some(MetricKind::Percentage),
            None => text(item, "name").is_some_and(|name| guessed(&name) == MetricKind::Percentage),
        };
        let scaled = ["formula", "calculation", "expression"].iter().any(|name| scaled::is_percent(text(item, name).as_deref()));
        let above = |name: &&str| {
            matches!(item.get(name).map(|node| &node.kind), Some(Kind::Number(n)) if n.as_f64().is_some_and(|n| n > 1.0))
        };
        share && !scaled && ["success_threshold", "failure_threshold"].iter().any(above)
    })
}

/// Whether this is just this number, without a point.
fn is_whole(node: &Node, number: u64) -> bool {
    matches!(&node.kind, Kind::Number(found) if found.as_u64() == Some(number))
}

/// Whether a number was written with `%`: then it is a share already.
fn is_percent(node: &Node) -> bool {
    matches!(&node.kind, Kind::Text(text) if text.trim().ends_with('%'))
}

/// A threshold as it is meant: shares as fractions, times in seconds.
fn scale(metric: &Metric, number: f64, percent: bool, scaled: bool, unit: f64) -> f64 {
    match metric.kind {
        MetricKind::Percentage if !percent && (scaled || number > 1.0) => hundredth(number),
        MetricKind::Duration => number * unit,
        _ => number,
    }
}

/// A hundredth, without the dust that binary fractions leave: 8.2 becomes 0.082.
fn hundredth(number: f64) -> f64 {
    (number * 1e4).round() / 1e6
}

fn shown(kind: MetricKind, number: f64) -> String {
    match kind {
        MetricKind::Percentage => format!("{} %", (number * 1e4).round() / 100.0),
        MetricKind::Duration => format!("{number} seconds"),
        MetricKind::Counter => number.to_string(),
    }
}
