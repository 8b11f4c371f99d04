//! Scale: what held requests cost the relay as they become many, without sockets. For 1,000 to
//! 1,000,000 polls and event streams, on one channel and each on its own, in order of accepting and
//! in mixed order, prints bytes of each, nanoseconds to deliver and to hold again, and the longest
//! turns, and draws the nanoseconds in `target/scale.svg`. Run with `cargo bench --bench scale`;
//! `-- 1000 100000` for other numbers of requests.
//!
//! A turn is as `net` makes it: a few dozen inputs or outputs, then what is due. Its time is the
//! processor's, so that what else runs on the machine does not count. Each line is of a process of
//! its own, as is its memory.

mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::process::Command as Process;

use pushserver_bench::plot::{self, Axis, Plot, Scale, Series};

use self::stage::{PHASES, Stage};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// What one line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    is_stream: bool,
    has_own_channel: bool,
    is_mixed: bool,
    count: usize,
}

impl Case {
    fn all(sizes: &[usize]) -> Vec<Self> {
        let mut all = Vec::new();
        for is_stream in [false, true] {
            for has_own_channel in [false, true] {
                for is_mixed in [false, true] {
                    let case = |&count| Self { is_stream, has_own_channel, is_mixed, count };
                    all.extend(sizes.iter().map(case));
                }
            }
        }
        all
    }

    fn headers(self) -> &'static str {
        if self.is_stream { "Accept: text/event-stream\r\n" } else { "" }
    }

    fn name(self) -> String {
        let kind = if self.is_stream { "streams" } else { "polls" };
        let channels = if self.has_own_channel { "own" } else { "one" };
        let order = if self.is_mixed { "mixed" } else { "in-order" };
        format!("{kind} {channels} {order}")
    }

    fn words(self) -> String {
        format!("{} {}", self.name(), self.count)
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let count = |word: &String| word.parse().expect("a number of requests");
    match words.split_first() {
        Some((word, case)) if word == "--case" => {
            let all = Case::all(&[case.last().map_or(0, count)]);
            let case = all.into_iter().find(|one| one.words() == case.join(" ")).expect("a case");
            println!("{}", Stage::new(case).run());
        }
        None => all(&SIZES),
        Some(_) => all(&words.iter().map(count).collect::<Vec<usize>>()),
    }
}

/// Prints the table, and draws the plot.
fn all(sizes: &[usize]) {
    println!(
        "| what, channels, order, count | heap, B each | resident | deliver, ns | hold | both | \
         longest turn, ms: {} |\n|---|---|---|---|---|---|---|",
        PHASES.join(" / ")
    );
    let mut series: Vec<Series> = Vec::new();
    for case in Case::all(sizes) {
        let line = in_own_process(case);
        let figures: Vec<f64> =
            line.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [heap, resident, deliver, hold, both, longest @ ..] = &figures[..] else {
            panic!("{line}")
        };
        let longest: Vec<String> = longest.iter().map(|ms| format!("{ms:.2}")).collect();
        println!(
            "| {} | {heap:.0} | {resident:.0} | {deliver:.0} | {hold:.0} | {both:.0} | {} |",
            case.words(),
            longest.join(" / ")
        );
        let (name, point) = (case.name(), (case.count as f64, *both));
        match series.last_mut().filter(|last| last.name == name) {
            Some(last) => last.points.push(point),
            None => series.push(Series { name, points: vec![point] }),
        }
    }
    let (x, y) = ("held requests", "ns to deliver and to hold again");
    let plot = Plot {
        title: "What a delivery costs as held requests become many".to_owned(),
        subtitle: "the relay without sockets: processor time of a delivery, and of a poll's next \
                   request"
            .to_owned(),
        x: Axis { name: x, scale: Scale::Log, text: plot::number },
        y: Axis { name: y, scale: Scale::Log, text: plot::number },
        series,
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/scale.svg");
    std::fs::write(path, plot.svg()).expect("target is there");
}

/// The figures of a case.
fn in_own_process(case: Case) -> String {
    let itself = std::env::current_exe().expect("its own path");
    let output = Process::new(itself).arg("--case").args(case.words().split(' ')).output();
    let output = output.expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a line").trim().to_owned()
}
