//! What a channel's queue no longer has, so that a subscriber that comes back is told how many
//! messages it missed. Keeps numbers only, a bounded number of them.

use std::collections::VecDeque;

use crate::message::{Cursor, MessageId};

/// Seconds that are remembered one by one; a cursor from before them misses an unknown number.
const SECONDS_MAX: usize = 32;

/// How many messages lie between a cursor and the next message that is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// So many; 0 is the normal case and is not told.
    Messages(u64),
    /// Some, perhaps; too long ago to tell.
    Unknown,
}

impl Gap {
    /// Nothing was missed.
    pub const NONE: Self = Self::Messages(0);
}

/// The messages that went from the front of one queue, by expiry or by its limits.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Cursors before this one cannot be counted from.
    forgotten: MessageId,
    /// The newest message that is gone.
    through: MessageId,
    /// Oldest first: the first message that was lost in each second. Sequence numbers of lost
    /// messages have no holes, since messages leave a queue from its front only.
    seconds: VecDeque<Second>,
}

#[derive(Debug)]
struct Second {
    time: u64,
    first_tag: u32,
    first_sequence: u64,
}

impl Lost {
    /// Of a queue that follows another of the same channel, whose messages up to `forgotten` went
    /// uncounted.
    pub(super) fn after(forgotten: MessageId) -> Self {
        Self { forgotten, through: forgotten, seconds: VecDeque::new() }
    }

    pub(super) fn through(&self) -> MessageId {
        self.through
    }

    /// Notes that the message `id`, the `sequence`th of its queue, is gone.
    pub(super) fn note(&mut self, id: MessageId, sequence: u64) {
        self.through = id;
        if self.seconds.back().is_some_and(|second| second.time == id.time) {
            return;
        }
        if self.seconds.len() == SECONDS_MAX
            && let Some(second) = self.seconds.pop_front()
        {
            self.forgotten = MessageId { time: second.time, tag: u32::MAX };
        }
        self.seconds.push_back(Second {
            time: id.time,
            first_tag: id.tag,
            first_sequence: sequence,
        });
    }

    /// What is missing between `cursor` and the message with this sequence number, where every
    /// message in between is lost.
    pub(super) fn gap(&self, cursor: Cursor, sequence: u64) -> Gap {
        if cursor.is_oldest() || self.through <= cursor.id() {
            return Gap::NONE;
        }
        if cursor.id() < self.forgotten {
            return Gap::Unknown;
        }
        let later = self.seconds.partition_point(|second| second.time <= cursor.time);
        let next_second = self.seconds.get(later).map_or(sequence, |next| next.first_sequence);
        let first_missed = match later.checked_sub(1).and_then(|index| self.seconds.get(index)) {
            Some(second) if second.time == cursor.time => {
                let seen = (u64::from(cursor.tag) + 1).saturating_sub(second.first_tag.into());
                next_second.min(second.first_sequence + seen)
            }
            _ => next_second,
        };
        Gap::Messages(sequence.saturating_sub(first_missed))
    }
}

#[cfg(test)]
mod tests {
    use super::{Gap, Lost, SECONDS_MAX};
    use crate::message::{Cursor, MessageId};

    fn gap(lost: &Lost, time: u64, tag: u32, sequence: u64) -> Gap {
        lost.gap(Cursor::at(MessageId { time, tag }), sequence)
    }

    #[test]
    fn lost_messages_are_counted_from_any_cursor_among_them() {
        let mut lost = Lost::default();
        for (sequence, (time, tag)) in
            [(100, 0), (100, 1), (100, 2), (105, 0), (105, 1)].into_iter().enumerate()
        {
            lost.note(MessageId { time, tag }, sequence as u64);
        }
        assert_eq!(gap(&lost, 99, 7, 5), Gap::Messages(5));
        assert_eq!(gap(&lost, 100, 0, 5), Gap::Messages(4));
        assert_eq!(gap(&lost, 100, 9, 5), Gap::Messages(2));
        assert_eq!(gap(&lost, 103, 0, 5), Gap::Messages(2));
        assert_eq!(gap(&lost, 105, 0, 5), Gap::Messages(1));
        assert_eq!(gap(&lost, 105, 1, 5), Gap::NONE);
        assert_eq!(lost.gap(Cursor::OLDEST, 5), Gap::NONE);
    }

    #[test]
    fn a_second_that_began_with_a_high_tag_counts_from_that_tag() {
        let mut lost = Lost::default();
        lost.note(MessageId { time: 100, tag: 500_000 }, 0);
        lost.note(MessageId { time: 100, tag: 500_001 }, 1);
        assert_eq!(gap(&lost, 100, 3, 2), Gap::Messages(2));
        assert_eq!(gap(&lost, 100, 500_000, 2), Gap::Messages(1));
    }

    #[test]
    fn a_cursor_from_before_what_is_remembered_misses_an_unknown_number() {
        let mut lost = Lost::default();
        for sequence in 0..=SECONDS_MAX as u64 {
            lost.note(MessageId { time: 100 + sequence, tag: 0 }, sequence);
        }
        let next = SECONDS_MAX as u64 + 1;
        assert_eq!(gap(&lost, 99, 0, next), Gap::Unknown);
        assert_eq!(gap(&lost, 101, 0, next), Gap::Messages(next - 2));
        let inherited = Lost::after(MessageId { time: 50, tag: 3 });
        assert_eq!(gap(&inherited, 50, 2, 0), Gap::Unknown);
        assert_eq!(gap(&inherited, 50, 3, 0), Gap::NONE);
    }
}
