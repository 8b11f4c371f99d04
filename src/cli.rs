//! Arguments: the command line, typed. Opens no file and checks no setting.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use lexopt::{Arg, Parser};
use pushserver_options::{Entry, Group, Table, Value, Word};

use crate::config::Overrides;
use crate::nearest::nearest;

/// All options, as the parser takes them and `--help` prints them.
pub const OPTIONS: Table = Table {
    head: HEAD,
    words: ("Commands", if cfg!(feature = "bench") { &[BENCH] } else { &[] }),
    groups: &[SETTINGS, RUNNING, HELP],
    foot: FOOT,
};

const HEAD: &str = "\
HTTP push relay: what one POST publishes, every subscriber of its channel
receives.

Usage: pushserver [OPTIONS]

Without options it serves http://127.0.0.1:8001: POST to /publisher/ID, GET from
/subscriber/ID.
";

const BENCH: Word = Word { name: "bench", text: "Measure a server; bench --help has its options" };

const SETTINGS: Group = Group {
    title: "Settings",
    entries: &[
        Entry::with(
            "config",
            Value::File("FILE"),
            "Read the settings (JSON) from FILE; - is standard input",
        )
        .letter('c'),
        Entry::with(
            "listen",
            Value::Text("ADDRESS"),
            "Listen on ADDR:PORT or unix:PATH instead of the settings' address and port; may be \
             given several times",
        )
        .adding_up(),
        Entry::with("port", Value::Text("N"), "Listen on port N; 0 picks a free one and prints it"),
        Entry::flag("ipv6", "The default address is ::1"),
        Entry::with(
            "allrequests",
            Value::Text("URL"),
            "Pass requests that no location serves to http://host:port or unix:/path, and listen \
             on port 8000 by default",
        ),
        Entry::with(
            "forcehost",
            Value::Text("HOST"),
            "With --allrequests: redirect requests for another host to HOST",
        ),
        Entry::flag("check-config", "Check the settings and exit").letter('t'),
        Entry::flag("print-config", "Print the settings in effect, with all defaults, and exit"),
        Entry::flag("print-schema", "Print the JSON Schema of the settings and exit"),
        Entry::with(
            "health",
            Value::Text("URL"),
            "Ask a running daemon whether it is well, and exit; 0 if so, else 1; URL is \
             http://HOST:PORT/PATH, https://… or unix:/SOCKET:/PATH, and PATH its status \
             location's readyz, /pushserver/readyz by default",
        ),
        Entry::flag(
            "nginx-config",
            "Print an nginx + Nchan configuration that behaves the same, and exit",
        ),
    ],
};

const RUNNING: Group = Group {
    title: "Running",
    entries: &[
        Entry::with(
            "pid-file",
            Value::File("FILE"),
            "Write the process id to FILE, and remove it at the end",
        ),
        Entry::flag("exit-on-stdin-eof", "Stop when standard input ends"),
        Entry::flag("verbose", "Log more: connections, too").letter('v'),
        Entry::flag("quiet", "Log less: only errors").letter('q'),
        Entry::flag("access-log", "Log each request"),
        Entry::flag(
            "inspect",
            "Serve a page that shows what happens and why a message did not arrive, and print \
             where it opens",
        ),
    ],
};

const HELP: Group = Group {
    title: "Help",
    entries: &[
        Entry::flag("help", "Print this and exit").letter('h'),
        Entry::flag("version", "Print the version and exit").letter('V'),
    ],
};

const FOOT: &str = "\
When it accepts connections it prints one line, \"listening on
http://127.0.0.1:8001\". Logs go to standard error; RUST_LOG chooses them in
detail, as in RUST_LOG=pushserver=debug.
SIGTERM and SIGINT stop it, SIGHUP reads the settings file again.
Exit codes: 0 stopped, 1 could not start or run, 2 wrong arguments or settings.
";

/// What to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// Serve until stopped.
    #[default]
    Serve,
    /// `--check-config`
    CheckConfig,
    /// `--print-config`
    PrintConfig,
    /// `--print-schema`
    PrintSchema,
    /// `--nginx-config`
    NginxConfig,
    /// `--health`
    Health,
    /// `--help`
    Help,
    /// `--version`
    Version,
}

