//! Options: the command line of `pushserver bench`.

use std::path::{Path, PathBuf};

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt};

use crate::measure::Length;
use crate::plan::{Repoll, Scenario, Wishes};
use crate::stamp::SIZE_MIN;
use crate::table::OPTIONS;
use crate::target::{Target, Template};
use crate::transport::Transport;

/// The options that the command line gives.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) scenario: Scenario,
    pub(crate) target: Target,
    /// The second server.
    pub(crate) compare: Option<Target>,
    pub(crate) rounds: usize,
    pub(crate) wishes: Wishes,
    pub(crate) length: Length,
    pub(crate) json: Option<PathBuf>,
    pub(crate) plot: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    Help,
    Measure(Box<Options>),
}

/// A server as the command line names it.
#[derive(Debug, Default)]
struct Server {
    base: Option<String>,
    publish: Option<String>,
    subscribe: Option<String>,
    pid: Option<u32>,
    label: Option<String>,
}

impl Server {
    fn is_given(&self) -> bool {
        self.base.is_some() || self.publish.is_some() || self.subscribe.is_some()
    }

    fn target(self, remote: bool) -> Result<Target, String> {
        let base = self.base.as_deref().unwrap_or("http://127.0.0.1:8001").trim_end_matches('/');
        let publish = self.publish.unwrap_or_else(|| format!("{base}/publisher/{{channel}}"));
        let subscribe = self.subscribe.unwrap_or_else(|| format!("{base}/subscriber/{{channel}}"));
        let publish = Template::parse(&publish, remote)?;
        let subscribe = Template::parse(&subscribe, remote)?;
        let label = self.label.unwrap_or_else(|| publish.host.clone());
        Ok(Target { label, publish, subscribe, pid: self.pid })
    }
}

/// Reads the command line after `bench`.
///
/// # Errors
/// Says which argument is wrong.
pub(crate) fn parse(mut arguments: Parser) -> Result<Asked, String> {
    parse_arguments(&mut arguments).map_err(|error| error.to_string())
}

fn parse_arguments(arguments: &mut Parser) -> Result<Asked, lexopt::Error> {
    let (mut a, mut b) = (Server::default(), Server::default());
    let (mut scenario, mut rounds, mut json) = (None, None, None);
    let (mut plot, mut remote) = (true, false);
    let mut wishes = Wishes::default();
    let mut length = Length { seconds: 5.0, messages: u64::MAX, count_calls: false };
    while let Some(argument) = arguments.next()? {
        let entry = match argument {
            Value(name) => {
                scenario = Some(name.parse_with(read_scenario)?);
                continue;
            }
            Long(name) => OPTIONS.long(name),
            Short(letter) => OPTIONS.short(letter),
        };
        match entry.map_or("", |entry| entry.long) {
            "help" => return Ok(Asked::Help),
            "server" => a.base = Some(arguments.value()?.string()?),
            "publish" => a.publish = Some(arguments.value()?.string()?),
            "subscribe" => a.subscribe = Some(arguments.value()?.string()?),
            "pid" => a.pid = Some(arguments.value()?.parse()?),
            "label" => a.label = Some(arguments.value()?.string()?),
            "compare" => b.base = Some(arguments.value()?.string()?),
            "compare-publish" => b.publish = Some(arguments.value()?.string()?),
            "compare-subscribe" => b.subscribe = Some(arguments.value()?.string()?),
            "compare-pid" => b.pid = Some(arguments.value()?.parse()?),
            "compare-label" => b.label = Some(arguments.value()?.string()?),
            "remote" => remote = true,
            "subscribers" => wishes.subscribers = Some(count(arguments)?),
            "channels" => wishes.channels = Some(count(arguments)?),
            "publishers" => wishes.publishers = Some(count(arguments)?),
            "rate" => wishes.rate = Some(arguments.value()?.parse_with(read_positive)?),
            "repoll" => {
                wishes.repoll = Some(arguments.value()?.parse_with(read_repoll)?);
            }
            "transport" => {
                wishes.transport = arguments.value()?.parse_with(read_transport)?;
            }
            "stored" => wishes.stored = Some(count(arguments)? as u64),
            "size" => wishes.size = Some(arguments.value()?.parse_with(read_size)?),
            "seconds" => length.seconds = arguments.value()?.parse_with(read_positive)?,
            "messages" => length.messages = count(arguments)? as u64,
            "patience" => {
                let seconds = arguments.value()?.parse_with(read_positive)?;
                wishes.patience_ns = Some((seconds * 1e9) as u64);
            }
            "busy" => wishes.busy = true,
            "syscalls" => length.count_calls = true,
            "rounds" => rounds = Some(count(arguments)?),
            "json" => json = Some(PathBuf::from(arguments.value()?)),
            "no-plot" => plot = false,
            "quiet" => wishes.quiet = true,
            _ => return Err(argument.unexpected()),
        }
    }
    let compare = b.is_given();
    let compare = compare.then(|| b.target(remote)).transpose()?;
    let target = a.target(remote)?;
    let servers = || std::iter::once(&target).chain(&compare);
    if length.count_calls && servers().any(|server| server.pid.is_none()) {
        return Err("--syscalls needs --pid, and --compare-pid in a comparison".into());
    }
    check_json(json.as_deref())?;
    let rounds = rounds.unwrap_or(if compare.is_some() { 3 } else { 1 });
    let scenario = scenario.unwrap_or(Scenario::Fanout);
    check_transport(scenario, &wishes)?;
    let options = Options { scenario, target, compare, rounds, wishes, length, json, plot };
    Ok(Asked::Measure(Box::new(options)))
}

