//! Measurement: one run, from the first connection to the report, step by step.

use crate::clock::{Clock, unix_time};
use crate::histogram::Histogram;
use crate::lane::{Lane, Pace};
use crate::load::Load;
use crate::plan::{Plan, Repoll, Scenario};
use crate::process::{Calls, Process, Sample};
use crate::rehearsal::{self, Rehearsal};
use crate::report::{Report, median};
use crate::target::Target;
use crate::text;

const PLOT_ROWS_MAX: usize = 20;

/// How long a measurement lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    pub(crate) seconds: f64,
    /// The largest number of messages.
    pub(crate) messages: u64,
    /// Whether to count system calls, in a separate phase.
    pub(crate) count_calls: bool,
}

/// Measures `plan` on `target`.
///
/// # Errors
/// Says why there are no figures. Faults under load are in the report instead.
pub(crate) fn measure(
    plan: &Plan,
    target: &Target,
    length: Length,
    clock: Clock,
) -> Result<Report, String> {
    let run = run_number(clock);
    let rehearsal = rehearsal::rehearse(target, plan, run)?;
    if rehearsal.must_create {
        let names = (0..plan.channels()).map(|index| Plan::channel_name(run, index));
        rehearsal::create(target, names)?;
    }
    let process = match target.pid {
        None => None,
        Some(pid) => Some(Process::find(pid).map_err(|error| format!("process {pid}: {error}"))?),
    };
    let mut work = Work::new(plan, target, process, run, clock)?;
    let opened = work.open()?;
    let mut whole = plan.scenario == Scenario::Publish || work.warm_up();
    let mut measured = work.idle();
    if whole && plan.scenario != Scenario::Idle {
        measured = work.run(length);
        whole = measured.is_whole;
    }
    let mut calls = None;
    if whole && length.count_calls {
        calls = Some(work.count_calls()?);
    }
    work.load.settle_accounts();
    Ok(work.report(target, &rehearsal, opened, measured, calls))
}

/// A number that identifies this run's messages and channels; another run hardly has the same.
fn run_number(clock: Clock) -> u32 {
    let (seconds, micros) = unix_time();
    let mixed = (seconds << 20 | u64::from(micros)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32 ^ clock.mono_ns() as u32
}

/// A measurement under way.
struct Work<'a> {
    plan: &'a Plan,
    load: Load,
    process: Option<Process>,
}

/// What opening the subscribers cost.
#[derive(Clone, Copy)]
struct Opened {
    before: Option<Sample>,
    after: Option<Sample>,
}

/// The result of the measured phase; the tallies hold the times.
#[derive(Clone, Copy)]
struct Measured {
    took_ns: u64,
    cpu_ns: Option<u64>,
    worked_ns: u64,
    is_whole: bool,
}

impl<'a> Work<'a> {
    fn new(
        plan: &'a Plan,
        target: &Target,
        process: Option<Process>,
        run: u32,
        clock: Clock,
    ) -> Result<Self, String> {
        let load = Load::new(plan, target, run, clock).map_err(|error| error.to_string())?;
        Ok(Self { plan, load, process })
    }

    /// Opens all connections. Messages to fetch are published before the subscribers connect.
    fn open(&mut self) -> Result<Opened, String> {
        self.load.open_publishers().map_err(|error| format!("opening publishers: {error}"))?;
        if let Repoll::Stored { count } = self.plan.repoll
            && !self.load.warm_up(count)
        {
            return Err("the messages to be fetched could not be stored".to_owned());
        }
        let before = self.quiet_sample();
        self.load
            .open_subscribers()
            .map_err(|error| format!("opening {}s: {error}", self.plan.transport.noun()))?;
        let after = self.quiet_sample();
        if self.load.traffic.gone > 0 {
            return Err(format!(
                "{} of {} {}s ended at once: {}",
                self.load.traffic.gone,
                self.plan.subscribers(),
                self.plan.transport.noun(),
                text::faults(&self.load.traffic.faults)
            ));
        }
        Ok(Opened { before, after })
    }

    /// Sends one message to every subscriber, without measuring, so that all caches are warm.
    fn warm_up(&mut self) -> bool {
        if let Repoll::Stored { .. } = self.plan.repoll {
            return true;
        }
        self.load.warm_up(1)
    }

    fn idle(&self) -> Measured {
        Measured { took_ns: 0, cpu_ns: None, worked_ns: 0, is_whole: true }
    }

    fn run(&mut self, length: Length) -> Measured {
        let before = self.quiet_sample();
        let took_ns = self.load.run((length.seconds * 1e9) as u64, length.messages);
        let worked_ns = self.load.worked_ns;
        let is_whole = self.load.is_over();
        let after = self.quiet_sample();
        let cpu_ns = before.zip(after).map(|(b, a)| a.cpu_ns.saturating_sub(b.cpu_ns));
        Measured { took_ns, cpu_ns, worked_ns, is_whole }
    }

    /// Runs for two seconds under `strace`; keeps the tallies of the measured phase.
    fn count_calls(&mut self) -> Result<(Calls, u64), String> {
        let process = self.process.as_ref().ok_or("--syscalls needs --pid")?;
        let trace = process.trace().map_err(|error| format!("strace: {error}"))?;
        let kept: Vec<_> = self
            .load
            .traffic
            .lanes
            .iter_mut()
            .map(|lane| std::mem::take(&mut lane.tally))
            .collect();
        self.load.run(2_000_000_000, u64::MAX);
        self.quiet_sample();
        let operations = operations(self.plan.scenario, &self.load);
        for (lane, tally) in self.load.traffic.lanes.iter_mut().zip(kept) {
            lane.tally = tally;
        }
        let calls = trace.finish().map_err(|error| format!("strace: {error}"))?;
        Ok((calls, operations))
    }

