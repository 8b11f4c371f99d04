//! Text: reports for readers at a terminal, in at most 80 columns. Computes no figure.

use std::fmt::Write;

use crate::histogram::Distribution;
use crate::machine::Machine;
use crate::report::{Compared, Report};
use crate::tally::Faults;
use crate::transport::Transport;

const BAR: usize = 48;

/// The machine, in two lines.
pub(crate) fn machine(machine: &Machine) -> String {
    let unknown = || "unknown".to_owned();
    format!(
        "pushserver {} bench; load on cpus {} of {} ({}), {} {}\nopen files {}, somaxconn {}\n",
        machine.version,
        machine.load_cpus.clone().unwrap_or_else(unknown),
        machine.cores,
        machine.processor.clone().unwrap_or_else(unknown),
        machine.system,
        machine.kernel.clone().unwrap_or_else(unknown),
        machine.open_files,
        machine.somaxconn.map_or_else(unknown, |count| count.to_string()),
    )
}

/// The report of one measurement.
pub(crate) fn report(report: &Report, plot: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut text, report, plot);
    text
}

fn write_report(text: &mut String, r: &Report, plot: bool) -> std::fmt::Result {
    let process = r.process.as_deref().map(|process| format!(", {process}")).unwrap_or_default();
    writeln!(text, "\n{} {}: {}{process}", r.scenario.name(), r.label, r.server)?;
    let how = match (r.subscribers, r.transport) {
        (0, _) => String::new(),
        (_, Transport::Poll) => format!(", polling again {}", r.repoll),
        _ => format!(", by {}s", r.transport.noun()),
    };
    let pace = r.rate.map_or("closed loop".to_owned(), |rate| format!("{rate:.1} messages/s"));
    writeln!(
        text,
        "  {} subscribers on {} channels, {} publishers, {} B, {pace}{how}",
        r.subscribers, r.channels, r.publishers, r.message_bytes,
    )?;
    write!(text, "  {} published, {} delivered", r.published, r.deliveries)?;
    if r.operations_per_second.is_some() {
        let busy = r.generator_busy * 100.0;
        write!(text, " in {:.2} s; load generator {busy:.0} % busy", r.seconds)?;
    }
    writeln!(text)?;
    let times = [
        ("delivery", &r.latency),
        ("first delivery", &r.first),
        ("last delivery", &r.last),
        ("publisher's answer", &r.answer),
        ("beside fan-outs", &r.beside_during),
        ("beside, always", &r.beside),
    ];
    if times.iter().any(|(_, times)| times.is_some()) {
        writeln!(
            text,
            "  {:<19}{:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "min", "p50", "p90", "p99", "p99.9", "max"
        )?;
    }
    for (name, times) in times {
        if let Some(times) = times {
            write_times(text, name, times)?;
        }
    }
    write_costs(text, r)?;
    write_faults(text, r)?;
    if plot && r.plot.len() > 1 {
        write_plot(text, &r.plot)?;
    }
    Ok(())
}

fn write_times(text: &mut String, name: &str, times: &Distribution) -> std::fmt::Result {
    let columns =
        [times.min_us, times.p50_us, times.p90_us, times.p99_us, times.p999_us, times.max_us];
    write!(text, "  {name:<19}")?;
    for us in columns {
        write!(text, "{:>9} ", time(us))?;
    }
    text.truncate(text.trim_end().len());
    writeln!(text)
}

