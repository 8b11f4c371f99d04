//! Log lines to stderr: which of them, and how they look. Standard output is never written to: it
//! carries the readiness line that launchers wait for.

use std::env;
use std::io::Write;

use env_logger::{Builder, Target, WriteStyle};
use log::LevelFilter;

/// The target of one line per request; off unless asked for.
pub const ACCESS: &str = "pushserver::access";

/// The target of the line of counters: whoever asks for it (SIGUSR1) wants to see it, however quiet
/// the log is otherwise.
pub const COUNTERS: &str = "pushserver::counters";

/// How much is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Start, stop and limits hit, unless `RUST_LOG` says otherwise.
    pub verbosity: Verbosity,
    /// One line per request.
    pub access: bool,
}

/// What the command line says of the level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// `-q`: errors.
    Quiet,
    /// Start, stop, limits hit.
    #[default]
    Normal,
    /// `-v`: connections too.
    Verbose,
}

impl Verbosity {
    /// What `-q` and `-v` ask for.
    #[must_use]
    pub fn of(quiet: bool, verbose: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Verbose,
            (false, false) => Self::Normal,
        }
    }
}

/// Starts logging. Once per process; a later call changes nothing.
pub fn start(options: Options) {
    let filters = env::var("RUST_LOG").ok();
    let mut builder = builder(options, filters.as_deref());
    builder.target(Target::Stderr).write_style(WriteStyle::Auto).format(|buffer, record| {
        let time = buffer.timestamp_seconds();
        let style = buffer.default_level_style(record.level());
        let level = record.level().as_str().to_ascii_lowercase();
        writeln!(buffer, "{time} {style}{level}{style:#} {}", record.args())
    });
    // A logger that runs already stays.
    let _ = builder.try_init();
}

/// `filters`: what `RUST_LOG` holds; it decides wherever it says something.
fn builder(options: Options, filters: Option<&str>) -> Builder {
    let mut builder = Builder::new();
    match options.verbosity {
        Verbosity::Quiet => builder.filter_level(LevelFilter::Error),
        Verbosity::Normal => {
            builder.filter_level(LevelFilter::Warn).filter_module("pushserver", LevelFilter::Info)
        }
        // Only our own: what libraries say in debug lines is not ours to vouch for.
        Verbosity::Verbose => {
            builder.filter_level(LevelFilter::Warn).filter_module("pushserver", LevelFilter::Debug)
        }
    };
    if filters.is_some() {
        builder = Builder::new();
    }
    let access = if options.access { LevelFilter::Info } else { LevelFilter::Off };
    // Before RUST_LOG, so that this gives way where that names the target, but not to a bare level.
    builder.filter_module(ACCESS, access);
    builder.filter_module(COUNTERS, LevelFilter::Info);
    if let Some(filters) = filters {
        builder.parse_filters(filters);
    }
    builder
}

#[cfg(test)]
mod tests {
    use log::{Level, Log, Metadata};

    use super::{ACCESS, COUNTERS, Options, Verbosity, builder};

    fn is_logged(options: Options, filters: Option<&str>, target: &str, level: Level) -> bool {
        let metadata = Metadata::builder().target(target).level(level).build();
        builder(options, filters).build().enabled(&metadata)
    }

    fn options(verbosity: Verbosity, access: bool) -> Options {
        Options { verbosity, access }
    }

    #[test]
    fn the_flags_choose_the_level_of_our_own_lines() {
        for (verbosity, most) in [
            (Verbosity::Quiet, Level::Error),
            (Verbosity::Normal, Level::Info),
            (Verbosity::Verbose, Level::Debug),
        ] {
            for level in Level::iter() {
                let logged = is_logged(options(verbosity, false), None, "pushserver::net", level);
                assert_eq!(logged, level <= most, "{verbosity:?} {level}");
            }
        }
    }

    #[test]
    fn a_library_is_heard_from_warnings_on() {
        let verbose = options(Verbosity::Verbose, false);
        assert!(is_logged(verbose, None, "ureq", Level::Warn));
        assert!(!is_logged(verbose, None, "ureq", Level::Info));
    }

    #[test]
    fn rust_log_wins_over_the_flags() {
        let quiet = options(Verbosity::Quiet, false);
        assert!(is_logged(quiet, Some("pushserver=debug"), "pushserver::net", Level::Debug));
        let verbose = options(Verbosity::Verbose, false);
        assert!(!is_logged(verbose, Some("error"), "pushserver::net", Level::Info));
    }

    #[test]
    fn counters_are_written_however_quiet_the_log_is() {
        let quiet = options(Verbosity::Quiet, false);
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
            for verbosity in [Verbosity::Quiet, Verbosity::Normal, Verbosity::Verbose] {
                let given = is_logged(options(verbosity, access), filters, ACCESS, Level::Info);
                assert_eq!(given, logged, "{verbosity:?} {access} {filters:?}");
            }
        }
    }
}
