//! Metrics: figures for Prometheus, as its text format 0.0.4 or as OpenMetrics 1.0. The third of
//! the three writers over [`Figures::each`]. No label is what a client chooses.

use std::fmt;

use super::histogram::BOUNDS_US;
use super::{Figure, Figures, Histogram, Kind, Process, StoreFigures, StoreFiguresOf};

/// The media type of the text format.
pub const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The media type of OpenMetrics.
pub const OPEN_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// See the module.
#[derive(Debug)]
pub struct Metrics<'f> {
    /// What is shown.
    pub figures: &'f Figures,
    /// As OpenMetrics.
    pub is_open: bool,
}

impl fmt::Display for Metrics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer { out: f, is_open: self.is_open, family: String::new() };
        writer.write(self.figures)?;
        if self.is_open { f.write_str("# EOF\n") } else { Ok(()) }
    }
}

/// A value, as it is written.
enum Value {
    Whole(u64),
    Micros(u64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Micros(us) => write!(f, "{}.{:06}", us / 1_000_000, us % 1_000_000),
        }
    }
}

/// Of a figure; those of a time are seconds in all metrics.
impl From<&Figure> for Value {
    fn from(Figure { name, value, .. }: &Figure) -> Self {
        match () {
            () if name.ends_with("_ms") => Self::Micros(value.saturating_mul(1000)),
            () if name.ends_with("_us") => Self::Micros(*value),
            () => Self::Whole(*value),
        }
    }
}

struct Writer<'o, 'f> {
    out: &'o mut fmt::Formatter<'f>,
    is_open: bool,
    /// Whose type was said last: samples of a family stand together.
    family: String,
}

impl Writer<'_, '_> {
    fn write(&mut self, figures: &Figures) -> fmt::Result {
        let version = concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
        self.sample(version, Kind::Gauge, Value::Whole(1))?;
        for figure in figures.own().filter(|figure| !figure.metric.is_empty()) {
            self.sample(figure.metric, figure.kind, (&figure).into())?;
        }
        self.stores(&figures.stores)?;
        let is_well = u64::from(!figures.settings.is_refused);
        self.sample("config_last_reload_successful", Kind::Gauge, Value::Whole(is_well))?;
        if let Some(ends_s) = figures.certificate_ends_s {
            let name = "tls_certificate_expiry_seconds";
            self.sample(name, Kind::Gauge, Value::Whole(ends_s))?;
        }
        let durations = &figures.durations;
        self.histogram("fanout_duration_seconds", &durations.fanout)?;
        self.histogram("loop_turn_seconds", &durations.turn)?;
        self.histogram("passthrough_duration_seconds", &durations.passthrough)?;
        figures.process.as_ref().map_or(Ok(()), |process| self.process(process))
    }

