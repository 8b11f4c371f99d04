//! Ids of messages and of channels as streams write them. Pure.

use crate::http::response::write_decimal;
use crate::hub::Due;
use crate::message::{MessageId, Order};
use crate::store::Gap;

/// The id of a message in a stream, which is also the cursor behind it: `TIME:TAG`, then, where
/// there is something to say, the gap before it and the id of its channel.
pub(super) fn write_id(due: &Due, order: Order, id: &[u8], out: &mut Vec<u8>) {
    write_place(due.message.id_in(order), out);
    match due.gap {
        Gap::NONE => {}
        Gap::Messages(missed) => {
            out.extend_from_slice(b";gap=");
            write_decimal(out, missed);
        }
        Gap::Unknown => out.extend_from_slice(b";gap=unknown"),
    }
    if order == Order::Store {
        out.extend_from_slice(b";channel=");
        write_encoded(id, out);
    }
}

/// `TIME:TAG`.
pub(super) fn write_place(id: MessageId, out: &mut Vec<u8>) {
    write_decimal(out, id.time);
    out.push(b':');
    write_decimal(out, id.tag.into());
}

/// A channel id that can stand in a field, an event, a URL.
pub(super) fn write_encoded(id: &[u8], out: &mut Vec<u8>) {
    for byte in id {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                out.push(b'%');
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
            }
        }
    }
}