    /// Waits until the server is idle, then samples its process.
    fn quiet_sample(&mut self) -> Option<Sample> {
        self.load.rest(50);
        let mut last = self.process.as_ref()?.sample();
        for _ in 0..200 {
            self.load.rest(25);
            let sample = self.process.as_ref()?.sample();
            // One percent of a processor: timers, nothing more.
            if sample.cpu_ns.saturating_sub(last.cpu_ns) < 250_000 {
                return Some(sample);
            }
            last = sample;
        }
        Some(last)
    }

    fn report(
        &self,
        target: &Target,
        rehearsal: &Rehearsal,
        opened: Opened,
        measured: Measured,
        calls: Option<(Calls, u64)>,
    ) -> Report {
        let (plan, load) = (self.plan, &self.load);
        let tally = &load.traffic.lanes[0].tally;
        let beside = load.traffic.lanes.get(1).map(|lane| &lane.tally);
        // The only messages of an idle run show that every subscriber waits; they are not timed.
        let timed = plan.scenario != Scenario::Idle;
        let times = |histogram: &Histogram| histogram.distribution().filter(|_| timed);
        let operations = if timed { operations(plan.scenario, load) } else { 0 };
        let subscribers = plan.subscribers();
        let holds = subscribers > 0 && !matches!(plan.repoll, Repoll::Stored { .. });
        let opening = opened.before.zip(opened.after).filter(|_| holds);
        let per_subscriber = |total: u64| total as f64 / subscribers as f64;
        let took_s = measured.took_ns.max(1) as f64 / 1e9;
        let rows = if timed { PLOT_ROWS_MAX } else { 1 };
        Report {
            label: target.label.clone(),
            server: rehearsal.server.clone(),
            process: self.process.as_ref().and_then(Process::describe),
            publish: target.publish.to_string(),
            subscribe: target.subscribe.to_string(),
            scenario: plan.scenario,
            subscribers,
            channels: plan.channels(),
            publishers: plan.publishers(),
            message_bytes: plan.size,
            transport: plan.transport,
            repoll: plan.repoll.name(),
            rate: rate(plan),
            seconds: took_s,
            published: load.traffic.lanes.iter().map(|lane| lane.tally.published).sum(),
            deliveries: load.traffic.lanes.iter().map(|lane| lane.tally.deliveries).sum(),
            latency: times(&tally.latency),
            first: times(&tally.first),
            last: times(&tally.last),
            answer: times(&tally.answer),
            beside: beside.and_then(|tally| tally.latency.distribution()),
            beside_during: beside.and_then(|tally| tally.during.distribution()),
            deliveries_per_second_within: median(tally.rates.clone()).filter(|_| timed),
            operation: plan.scenario.operation(),
            operations,
            operations_per_second: timed.then(|| operations as f64 / took_s),
            server_cpu_us_per_operation: measured
                .cpu_ns
                .map(|ns| ns as f64 / 1e3 / operations.max(1) as f64),
            server_cpu_us_per_subscriber: opening
                .map(|(b, a)| per_subscriber(a.cpu_ns.saturating_sub(b.cpu_ns)) / 1e3),
            resident_bytes_before: opening.map(|(before, _)| before.resident_bytes),
            resident_bytes_held: opening.map(|(_, held)| held.resident_bytes),
            resident_bytes_per_subscriber: opening
                .map(|(b, a)| per_subscriber(a.resident_bytes.saturating_sub(b.resident_bytes))),
            calls_per_operation: calls
                .as_ref()
                .map(|(calls, operations)| calls.total as f64 / (*operations).max(1) as f64),
            calls: calls.map(|(calls, _)| calls),
            timeouts: load.traffic.timeouts,
            faults: load.traffic.faults.clone(),
            generator_busy: measured.worked_ns as f64 / measured.took_ns.max(1) as f64,
            plot: beside.map_or(&tally.latency, |tally| &tally.during).plot(rows),
            times: pictured(plan.scenario, &load.traffic.lanes),
        }
    }
}

/// Messages per second of an open loop.
fn rate(plan: &Plan) -> Option<f64> {
    match plan.groups[0].pace {
        Pace::Open { interval_ns } => Some(1e9 / interval_ns as f64),
        Pace::Closed { .. } => None,
    }
}

/// The times that matter most in a scenario.
fn pictured(scenario: Scenario, lanes: &[Lane]) -> Histogram {
    let histogram = match (scenario, lanes) {
        (Scenario::Idle, _) => return Histogram::default(),
        (Scenario::Publish, _) => &lanes[0].tally.answer,
        (_, [_, beside]) => &beside.tally.during,
        _ => &lanes[0].tally.latency,
    };
    histogram.clone()
}

/// How many operations the server did, as the scenario counts them.
fn operations(scenario: Scenario, load: &Load) -> u64 {
    let count = |lane: &Lane| match scenario {
        Scenario::Channels | Scenario::Publish => lane.tally.published,
        _ => lane.tally.deliveries,
    };
    load.traffic.lanes.iter().map(count).sum()
}
