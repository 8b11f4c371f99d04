//! WebSockets as bytes (RFC 6455): the frames of clients and of servers, and the answer to the key
//! of a handshake. Knows no connection, channel or extension.

mod decoder;
mod frame;
mod key;

pub use decoder::{Breach, Decoder, Frame, Intake};
pub use frame::{CONTROL_BYTES_MAX, Opcode, PING, write_close, write_frame_head, write_pong};
pub use key::accept_key;
