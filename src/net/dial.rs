//! Dial: opens connections to an upstream, within the limit of connections. Never waits: an event
//! tells when one is open.

use std::io::{self, ErrorKind};

use super::socket::Socket;
use super::sockets::Sockets;
use super::stream::Stream;
use crate::relay::ConnKey;
use crate::relay::options::UpstreamAddress;

/// No descriptor is left to this process (EMFILE), or to the system (ENFILE): the same numbers on
/// every Unix.
const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];

/// Connections to an upstream when there are as many connections as there may be: half of what is
/// reserved, so that notices and a reload still find a descriptor.
const DIALS_BEYOND: usize = 16;

/// Begins to open a connection.
///
/// # Errors
/// Why it cannot be opened; `QuotaExceeded`: for want of descriptors of ours.
pub(super) fn dial(
    conn: ConnKey,
    to: &UpstreamAddress,
    sockets: &mut Sockets,
) -> Result<(), ErrorKind> {
    if !sockets.has_room(DIALS_BEYOND) {
        return Err(ErrorKind::QuotaExceeded);
    }
    let dialled = Stream::connect(to).map(|stream| Socket::dialled(conn, stream));
    dialled.and_then(|socket| sockets.enter(socket)).map_err(|error| cause(&error))
}

fn cause(error: &io::Error) -> ErrorKind {
    let ours = error.raw_os_error().is_some_and(|code| OUT_OF_DESCRIPTORS.contains(&code));
    if ours { ErrorKind::QuotaExceeded } else { error.kind() }
}
