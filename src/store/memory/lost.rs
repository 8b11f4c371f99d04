//! Losses: the ids of messages that a queue has lost, so that a subscriber that comes back is told
//! how many it missed. Keeps numbers only, a bounded number of them.

use std::collections::VecDeque;

use crate::message::{Cursor, MessageId};
use crate::store::ask::Gap;

/// Runs that are remembered one by one; a cursor from before them misses an unknown number.
const RUNS_MAX: usize = 32;

/// Places that are remembered; a cursor from before them misses an unknown number.
const PLACES_MAX: usize = 64;

/// The messages that went from the front of one queue, by expiry or by its limits.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Cursors before this one cannot be counted from.
    forgotten: MessageId,
    /// The newest message that is gone.
    through: MessageId,
    /// Oldest first. Sequence numbers of lost messages have no holes, since messages leave a queue
    /// from its front only.
    runs: VecDeque<Run>,
    /// The places of the newest that are gone, oldest first: for subscribers that count in the
    /// order of the store, where runs of one channel have holes. Empty where there are none.
    places: VecDeque<MessageId>,
    /// Whatever went before `places` has a place up to this one.
    unknown_through: MessageId,
}

/// Lost messages of one second whose tags have no holes. A tag that is missing between two runs
/// belongs to a message that was never kept.
#[derive(Debug)]
struct Run {
    first: MessageId,
    first_sequence: u64,
}

impl Lost {
    /// Of a queue that follows another of the same channel, whose messages up to `forgotten` went
    /// uncounted; their places reach up to `unknown_through`.
    pub(super) fn after(forgotten: MessageId, unknown_through: MessageId) -> Self {
        Self { forgotten, through: forgotten, unknown_through, ..Self::default() }
    }

    pub(super) fn through(&self) -> MessageId {
        self.through
    }

    /// Notes the place of a message that is gone; `is_kept`: by itself. Places only grow.
    pub(super) fn note_place(&mut self, place: MessageId, is_kept: bool) {
        if !is_kept {
            self.places.clear();
            self.unknown_through = place;
            return;
        }
        if self.places.is_empty() {
            self.unknown_through = self.unknown_through.min(place);
        }
        if self.places.len() == PLACES_MAX
            && let Some(oldest) = self.places.pop_front()
        {
            self.unknown_through = oldest;
        }
        self.places.push_back(place);
    }

    /// What is missing between two places, both excluded.
    pub(super) fn between(&self, after: MessageId, before: MessageId) -> Gap {
        if after < self.unknown_through {
            return Gap::Unknown;
        }
        let up_to = self.places.partition_point(|place| *place < before);
        let seen = self.places.partition_point(|place| *place <= after);
        Gap::Messages(up_to.saturating_sub(seen) as u64)
    }

    /// Notes that the message `id`, the `sequence`th of its queue, is gone.
    pub(super) fn note(&mut self, id: MessageId, sequence: u64) {
        self.through = id;
        let goes_on = |run: &Run| {
            run.first.time == id.time
                && u64::from(id.tag - run.first.tag) == sequence - run.first_sequence
        };
        if self.runs.back().is_some_and(goes_on) {
            return;
        }
        if self.runs.len() == RUNS_MAX
            && let Some(run) = self.runs.pop_front()
        {
            let next = self.runs.front().map_or(sequence, |next| next.first_sequence);
            let tags = next - run.first_sequence - 1;
            let tags = u32::try_from(tags).expect("one tag for each message of a run");
            self.forgotten = MessageId { time: run.first.time, tag: run.first.tag + tags };
        }
        self.runs.push_back(Run { first: id, first_sequence: sequence });
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
        let later = self.runs.partition_point(|run| run.first <= cursor.id());
        let next_run = self.runs.get(later).map_or(sequence, |next| next.first_sequence);
        let first_missed = match later.checked_sub(1).and_then(|index| self.runs.get(index)) {
            Some(run) if run.first.time == cursor.time => {
                let seen = u64::from(cursor.tag - run.first.tag) + 1;
                next_run.min(run.first_sequence + seen)
            }
            _ => next_run,
        };
        Gap::Messages(sequence.saturating_sub(first_missed))
    }
}

/// The last place that a message with this id can have, in whatever channel.
pub(super) fn last_place_of(id: MessageId) -> MessageId {
    MessageId { tag: u32::MAX, ..id }
}

#[cfg(test)]
mod tests {
    use super::{Gap, Lost, RUNS_MAX};
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
    fn tags_of_messages_that_were_not_kept_are_not_counted() {
        let mut lost = Lost::default();
        for (sequence, tag) in [0, 2, 3, 7].into_iter().enumerate() {
            lost.note(MessageId { time: 100, tag }, sequence as u64);
        }
        for (tag, missed) in [(0, 3), (1, 3), (2, 2), (3, 1), (5, 1), (6, 1)] {
            assert_eq!(gap(&lost, 100, tag, 4), Gap::Messages(missed), "after {tag}");
        }
        assert_eq!(gap(&lost, 100, 7, 4), Gap::NONE);
    }

    #[test]
    fn a_cursor_at_the_end_of_what_is_forgotten_is_still_counted_from() {
        let mut lost = Lost::default();
        for (sequence, id) in
            [(100, 0), (100, 1)].into_iter().chain((0..32).map(|n| (200 + n, 0))).enumerate()
        {
            lost.note(MessageId { time: id.0, tag: id.1 }, sequence as u64);
        }
        assert_eq!(gap(&lost, 100, 0, 34), Gap::Unknown);
        assert_eq!(gap(&lost, 100, 1, 34), Gap::Messages(32));
    }

    #[test]
    fn a_cursor_from_before_what_is_remembered_misses_an_unknown_number() {
        let mut lost = Lost::default();
        for sequence in 0..=RUNS_MAX as u64 {
            lost.note(MessageId { time: 100 + sequence, tag: 0 }, sequence);
        }
        let next = RUNS_MAX as u64 + 1;
        assert_eq!(gap(&lost, 99, 0, next), Gap::Unknown);
        assert_eq!(gap(&lost, 101, 0, next), Gap::Messages(next - 2));
        let inherited = Lost::after(MessageId { time: 50, tag: 3 }, MessageId { time: 50, tag: 3 });
        assert_eq!(gap(&inherited, 50, 2, 0), Gap::Unknown);
        assert_eq!(gap(&inherited, 50, 3, 0), Gap::NONE);
    }
}
