//! Name: which part of a channel's name is its id, and how that is cut. Knows no channel.

use super::texts::cut;

/// How much of an id is kept, bytes.
pub(super) const ID_BYTES: usize = 128;

/// A channel's name, whose id is cut.
pub(super) fn cut_name(name: &[u8]) -> &[u8] {
    // Most are so short that it need not be known where the id begins.
    if name.len() <= ID_BYTES { name } else { cut(name, namespace_len(name) + ID_BYTES) }
}

/// How much of a channel's name is not its id: the store, the group and a zero.
pub(super) fn namespace_len(name: &[u8]) -> usize {
    let group = name.get(2..).and_then(|rest| memchr::memchr(0, rest));
    group.map_or(0, |end| end + 3)
}
