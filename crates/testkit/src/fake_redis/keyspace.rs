//! Keyspace: the keys of one database, of the three kinds that a store has, and when they end.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use pushserver::message::MessageId;

/// See the file.
#[derive(Debug, Default)]
pub(super) struct Keyspace {
    pub(super) streams: Table<Stream>,
    pub(super) records: Table<Record>,
    pub(super) clocks: Table<MessageId>,
    /// Keys of another type.
    pub(super) wrong: BTreeSet<Box<[u8]>>,
}

/// Keys of one kind.
#[derive(Debug)]
pub(super) struct Table<V>(HashMap<Box<[u8]>, Lasting<V>>);

#[derive(Debug)]
struct Lasting<V> {
    value: V,
    /// `None`: never.
    ends_ms: Option<u64>,
}

/// The messages of a channel. There is one without messages, too: what it had is trimmed.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) entries: VecDeque<Entry>,
    /// The highest id that it ever had.
    pub(super) top: MessageId,
}

/// A message, with the names and values of its fields.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: MessageId,
    pub(super) number: u32,
    pub(super) words: Vec<Box<[u8]>>,
}

/// What is known of a channel: the fields of the hash, as `lua/prelude.lua` explains them.
#[derive(Debug, Default, Clone)]
pub(super) struct Record {
    pub(super) last: Option<MessageId>,
    pub(super) kept: Option<MessageId>,
    pub(super) generation: Option<u64>,
    pub(super) origin: Option<u64>,
    pub(super) held: Option<u64>,
    pub(super) asked: Option<u64>,
    pub(super) lives_until: Option<u64>,
    pub(super) had_message: bool,
}

impl Keyspace {
    /// Removes keys whose time is up.
    pub(super) fn expire(&mut self, now_ms: u64) {
        self.streams.expire(now_ms);
        self.records.expire(now_ms);
        self.clocks.expire(now_ms);
    }

    /// Removes a key of any kind.
    pub(super) fn remove(&mut self, key: &[u8]) {
        self.wrong.remove(key);
        self.streams.remove(key);
        self.records.remove(key);
        self.clocks.remove(key);
    }

    /// When a key ends, milliseconds; `None`: there is none, within: never.
    pub(super) fn ends_ms(&self, key: &[u8]) -> Option<Option<u64>> {
        let never = self.wrong.contains(key).then_some(None);
        let streams = never.or_else(|| self.streams.ends_ms(key));
        streams.or_else(|| self.records.ends_ms(key)).or_else(|| self.clocks.ends_ms(key))
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V: Default> Table<V> {
    /// Made without an end, if it is not there.
    pub(super) fn make(&mut self, key: &[u8]) -> &mut V {
        let made = || Lasting { value: V::default(), ends_ms: None };
        &mut self.0.entry(key.into()).or_insert_with(made).value
    }

    /// Sets when it ends, if it is there.
    pub(super) fn end(&mut self, key: &[u8], ends_s: Option<u64>) {
        if let Some(lasting) = self.0.get_mut(key) {
            lasting.ends_ms = ends_s.map(|seconds| seconds * 1000);
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    fn expire(&mut self, now_ms: u64) {
        self.0.retain(|_, lasting| lasting.ends_ms.is_none_or(|ends_ms| now_ms <= ends_ms));
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        self.0.get_mut(key).map(|lasting| &mut lasting.value)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.0.get(key).map(|lasting| &lasting.value)
    }

    pub(super) fn ends_ms(&self, key: &[u8]) -> Option<Option<u64>> {
        self.0.get(key).map(|lasting| lasting.ends_ms)
    }
}

impl Stream {
    /// Adds an entry behind all others; the newest so many stay, if that is not 0.
    ///
    /// # Errors
    /// It does not come behind all others.
    pub(super) fn add(&mut self, entry: Entry, most: usize) -> Result<(), &'static str> {
        if entry.id <= self.top {
            return Err(NOT_ABOVE);
        }
        self.top = entry.id;
        self.entries.push_back(entry);
        while most > 0 && self.entries.len() > most {
            self.entries.pop_front();
        }
        Ok(())
    }

    /// Removes the oldest, at most so many, from before a second.
    pub(super) fn trim_before(&mut self, second: u64, most: usize) {
        for _ in 0..most {
            if self.entries.front().is_some_and(|entry| entry.id.time < second) {
                self.entries.pop_front();
            }
        }
    }

    pub(super) fn after(&self, id: MessageId) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.id > id)
    }
}

impl Record {
    /// As if all times in it were so many seconds earlier.
    pub(super) fn age(&mut self, seconds: u64) {
        for time in [&mut self.held, &mut self.asked, &mut self.lives_until] {
            *time = time.map(|time| time.saturating_sub(seconds));
        }
    }

    /// The fields of the hash.
    pub(super) fn fields(&self) -> BTreeMap<&'static str, String> {
        let id = |id: Option<MessageId>| id.map(|id| format!("{}-{}", id.time, id.tag));
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let fields = [
            ("l", id(self.last)),
            ("k", id(self.kept)),
            ("g", number(self.generation)),
            ("o", number(self.origin)),
            ("h", number(self.held)),
            ("a", number(self.asked)),
            ("u", number(self.lives_until)),
            ("n", self.had_message.then(|| "1".to_owned())),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

const NOT_ABOVE: &str =
    "ERR The ID specified in XADD is equal or smaller than the target stream top item";
