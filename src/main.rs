//! The command `pushserver`: from arguments and settings to the reactor and the exit code. Decides
//! nothing else.
//!
//! Standard output carries the readiness line, with `--inspect` where the inspector opens, or the
//! text of an option that prints; nothing else.

#![forbid(unsafe_code)]

use std::env;
use std::fmt::Display;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read as _, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use log::LevelFilter;
use pushserver::cli::{self, Action, Args};
use pushserver::config::{self, Config, Source};
use pushserver::message::MessageId;
use pushserver::pid_file::PidFile;
use pushserver::secret::Secret;
use pushserver::{clock, logging, net};
use sd_notify::NotifyState;

fn main() -> ExitCode {
    #[cfg(feature = "bench")]
    if env::args_os().nth(1).is_some_and(|first| first == "bench") {
        // The load generator: another program in the same binary, with arguments of its own.
        let mut arguments = lexopt::Parser::from_env();
        let _ = arguments.next();
        return pushserver_bench::run(arguments);
    }
    let outcome = serve_or_print();
    log::logger().flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Without standard error the exit code alone says it.
            let _ = writeln!(io::stderr(), "{}", failure.line);
            ExitCode::from(failure.code)
        }
    }
}

/// Why the command ends, and with which exit code.
struct Failure {
    line: String,
    code: u8,
}

impl Failure {
    /// The daemon could not start or run.
    fn run(why: impl Display) -> Self {
        Self { line: format!("pushserver: {why}"), code: 1 }
    }

    /// The daemon cannot work with these arguments.
    fn usage(why: impl Display) -> Self {
        Self { line: format!("pushserver: {why}"), code: 2 }
    }
}

impl From<config::Error> for Failure {
    /// The daemon cannot work with these settings. The line begins with the file's name, as in the
    /// messages of compilers.
    fn from(error: config::Error) -> Self {
        Self { line: error.to_string(), code: 2 }
    }
}

fn serve_or_print() -> Result<(), Failure> {
    let args = Args::parse(env::args_os().skip(1)).map_err(Failure::usage)?;
    let level = match (args.quiet, args.verbose) {
        (true, _) => LevelFilter::Error,
        (false, true) => LevelFilter::Debug,
        (false, false) => LevelFilter::Info,
    };
    logging::start(level, args.access_log);
    match args.action {
        Action::Serve => serve(&args),
        Action::CheckConfig => print(&format!("{}: ok\n", load(&args)?.source())),
        Action::PrintConfig => print(&format!("{}\n", load(&args)?.to_json()?)),
        Action::PrintSchema => print(config::SCHEMA),
        Action::Health => {
            net::health::check(args.health.as_deref().unwrap_or_default()).map_err(Failure::run)
        }
        Action::NginxConfig => print(&load(&args)?.to_nginx()?),
        Action::Help => print(&cli::OPTIONS.help()),
        Action::Version => print(concat!("pushserver ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn serve(args: &Args) -> Result<(), Failure> {
    let config = load(args)?;
    if args.exit_on_stdin_eof {
        check_stdin_is_held(config.source())?;
    }
    // Kept until the end of this function. The steps are in the order that they have to have.
    let _pid_file =
        args.pid_file.as_deref().map(PidFile::create).transpose().map_err(Failure::run)?;
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        log::warn!("cannot raise the limit of open files: {error}");
    }
    let (time, tag) = clock::unix_time();
    let hub = config.hub_options(MessageId { time, tag }, RandomState::new().hash_one(time));
    let net = config.net_options(args.exit_on_stdin_eof)?;
    let relay = config.relay_options();
    let inspector = args.inspect.then(|| config.inspector_link()).flatten();
    let reload = Arc::new(move || config.reload().map_err(|error| error.to_string()));
    let reactor = net::Reactor::start(net, relay, hub, reload).map_err(Failure::run)?;
    tell_ready(&reactor.listening(), inspector);
    reactor.run().map_err(Failure::run)
}

/// Refuses to start where standard input has ended already: the daemon would report that it
/// listens, and stop.
fn check_stdin_is_held(source: &Source) -> Result<(), Failure> {
    let wait = match source {
        // A command that only writes the settings closes the pipe behind them.
        Source::Stdin { .. } => CLOSED_BEHIND_SETTINGS,
        Source::Defaults | Source::File(_) => Duration::ZERO,
    };
    match net::stdin::ends_within(io::stdin().as_fd(), wait) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Failure::usage(
            "--exit-on-stdin-eof: standard input has ended already, which would stop the daemon \
             at once; keep it open, or leave the option out",
        )),
        Err(error) => Err(Failure::run(format!("cannot watch standard input: {error}"))),
    }
}

/// How long a command that only writes the settings may take to close the pipe. The start is
/// delayed by this time where a launcher keeps the pipe open.
const CLOSED_BEHIND_SETTINGS: Duration = Duration::from_millis(50);

/// Reports readiness to launchers, which wait for the line, and to systemd. Neither has to be
/// there.
fn tell_ready(listening: &[String], inspector: Option<String>) {
    let mut stdout = io::stdout().lock();
    for address in listening {
        let _ = writeln!(stdout, "listening on {address}");
    }
    if let Some(link) = inspector
        && let Some(address) = listening.iter().find(|address| address.starts_with("http"))
    {
        let _ = writeln!(stdout, "Inspector: {address}{link}");
    }
    let _ = stdout.flush();
    if let Err(error) = net::notify(&[NotifyState::Ready]) {
        log::warn!("cannot report readiness to systemd: {error}");
    }
}

fn load(args: &Args) -> Result<Config, Failure> {
    let source = Source::of(args.config.as_deref(), args.exit_on_stdin_eof);
    let mut overrides = args.overrides.clone();
    if args.inspect {
        overrides.inspect = Some(random_secret().map_err(Failure::run)?);
    }
    let config = Config::load(source, overrides)?;
    for warning in config.warnings() {
        log::warn!("{warning}");
    }
    Ok(config)
}

/// A secret of this run, which nobody guesses.
fn random_secret() -> io::Result<Secret> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).as_str().into())
}

/// Prints to standard output. A reader that closes its end early (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::run(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
