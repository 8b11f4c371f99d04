//! Fan-out: the released daemon under its own load generator, over real sockets, with 1,000 and
//! 10,000 long polls, event streams and WebSockets. Prints system calls, processor time and
//! resident bytes, with budgets. Without `strace` it counts no system calls, and says so. Run with
//! `cargo bench --bench fanout`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const DAEMON: &str = env!("CARGO_BIN_EXE_pushserver");

fn main() {
    for (transport, name, calls) in [
        ("poll", "long poll", 2.05),
        ("eventsource", "event stream", 1.02),
        ("websocket", "WebSocket", 1.02),
    ] {
        for subscribers in [1000, 10_000] {
            fanout(transport, name, subscribers, calls);
        }
    }
}

/// `calls`: the budget of system calls per delivery.
fn fanout(transport: &str, name: &str, subscribers: usize, calls: f64) {
    let mut daemon = Daemon::start();
    let pid = daemon.0.id().to_string();
    let count = subscribers.to_string();
    let mut arguments = vec!["bench", "fanout", "-q", "-n", &count, "--json", "-", "--pid", &pid];
    let url = daemon.url();
    arguments.extend(["--server", &url, "--transport", transport]);
    if Command::new("strace").arg("-V").output().is_ok() {
        arguments.push("--syscalls");
    }
    let output = Command::new(DAEMON).args(&arguments).stderr(Stdio::inherit()).output();
    let output = output.expect("the load generator starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the load generator's JSON");
    let run = &report["runs"][0];
    println!("fan-out to {} {name}s", run["subscribers"]);
    line(run, "calls_per_operation", "system calls per delivery", calls);
    line(run, "server_cpu_us_per_operation", "us of processor time per delivery", f64::INFINITY);
    let idle = format!("resident bytes per idle {name}");
    line(run, "resident_bytes_per_subscriber", &idle, 400.0);
    line(run, "deliveries_per_second_within", "deliveries a second", f64::INFINITY);
    for percentile in ["p50_us", "p99_us", "p999_us"] {
        let what = format!("{} from publish to delivery", percentile.replace("_us", " us"));
        line(&run["latency"], percentile, &what, f64::INFINITY);
    }
    assert!(output.status.success(), "messages were lost, repeated or damaged: {}", run["faults"]);
}

fn line(figures: &Value, key: &str, what: &str, budget: f64) {
    match figures[key].as_f64() {
        Some(figure) if budget.is_infinite() => println!("  {figure:.2} {what}"),
        Some(figure) => {
            let verdict = if figure <= budget { "ok" } else { "OVER BUDGET" };
            println!("  {figure:.2} {what}, budget {budget}: {verdict}");
        }
        None => println!("  {what}: not measured"),
    }
}

/// A daemon on a free port. It stops when its standard input ends.
struct Daemon(Child);

impl Daemon {
    fn start() -> Self {
        let mut child = Command::new(DAEMON)
            .args(["-q", "--config", "-", "--exit-on-stdin-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let stdin = child.stdin.as_mut().expect("piped");
        stdin.write_all(br#"{"port": 0}"#).expect("the daemon reads its settings");
        Self(child)
    }

    /// Waits until it accepts.
    fn url(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("the daemon says where it listens");
        line.trim().trim_start_matches("listening on ").to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.stdin.take();
        let _ = self.0.wait();
    }
}
