//! Process: processor time, resident memory and system calls of the server's process, from outside.
//! Reads `/proc`; without it there are no such figures.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

/// A process and the children that it had when it was found.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pids: Vec<u32>,
}

/// One sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Processor time used so far, user and system, in nanoseconds.
    pub(crate) cpu_ns: u64,
    pub(crate) resident_bytes: u64,
}

impl Process {
    /// The process with this id.
    ///
    /// # Errors
    /// There is no such process, or no `/proc`.
    pub(crate) fn find(pid: u32) -> io::Result<Self> {
        fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let mut pids = vec![pid];
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if parent(child) == Some(pid) {
                pids.push(child);
            }
        }
        Ok(Self { pids })
    }

    /// Processor time and memory now. A process that has ended counts as 0.
    pub(crate) fn sample(&self) -> Sample {
        Sample {
            cpu_ns: self.pids.iter().map(|pid| cpu_ns(*pid)).sum(),
            resident_bytes: self.pids.iter().map(|pid| resident_bytes(*pid)).sum(),
        }
    }

    /// The limit of open files of its last child, which holds the connections; or its own.
    pub(crate) fn open_files_max(&self) -> Option<u64> {
        let pid = self.pids.last()?;
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
        line.split_whitespace().nth(3)?.parse().ok()
    }

    /// The program's name and its processors, for the report.
    pub(crate) fn describe(&self) -> Option<String> {
        let pid = self.pids.last()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(format!("{} (pid {pid}, cpus {})", name.trim(), allowed_cpus(&pid.to_string())?))
    }

    /// Starts to count system calls. Makes the process much slower.
    ///
    /// # Errors
    /// There is no `strace`, or it may not attach.
    pub(crate) fn trace(&self) -> io::Result<Trace> {
        let output = std::env::temp_dir().join(format!("bench-strace-{}", std::process::id()));
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-q", "-o"]).arg(&output);
        for pid in &self.pids {
            command.arg("-p").arg(pid.to_string());
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut trace = Trace { child, output };
        for _ in 0..100 {
            if self.pids.iter().all(|pid| is_traced(*pid)) {
                return Ok(trace);
            }
            if trace.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = trace.child.kill();
        Err(io::Error::other("strace could not attach"))
    }
}

/// A running `strace -c`.
#[derive(Debug)]
pub(crate) struct Trace {
    child: Child,
    output: PathBuf,
}

/// System calls by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Calls {
    pub(crate) total: u64,
    pub(crate) by_name: BTreeMap<String, u64>,
}

impl Trace {
    /// Ends the count.
    ///
    /// # Errors
    /// `strace` could not be told to end, or left no table.
    pub(crate) fn finish(mut self) -> io::Result<Calls> {
        // strace detaches and writes its table only when it is interrupted; std can only kill.
        let interrupt = format!("kill -INT {}", self.child.id());
        Command::new("sh").arg("-c").arg(interrupt).status()?;
        self.child.wait()?;
        let table = fs::read_to_string(&self.output)?;
        let _ = fs::remove_file(&self.output);
        Ok(read_calls(&table))
    }
}

/// Reads the table of `strace -c`.
fn read_calls(table: &str) -> Calls {
    let mut calls = Calls::default();
    for line in table.lines() {
        let mut words = line.split_whitespace();
        let (Some(count), Some(name)) = (words.nth(3), words.last()) else { continue };
        let Ok(count) = count.parse::<u64>() else { continue };
        if name != "total" {
            calls.total += count;
            calls.by_name.insert(name.to_owned(), count);
        }
    }
    calls
}

fn is_traced(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
}

/// The processors that a process may run on, as `0` or `0-3`.
pub(crate) fn allowed_cpus(pid: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may contain anything, even a closing parenthesis.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Nanoseconds of all threads, from the scheduler's statistics.
fn cpu_ns(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let of_thread = |path: PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    threads.flatten().filter_map(|thread| of_thread(thread.path())).sum()
}

fn resident_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::read_calls;

    #[test]
    fn the_table_of_strace_gives_calls_by_name() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           3       200           write
 40.00    0.000400           2       200         7 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           2       400         7 total
";
        let calls = read_calls(table);
        assert_eq!(calls.total, 400);
        assert_eq!(calls.by_name["recvfrom"], 200);
        assert_eq!(calls.by_name.len(), 2);
    }
}
