//! Signals: those that the daemon obeys, as events of the loop. Does nothing for them.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_mio::v1_0::Signals;

/// From now on these signals are events, for as long as the value lives, and no longer end the
/// process. Several of one kind may be one.
pub(super) fn catch(registry: &Registry, token: Token) -> io::Result<Signals> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
    registry.register(&mut signals, token, Interest::READABLE)?;
    Ok(signals)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    #[test]
    fn signals_come_as_events_and_say_which_they_are() {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(4);
        let mut signals = catch(poll.registry(), Token(7)).unwrap();
        for raised in [SIGHUP, SIGUSR1, SIGTERM, SIGINT] {
            signal_hook::low_level::raise(raised).unwrap();
            let mut seen = Vec::new();
            while seen.is_empty() {
                if let Err(error) = poll.poll(&mut events, Some(Duration::from_secs(20))) {
                    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
                    continue;
                }
                assert!(!events.is_empty(), "no event for {raised}");
                seen.extend(signals.pending());
            }
            assert_eq!(seen, [raised]);
        }
    }
}