fn count(arguments: &mut Parser) -> Result<usize, lexopt::Error> {
    arguments.value()?.parse_with(|text| match text.parse::<usize>() {
        Ok(count @ 1..=10_000_000) => Ok(count),
        _ => Err("is not a whole number between 1 and 10000000"),
    })
}

fn read_scenario(text: &str) -> Result<Scenario, String> {
    let found = Scenario::ALL.iter().find(|(name, _)| *name == text);
    let names = || Scenario::ALL.map(|(name, _)| name).join(", ");
    found.map(|(_, scenario)| *scenario).ok_or_else(|| format!("is none of {}", names()))
}

fn read_repoll(text: &str) -> Result<Repoll, &'static str> {
    let known = [Repoll::AtOnce, Repoll::Soon, Repoll::AfterAll];
    let found = known.into_iter().find(|repoll| repoll.name() == text);
    found.ok_or("is none of at-once, soon, after-all")
}

fn read_transport(text: &str) -> Result<Transport, &'static str> {
    let found = Transport::ALL.into_iter().find(|transport| transport.name() == text);
    found.ok_or("is none of poll, eventsource, websocket")
}

/// A stream stays: it polls neither stored messages nor again.
fn check_transport(scenario: Scenario, wishes: &Wishes) -> Result<(), String> {
    let transport = wishes.transport.name();
    if wishes.transport.is_stream() && !scenario.allows_streams() {
        let scenario = scenario.name();
        return Err(format!("--transport {transport}: no subscriber waits in {scenario}"));
    }
    if wishes.transport.is_stream() && wishes.repoll.is_some() {
        return Err(format!("--repoll is for polls, not for --transport {transport}"));
    }
    Ok(())
}

/// The plot is written beside the figures.
fn check_json(path: Option<&Path>) -> Result<(), &'static str> {
    match path.and_then(Path::extension) {
        Some(extension) if extension == "svg" => {
            Err("--json: FILE must not end in .svg, which is the plot's name beside it")
        }
        _ => Ok(()),
    }
}

fn read_positive(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(number) if (1e-3..=1e7).contains(&number) => Ok(number),
        _ => Err("is not a number between 0.001 and 10000000"),
    }
}

fn read_size(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(size) if (SIZE_MIN..=1 << 20).contains(&size) => Ok(size),
        _ => Err(format!("is not between {SIZE_MIN} and 1048576")),
    }
}

#[cfg(test)]
mod tests {
    use pushserver_options::Value;

    use super::{Asked, parse};
    use crate::plan::Scenario;
    use crate::table::OPTIONS;

    fn read(line: &str) -> Result<Asked, String> {
        parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn without_arguments_it_is_a_fanout_on_our_own_default() {
        let Ok(Asked::Measure(options)) = read("") else { panic!("no options") };
        assert_eq!(options.scenario, Scenario::Fanout);
        assert_eq!(options.target.publish.to_string(), "http://127.0.0.1:8001/publisher/{channel}");
        assert_eq!((options.compare.is_none(), options.rounds), (true, 1));
    }

    #[test]
    fn a_second_server_makes_it_a_comparison() {
        let line = "cycle -n 50 --compare http://127.0.0.1:9000/ --compare-pid 7";
        let Ok(Asked::Measure(options)) = read(line) else { panic!("no options") };
        let second = options.compare.expect("a second server");
        assert_eq!(second.subscribe.to_string(), "http://127.0.0.1:9000/subscriber/{channel}");
        assert_eq!((second.pid, options.rounds), (Some(7), 3));
        assert_eq!(options.wishes.subscribers, Some(50));
    }

    /// The parser knows no option but those of the table, in which it looks each one up.
    #[test]
    fn every_option_of_the_table_is_taken_by_either_name_with_its_value() {
        for entry in OPTIONS.entries() {
            let value = match (entry.long, entry.value) {
                (_, Value::None) => "",
                ("server" | "compare", _) => "http://127.0.0.1:1",
                (_, Value::Text("URL")) => "http://127.0.0.1:1/{channel}",
                (_, Value::OneOf(words)) => words[0],
                (_, Value::Text(_) | Value::File(_)) => "100",
            };
            let short = entry.short.map(|letter| format!("-{letter}"));
            for name in [Some(format!("--{}", entry.long)), short].into_iter().flatten() {
                // --syscalls asks for a process.
                let line = format!("--pid 1 {name} {value}");
                read(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
                let alone = read(&format!("--pid 1 {name}")).err();
                let needs = alone.is_some_and(|error| error.contains("missing argument"));
                assert_eq!(needs, !value.is_empty(), "{name}: whether it has a value");
            }
        }
    }

    #[test]
    fn a_wrong_argument_is_told() {
        for (line, why) in [
            ("sprint", "none of fanout"),
            ("--size 10", "is not between 67"),
            ("--rate 0", "is not a number"),
            ("-n 0", "is not a whole number"),
            ("--repoll never", "none of at-once"),
            ("--transport multipart", "none of poll, eventsource, websocket"),
            ("poll --transport eventsource", "no subscriber waits in poll"),
            ("--transport websocket publish", "no subscriber waits in publish"),
            ("--transport websocket --repoll soon", "--repoll is for polls"),
            ("--publish https://127.0.0.1/{channel}", "must start with http://"),
            ("--json plot.svg", "must not end in .svg"),
            ("--syscalls", "needs --pid"),
            ("--fast", "invalid option '--fast'"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
