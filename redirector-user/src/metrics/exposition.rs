//! The text format of Prometheus, version 0.0.4.
//!
//! A [`Page`] is written family by family. A family stands there with what it means even if nothing was counted yet, so
//! that a dashboard can be checked against a controller that has just started. Libraries for this write OpenMetrics,
//! which `promtool check metrics` does not read, and own the counters; here most are read from the kernel.

use std::fmt::Write as _;

use super::Histogram;

/// What a scrape is answered.
#[derive(Debug, Default)]
pub struct Page(String);

/// One metric, to which samples are added.
#[derive(Debug)]
pub struct Family<'page> {
    page: &'page mut Page,
    name: &'static str,
}

/// How a metric's numbers are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows, until the controller starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl Page {
    /// Begins a family; names have the controller's prefix before them.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', " ");
        self.write(format_args!(
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n"
        ));
        Family { page: self, name }
    }

    /// A gauge of one number.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: impl Into<Number>) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    /// A counter of one number.
    pub fn counter(&mut self, name: &'static str, help: &str, value: impl Into<Number>) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    /// The whole text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        let written = self.0.write_fmt(text);
        debug_assert!(written.is_ok(), "a String takes everything");
    }
}

impl Family<'_> {
    /// One number.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Number>) {
        self.line("", labels, value.into());
    }

    /// All of a histogram.
    pub fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let count = histogram.count();
        let bounds = histogram.cumulative();
        let bounds = bounds.map(|(bound, count)| (bound.to_string(), count));
        for (bound, count) in bounds.chain([(String::from("+Inf"), count)]) {
            let labels = [labels, &[("le", &bound)]].concat();
            self.line("_bucket", &labels, count.into());
        }
        self.line("_sum", labels, histogram.sum().as_secs_f64().into());
        self.line("_count", labels, count.into());
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], Number(value): Number) {
        let name = self.name;
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        match labels.is_empty() {
            true => self
                .page
                .write(format_args!("{PREFIX}{name}{suffix} {value}\n")),
            false => self.page.write(format_args!(
                "{PREFIX}{name}{suffix}{{{}}} {value}\n",
                labels.join(",")
            )),
        }
    }
}

/// A value, as it is written.
#[derive(Clone, Debug)]
pub struct Number(String);

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(value.to_string())
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self(value.to_string())
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self(value.to_string())
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Self(u8::from(value).to_string())
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self(value.to_string())
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

const PREFIX: &str = "outgated_";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        page.gauge("flows", "Connections.", 3_u32);
        let mut named = page.family("relay_up", Kind::Gauge, "Whether it\ngreets.");
        named.sample(&[("pool", "a\"b\\c"), ("relay", "r1")], true);
        page.family("flags", Kind::Gauge, "None yet.");
        let mut took = Histogram::short();
        took.observe(Duration::from_millis(30));
        let mut histogram = page.family("took_seconds", Kind::Histogram, "How long.");
        histogram.histogram(&[("route", "/")], &took);
        let text = page.into_text();
        let expected = "# HELP outgated_flows Connections.\n# TYPE outgated_flows gauge\noutgated_flows 3\n\
                        # HELP outgated_relay_up Whether it greets.\n# TYPE outgated_relay_up gauge\n\
                        outgated_relay_up{pool=\"a\\\"b\\\\c\",relay=\"r1\"} 1\n\
                        # HELP outgated_flags None yet.\n# TYPE outgated_flags gauge\n";
        assert!(text.starts_with(expected), "{text}");
        for line in [
            "outgated_took_seconds_bucket{route=\"/\",le=\"0.025\"} 0",
            "outgated_took_seconds_bucket{route=\"/\",le=\"0.1\"} 1",
            "outgated_took_seconds_bucket{route=\"/\",le=\"+Inf\"} 1",
            "outgated_took_seconds_sum{route=\"/\"} 0.03",
            "outgated_took_seconds_count{route=\"/\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
