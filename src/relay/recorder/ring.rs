//! Ring: the newest events of some kinds, with their texts, in room that is bounded by number and
//! by bytes and taken with the first event. Never looks at what it keeps.

use std::collections::VecDeque;

use super::event::Fact;

/// Texts that an event may have.
pub(super) const TEXTS: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Ring {
    /// Oldest first; their numbers ascend.
    heads: VecDeque<Head>,
    /// The texts of all of them, those of one event in one piece: where one does not fit before the
    /// end of the room, it stands at its begin.
    texts: Box<[u8]>,
    heads_max: usize,
    texts_max: usize,
    /// Behind the texts of the newest: their place, and counted over all rounds.
    place: usize,
    /// See `place`.
    end: u64,
}

/// One event but for its texts.
#[derive(Debug, Clone, Copy)]
struct Head {
    number: u64,
    at_us: u64,
    fact: Fact,
    /// Where its texts begin, counted as [`Ring::end`].
    begin: u64,
    lens: [u16; TEXTS],
}

const _: () = assert!(size_of::<Head>() <= 72);

/// One event, to look at.
#[derive(Debug)]
pub(super) struct Event<'r> {
    pub(super) number: u64,
    /// Microseconds since the Unix epoch.
    pub(super) at_us: u64,
    pub(super) fact: Fact,
    pub(super) texts: [&'r [u8]; TEXTS],
}

impl Ring {
    /// Nothing yet, for so many events, whose texts have so many bytes together.
    pub(super) fn new((heads_max, texts_max): (usize, usize)) -> Self {
        Self {
            heads: VecDeque::new(),
            texts: Box::default(),
            heads_max,
            texts_max,
            place: 0,
            end: 0,
        }
    }

    /// Most bytes that such a one takes.
    pub(super) const fn bytes((heads_max, texts_max): (usize, usize)) -> usize {
        heads_max * size_of::<Head>() + texts_max
    }

    /// Keeps an event, at the cost of older ones where there is no room.
    pub(super) fn push(&mut self, (number, at_us): (u64, u64), fact: Fact, texts: &[&[u8]]) {
        if self.texts.is_empty() {
            self.heads.reserve_exact(self.heads_max);
            self.texts = vec![0; self.texts_max].into();
        }
        let mut lens = [0; TEXTS];
        let mut all = 0;
        for (len, text) in lens.iter_mut().zip(texts) {
            *len = u16::try_from(text.len()).expect("texts are cut");
            all += text.len();
        }
        // Divides nothing: that takes as long as all the rest.
        let (mut place, mut begin) = (self.place, self.end);
        if place + all > self.texts_max {
            begin += (self.texts_max - place) as u64;
            place = 0;
        }
        let (end, room) = (begin + all as u64, self.texts_max as u64);
        while self.heads.len() == self.heads_max
            || self.heads.front().is_some_and(|oldest| end - oldest.begin > room)
        {
            self.heads.pop_front();
        }
        let mut at = place;
        for text in texts {
            self.texts[at..at + text.len()].copy_from_slice(text);
            at += text.len();
        }
        (self.place, self.end) = (at, end);
        self.heads.push_back(Head { number, at_us, fact, begin, lens });
    }

    /// The place of the first event behind this number.
    pub(super) fn after(&self, number: u64) -> usize {
        self.heads.partition_point(|head| head.number <= number)
    }

    /// The number of the event at a place, if there is one.
    pub(super) fn number(&self, place: usize) -> Option<u64> {
        self.heads.get(place).map(|head| head.number)
    }

    /// The event at a place, if there is one.
    pub(super) fn at(&self, place: usize) -> Option<Event<'_>> {
        let &Head { number, at_us, fact, begin, lens } = self.heads.get(place)?;
        let mut at = (begin % self.texts_max as u64) as usize;
        let texts = lens.map(|len| {
            let from = at;
            at += usize::from(len);
            &self.texts[from..at]
        });
        Some(Event { number, at_us, fact, texts })
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Fact;
    use super::*;
    use crate::message::MessageId;

    const SENT: Fact = Fact::Sent { id: MessageId { time: 1, tag: 0 }, to: 1, us: 1 };

    fn texts(ring: &Ring) -> Vec<(u64, Vec<u8>, Vec<u8>)> {
        let event = |place| {
            let Event { number, texts, .. } = ring.at(place)?;
            Some((number, texts[0].to_vec(), texts[1].to_vec()))
        };
        (0..).map_while(event).collect()
    }

    #[test]
    fn the_newest_are_there_whole_whatever_their_texts_take() {
        let mut ring = Ring::new((8, 100));
        assert_eq!(ring.heads.capacity(), 0, "nothing is taken before the first event");
        for number in 1..2000_u64 {
            let (a, b) = (vec![b'a'; (number * 7 % 23) as usize], vec![b'b'; number as usize % 31]);
            ring.push((number, 0), SENT, &[&a, &b]);
            let there = texts(&ring);
            assert_eq!(there.last().unwrap(), &(number, a, b));
            assert!(there.len() <= 8);
            for (number, a, b) in &there {
                assert_eq!(a.len() as u64, number * 7 % 23);
                assert_eq!((b.len() as u64, b.contains(&b'a')), (number % 31, false));
            }
            assert_eq!(ring.after(number - 1), there.len() - 1);
        }
        assert!(ring.heads.capacity() == 8 && ring.texts.len() == 100);
    }
}
