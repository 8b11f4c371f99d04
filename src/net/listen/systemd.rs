//! Sockets of systemd: listening sockets that it hands over (sd_listen_fds(3)). Opens none.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use socket2::SockRef;

/// A socket that was handed over, and listens.
pub(super) enum Inherited {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// The sockets that were handed over; none if systemd started us without.
///
/// # Errors
/// One of them is no listening stream socket.
pub(super) fn inherited() -> io::Result<Vec<Inherited>> {
    let mut sockets = ListenFd::from_env();
    (0..sockets.len()).map(|index| take(&mut sockets, index)).collect()
}

fn take(sockets: &mut ListenFd, index: usize) -> io::Result<Inherited> {
    if let Ok(Some(listener)) = sockets.take_tcp_listener(index) {
        must_listen(&SockRef::from(&listener))?;
        return Ok(Inherited::Tcp(listener));
    }
    let no_stream = |_| io::Error::other("a socket of systemd's is neither TCP nor Unix stream");
    match sockets.take_unix_listener(index).map_err(no_stream)? {
        Some(listener) => {
            must_listen(&SockRef::from(&listener))?;
            Ok(Inherited::Unix(listener))
        }
        None => Err(io::Error::other("a socket of systemd's was taken twice")),
    }
}

#[cfg(target_os = "linux")]
fn must_listen(socket: &SockRef<'_>) -> io::Result<()> {
    if socket.is_listener()? {
        return Ok(());
    }
    Err(io::Error::other("a socket of systemd's does not listen; it needs Accept=no"))
}

/// Elsewhere there is no systemd, and not every system says whether a socket listens.
#[cfg(not(target_os = "linux"))]
fn must_listen(_: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}
