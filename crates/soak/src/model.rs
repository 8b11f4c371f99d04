//! Model: the history of a channel, as the answers to its publishers give it. Each answer to a
//! subscriber is judged by it.
//!
//! Pure: its inputs are moments, ids and numbers. It never guesses: where the answers do not tell
//! the order of two events, both orders are right. Ids order the messages of a channel, and a
//! DELETE's answer names the last message before it, so publishers may publish at the same time.

use crate::events::Gap::{Messages, Unknown};
use crate::events::{Deleted, Faults, Gap, Id, Moment, Observation, Published, Rules, Saw, Seen};

/// How much earlier than by the clients' clock a message may expire, milliseconds: the daemon reads
/// its clock once a turn.
const SLACK_MS: u64 = 500;

/// How long a daemon that has lost Redis may be without it, milliseconds.
const AWAY_MS: u64 = 2000;

/// Turns after a publisher's answer until all that the daemon wrote before it has been read.
const TURNS: u64 = 3;

/// Runs of lost messages that the daemon counts; beyond them it may say `unknown`.
const RUNS_TOLD: usize = 31;

/// A message in the history.
#[derive(Debug, Clone, Copy)]
struct Entry {
    published: Published,
    /// How many DELETEs came before it.
    life: u32,
    /// How many messages of its life were stored, up to this one.
    place: usize,
    /// A DELETE removed it from the queue.
    taken: bool,
}

/// The model of one channel.
#[derive(Debug)]
pub(crate) struct Channel {
    name: String,
    rules: Rules,
    /// Ordered by id.
    history: Vec<Entry>,
    /// In order.
    deletes: Vec<Deleted>,
    /// DELETEs of the channel while it had no message.
    empty_deletes: Vec<Deleted>,
    life: u32,
    /// How many messages of this life were stored so far.
    place: usize,
    /// POSTs and DELETEs without an answer yet.
    open: usize,
    /// Messages since `open` was last 0, in the order of their answers.
    news: Vec<Published>,
    new_deletes: Vec<Deleted>,
    /// Judged when `open` is 0: only then is the history complete.
    waiting: Vec<Observation>,
    pub(crate) seen: Seen,
}