/// The command line. Later options win over earlier ones, except that `--listen` adds up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// What to do.
    pub action: Action,
    /// `--config`; `-` is standard input.
    pub config: Option<PathBuf>,
    /// What is set over the settings, as typed.
    pub overrides: Overrides,
    /// Whom `--health` asks.
    pub health: Option<String>,
    /// `--pid-file`
    pub pid_file: Option<PathBuf>,
    /// `--exit-on-stdin-eof`
    pub exit_on_stdin_eof: bool,
    /// `--verbose`
    pub verbose: bool,
    /// `--quiet`
    pub quiet: bool,
    /// `--access-log`
    pub access_log: bool,
    /// `--inspect`
    pub inspect: bool,
}

/// Arguments that cannot be understood: what is wrong with one. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (--help lists all options)", self.0)
    }
}

impl std::error::Error for UsageError {}

impl Args {
    /// Reads the arguments, without the program's own name.
    ///
    /// # Errors
    /// The first argument that is unknown, lacks its value or contradicts another.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        Self::read(Parser::from_args(arguments)).map_err(UsageError)
    }

    fn read(mut parser: Parser) -> Result<Self, String> {
        let mut args = Self::default();
        while let Some(argument) = parser.next().map_err(flag_with_value)? {
            // The name borrows the parser, which the value needs: copy the name first.
            let (name, entry) = match argument {
                Arg::Short(letter) => (format!("-{letter}"), OPTIONS.short(letter)),
                Arg::Long(name) => (format!("--{name}"), OPTIONS.long(name)),
                Arg::Value(value) => return Err(stray(&value.to_string_lossy())),
            };
            let entry = entry.ok_or_else(|| unknown(&name))?;
            args.take(entry.long, &name, &mut parser)?;
            // Help and version win over every argument that follows.
            if matches!(args.action, Action::Help | Action::Version) {
                return Ok(args);
            }
        }
        if args.verbose && args.quiet {
            return Err("-v and -q contradict each other".to_owned());
        }
        if !args.overrides.listen.is_empty() && args.overrides.port.is_some() {
            return Err("--listen includes the port; leave out --port".to_owned());
        }
        Ok(args)
    }

    /// Takes an option of the table, which was typed as `name`.
    fn take(&mut self, long: &str, name: &str, parser: &mut Parser) -> Result<(), String> {
        let over = &mut self.overrides;
        match long {
            "config" => self.config = Some(value(name, parser)?.into()),
            "listen" => over.listen.push(text(name, parser)?),
            "port" => over.port = Some(port(&text(name, parser)?)?),
            "ipv6" => over.ipv6 = true,
            "allrequests" => over.allrequests = Some(text(name, parser)?),
            "forcehost" => over.forcehost = Some(text(name, parser)?),
            "check-config" => self.action = Action::CheckConfig,
            "print-config" => self.action = Action::PrintConfig,
            "print-schema" => self.action = Action::PrintSchema,
            "nginx-config" => self.action = Action::NginxConfig,
            "health" => {
                self.action = Action::Health;
                self.health = Some(text(name, parser)?);
            }
            "pid-file" => self.pid_file = Some(value(name, parser)?.into()),
            "exit-on-stdin-eof" => self.exit_on_stdin_eof = true,
            "verbose" => self.verbose = true,
            "quiet" => self.quiet = true,
            "access-log" => self.access_log = true,
            "inspect" => self.inspect = true,
            "help" => self.action = Action::Help,
            "version" => self.action = Action::Version,
            // A test takes every option of the table.
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

/// lexopt fails for `--flag=value` only; the value may hold any character.
fn flag_with_value(error: lexopt::Error) -> String {
    error.to_string().escape_debug().to_string()
}

fn value(name: &str, parser: &mut Parser) -> Result<OsString, String> {
    match parser.value() {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(format!("{name} needs a value")),
    }
}

fn text(name: &str, parser: &mut Parser) -> Result<String, String> {
    value(name, parser)?
        .into_string()
        .map_err(|value| format!("{name} {}: not UTF-8", value.to_string_lossy().escape_debug()))
}

fn port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let text = text.escape_debug();
        format!("--port {text}: expected a whole number from 0 to 65535")
    })
}

fn stray(value: &str) -> String {
    let hint = if value.ends_with(".json") { "; settings are read with --config" } else { "" };
    format!("unexpected argument {value:?}{hint}")
}

