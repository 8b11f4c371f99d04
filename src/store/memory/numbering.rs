//! Numbering: the hybrid clock of a store, which gives messages their ids and places. Knows no
//! channel.

use super::lost;
use crate::message::MessageId;

/// All channels of a store share one: max(now, what it last said). See the module.
#[derive(Debug)]
pub(in crate::store) struct Numbering {
    /// Every id and place is above it.
    first_id: MessageId,
    /// The place of the newest message.
    newest: MessageId,
    /// While messages are being written down: the place of the newest before them, and a second
    /// that none of them is before. Nobody has seen one of these yet, so nobody stands behind one.
    seen: Option<(MessageId, u64)>,
}

impl Numbering {
    pub(in crate::store) fn new(first_id: MessageId) -> Self {
        Self { first_id, newest: first_id, seen: None }
    }

    /// The id and the place of a message that is published now, in a channel whose newest has the
    /// id `last`. Both have the same second.
    pub(in crate::store) fn next(
        &mut self,
        last: MessageId,
        unix_s: u64,
    ) -> (MessageId, MessageId) {
        let full = last.tag == u32::MAX;
        let least = last.time.saturating_add(u64::from(full));
        self.newest = self.newest.next(unix_s.max(least));
        (last.max(self.first_id).next(self.newest.time), self.newest)
    }

    /// From now on every id and place is above this one, too.
    pub(in crate::store) fn raise(&mut self, place: MessageId) {
        self.newest = self.newest.max(place);
        self.first_id = self.first_id.max(place);
    }

    pub(in crate::store) fn newest(&self) -> MessageId {
        self.newest
    }

    /// The place of the newest message that is published.
    pub(in crate::store) fn newest_seen(&self) -> MessageId {
        self.seen.map_or(self.newest, |(place, _)| place)
    }

    /// No message that is still to be published is before this second.
    pub(in crate::store) fn second_seen(&self, unix_s: u64) -> u64 {
        self.seen.map_or(unix_s, |(_, second)| second.min(unix_s))
    }

    /// Messages from here on are written down first: nobody sees them.
    pub(in crate::store) fn hide(&mut self, unix_s: u64) {
        self.seen = Some((self.newest, unix_s.max(self.newest.time)));
    }

    /// What was hidden is published now, or never will be.
    pub(in crate::store) fn show(&mut self) {
        self.seen = None;
    }

    /// The last place of messages up to this id, in whatever channel.
    pub(in crate::store) fn last_place_of(&self, id: MessageId) -> MessageId {
        // That of the start is a place as it is an id.
        if id == self.first_id { id } else { lost::last_place_of(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageId, Numbering};

    fn id(time: u64, tag: u32) -> MessageId {
        MessageId { time, tag }
    }

    #[test]
    fn a_channels_tags_and_the_stores_numbers_count_within_the_same_second() {
        let mut numbering = Numbering::new(id(100, 7));
        assert_eq!(numbering.next(id(100, 7), 100), (id(100, 8), id(100, 8)));
        assert_eq!(numbering.next(id(100, 7), 100), (id(100, 8), id(100, 9)));
        assert_eq!(numbering.next(id(100, 8), 101), (id(101, 0), id(101, 0)));
        // The clock was set back; another channel has the second of the store.
        assert_eq!(numbering.next(id(90, 3), 50), (id(101, 0), id(101, 1)));
    }

    #[test]
    fn ids_go_on_where_a_second_has_no_more_tags() {
        let mut numbering = Numbering::new(id(100, 0));
        let (first, place) = numbering.next(id(100, u32::MAX), 100);
        assert_eq!((first, place), (id(101, 0), id(101, 0)));
        let mut full = Numbering::new(id(100, u32::MAX));
        assert_eq!(full.next(id(100, 3), 100), (id(101, 0), id(101, 0)));
    }
}
