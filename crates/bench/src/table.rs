//! Table: the options of `pushserver bench`. Says what they are called and what they do; `options`
//! reads them.

use pushserver_options::{Entry, Group, Table, Value, Word};

/// All options, as the parser takes them and `--help` prints them.
pub const OPTIONS: Table = Table {
    head: "\
Measures a server of the push relay protocol, this one or another, from outside.

Usage: pushserver bench [SCENARIO] [OPTIONS]
",
    words: ("Scenarios", SCENARIOS),
    groups: &[SERVER, LOAD, COMPARISON, OUTPUT],
    foot: "\
Times count from when a message was to be sent, so a slow server cannot hide its
delays. Exit codes: 0; 1 a message was lost, repeated, reordered or damaged, or
a connection or request failed; 2 wrong arguments.
",
};

const SCENARIOS: &[Word] = &[
    Word {
        name: "fanout",
        text: "One channel, many subscribers; some rest after each message (the default)",
    },
    Word { name: "channels", text: "Many channels with one subscriber each" },
    Word {
        name: "cycle",
        text: "As fanout, without rest: a message follows the last delivery of the one before it",
    },
    Word { name: "idle", text: "Held polls or streams, and no messages: memory" },
    Word { name: "publish", text: "Messages that nobody waits for" },
    Word { name: "poll", text: "Stored messages are fetched" },
    Word { name: "isolation", text: "A channel with one subscriber beside fan-outs on another" },
];

const SERVER: Group = Group {
    title: "The server",
    entries: &[
        Entry::with(
            "server",
            Value::Text("URL"),
            "Measure this server; http://127.0.0.1:8001 by default; its locations are /publisher/ \
             and /subscriber/",
        ),
        Entry::with(
            "publish",
            Value::Text("URL"),
            "Publish here instead; {channel} is the channel's name",
        ),
        Entry::with("subscribe", Value::Text("URL"), "Subscribe here instead"),
        Entry::with(
            "pid",
            Value::Text("PID"),
            "Measure the CPU time and memory of this process and its children; the server's",
        ),
        Entry::with("label", Value::Text("NAME"), "Call the server so"),
        Entry::flag("remote", "Allow another machine than this one"),
    ],
};

const LOAD: Group = Group {
    title: "The load",
    entries: &[
        Entry::with(
            "transport",
            Value::OneOf(&["poll", "eventsource", "websocket"]),
            "How subscribers receive; poll by default; streams stay open, and take part in all \
             scenarios but publish and poll",
        ),
        Entry::with(
            "subscribers",
            Value::Text("N"),
            "Number of subscribers; 1000; idle 10000; isolation 8000; poll 32",
        )
        .letter('n'),
        Entry::with(
            "channels",
            Value::Text("N"),
            "Number of channels; 1; channels, idle: as many as subscribers",
        ),
        Entry::with("publishers", Value::Text("N"), "Number of connections that publish"),
        Entry::with(
            "rate",
            Value::Text("N"),
            "Messages a second, whatever the server does; isolation: on the channel beside; \
             without it as fast as they arrive",
        ),
        Entry::with(
            "repoll",
            Value::OneOf(&["at-once", "soon", "after-all"]),
            "When to poll again; with the message; or as soon as no message waits to be read \
             (fanout); or all at one instant when all have it",
        ),
        Entry::with("stored", Value::Text("N"), "poll: messages to fetch in turn; 1 by default"),
        Entry::with("size", Value::Text("N"), "Bytes of a message; 200 by default"),
        Entry::with("seconds", Value::Text("N"), "Length of a measurement; 5 by default"),
        Entry::with("messages", Value::Text("N"), "At most so many messages"),
        Entry::with(
            "patience",
            Value::Text("N"),
            "Seconds in which nothing moves until what is missing counts as lost; 10 by default",
        ),
        Entry::flag("busy", "Never sleep; does not add its own waking to the times"),
        Entry::flag(
            "syscalls",
            "Count the server's system calls with strace, after the measurement",
        ),
    ],
};

const COMPARISON: Group = Group {
    title: "Comparison",
    entries: &[
        Entry::with("compare", Value::Text("URL"), "Measure this server too, in turn; A B A B ..."),
        Entry::with("compare-publish", Value::Text("URL"), "As --publish, of that server"),
        Entry::with("compare-subscribe", Value::Text("URL"), "As --subscribe, of that server"),
        Entry::with("compare-pid", Value::Text("PID"), "As --pid, of that server"),
        Entry::with("compare-label", Value::Text("NAME"), "As --label, of that server"),
        Entry::with(
            "rounds",
            Value::Text("N"),
            "Measurements of each server; 3; 1 without a comparison",
        ),
    ],
};

const OUTPUT: Group = Group {
    title: "Output",
    entries: &[
        Entry::with(
            "json",
            Value::File("FILE"),
            "Write all figures as JSON to FILE; and beside it a plot of the latencies, both servers \
             in one picture; x.json has x.svg; with - nothing but the JSON, to standard output",
        ),
        Entry::flag("no-plot", "Draw no diagrams, and write no plot"),
        Entry::flag("quiet", "Show no progress").letter('q'),
        Entry::flag("help", "Print this and exit").letter('h'),
    ],
};

#[cfg(test)]
mod tests {
    use super::OPTIONS;
    use crate::plan::Scenario;
    use crate::transport::Transport;

    #[test]
    fn words_are_those_that_the_parser_takes() {
        let scenarios: Vec<&str> = OPTIONS.words.1.iter().map(|word| word.name).collect();
        assert_eq!(scenarios, Scenario::ALL.map(|(name, _)| name));
        let transports = OPTIONS.long("transport").expect("it is in the table").value.name();
        assert_eq!(transports, Transport::ALL.map(Transport::name).join("|"));
    }

    #[test]
    fn help_fits_a_terminal() {
        let help = OPTIONS.help();
        let long = help.lines().find(|line| line.chars().count() > 80);
        assert!(help.lines().count() > 60 && long.is_none(), "{long:?}");
    }
}