fn unknown(name: &str) -> String {
    let shown = name.escape_debug();
    let all = OPTIONS.entries().map(|entry| entry.long);
    match name.strip_prefix("--").and_then(|long| nearest(long, all)) {
        Some(near) => format!("unknown option {shown}; did you mean --{near}?"),
        None => format!("unknown option {shown}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use pushserver_options::Value;

    use super::{Action, Args, OPTIONS};
    use crate::config::Overrides;

    fn parse(arguments: &[&str]) -> Result<Args, String> {
        Args::parse(arguments.iter().map(Into::into)).map_err(|error| error.to_string())
    }

    #[test]
    fn no_argument_is_needed() {
        assert_eq!(parse(&[]), Ok(Args::default()));
    }

    #[test]
    fn every_option_is_taken() {
        let all = "-c a.json --listen 127.0.0.1:1 --listen=unix:/p --ipv6 --pid-file=f \
                   --allrequests http://a --forcehost=b \
                   --exit-on-stdin-eof -v --access-log --inspect";
        let args = parse(&all.split_whitespace().collect::<Vec<_>>()).unwrap();
        let expected = Args {
            action: Action::Serve,
            config: Some(PathBuf::from("a.json")),
            overrides: Overrides {
                listen: vec!["127.0.0.1:1".to_owned(), "unix:/p".to_owned()],
                port: None,
                ipv6: true,
                allrequests: Some("http://a".to_owned()),
                forcehost: Some("b".to_owned()),
                inspect: None,
            },
            health: None,
            pid_file: Some(PathBuf::from("f")),
            exit_on_stdin_eof: true,
            verbose: true,
            quiet: false,
            access_log: true,
            inspect: true,
        };
        assert_eq!(args, expected);
        assert_eq!(parse(&["--port", "0"]).unwrap().overrides.port, Some(0));
        assert_eq!(parse(&["-c", "-"]).unwrap().config, Some(PathBuf::from("-")));
        assert!(parse(&["-q"]).unwrap().quiet);
        for (option, action) in [
            ("-t", Action::CheckConfig),
            ("--check-config", Action::CheckConfig),
            ("--print-config", Action::PrintConfig),
            ("--print-schema", Action::PrintSchema),
            ("--nginx-config", Action::NginxConfig),
            ("-h", Action::Help),
            ("--help", Action::Help),
            ("-V", Action::Version),
            ("--version", Action::Version),
            ("--health=http://a", Action::Health),
        ] {
            assert_eq!(parse(&[option]).unwrap().action, action, "{option}");
        }
    }

    #[test]
    fn help_is_given_whatever_follows() {
        assert_eq!(parse(&["--help", "--nonsense"]).unwrap().action, Action::Help);
    }

    #[test]
    fn wrong_arguments_say_what_to_change() {
        for (arguments, what) in [
            (&["--prot", "1"][..], "unknown option --prot; did you mean --port?"),
            (&["--chekc-config"], "did you mean --check-config?"),
            (&["--colour"], "unknown option --colour ("),
            (&["-x"], "unknown option -x ("),
            (&["--port"], "--port needs a value"),
            (&["--config="], "--config needs a value"),
            (&["--port", "70000"], "--port 70000: expected a whole number from 0 to 65535"),
            (&["--port", "+1"], "--port +1: expected"),
            (&["a.json"], "unexpected argument \"a.json\"; settings are read with --config"),
            (&["a\nb"], r#"unexpected argument "a\nb""#),
            (&["--ipv6=yes"], "--ipv6"),
            (&["-v", "-q"], "contradict"),
            (&["--listen", "[::1]:1", "--port", "2"], "leave out --port"),
        ] {
            let error = parse(arguments).expect_err(what);
            assert!(error.contains(what), "{arguments:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    /// The parser knows no option but those of the table, in which it looks each one up.
    #[test]
    fn every_option_of_the_table_is_taken_by_either_name_with_its_value() {
        for entry in OPTIONS.entries() {
            let long = format!("--{}", entry.long);
            let short = entry.short.map(|letter| format!("-{letter}"));
            let value = if entry.long == "port" { "1" } else { "a" };
            let takes = !matches!(entry.value, Value::None);
            for name in [Some(long), short].into_iter().flatten() {
                let line = [name.as_str(), value];
                let taken = parse(&line[..1 + usize::from(takes)])
                    .unwrap_or_else(|error| panic!("{error}"));
                assert_ne!(taken, Args::default(), "{name} does nothing");
                let alone = parse(&[&name]).err();
                let needs = alone.is_some_and(|error| error.contains("needs a value"));
                assert_eq!(needs, takes, "{name}: whether it has a value");
            }
        }
    }

    #[test]
    fn help_fits_a_terminal() {
        let help = OPTIONS.help();
        let long = help.lines().find(|line| line.chars().count() > 80);
        assert!(help.lines().count() > 40 && long.is_none(), "{long:?}");
    }
}
