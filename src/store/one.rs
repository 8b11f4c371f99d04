//! One store, of whatever kind. Its messages, or a mirror of them, are in a memory.

use super::ask::StoreId;
use super::durable::Durable;
use super::memory::Memory;
use super::options::{StoreKind, StoreOptions};
use super::redis::{self, Redis};
#[cfg(feature = "testing")]
use super::slow::Slow;
use crate::clock::Now;
use crate::message::MessageId;
use crate::parts::{OfRedis, Part};
use crate::wheel::TICK_MS;

/// See the module.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there are few, and most are the largest")]
pub(super) enum Store {
    /// Answers at once.
    Memory(Memory),
    /// Writes down what changes, and answers then.
    Durable(Box<Durable>),
    /// Asks Redis; the memory is a mirror.
    Redis(OfRedis<Redis>),
    /// Takes time to answer.
    #[cfg(feature = "testing")]
    Slow(Slow),
}

impl Store {
    /// An empty one. Every id that it gives is above `first_id`, but for Redis, which has a clock
    /// of its own.
    pub(super) fn new(id: StoreId, options: StoreOptions, first_id: MessageId) -> Self {
        let StoreOptions { memory, kind, .. } = options;
        match kind {
            StoreKind::Memory => Self::Memory(Memory::new(memory, first_id)),
            StoreKind::Durable => {
                Self::Durable(Box::new(Durable::new(Memory::new(memory, first_id))))
            }
            StoreKind::Redis(options) => {
                let mirror = Memory::new(memory, MessageId::default());
                let redis = Part::of(|| Redis::new(id, *options, mirror, first_id));
                Self::Redis(redis.expect("the settings refuse it where it is not built in"))
            }
        }
    }

    /// Takes other settings.
    pub(super) fn reload(&mut self, options: StoreOptions, now: Now) {
        if let (Self::Redis(redis), StoreKind::Redis(options)) = (&mut *self, options.kind) {
            redis.reload(*options, now);
        }
        self.memory_mut().reload(options.memory);
    }

    /// Does what is due, but for expiry.
    pub(super) fn begin_turn(&mut self, now: Now) {
        match self {
            Self::Memory(_) => {}
            Self::Durable(durable) => durable.note_time(now),
            Self::Redis(redis) => redis.handle_timeout(now),
            #[cfg(feature = "testing")]
            Self::Slow(slow) => slow.begin_turn(),
        }
    }

    /// When something is due but expiry, milliseconds.
    pub(super) fn due_ms(&self) -> Option<u64> {
        match self {
            Self::Durable(durable) => durable.due_ms(),
            Self::Redis(redis) => redis.due_ms(),
            _ => None,
        }
    }

    /// The longest content of a message that it takes, bytes.
    pub(super) fn content_bytes_max(&self) -> usize {
        match self {
            Self::Redis(_) => redis::CONTENT_BYTES_MAX,
            store => store.memory().content_bytes_max(),
        }
    }

    pub(super) fn memory(&self) -> &Memory {
        match self {
            Self::Memory(memory) => memory,
            Self::Durable(durable) => durable.memory(),
            Self::Redis(redis) => redis.memory(),
            #[cfg(feature = "testing")]
            Self::Slow(slow) => slow.memory(),
        }
    }

    pub(super) fn memory_mut(&mut self) -> &mut Memory {
        match self {
            Self::Memory(memory) => memory,
            Self::Durable(durable) => durable.memory_mut(),
            Self::Redis(redis) => redis.memory_mut(),
            #[cfg(feature = "testing")]
            Self::Slow(slow) => slow.memory_mut(),
        }
    }

    pub(super) fn shrink(&mut self) {
        self.memory_mut().shrink();
        if let Self::Redis(redis) = self {
            redis.shrink();
        }
    }
}

/// When a memory has messages to drop, milliseconds; rounded up to a tick of the timer wheel, so
/// that those of one tick go together.
pub(super) fn due_ms(memory: &Memory) -> Option<u64> {
    if memory.is_behind() {
        return Some(0);
    }
    memory.next_expiry().map(|due_ms| due_ms.div_ceil(TICK_MS).saturating_mul(TICK_MS))
}
