//! Rows: messages and channels as the columns of their tables, and back. Never asks the database.
//!
//! The key of a message's row is its place in the store, in one integer ([`key_of`]), so that the
//! order of the keys is the order of the messages. Every row has a CRC32 of all its values, since
//! SQLite does not check its pages.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::message::{Content, MessageId};
use crate::store::{ChannelRecord, Made, MessageRecord};

/// The columns of a table, in the order in which they are read.
pub(super) const COLUMNS_OF_CHANNEL: &str =
    "id, name, last_second, last_tag, lost_second, lost_tag, gone, made, crc";
/// The same of messages.
pub(super) const COLUMNS_OF_MESSAGE: &str =
    "seq, tag, before_second, before_tag, channel, type, event, body, crc";

/// The place of a message as a key: the second in the upper 32 bits, the number in the lower, and
/// the sign turned, so that keys are ordered as places are. `None` from the year 2106 on, which
/// only a wrong clock says: such a message is not stored, and its publisher is told.
pub(super) fn key_of(place: MessageId) -> Option<i64> {
    let second = u32::try_from(place.time).ok()?;
    let bits = u64::from(second) << 32 | u64::from(place.tag);
    Some((bits ^ SIGN).cast_signed())
}

fn place_of(key: i64) -> MessageId {
    let bits = key.cast_unsigned() ^ SIGN;
    MessageId { time: bits >> 32, tag: (bits & u64::from(u32::MAX)) as u32 }
}

const SIGN: u64 = 1 << 63;

/// The channel of a row with [`COLUMNS_OF_CHANNEL`]; `None` if its checksum is wrong.
pub(super) fn channel(row: &Row<'_>) -> Option<ChannelRecord> {
    let gone: i64 = integer(row, 6)?;
    let channel = ChannelRecord {
        name: bytes(row, 1)?.into(),
        last: id(row, 2)?,
        lost_through: id(row, 4)?,
        gone_through: place_of(gone),
        made: match row.get_ref(7).ok()? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(made_of(number)?),
            _ => return None,
        },
    };
    (integer(row, 8)? == crc_of_channel(&channel, gone)).then_some(channel)
}

/// The message of a row with [`COLUMNS_OF_MESSAGE`]; `None` if its checksum is wrong.
pub(super) fn message(row: &Row<'_>) -> Option<MessageRecord> {
    let key = integer(row, 0)?;
    let message = MessageRecord {
        place: place_of(key),
        tag: u32::try_from(integer(row, 1)?).ok()?,
        before: id(row, 2)?,
        channel: bytes(row, 4)?.into(),
        content: Content {
            content_type: bytes_if_any(row, 5)?.map(Into::into),
            event: bytes_if_any(row, 6)?.map(Into::into),
            body: bytes(row, 7)?.into(),
        },
    };
    (integer(row, 8)? == crc_of_message(key, &message)).then_some(message)
}

/// An id in two columns.
fn id(row: &Row<'_>, column: usize) -> Option<MessageId> {
    let time = integer(row, column)?.cast_unsigned();
    Some(MessageId { time, tag: u32::try_from(integer(row, column + 1)?).ok()? })
}

fn integer(row: &Row<'_>, column: usize) -> Option<i64> {
    row.get_ref(column).ok()?.as_i64().ok()
}

fn bytes<'r>(row: &'r Row<'_>, column: usize) -> Option<&'r [u8]> {
    row.get_ref(column).ok()?.as_blob().ok()
}

fn bytes_if_any<'r>(row: &'r Row<'_>, column: usize) -> Option<Option<&'r [u8]>> {
    row.get_ref(column).ok()?.as_blob_or_null().ok()
}

/// How it stands in the file.
pub(super) fn number_of(made: Made) -> i64 {
    match made {
        Made::ToWait => 0,
        Made::ToPublish => 1,
        Made::OnRequest => 2,
    }
}

fn made_of(number: i64) -> Option<Made> {
    [Made::ToWait, Made::ToPublish, Made::OnRequest]
        .into_iter()
        .find(|made| number_of(*made) == number)
}

/// The checksum of a row, which stands in its last column.
pub(super) fn crc_of_message(key: i64, message: &MessageRecord) -> i64 {
    let MessageRecord { tag, before, channel, content, .. } = message;
    let mut crc = Crc::default();
    crc.integer(key.cast_unsigned());
    crc.integer(u64::from(*tag));
    crc.id(*before);
    crc.bytes(Some(channel));
    crc.bytes(content.content_type.as_deref());
    crc.bytes(content.event.as_deref());
    crc.bytes(Some(&content.body));
    crc.value()
}

/// The same of a channel, whose `gone_through` has the key `gone`.
pub(super) fn crc_of_channel(channel: &ChannelRecord, gone: i64) -> i64 {
    let ChannelRecord { name, last, lost_through, gone_through: _, made } = channel;
    let mut crc = Crc::default();
    crc.bytes(Some(name));
    crc.id(*last);
    crc.id(*lost_through);
    crc.integer(gone.cast_unsigned());
    crc.integer(made.map_or(u64::MAX, |made| number_of(made).cast_unsigned()));
    crc.value()
}

/// The checksum of a row, value by value.
struct Crc {
    hasher: crc32fast::Hasher,
    /// What is not hashed yet: many bytes at once take a third of the time of few.
    bytes: [u8; CRC_AT_ONCE],
    filled: usize,
}

/// Most rows of short messages are hashed at once.
const CRC_AT_ONCE: usize = 256;

impl Default for Crc {
    fn default() -> Self {
        Self { hasher: crc32fast::Hasher::new(), bytes: [0; CRC_AT_ONCE], filled: 0 }
    }
}

impl Crc {
    fn integer(&mut self, integer: u64) {
        self.put(&integer.to_le_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.filled + bytes.len() > CRC_AT_ONCE {
            self.hash();
        }
        match self.bytes.get_mut(self.filled..self.filled + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.filled += bytes.len();
            }
            None => self.hasher.update(bytes),
        }
    }

    fn hash(&mut self) {
        self.hasher.update(&self.bytes[..self.filled]);
        self.filled = 0;
    }

    fn id(&mut self, id: MessageId) {
        self.integer(id.time);
        self.integer(u64::from(id.tag));
    }

    /// With their length, so that no byte can change its column.
    fn bytes(&mut self, bytes: Option<&[u8]>) {
        self.integer(bytes.map_or(u64::MAX, |bytes| bytes.len() as u64));
        self.put(bytes.unwrap_or_default());
    }

    fn value(mut self) -> i64 {
        self.hash();
        i64::from(self.hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageId, key_of, place_of};

    #[test]
    fn keys_are_ordered_as_places_and_give_them_again() {
        let tags = [0, 1, 7, i32::MAX as u32, 1 << 31, u32::MAX];
        let times = [0, 1, 1_700_000_000, (1 << 31) - 1, 1 << 31, u64::from(u32::MAX)];
        let all = times.into_iter().flat_map(|time| tags.map(|tag| MessageId { time, tag }));
        let keys: Vec<i64> = all.clone().map(|place| key_of(place).unwrap()).collect();
        assert!(keys.is_sorted_by(|one, next| one < next));
        assert!(all.eq(keys.iter().map(|key| place_of(*key))));
        assert_eq!((keys[0], keys[keys.len() - 1]), (i64::MIN, i64::MAX));
        assert_eq!(key_of(MessageId { time: 1 << 32, tag: 0 }), None);
    }
}