fn write_costs(text: &mut String, r: &Report) -> std::fmt::Result {
    if let Some(rate) = r.deliveries_per_second_within {
        writeln!(text, "  within a fan-out   {rate:>9.0} deliveries/s")?;
    }
    if let Some(rate) = r.operations_per_second {
        writeln!(text, "  over the whole run {rate:>9.0} {}/s", r.operation)?;
    }
    if let Some(us) = r.server_cpu_us_per_operation {
        writeln!(text, "  server CPU         {us:>9.2} us/{}", r.operation)?;
    }
    if let Some(us) = r.server_cpu_us_per_subscriber {
        writeln!(text, "  server CPU         {us:>9.2} us/new subscriber")?;
    }
    if let (Some(each), Some(before), Some(held)) =
        (r.resident_bytes_per_subscriber, r.resident_bytes_before, r.resident_bytes_held)
    {
        writeln!(
            text,
            "  server memory      {each:>9.0} B/{} ({} -> {} KiB)",
            r.transport.noun(),
            before >> 10,
            held >> 10
        )?;
    }
    if let (Some(calls), Some(per_operation)) = (&r.calls, r.calls_per_operation) {
        writeln!(text, "  system calls       {per_operation:>9.3} per {}", r.operation)?;
        for (name, count) in &calls.by_name {
            let share = *count as f64 / calls.total.max(1) as f64 * per_operation;
            writeln!(text, "    {name:<17}{share:>9.3}")?;
        }
    }
    Ok(())
}

fn write_faults(text: &mut String, r: &Report) -> std::fmt::Result {
    let f = &r.faults;
    if r.timeouts > 0 {
        writeln!(text, "  {} polls ended without a message and were repeated", r.timeouts)?;
    }
    writeln!(text, "  {}", faults(f))?;
    if f.any() {
        writeln!(text, "  FAILED: messages or connections went wrong")?;
    }
    Ok(())
}

/// All counts of faults in one line, with details of those that are not 0.
pub(crate) fn faults(faults: &Faults) -> String {
    let Faults { lost, repeated, reordered, damaged, resets, unanswered, .. } = faults;
    let mut text = format!(
        "lost {lost}, repeated {repeated}, reordered {reordered}, damaged {damaged}, \
         resets {resets}, unanswered {unanswered}, refused {}",
        faults.refused.values().sum::<u64>()
    );
    for (status, count) in &faults.refused {
        let _ = write!(text, "; {count} with status {status}");
    }
    if let Some(why) = faults.damage {
        let _ = write!(text, "; damage: {why}");
    }
    text
}

/// Bars of deliveries by latency, on a logarithmic scale.
fn write_plot(text: &mut String, rows: &[(f64, u64)]) -> std::fmt::Result {
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let total = rows.iter().map(|(_, count)| count).sum::<u64>().max(1);
    writeln!(text, "  deliveries by time")?;
    for (up_to_us, count) in rows {
        let length = (*count as f64 / most as f64 * BAR as f64).ceil() as usize;
        let share = *count as f64 / total as f64 * 100.0;
        writeln!(text, "  < {:>9} {share:>6.2} % {}", time(*up_to_us), "#".repeat(length))?;
    }
    Ok(())
}

/// The comparison of two servers.
pub(crate) fn comparison(a: &str, b: &str, rounds: usize, rows: &[Compared]) -> String {
    let mut text = format!(
        "\nmedians of {rounds}, measured in turn\n  {:<30}{:>13}{:>13}{:>10}\n",
        "",
        format!("A {a}").chars().take(12).collect::<String>(),
        format!("B {b}").chars().take(12).collect::<String>(),
        "A / B"
    );
    for row in rows {
        let show = |value: f64| match row.unit {
            "us" => time(value),
            "" => format!("{value:.3}"),
            unit => format!("{value:.0} {unit}"),
        };
        let (a, b) = (show(row.a), show(row.b));
        let _ = writeln!(text, "  {:<30}{a:>13}{b:>13}{:>10.3}", row.figure, row.a_to_b);
    }
    text
}

/// A time with about three digits: `7.05 us`, `65.2 ms`, `1.40 s`.
fn time(us: f64) -> String {
    let (value, unit) = match us {
        ..1e3 => (us, "us"),
        ..1e6 => (us / 1e3, "ms"),
        _ => (us / 1e6, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_shown_with_three_digits() {
        assert_eq!(time(7.054), "7.05 us");
        assert_eq!(time(65_230.0), "65.2 ms");
        assert_eq!(time(111_000.0), "111 ms");
        assert_eq!(time(1_400_000.0), "1.40 s");
    }
}
