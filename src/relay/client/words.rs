//! Words: how a client is told what the hub refuses. Sends nothing.

use crate::hub;

/// Status, further header lines and text of the answer.
pub(super) fn words(refusal: hub::Refusal) -> (u16, &'static [u8], &'static str) {
    let lines: &[u8] = match refusal {
        hub::Refusal::Away => b"Retry-After: 1\r\n",
        _ => b"",
    };
    let (status, text) = match refusal {
        hub::Refusal::Channels => {
            (503, "too many channels; try again later, or raise limits.channels")
        }
        hub::Refusal::Subscribers => (403, "the channel has max_subscribers subscribers"),
        hub::Refusal::MessageSize => {
            (413, "the message alone exceeds what its store takes (max_memory); send less")
        }
        hub::Refusal::NotWritten => {
            (507, "the store's disk is full or broken; nothing was done, and the log says more")
        }
        hub::Refusal::Busy => {
            (503, "too much waits to be written to the store's disk; try again later")
        }
        hub::Refusal::Away => (
            503,
            "the store's Redis is away or refuses this; nothing was done, and the log says more",
        ),
        hub::Refusal::OutOfMemory => {
            (507, "Redis has no memory left; nothing was done: raise its maxmemory")
        }
    };
    (status, lines, text)
}