impl Channel {
    pub(crate) fn new(name: String, rules: Rules) -> Self {
        Self {
            name,
            rules,
            history: Vec::new(),
            deletes: Vec::new(),
            empty_deletes: Vec::new(),
            life: 0,
            place: 0,
            open: 0,
            news: Vec::new(),
            new_deletes: Vec::new(),
            waiting: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// A POST or DELETE is sent; one of the three methods below ends it.
    pub(crate) fn begin(&mut self) {
        self.open += 1;
    }

    pub(crate) fn published(&mut self, published: Published, faults: &mut Faults) {
        self.news.push(published);
        self.end(faults);
    }

    pub(crate) fn deleted(&mut self, deleted: Deleted, faults: &mut Faults) {
        self.new_deletes.push(deleted);
        self.end(faults);
    }

    /// The request changed nothing.
    pub(crate) fn unchanged(&mut self, faults: &mut Faults) {
        self.end(faults);
    }

    pub(crate) fn observed(&mut self, observation: Observation, faults: &mut Faults) {
        self.waiting.push(observation);
        self.settle(faults);
    }

    /// How many answers are not judged yet.
    pub(crate) fn unsettled(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a subscriber at `cursor` has every message that is certainly in the queue.
    pub(crate) fn is_at_end(&self, cursor: Option<Id>) -> bool {
        let is_there = |entry: &&Entry| {
            entry.life == self.life && entry.published.kept && !self.may_go_by_itself()
        };
        let newest = self.history.iter().rev().find(is_there);
        newest.is_none_or(|newest| cursor.is_some_and(|cursor| cursor >= newest.published.id))
    }

    fn may_go_by_itself(&self) -> bool {
        self.rules.tight || self.rules.timeout_ms > 0
    }

    fn end(&mut self, faults: &mut Faults) {
        self.open -= 1;
        self.settle(faults);
    }

    fn settle(&mut self, faults: &mut Faults) {
        if self.open > 0 {
            return;
        }
        self.write_history(faults);
        for observation in std::mem::take(&mut self.waiting) {
            if let Err((what, detail)) = self.judge(&observation) {
                faults.note(what, || format!("{}: {detail}; {observation:?}", self.name));
            }
        }
    }

    fn write_history(&mut self, faults: &mut Faults) {
        let (mut news, mut deletes) =
            (std::mem::take(&mut self.news), std::mem::take(&mut self.new_deletes));
        news.sort_by_key(|published| published.id);
        deletes.sort_by_key(|deleted| deleted.last);
        let mut deletes = deletes.into_iter().peekable();
        for published in news {
            while let Some(deleted) = deletes.next_if(|deleted| deleted.last < published.id) {
                self.end_life(deleted, faults);
            }
            if let Some(before) = self.history.last().map(|entry| entry.published)
                && (before.id >= published.id || before.sent.tick > published.acked.tick)
            {
                faults.note("ids do not ascend", || {
                    format!("{}: {before:?} {published:?}", self.name)
                });
            }
            self.place += usize::from(published.kept);
            let queued = self.queued();
            if differ(queued, published.queued) {
                faults.note("the queue is counted wrong", || {
                    format!("{}: {queued:?} are there after {published:?}", self.name)
                });
            }
            let (life, place) = (self.life, self.place);
            self.history.push(Entry { published, life, place, taken: false });
        }
        for deleted in deletes {
            self.end_life(deleted, faults);
        }
    }

    fn end_life(&mut self, deleted: Deleted, faults: &mut Faults) {
        if deleted.last == (0, 0) {
            return self.empty_deletes.push(deleted);
        }
        self.deletes.push(deleted);
        let queued = self.queued();
        if differ(queued, deleted.queued) {
            faults.note("the queue is counted wrong", || {
                format!("{}: {queued:?} are there at {deleted:?}", self.name)
            });
        }
        let kept = self.history.iter_mut().rev().filter(|entry| entry.published.kept);
        for entry in kept.take(deleted.queued.or(queued).unwrap_or(0)) {
            entry.taken = true;
        }
        self.life += 1;
        self.place = 0;
    }

    /// How many messages are in the queue, if that is certain.
    fn queued(&self) -> Option<usize> {
        let queued = if self.rules.cap == 0 { self.place } else { self.place.min(self.rules.cap) };
        (!self.may_go_by_itself()).then_some(queued)
    }

    fn judge(&mut self, seen: &Observation) -> Result<(), (&'static str, String)> {
        match seen.saw {
            Saw::Message { id, number, gap } => self.judge_message(seen, id, number, gap),
            Saw::Nothing => {
                self.seen.nothing += 1;
                self.judge_nothing(seen)
            }
            Saw::Gone => {
                self.seen.gone += 1;
                // A daemon that was without Redis tells it when it has heard of it.
                let late_ms = if self.rules.spread_ms > 0 { AWAY_MS } else { 0 };
                let fits = |deleted: &Deleted| {
                    deleted.sent.tick < seen.read.tick
                        && (deleted.acked.tick > seen.asked.tick
                            || deleted.acked.ms + late_ms > seen.asked.ms)
                };
                match self.deletes.iter().chain(&self.empty_deletes).rev().any(fits) {
                    true => Ok(()),
                    false => Err(("410 without a DELETE", String::new())),
                }
            }
        }
    }

    fn judge_message(
        &mut self,
        seen: &Observation,
        id: Id,
        number: u64,
        gap: Option<Gap>,
    ) -> Result<(), (&'static str, String)> {
        if seen.cursor == Some(id) {
            return Err(("repeated", format!("{id:?}")));
        }
        if seen.cursor.is_some_and(|cursor| cursor > id) {
            return Err(("reordered", format!("{id:?}")));
        }
        let Ok(index) = self.history.binary_search_by_key(&id, |entry| entry.published.id) else {
            return Err(("never published", format!("{id:?}")));
        };
        let entry = self.history[index];
        if entry.published.number != number || entry.published.sent.tick > seen.read.tick {
            return Err(("another message's body", format!("{entry:?}")));
        }
        self.judge_presence(seen, index)?;
        let cursor = seen.cursor.unwrap_or_default();
        let first = self.history.partition_point(|entry| entry.published.id <= cursor);
        let missed = &self.history[first..index];
        // Messages that a DELETE removed are no gap, unless that DELETE came after `entry`. Redis
        // knows no more of what had gone before the DELETE, and may count what was in between.
        let is_shared = self.rules.spread_ms > 0;
        let taken = |missed: &&Entry| missed.life < entry.life && (missed.taken || is_shared);
        if let Some(last) = missed.iter().rev().find(|missed| missed.published.kept)
            && last.life == entry.life
            && !self.may_be_gone(last, seen)
        {
            return Err(("lost", format!("{last:?} before {entry:?}")));
        }
        let is_lost = |missed: &&Entry| missed.published.kept && !taken(missed);
        let lost = missed.iter().filter(is_lost).count() as u64;
        // A stream is also told of those that no store kept, if it was there and behind.
        let unkept = missed.iter().filter(|missed| seen.follows && !missed.published.kept).count();
        let most = if is_shared { missed.len() as u64 } else { lost + unkept as u64 };
        let right = match gap {
            _ if seen.cursor.is_none() => gap.is_none(),
            None => lost == 0,
            Some(Messages(told)) => told > 0 && (lost..=most).contains(&told),
            Some(Unknown) => most > 0 && (is_shared || self.may_be_unknown(seen, first, index)),
        };
        if !right {
            return Err(("gap", format!("{lost} were lost before {entry:?}")));
        }
        self.seen.messages += 1;
        self.seen.unknown += u64::from(gap == Some(Unknown));
        if let Some(Messages(told)) = gap {
            self.seen.gaps += 1;
            self.seen.skipped += told;
        }
        if seen.cursor.is_some() {
            self.seen.taken += missed.iter().filter(taken).count() as u64;
        }
        Ok(())
    }

    /// Whether the message at `index` could be in the queue when the subscriber asked.
    fn judge_presence(
        &self,
        seen: &Observation,
        index: usize,
    ) -> Result<(), (&'static str, String)> {
        let entry = &self.history[index];
        let before_asked = |moment: Moment| self.is_known(moment, seen.asked);
        let stale = |why: &str| Err(("stale", format!("{why} {entry:?}")));
        if !entry.published.kept && before_asked(entry.published.acked) {
            return stale("not kept:");
        }
        if self.follower(index).is_some_and(|follower| before_asked(follower.acked)) {
            return stale("beyond max_messages:");
        }
        let deleted = |deleted: &&Deleted| deleted.last >= entry.published.id;
        let deleted = self.deletes.iter().rev().take_while(deleted).last();
        if deleted.is_some_and(|deleted| before_asked(deleted.acked)) {
            return stale("deleted:");
        }
        Ok(())
    }

    /// Whether a message of the same life may have been removed before the answer.
    fn may_be_gone(&self, entry: &Entry, seen: &Observation) -> bool {
        if entry.taken {
            return false;
        }
        let index = self.history.partition_point(|other| other.published.id < entry.published.id);
        let pushed_out =
            self.follower(index).is_some_and(|follower| follower.sent.tick < seen.read.tick);
        pushed_out || self.rules.tight || self.may_be_expired(entry, seen)
    }

    fn may_be_expired(&self, entry: &Entry, seen: &Observation) -> bool {
        let timeout_ms = self.rules.timeout_ms;
        timeout_ms > 0 && seen.read.ms + SLACK_MS >= entry.published.sent.ms + timeout_ms
    }

    /// The message whose arrival removes the one at `index`, by `max_messages`.
    fn follower(&self, index: usize) -> Option<Published> {
        if self.rules.cap == 0 {
            return None;
        }
        let entry = &self.history[index];
        let place = entry.place + self.rules.cap;
        let later = self.history[index..].iter().take_while(|other| other.life == entry.life);
        later.into_iter().find(|other| other.place == place).map(|other| other.published)
    }

    /// Whether the daemon may not know how many were lost: their channel was deleted since, or
    /// expired for a time, or they form too many runs.
    fn may_be_unknown(&self, seen: &Observation, first: usize, index: usize) -> bool {
        let entry = &self.history[index];
        let deleted_since = self.deletes.iter().any(|deleted| {
            deleted.last >= entry.published.id && deleted.sent.tick < seen.read.tick
        });
        let missed = &self.history[first..index];
        let breaks = |pair: &[Entry]| {
            let [one, next] = [pair[0].published, pair[1].published];
            one.id.0 != next.id.0 || !next.kept
        };
        missed[0].life < entry.life
            || deleted_since
            || self.may_go_by_itself()
            || missed.windows(2).filter(|pair| breaks(pair)).count() >= RUNS_TOLD
    }

    /// Whether every daemon knows, when a subscriber asks, what a publisher was answered.
    fn is_known(&self, acked: Moment, asked: Moment) -> bool {
        let spread_ms = self.rules.spread_ms;
        acked.tick < asked.tick && (spread_ms == 0 || acked.ms + spread_ms < asked.ms)
    }

    fn judge_nothing(&self, seen: &Observation) -> Result<(), (&'static str, String)> {
        // Published before the poll; or during it, in time to answer it. A daemon that is without
        // Redis meanwhile may be late.
        let is_shared = self.rules.spread_ms > 0;
        let was_there = |entry: &&Entry| {
            let Published { kept, acked, .. } = entry.published;
            let in_time = match is_shared {
                true => acked.ms + AWAY_MS < seen.read.ms,
                false => acked.turn + TURNS < seen.read.turn,
            };
            let is_at_once = !is_shared || seen.is_at_once;
            kept && (is_at_once && acked.tick < seen.asked.tick || in_time)
        };
        let Some(newest) = self.history.iter().rev().find(was_there) else { return Ok(()) };
        let wanted = seen.cursor.is_none_or(|cursor| newest.published.id > cursor);
        let deleted = self.deletes.iter().rev().any(|deleted| {
            deleted.last >= newest.published.id && deleted.sent.tick < seen.read.tick
        });
        let gone = deleted || self.rules.tight || self.may_be_expired(newest, seen);
        if wanted && !gone {
            return Err(("304 though there was a message", format!("{newest:?}")));
        }
        Ok(())
    }
}

/// Whether an answer has another number than there is, if both are known.
fn differ(there: Option<usize>, told: Option<usize>) -> bool {
    there.zip(told).is_some_and(|(there, told)| there != told)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A channel, and moments that rise with every call.
    struct World {
        channel: Channel,
        tick: u64,
        faults: Faults,
    }

    impl World {
        fn new(cap: usize) -> Self {
            let rules = Rules { cap, timeout_ms: 0, tight: false, spread_ms: 0 };
            let channel = Channel::new("c".to_owned(), rules);
            Self { channel, tick: 0, faults: Faults::default() }
        }

        fn moment(&mut self) -> Moment {
            self.tick += 1;
            Moment { tick: self.tick, turn: self.tick * 10, ms: self.tick }
        }

        /// Published one after the other, in one second: the tag is the number.
        fn publish(&mut self, number: u64, queued: usize) {
            let (sent, acked) = (self.moment(), self.moment());
            let id = (100, number as u32);
            self.channel.begin();
            let published = Published { id, number, kept: true, queued: Some(queued), sent, acked };
            self.channel.published(published, &mut self.faults);
        }

        fn delete(&mut self, last: u32, queued: usize) {
            let (sent, acked) = (self.moment(), self.moment());
            self.channel.begin();
            self.channel.deleted(
                Deleted { last: (100, last), queued: Some(queued), sent, acked },
                &mut self.faults,
            );
        }

        fn see(&mut self, cursor: Option<u32>, saw: Saw) {
            let (asked, read) = (self.moment(), self.moment());
            let cursor = cursor.map(|tag| (100, tag));
            self.channel.observed(
                Observation { cursor, asked, read, saw, follows: false, is_at_once: false },
                &mut self.faults,
            );
        }

        fn message(&mut self, cursor: Option<u32>, tag: u32, gap: Option<Gap>) {
            let saw = Saw::Message { id: (100, tag), number: tag.into(), gap };
            self.see(cursor, saw);
        }

        /// The kinds of faults since this was asked before.
        fn faults(&mut self) -> Vec<&'static str> {
            std::mem::take(&mut self.faults).counts.into_keys().collect()
        }
    }

    #[test]
    fn each_message_once_and_in_order_is_right() {
        let mut world = World::new(0);
        for number in 0..3 {
            world.publish(number, number as usize + 1);
        }
        world.message(None, 0, None);
        world.message(Some(0), 1, None);
        world.message(Some(1), 2, None);
        world.see(Some(2), Saw::Nothing);
        assert!(
            world.channel.is_at_end(Some((100, 2))) && !world.channel.is_at_end(Some((100, 1)))
        );
        assert_eq!(world.faults(), [""; 0]);
        assert_eq!(world.channel.seen.messages, 3);
    }

    #[test]
    fn a_lost_repeated_reordered_or_foreign_message_is_told() {
        let mut world = World::new(0);
        for number in 0..3 {
            world.publish(number, number as usize + 1);
        }
        world.message(Some(0), 2, None);
        assert_eq!(world.faults(), ["lost"]);
        world.message(None, 1, None);
        assert_eq!(world.faults(), ["lost"]);
        world.message(Some(1), 1, None);
        assert_eq!(world.faults(), ["repeated"]);
        world.message(Some(2), 1, None);
        assert_eq!(world.faults(), ["reordered"]);
        world.message(Some(2), 3, None);
        assert_eq!(world.faults(), ["never published"]);
        world.see(Some(1), Saw::Message { id: (100, 2), number: 1, gap: None });
        assert_eq!(world.faults(), ["another message's body"]);
        world.see(Some(1), Saw::Nothing);
        assert_eq!(world.faults(), ["304 though there was a message"]);
        world.see(Some(2), Saw::Gone);
        assert_eq!(world.faults(), ["410 without a DELETE"]);
    }

    #[test]
    fn who_waits_past_a_message_is_told() {
        let mut world = World::new(0);
        let asked = world.moment();
        world.publish(0, 1);
        let mut read = world.moment();
        let nothing = |read| Observation {
            cursor: None,
            asked,
            read,
            saw: Saw::Nothing,
            follows: false,
            is_at_once: false,
        };
        world.channel.observed(nothing(read), &mut world.faults);
        assert_eq!(world.faults(), ["304 though there was a message"]);
        // It may have been sent before, and be read only now.
        read.turn = world.channel.history[0].published.acked.turn + 1;
        world.channel.observed(nothing(read), &mut world.faults);
        assert_eq!(world.faults(), [""; 0]);
    }

    #[test]
    fn a_gap_counts_exactly_what_went_by_the_limits() {
        let mut world = World::new(2);
        for number in 0..6 {
            world.publish(number, (number as usize + 1).min(2));
        }
        world.message(Some(0), 4, Some(Messages(3)));
        world.message(None, 4, None);
        world.message(Some(3), 4, None);
        assert_eq!(world.faults(), [""; 0]);
        for wrong in [None, Some(Messages(2)), Some(Messages(4)), Some(Unknown)] {
            world.message(Some(0), 4, wrong);
            assert_eq!(world.faults(), ["gap"], "{wrong:?}");
        }
        world.message(Some(3), 4, Some(Messages(0)));
        assert_eq!(world.faults(), ["gap"]);
        world.message(Some(0), 5, Some(Messages(4)));
        assert_eq!(world.faults(), ["lost"]);
        world.message(Some(0), 3, Some(Messages(2)));
        assert_eq!(world.faults(), ["stale"]);
    }

    #[test]
    fn what_a_delete_took_is_no_gap_and_never_comes_again() {
        let mut world = World::new(2);
        for number in 0..3 {
            world.publish(number, (number as usize + 1).min(2));
        }
        world.delete(2, 2);
        world.publish(3, 1);
        world.message(Some(0), 3, None);
        assert_eq!(world.faults(), [""; 0]);
        let mut before_all = |gap| {
            let saw = Saw::Message { id: (100, 3), number: 3, gap };
            let (asked, read) = (world.moment(), world.moment());
            let cursor = Some((99, 7));
            let observation =
                Observation { cursor, asked, read, saw, follows: false, is_at_once: false };
            world.channel.observed(observation, &mut world.faults);
            world.faults()
        };
        assert_eq!(before_all(Some(Unknown)), [""; 0]);
        assert_eq!(before_all(Some(Messages(1))), [""; 0]);
        assert_eq!(before_all(Some(Messages(3))), ["gap"]);
        assert_eq!(before_all(None), ["gap"]);
        world.message(Some(0), 2, None);
        assert_eq!(world.faults(), ["stale"]);
    }

    #[test]
    fn answers_are_judged_when_the_history_is_whole() {
        let mut world = World::new(0);
        world.channel.begin();
        let sent = world.moment();
        world.message(None, 0, None);
        assert_eq!((world.channel.unsettled(), world.faults().len()), (1, 0));
        let acked = world.moment();
        let published =
            Published { id: (100, 0), number: 0, kept: true, queued: Some(1), sent, acked };
        world.channel.published(published, &mut world.faults);
        assert_eq!((world.channel.unsettled(), world.faults().len()), (0, 0));
    }

    #[test]
    fn ids_and_counts_that_the_publishers_were_told_are_checked() {
        let mut world = World::new(0);
        world.publish(5, 1);
        world.publish(4, 2);
        assert_eq!(world.faults(), ["ids do not ascend"]);
        world.publish(6, 7);
        assert_eq!(world.faults(), ["the queue is counted wrong"]);
        world.delete(6, 1);
        assert_eq!(world.faults(), ["the queue is counted wrong"]);
    }

    #[test]
    fn an_unkept_message_is_for_who_waits_and_no_gap_for_others() {
        let mut world = World::new(0);
        world.publish(0, 1);
        let (asked, sent, acked) = (world.moment(), world.moment(), world.moment());
        world.channel.begin();
        let unkept =
            Published { id: (100, 1), number: 1, kept: false, queued: Some(1), sent, acked };
        world.channel.published(unkept, &mut world.faults);
        let saw = Saw::Message { id: (100, 1), number: 1, gap: None };
        let read = world.moment();
        let woken = Observation {
            cursor: Some((100, 0)),
            asked,
            read,
            saw,
            follows: false,
            is_at_once: false,
        };
        world.channel.observed(woken, &mut world.faults);
        world.publish(2, 2);
        world.message(Some(0), 2, None);
        assert_eq!(world.faults(), [""; 0]);
        world.message(Some(0), 1, None);
        assert_eq!(world.faults(), ["stale"]);
    }

    #[test]
    fn what_was_done_without_an_answer_is_a_message_as_all_others() {
        let mut world = World::new(0);
        world.publish(0, 1);
        let (sent, acked) = (world.moment(), world.moment());
        world.channel.begin();
        let unanswered =
            Published { id: (100, 1), number: 1, kept: true, queued: None, sent, acked };
        world.channel.published(unanswered, &mut world.faults);
        world.publish(2, 3);
        world.message(Some(0), 1, None);
        assert_eq!(world.faults(), [""; 0]);
        world.message(Some(0), 2, None);
        assert_eq!(world.faults(), ["lost"]);
        // It was refused, and done later.
        world.channel.begin();
        let late = Published { id: (100, 3), number: 3, ..unanswered };
        world.channel.published(late, &mut world.faults);
        assert_eq!(world.faults(), ["ids do not ascend"]);
        world.channel.begin();
        let deleted = Deleted { last: (100, 3), queued: None, sent, acked: world.moment() };
        world.channel.deleted(deleted, &mut world.faults);
        world.message(Some(1), 2, None);
        assert_eq!(world.faults(), ["stale"]);
    }

    #[test]
    fn several_daemons_may_be_a_moment_behind_but_for_who_does_not_wait() {
        let mut world = World::new(0);
        world.channel.rules.spread_ms = 10;
        world.publish(0, 1);
        world.see(None, Saw::Nothing);
        assert_eq!(world.faults(), [""; 0]);
        let (asked, read) = (world.moment(), world.moment());
        let seen = |asked, read, is_at_once| {
            let (cursor, saw) = (None, Saw::Nothing);
            Observation { cursor, asked, read, saw, follows: false, is_at_once }
        };
        world.channel.observed(seen(asked, read, true), &mut world.faults);
        assert_eq!(world.faults(), ["304 though there was a message"]);
        let late = Moment { ms: read.ms + AWAY_MS, ..read };
        world.channel.observed(seen(asked, late, false), &mut world.faults);
        assert_eq!(world.faults(), ["304 though there was a message"]);
        world.delete(0, 1);
        world.message(None, 0, None);
        world.see(None, Saw::Gone);
        assert_eq!(world.faults(), [""; 0]);
        world.tick += 10;
        world.message(None, 0, None);
        assert_eq!(world.faults(), ["stale"]);
        world.tick += AWAY_MS;
        world.see(None, Saw::Gone);
        assert_eq!(world.faults(), ["410 without a DELETE"]);
    }
}