    /// Those of stores: of each figure the samples of all stores.
    fn stores(&mut self, stores: &[StoreFigures]) -> fmt::Result {
        for is_redis in [false, true] {
            let is_meant =
                |of: &&StoreFigures| matches!(of.kind, StoreFiguresOf::Redis(_)) == is_redis;
            let mut all: Vec<_> =
                stores.iter().filter(is_meant).map(|of| (escaped(&of.store), of.plain())).collect();
            'figures: loop {
                for (store, figures) in &mut all {
                    let Some(figure) = figures.next() else { break 'figures };
                    let metric = format!("{}{{store=\"{store}\"}}", figure.metric);
                    self.sample(&metric, figure.kind, (&figure).into())?;
                }
                if all.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn process(&mut self, process: &Process) -> fmt::Result {
        let gauges = [
            ("process_resident_memory_bytes", process.resident_bytes),
            ("process_open_fds", process.open_fds),
            ("process_max_fds", process.max_fds),
            ("process_start_time_seconds", process.started_s),
        ];
        for (name, value) in gauges {
            self.sample(name, Kind::Gauge, Value::Whole(value))?;
        }
        self.sample("process_cpu_seconds", Kind::Counter, Value::Micros(process.cpu_us))
    }

    /// One sample, behind the type of its family. `metric`: its name, with labels.
    fn sample(&mut self, metric: &str, kind: Kind, value: Value) -> fmt::Result {
        let at = metric.find('{').unwrap_or(metric.len());
        let (name, labels) = metric.split_at(at);
        let (total, word) = match kind {
            Kind::Gauge => ("", "gauge"),
            Kind::Counter => ("_total", "counter"),
        };
        self.say_type(name, total, word)?;
        writeln!(self.out, "{}{name}{total}{labels} {value}", prefix(name))
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) -> fmt::Result {
        self.say_type(name, "", "histogram")?;
        let whole = format!("{}{name}", prefix(name));
        for (bound_us, count) in BOUNDS_US.iter().zip(histogram.up_to()) {
            // As OpenMetrics writes a number that has a point.
            let bound = *bound_us as f64 / 1e6;
            writeln!(self.out, "{whole}_bucket{{le=\"{bound:?}\"}} {count}")?;
        }
        let (count, sum) = (histogram.count(), Value::Micros(histogram.sum_us()));
        writeln!(self.out, "{whole}_bucket{{le=\"+Inf\"}} {count}")?;
        writeln!(self.out, "{whole}_sum {sum}\n{whole}_count {count}")
    }

    fn say_type(&mut self, name: &str, total: &str, word: &str) -> fmt::Result {
        if self.family == name {
            return Ok(());
        }
        self.family.clear();
        self.family.push_str(name);
        let total = if self.is_open { "" } else { total };
        writeln!(self.out, "# TYPE {}{name}{total} {word}", prefix(name))
    }
}

/// What a name begins with: those of the process are called so by every daemon.
fn prefix(name: &str) -> &'static str {
    if name.starts_with("process_") { "" } else { "pushserver_" }
}

/// A store's name in a label.
fn escaped(store: &str) -> String {
    store.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::figures::{PersistFigures, RedisFigures};

    fn figures() -> Figures {
        let store = |name: &str, kind| StoreFigures { store: name.into(), kind };
        let mut figures = Figures {
            stores: vec![
                store("a", StoreFiguresOf::Redis(RedisFigures::default())),
                store("b\"\\", StoreFiguresOf::Persist(PersistFigures::default())),
                store("c", StoreFiguresOf::Redis(RedisFigures::default())),
            ],
            process: Some(Process { cpu_us: 1_500_000, ..Process::default() }),
            certificate_ends_s: Some(7),
            ..Figures::default()
        };
        figures.net.longest_turn_ms = 1_234;
        figures.durations.turn.note(2_000);
        figures
    }

    #[test]
    fn a_family_has_its_type_once_and_its_samples_together() {
        for is_open in [false, true] {
            let text = Metrics { figures: &figures(), is_open }.to_string();
            let types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
            let all: BTreeSet<_> = types.iter().collect();
            assert_eq!(all.len(), types.len(), "{text}");
            assert_eq!(text.ends_with("# EOF\n"), is_open);
            let total = if is_open { "" } else { "_total" };
            for line in [
                &format!("# TYPE pushserver_messages_published{total} counter"),
                "pushserver_messages_published_total 0",
                "pushserver_longest_turn_seconds 1.234000",
                "pushserver_responses_total{code=\"404\"} 0",
                "pushserver_redis_up{store=\"a\"} 0\npushserver_redis_up{store=\"c\"} 0",
                "pushserver_persist_commits_total{store=\"b\\\"\\\\\"} 0",
                "pushserver_loop_turn_seconds_bucket{le=\"0.001\"} 0",
                "pushserver_loop_turn_seconds_bucket{le=\"0.005\"} 1",
                "pushserver_loop_turn_seconds_bucket{le=\"10.0\"} 1",
                "pushserver_loop_turn_seconds_bucket{le=\"+Inf\"} 1",
                "pushserver_loop_turn_seconds_sum 0.002000",
                "pushserver_config_last_reload_successful 1",
                "pushserver_tls_certificate_expiry_seconds 7",
                "process_cpu_seconds_total 1.500000",
            ] {
                assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
            }
        }
    }

    #[test]
    fn metrics_of_one_store_are_no_longer_than_8_kb() {
        let mut figures = figures();
        figures.stores.truncate(1);
        let count = |figures: &mut u64| *figures = 12_345_678_901;
        count(&mut figures.relay.delivered);
        count(&mut figures.relay.published);
        for is_open in [false, true] {
            let bytes = Metrics { figures: &figures, is_open }.to_string().len();
            assert!(bytes <= 8_000, "{bytes}");
        }
    }
}
