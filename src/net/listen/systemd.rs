//! Sockets of systemd: listening sockets that it hands over (sd_listen_fds(3)). Opens none.

use std::io;

use listenfd::ListenFd;
use socket2::Socket;

/// The sockets that were handed over; none if systemd started us without.
///
/// # Errors
/// One of them is no listening stream socket.
pub(super) fn inherited() -> io::Result<Vec<Socket>> {
    let mut sockets = ListenFd::from_env();
    (0..sockets.len()).map(|index| take(&mut sockets, index)).collect()
}

fn take(sockets: &mut ListenFd, index: usize) -> io::Result<Socket> {
    let socket = if let Ok(Some(listener)) = sockets.take_tcp_listener(index) {
        Socket::from(listener)
    } else {
        let no_stream = "a socket of systemd's is neither TCP nor Unix stream";
        let listener =
            sockets.take_unix_listener(index).map_err(|_| io::Error::other(no_stream))?;
        listener.ok_or_else(|| io::Error::other("a socket of systemd's was taken twice"))?.into()
    };
    must_listen(&socket)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn must_listen(socket: &Socket) -> io::Result<()> {
    if socket.is_listener()? {
        return Ok(());
    }
    Err(io::Error::other("a socket of systemd's does not listen; it needs Accept=no"))
}

/// Elsewhere there is no systemd, and not every system says whether a socket listens.
#[cfg(not(target_os = "linux"))]
fn must_listen(_: &Socket) -> io::Result<()> {
    Ok(())
}
