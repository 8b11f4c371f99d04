//! Signals: those that the daemon obeys, as events of the loop. Does nothing for them.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM or SIGINT: stop in good order; the second time, at once.
    Stop,
    /// SIGHUP: read the configuration anew.
    Reload,
    /// SIGUSR1: write the counters to the log.
    Count,
}

/// Catches the signals for as long as it lives.
pub(super) struct Signals(signal_hook_mio::v1_0::Signals);

impl Signals {
    /// From now on these signals are events, and no longer end the process.
    pub(super) fn catch(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut signals = signal_hook_mio::v1_0::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self(signals))
    }

    /// The signals that came since the last call. Several of one kind may be one here.
    pub(super) fn pending(&mut self) -> impl Iterator<Item = Signal> + '_ {
        self.0.pending().map(|signal| match signal {
            SIGHUP => Signal::Reload,
            SIGUSR1 => Signal::Count,
            _ => Signal::Stop,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    #[test]
    fn signals_come_as_events_and_say_what_they_ask_for() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(4);
        let mut signals = Signals::catch(poll.registry(), Token(7)).unwrap();
        for (raised, expected) in [
            (SIGHUP, Signal::Reload),
            (SIGUSR1, Signal::Count),
            (SIGTERM, Signal::Stop),
            (SIGINT, Signal::Stop),
        ] {
            signal_hook::low_level::raise(raised).unwrap();
            let mut seen = Vec::new();
            while seen.is_empty() {
                if let Err(error) = poll.poll(&mut events, Some(Duration::from_secs(20))) {
                    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
                    continue;
                }
                assert!(!events.is_empty(), "no event for {expected:?}");
                seen.extend(signals.pending());
            }
            assert_eq!(seen, [expected]);
        }
    }
}
