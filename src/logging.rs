//! Logger: chooses and formats the lines for standard error. Never writes to standard output, which
//! carries the readiness line for launchers; never makes the caller wait for standard error.

mod lines;

use std::env;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use env_logger::{Builder, Target, WriteStyle};
use log::{LevelFilter, Log, Metadata, Record};

use self::lines::Lines;
use crate::log_targets::{ACCESS, COUNTERS};

/// The HTTP client of the notices. Its debug lines show whole URLs and headers: secrets, cookies.
const HTTP_CLIENT: [&str; 2] = ["ureq", "ureq_proto"];

/// Starts logging, once per process; a later call changes nothing. `level`: how much of the
/// daemon's own lines is logged, unless `RUST_LOG` says otherwise; `access`: one line per request,
/// too. `log::logger().flush()` waits, for at most half a second, until the lines logged so far are
/// written.
pub fn start(level: LevelFilter, access: bool) {
    let filters = env::var("RUST_LOG").ok();
    let mut builder = builder(level, access, filters.as_deref());
    let lines = Lines::default();
    let style = if wants_colour() { WriteStyle::Always } else { WriteStyle::Never };
    builder.target(Target::Pipe(Box::new(lines.clone()))).write_style(style);
    builder.format(|buffer, record| {
        let time = buffer.timestamp_seconds();
        let style = buffer.default_level_style(record.level());
        let level = record.level().as_str().to_ascii_lowercase();
        writeln!(buffer, "{time} {style}{level}{style:#} {}", record.args())
    });
    let format = builder.build();
    let level = format.filter();
    // A logger that runs already stays.
    if log::set_logger(Box::leak(Box::new(Logger { format, lines }))).is_ok() {
        log::set_max_level(level);
    }
}

/// Formats lines and hands them to the thread that writes them.
#[derive(Debug)]
struct Logger {
    format: env_logger::Logger,
    lines: Lines,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.format.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.format.log(record);
    }

    fn flush(&self) {
        self.lines.flush(FLUSH_WITHIN);
    }
}

/// How long `flush` waits.
const FLUSH_WITHIN: Duration = Duration::from_millis(500);

/// The rule of `no-color.org`.
fn wants_colour() -> bool {
    let is_set = |name, value: fn(&str) -> bool| env::var(name).is_ok_and(|text| value(&text));
    std::io::stderr().is_terminal()
        && !is_set("NO_COLOR", |text| !text.is_empty())
        && !is_set("TERM", |text| text == "dumb")
}

/// The filter. `filters`: the text of `RUST_LOG`, which wins wherever it names a target.
fn builder(level: LevelFilter, access: bool, filters: Option<&str>) -> Builder {
    let mut builder = Builder::new();
    if filters.is_none() {
        // Of libraries warnings at most: their debug lines may hold secrets.
        builder.filter_level(level.min(LevelFilter::Warn)).filter_module("pushserver", level);
    }
    let access = if access { LevelFilter::Info } else { LevelFilter::Off };
    // Before RUST_LOG: a directive for this target replaces it, a bare level does not.
    builder.filter_module(ACCESS, access);
    for library in HTTP_CLIENT {
        builder.filter_module(library, LevelFilter::Warn);
    }
    // SIGUSR1 asks for the counters, so they are logged at every verbosity.
    builder.filter_module(COUNTERS, LevelFilter::Info);
    if let Some(filters) = filters {
        builder.parse_filters(filters);
    }
    builder
}

#[cfg(test)]
mod tests {
    use log::{Level, Log, Metadata};

    use super::{ACCESS, COUNTERS, LevelFilter, builder};

    /// What `-q`, no option and `-v` ask for.
    const LEVELS: [LevelFilter; 3] = [LevelFilter::Error, LevelFilter::Info, LevelFilter::Debug];

    type Options = (LevelFilter, bool);

    fn is_logged(options: Options, filters: Option<&str>, target: &str, level: Level) -> bool {
        let metadata = Metadata::builder().target(target).level(level).build();
        builder(options.0, options.1, filters).build().enabled(&metadata)
    }

    #[test]
    fn the_flags_choose_the_level_of_our_own_lines() {
        for most in LEVELS {
            for level in Level::iter() {
                let logged = is_logged((most, false), None, "pushserver::net", level);
                assert_eq!(logged, level <= most, "{most} {level}");
            }
        }
    }

    #[test]
    fn a_library_is_heard_from_warnings_on() {
        let verbose = (LevelFilter::Debug, false);
        assert!(is_logged(verbose, None, "ureq", Level::Warn));
        assert!(!is_logged(verbose, None, "ureq", Level::Info));
    }

    #[test]
    fn what_shows_headers_is_logged_only_when_named() {
        let options = (LevelFilter::Debug, true);
        for target in ["ureq", "ureq::run", "ureq_proto::client"] {
            assert!(!is_logged(options, Some("debug"), target, Level::Debug), "{target}");
            assert!(is_logged(options, Some("debug"), target, Level::Warn), "{target}");
            assert!(is_logged(options, Some("ureq=debug,ureq_proto=debug"), target, Level::Debug));
        }
    }

    #[test]
    fn rust_log_wins_over_the_flags() {
        let quiet = (LevelFilter::Error, false);
        assert!(is_logged(quiet, Some("pushserver=debug"), "pushserver::net", Level::Debug));
        let verbose = (LevelFilter::Debug, false);
        assert!(!is_logged(verbose, Some("error"), "pushserver::net", Level::Info));
    }

    #[test]
    fn counters_are_written_however_quiet_the_log_is() {
        let quiet = (LevelFilter::Error, false);
        for filters in [None, Some("error"), Some("off")] {
            assert!(is_logged(quiet, filters, COUNTERS, Level::Info), "{filters:?}");
        }
    }

    #[test]
    fn requests_are_logged_only_when_asked_for() {
        for (access, filters, logged) in [
            (false, None, false),
            (false, Some("debug"), false),
            (false, Some("pushserver=debug"), false),
            (false, Some("pushserver::access=info"), true),
            (true, None, true),
            (true, Some("error"), true),
            (true, Some("pushserver::access=off"), false),
        ] {
            for level in LEVELS {
                let given = is_logged((level, access), filters, ACCESS, Level::Info);
                assert_eq!(given, logged, "{level} {access} {filters:?}");
            }
        }
    }
}
