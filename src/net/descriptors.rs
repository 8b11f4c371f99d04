//! Descriptors: how many connections there may be, so that what else needs one still finds it.
//! Opens nothing.

use std::io;

/// Descriptors that are not for connections: standard streams, epoll, listeners, the passthrough
/// connections (up to four in use and four idle), the newcomer that waits, a reserve.
const RESERVED_DESCRIPTORS: u64 = 32;

/// Connections to an upstream when there are as many connections as there may be: half of what is
/// reserved, so that notices and a reload still find a descriptor.
pub(super) const DIALS_BEYOND: usize = 16;

/// No descriptor is left to this process (EMFILE), or to the system (ENFILE): the same numbers on
/// every Unix.
const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];

/// Whether something could not be opened for want of descriptors.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| OUT_OF_DESCRIPTORS.contains(&code))
}

/// Most connections. `configured`: `limits.connections`; else the limit of open files is the limit.
pub(super) fn open_max(configured: Option<usize>) -> usize {
    let (soft, _) = rlimit::Resource::NOFILE.get().unwrap_or((1024, 1024));
    let possible = usize::try_from(soft.saturating_sub(RESERVED_DESCRIPTORS).max(1));
    let possible = possible.unwrap_or(usize::MAX);
    configured.map_or(possible, |configured| configured.min(possible))
}
