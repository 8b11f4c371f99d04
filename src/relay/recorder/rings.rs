//! Rings: all that is kept, each kind of events with its own room, so that many of one push out
//! none of another; and the one number that all of them count by. Never looks at a text.

use super::event::Fact;
use super::ring::{Event, Ring};
use crate::clock::Now;

/// Events of each ring, and bytes of their texts.
const PUBLISHES: (usize, usize) = (2048, 256 << 10);
const SENT: (usize, usize) = (2048, 40 << 10);
const HOLDS: (usize, usize) = (4096, 160 << 10);
const DROPS: (usize, usize) = (512, 20 << 10);
const REFUSALS: (usize, usize) = (256, 96 << 10);
const NOTICES: (usize, usize) = (256, 32 << 10);

/// See the module.
#[derive(Debug)]
pub(super) struct Rings {
    /// The number of the newest event; 0 before the first.
    newest: u64,
    list: [Ring; 6],
}

/// The places of rings in their list.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Publishes,
    Sent,
    Holds,
    Drops,
    Refusals,
    Notices,
}

/// The room of each kind, in the order of [`Kind`].
const ROOMS: [(usize, usize); 6] = [PUBLISHES, SENT, HOLDS, DROPS, REFUSALS, NOTICES];

impl Default for Rings {
    fn default() -> Self {
        Self::behind(0)
    }
}

impl Rings {
    /// Most bytes that all of them take.
    pub(super) const BYTES_MAX: usize = {
        let (mut bytes, mut place) = (0, 0);
        while place < ROOMS.len() {
            bytes += Ring::bytes(ROOMS[place]);
            place += 1;
        }
        bytes
    };

    /// Empty; the first event has the number behind this one.
    pub(super) fn behind(newest: u64) -> Self {
        Self { newest, list: ROOMS.map(Ring::new) }
    }

    /// Keeps an event that happens now.
    pub(super) fn record(&mut self, kind: Kind, fact: Fact, texts: &[&[u8]], now: Now) {
        self.newest += 1;
        self.list[kind as usize].push((self.newest, at_us(now)), fact, texts);
    }

    /// The number of the newest event; 0 before the first.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// The events behind this number that are kept, in their order.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = Event<'_>> {
        let mut places = self.list.each_ref().map(|ring| ring.after(number));
        std::iter::from_fn(move || {
            let heads = self.list.iter().zip(&mut places);
            let (_, ring, place) = heads
                .filter_map(|(ring, place)| Some((ring.number(*place)?, ring, place)))
                .min_by_key(|(number, ..)| *number)?;
            *place += 1;
            ring.at(*place - 1)
        })
    }
}

/// The wall clock, microseconds since the Unix epoch.
fn at_us(now: Now) -> u64 {
    now.unix_s.saturating_mul(1_000_000) + u64::from(now.unix_us)
}
