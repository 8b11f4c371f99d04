//! Ring: the newest events of some kinds, with their texts, in room that is bounded by number and
//! by bytes and taken with the first event. Never looks at what it keeps.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::event::Fact;

/// Texts that an event may have.
pub(super) const TEXTS: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Ring {
    /// Oldest first; their numbers ascend.
    heads: VecDeque<Head>,
    /// The texts of all of them, in their order.
    texts: VecDeque<u8>,
    heads_max: usize,
    texts_max: usize,
    /// Where the texts of the oldest begin, counted from the first text ever, modulo 2^32.
    begin: u32,
}

/// One event but for its texts.
#[derive(Debug, Clone, Copy)]
struct Head {
    number: u64,
    at_us: u64,
    fact: Fact,
    /// Where its texts begin, as [`Ring::begin`].
    begin: u32,
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
    pub(super) texts: [Cow<'r, [u8]>; TEXTS],
}

impl Ring {
    /// Nothing yet, for so many events, whose texts have so many bytes together.
    pub(super) const fn new(heads_max: usize, texts_max: usize) -> Self {
        Self { heads: VecDeque::new(), texts: VecDeque::new(), heads_max, texts_max, begin: 0 }
    }

    /// Most bytes that it takes.
    pub(super) const fn bytes_max(&self) -> usize {
        self.heads_max * size_of::<Head>() + self.texts_max
    }

    /// Keeps an event, at the cost of older ones where there is no room.
    pub(super) fn push(&mut self, (number, at_us): (u64, u64), fact: Fact, texts: &[&[u8]]) {
        if self.heads.capacity() == 0 {
            self.heads.reserve_exact(self.heads_max);
            self.texts.reserve_exact(self.texts_max);
        }
        let mut lens = [0; TEXTS];
        let mut all = 0;
        for (len, text) in lens.iter_mut().zip(texts) {
            *len = u16::try_from(text.len()).expect("texts are cut");
            all += text.len();
        }
        while self.heads.len() == self.heads_max || self.texts.len() + all > self.texts_max {
            if !self.pop() {
                return;
            }
        }
        let begin = self.begin.wrapping_add(self.texts.len() as u32);
        self.heads.push_back(Head { number, at_us, fact, begin, lens });
        texts.iter().for_each(|text| self.texts.extend(*text));
    }

    /// Drops the oldest event; `false`: there is none.
    fn pop(&mut self) -> bool {
        let Some(head) = self.heads.pop_front() else { return false };
        let all: usize = head.lens.iter().map(|len| usize::from(*len)).sum();
        self.texts.drain(..all);
        self.begin = self.begin.wrapping_add(all as u32);
        true
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
        let mut at = begin.wrapping_sub(self.begin) as usize;
        let texts = lens.map(|len| {
            let from = at;
            at += usize::from(len);
            self.text(from, at)
        });
        Some(Event { number, at_us, fact, texts })
    }

    fn text(&self, from: usize, to: usize) -> Cow<'_, [u8]> {
        let (front, back) = self.texts.as_slices();
        if let Some(text) = front.get(from..to) {
            return Cow::Borrowed(text);
        }
        match from.checked_sub(front.len()) {
            Some(start) => Cow::Borrowed(&back[start..to - front.len()]),
            None => Cow::Owned([&front[from..], &back[..to - front.len()]].concat()),
        }
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
        let mut ring = Ring::new(8, 100);
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
        assert!(ring.heads.capacity() == 8 && ring.texts.capacity() == 100);
    }

    #[test]
    fn where_the_count_of_bytes_begins_anew_texts_are_the_same() {
        let mut ring = Ring::new(4, 64);
        ring.begin = u32::MAX - 20;
        for number in 1..20 {
            ring.push((number, 0), SENT, &[format!("{number:07}").as_bytes()]);
            let there = texts(&ring);
            assert!(there.iter().all(|(n, text, _)| *text == format!("{n:07}").into_bytes()));
        }
    }
}
