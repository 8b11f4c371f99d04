//! Memory return: when free heap memory is returned to the system, after many clients have left or
//! channels have expired: all at once, some time later, since it costs milliseconds and the next
//! clients would want it again.

use super::traffic::Traffic;
use crate::clock::Now;
use crate::relay::Command;

/// So much must have gone before it is worth the while, bytes.
const WORTH_BYTES: usize = 4 << 20;

/// Where much is there, it is given back in pieces of this size, bytes: so much takes some
/// milliseconds.
const PIECE_BYTES: usize = 32 << 20;

/// From when it is worth the while to when it is done, milliseconds.
const DELAY_MS: u64 = 1000;

/// When so much has gone, the small pieces of it are joined, bytes: some thousands of them.
const JOINED_BYTES: usize = 256 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct MemoryReturn {
    /// The most there was since the last time, bytes.
    peak: usize,
    /// Memory was given back since it last grew. What is left then may lie on as many pages as all
    /// that has gone, and keeps them: when it goes, that is worth the while however little it is.
    is_falling: bool,
    due_ms: Option<u64>,
    /// The most there was since small pieces were joined, bytes.
    unjoined: usize,
}

impl MemoryReturn {
    /// When [`MemoryReturn::give_back`] has something to do, milliseconds.
    pub(super) fn due(&self) -> Option<u64> {
        self.due_ms
    }

    /// Returns what tables and the heap do not need any more, if it is time to.
    pub(super) fn give_back(&mut self, traffic: &mut Traffic, now: Now) {
        let weight = traffic.relay.state().weight();
        self.unjoined = self.unjoined.max(weight);
        if self.unjoined - weight >= JOINED_BYTES {
            self.unjoined = weight;
            heap_trim::join();
        }
        if !self.is_due(weight, now) {
            return;
        }
        traffic.relay.command(Command::Shrink, now);
        traffic.sockets.table.shrink();
        heap_trim::trim();
        log::debug!("event=memory_given_back");
    }

    /// Whether it is time, where `weight` bytes are needed.
    fn is_due(&mut self, weight: usize, now: Now) -> bool {
        if weight > self.peak {
            self.peak = weight;
            self.is_falling = false;
        }
        let gone = self.peak - weight;
        let least = if self.is_falling { 1 } else { WORTH_BYTES };
        let worth = gone >= PIECE_BYTES || (gone >= least && gone >= self.peak / 2);
        match self.due_ms {
            None if worth => {
                self.due_ms = Some(now.mono_ms + DELAY_MS);
                false
            }
            Some(due_ms) if due_ms <= now.mono_ms => {
                self.due_ms = None;
                // What was gone may be there again.
                if worth {
                    self.peak = weight;
                    self.is_falling = true;
                }
                worth
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn what_has_gone_is_given_back_once_and_not_when_it_came_again() {
        let at = |mono_ms| Now::at(mono_ms, 0);
        let mut heap = MemoryReturn::default();
        assert!(!heap.is_due(20 * MIB, at(0)));
        assert!(!heap.is_due(11 * MIB, at(10)));
        assert_eq!(heap.due(), None, "not half of it");
        assert!(!heap.is_due(9 * MIB, at(20)));
        assert_eq!(heap.due(), Some(1020));
        assert!(!heap.is_due(0, at(1019)));
        assert!(heap.is_due(0, at(1020)));
        assert!(!heap.is_due(0, at(5000)));
        assert!(!heap.is_due(20 * MIB, at(6000)));
        assert!(!heap.is_due(0, at(6010)));
        assert!(!heap.is_due(19 * MIB, at(7010)), "it is there again");
        assert_eq!(heap.due(), None);
    }

    #[test]
    fn the_little_that_was_left_is_given_back_when_it_goes_too() {
        let at = |mono_ms| Now::at(mono_ms, 0);
        let mut heap = MemoryReturn::default();
        heap.is_due(20 * MIB, at(0));
        heap.is_due(5 * MIB, at(0));
        assert!(heap.is_due(3 * MIB, at(1000)), "while it still goes");
        assert!(!heap.is_due(2 * MIB, at(1100)));
        assert!(!heap.is_due(MIB, at(1200)));
        assert!(heap.is_due(0, at(2200)));
        assert!(!heap.is_due(0, at(9000)));
        // Until it grows again.
        heap.is_due(3 * MIB, at(9000));
        heap.is_due(0, at(9000));
        assert_eq!(heap.due(), None);
    }

    #[test]
    fn a_little_is_kept_and_much_goes_in_pieces() {
        let at = |mono_ms| Now::at(mono_ms, 0);
        let mut heap = MemoryReturn::default();
        heap.is_due(3 * MIB, at(0));
        heap.is_due(0, at(0));
        assert_eq!(heap.due(), None);
        heap.is_due(1000 * MIB, at(0));
        heap.is_due(960 * MIB, at(0));
        assert!(heap.is_due(960 * MIB, at(1000)));
    }
}
