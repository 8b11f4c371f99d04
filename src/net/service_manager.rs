//! Service manager: reports the daemon's state to systemd (sd_notify(3)); never waits. A service
//! manager that does not read loses what it has no room for.

#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStrExt;
#[cfg(target_os = "linux")]
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::{env, io};

use sd_notify::NotifyState;

/// As [`notify`]; a failure is logged.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        log::debug!("event=sd_notify error={error}");
    }
}

/// Tells the service manager, if there is one (`NOTIFY_SOCKET`). As `sd_notify::notify`, which
/// would wait, and knows no abstract sockets.
///
/// # Errors
/// The system's: nobody listens there, or takes no more.
pub fn notify(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    #[cfg(target_os = "linux")]
    if let Some(name) = path.as_bytes().strip_prefix(b"@") {
        let address = SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(lines.as_bytes(), &address).map(drop);
    }
    socket.send_to(lines.as_bytes(), path).map(drop)
}
