//! Listener: a socket that accepts connections, bound here or handed over by systemd. Socket
//! options are set once, on it: the kernel hands them down to each connection.
//!
//! Never waits, and never reads or writes.

pub(super) mod port_owner;
mod systemd;
mod unix;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, TcpKeepalive, Type};

use self::unix::SocketFile;
use crate::net::error::StartError;
use crate::net::options::Listen;
use crate::net::stream::{Stream, show_progress};

/// One listening socket.
#[derive(Debug)]
pub(in crate::net) struct Listener {
    kind: Kind,
    local: Listen,
    /// Removed when the listener is dropped; `None` unless we made it.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens at `listen`. A Unix socket whose listener is gone is replaced; a new one may be
    /// opened by our user and group.
    pub(in crate::net) fn bind(listen: &Listen) -> Result<Self, StartError> {
        Self::open(listen).map_err(|error| match (error.kind(), listen) {
            (io::ErrorKind::AddrInUse, _) => {
                StartError::InUse { listen: listen.clone(), owner: port_owner::find(listen) }
            }
            (io::ErrorKind::AlreadyExists, Listen::Unix(path)) => {
                StartError::NotASocket(path.clone())
            }
            _ => StartError::Listen { listen: listen.clone(), error },
        })
    }

    fn open(listen: &Listen) -> io::Result<Self> {
        let (socket, file) = match listen {
            Listen::Tcp(address) => (bind_tcp(*address)?, None),
            Listen::Unix(path) => unix::bind(path).map(|(socket, file)| (socket, Some(file)))?,
        };
        socket.listen(BACKLOG)?;
        Ok(Self { _file: file, ..Self::of(socket)? })
    }

    /// The sockets that systemd handed over; none if it started us without.
    ///
    /// To be called once, before any thread is started.
    pub(in crate::net) fn from_environment() -> io::Result<Vec<Self>> {
        systemd::inherited()?.into_iter().map(Self::of).collect()
    }

    /// Of a socket that listens.
    fn of(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let Some(address) = address.as_socket() else {
            let path = address.as_pathname().unwrap_or(Path::new(""));
            let kind = Kind::Unix(UnixListener::from_std(socket.into()));
            return Ok(Self { kind, local: Listen::Unix(path.to_owned()), _file: None });
        };
        socket.set_tcp_nodelay(true)?;
        // A held poll whose client vanished without a word is noticed within two minutes.
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(20))
            .with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
        show_progress(&socket)?;
        let kind = Kind::Tcp(TcpListener::from_std(socket.into()));
        Ok(Self { kind, local: Listen::Tcp(address), _file: None })
    }

    /// Has an event announce connections.
    pub(in crate::net) fn register(&mut self, to: &Registry, token: Token) -> io::Result<()> {
        match &mut self.kind {
            Kind::Tcp(listener) => to.register(listener, token, Interest::READABLE),
            Kind::Unix(listener) => to.register(listener, token, Interest::READABLE),
        }
    }

    /// The address it really has: with the port that was picked for port 0.
    #[must_use]
    pub(in crate::net) fn local(&self) -> &Listen {
        &self.local
    }

    /// The next connection, and where it comes from; `None` over a Unix socket.
    ///
    /// # Errors
    /// `WouldBlock` when there is no more: only then will an event announce the next one. Any
    /// other error concerns the one connection, or the limit of open files.
    pub(in crate::net) fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((OwnedFd::from(stream).into(), Some(peer.ip())))
            }
            Kind::Unix(listener) => Ok((OwnedFd::from(listener.accept()?.0).into(), None)),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the old connections' last packets.
    socket.set_reuse_address(true)?;
    if let IpAddr::V6(ip) = address.ip() {
        // `::` means everything, IPv4 too.
        socket.set_only_v6(!ip.is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The default of 128 loses connections when thousands of clients come back at once. The kernel
/// caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Read, Write};
    use std::net::Ipv4Addr;
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicU32, Ordering};

    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use mio::{Events, Poll};
    use socket2::SockAddr;

    use super::*;
    use crate::relay::options::UpstreamAddress;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn port_0_is_replaced_by_the_real_one_and_connections_come_in() {
        let mut listener = Listener::bind(&localhost(0)).unwrap();
        let Listen::Tcp(address) = *listener.local() else { panic!("{:?}", listener.local()) };
        assert_ne!(address.port(), 0);
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let (mut stream, peer) = accept(&mut listener);
        assert_eq!(peer, Some(Ipv4Addr::LOCALHOST.into()));
        exchange(&mut stream, &mut client);
    }

    #[test]
    fn connections_inherit_the_options_of_the_listener() {
        let mut listener = Listener::bind(&localhost(0)).unwrap();
        let Listen::Tcp(address) = *listener.local() else { panic!("{:?}", listener.local()) };
        let _client = std::net::TcpStream::connect(address).unwrap();
        let socket = accept(&mut listener).0.socket;
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
        assert!(socket.nonblocking().unwrap());
    }

    /// Else a slow reader of a large message looks like one that has stopped: `write_timeout`.
    #[test]
    fn a_full_socket_takes_more_as_soon_as_its_peer_has_read_a_little() {
        let mut listener = Listener::bind(&localhost(0)).unwrap();
        let Listen::Tcp(address) = *listener.local() else { panic!("{:?}", listener.local()) };
        let mut client = std::net::TcpStream::connect(address).unwrap();
        takes_more(accept(&mut listener).0, &mut client);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = UpstreamAddress::Tcp(listener.local_addr().unwrap());
        let ours = Stream::connect(&to).unwrap();
        takes_more(ours, &mut listener.accept().unwrap().0);
    }

    fn takes_more(mut ours: Stream, peer: &mut std::net::TcpStream) {
        let mut poll = Poll::new().unwrap();
        ours.register(poll.registry(), Token(0)).unwrap();
        wait(&mut poll, "it is not connected");
        let mut fill = || {
            let taken = std::iter::from_fn(|| ours.socket.write(&[b'x'; 1 << 20]).ok());
            taken.sum::<usize>()
        };
        // Until the kernel has nothing more to hand on either, and no event is left.
        let mut events = Events::with_capacity(1);
        loop {
            fill();
            let outcome = poll.poll(&mut events, Some(Duration::from_millis(200)));
            if outcome.is_ok() && events.is_empty() {
                break;
            }
        }
        peer.set_read_timeout(Some(LONG)).unwrap();
        for _ in 0..8 {
            assert!(peer.read(&mut [0; 64 << 10]).unwrap() > 0);
            let outcome = poll.poll(&mut events, Some(Duration::from_millis(200)));
            if outcome.is_ok() && !events.is_empty() {
                return assert!(fill() > 0);
            }
        }
        panic!("it takes no more, though half a megabyte was read");
    }

    #[test]
    fn ipv6_on_loopback_leaves_ipv4_alone() {
        let listen = Listen::Tcp("[::1]:0".parse().unwrap());
        let listener = match Listener::bind(&listen) {
            Ok(listener) => listener,
            // A machine without IPv6.
            Err(error) => return assert!(error.to_string().contains("[::1]:0"), "{error}"),
        };
        let Listen::Tcp(address) = *listener.local() else { panic!("{:?}", listener.local()) };
        assert!(Listener::bind(&localhost(address.port())).is_ok());
    }

    #[test]
    fn a_port_in_use_names_this_very_process() {
        let listener = Listener::bind(&localhost(0)).unwrap();
        let error = Listener::bind(listener.local()).unwrap_err();
        assert_in_use_by_us(&error, "choose another port");
    }

    #[test]
    fn an_address_of_another_machine_is_refused_in_words() {
        // A range for documentation: nobody has it.
        let listen = Listen::Tcp("192.0.2.1:0".parse().unwrap());
        let error = Listener::bind(&listen).unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on 192.0.2.1:0: this machine has no"), "{error}");
    }

    #[test]
    fn a_unix_socket_serves_its_group_and_is_removed_at_the_end() {
        let path = Scratch::new();
        let mut listener = Listener::bind(&path.listen()).unwrap();
        assert_eq!(*listener.local(), path.listen());
        assert_eq!(fs::metadata(&path.0).unwrap().permissions().mode() & 0o777, 0o660);
        let mut client = std::os::unix::net::UnixStream::connect(&path.0).unwrap();
        let (mut stream, peer) = accept(&mut listener);
        assert_eq!(peer, None);
        exchange(&mut stream, &mut client);
        drop(listener);
        assert!(!path.0.exists());
    }

    #[test]
    fn a_stale_unix_socket_is_replaced() {
        let path = Scratch::new();
        drop(std::os::unix::net::UnixListener::bind(&path.0).unwrap());
        assert!(path.0.exists());
        let _listener = Listener::bind(&path.listen()).unwrap();
        std::os::unix::net::UnixStream::connect(&path.0).unwrap();
    }

    #[test]
    fn a_living_unix_socket_is_in_use() {
        let path = Scratch::new();
        let _listener = Listener::bind(&path.listen()).unwrap();
        let error = Listener::bind(&path.listen()).unwrap_err();
        assert_in_use_by_us(&error, "choose another path");
    }

    #[test]
    fn a_living_unix_socket_with_a_full_backlog_is_in_use_too_and_keeps_nobody_waiting() {
        let path = Scratch::new();
        let address = SockAddr::unix(&path.0).unwrap();
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&address).unwrap();
        busy.listen(1).unwrap();
        let mut waiting = Vec::new();
        loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            if client.connect(&address).is_err() {
                break;
            }
            waiting.push(client);
        }
        let error = Listener::bind(&path.listen()).unwrap_err();
        assert_in_use_by_us(&error, "choose another path");
    }

    #[test]
    fn a_socket_that_replaced_ours_is_left_alone() {
        let path = Scratch::new();
        let ours = Listener::bind(&path.listen()).unwrap();
        fs::remove_file(&path.0).unwrap();
        let _theirs = Listener::bind(&path.listen()).unwrap();
        drop(ours);
        assert!(path.0.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let path = Scratch::new();
        fs::write(&path.0, "precious").unwrap();
        let error = Listener::bind(&path.listen()).unwrap_err().to_string();
        assert!(error.contains("exists and is not a socket"), "{error}");
        assert_eq!(fs::read(&path.0).unwrap(), b"precious");
    }

    #[test]
    fn a_path_that_cannot_be_is_refused_in_words() {
        for (path, words) in [
            ("/nowhere/at/all.sock".to_owned(), "there is no such directory"),
            (format!("/tmp/{}", "x".repeat(200)), "the path is too long"),
            ("/dev/null/x.sock".to_owned(), "Not a directory"),
        ] {
            let error = Listener::bind(&Listen::Unix(path.into())).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    /// systemd's part is played by this test: it starts itself again, with a listening socket as
    /// descriptor 3 and the environment that goes with it.
    #[test]
    fn sockets_handed_over_by_systemd_are_taken() {
        const CHILD: &str = "PUSHSERVER_TEST_ACTIVATED";
        const NAME: &str = "net::listen::tests::sockets_handed_over_by_systemd_are_taken";
        if std::env::var_os(CHILD).is_some() {
            let mut listeners = Listener::from_environment().unwrap();
            assert_eq!(listeners.len(), 1);
            let (mut stream, _) = accept(&mut listeners[0]);
            let local = listeners[0].local().to_string();
            assert_eq!(stream.socket.write(local.as_bytes()).unwrap(), local.len());
            return;
        }
        let path = Scratch::new();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp_address = tcp.local_addr().unwrap();
        let unix = std::os::unix::net::UnixListener::bind(&path.0).unwrap();
        let start = |socket: Stdio| {
            let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; \
                exec \"$0\" --exact \"$1\"";
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).arg(std::env::current_exe().unwrap()).arg(NAME);
            shell.env(CHILD, "1").stdin(socket).stdout(Stdio::null()).spawn().unwrap()
        };
        let mut told = String::new();

        let mut child = start(std::os::fd::OwnedFd::from(tcp).into());
        let mut client = std::net::TcpStream::connect(tcp_address).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.read_to_string(&mut told).unwrap();
        assert_eq!(told, format!("http://{tcp_address}"));
        assert!(child.wait().unwrap().success());

        told.clear();
        let mut child = start(std::os::fd::OwnedFd::from(unix).into());
        let mut client = std::os::unix::net::UnixStream::connect(&path.0).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.read_to_string(&mut told).unwrap();
        assert_eq!(told, path.listen().to_string());
        assert!(child.wait().unwrap().success());
        // It belongs to systemd, which will start us again when somebody connects.
        assert!(path.0.exists());
    }

    fn localhost(port: u16) -> Listen {
        Listen::Tcp((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Waits for the next connection as the reactor does.
    fn accept(listener: &mut Listener) -> (Stream, Option<IpAddr>) {
        let mut poll = Poll::new().unwrap();
        listener.register(poll.registry(), Token(0)).unwrap();
        loop {
            match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => break other.unwrap(),
            }
            wait(&mut poll, "nobody connected");
        }
    }

    /// Waits for an event; a signal may interrupt that.
    fn wait(poll: &mut Poll, in_vain: &str) {
        let mut events = Events::with_capacity(1);
        while let Err(error) = poll.poll(&mut events, Some(LONG)) {
            assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        }
        assert!(!events.is_empty(), "{in_vain}");
    }

    fn exchange(stream: &mut Stream, client: &mut (impl Read + Write)) {
        let slices = [IoSlice::new(b"hel"), IoSlice::new(b"lo")];
        assert_eq!(stream.socket.write_vectored(&slices).unwrap(), 5);
        stream.shutdown_write().unwrap();
        let mut told = String::new();
        client.read_to_string(&mut told).unwrap();
        assert_eq!(told, "hello");
        client.write_all(b"bye").unwrap();
        let mut poll = Poll::new().unwrap();
        stream.register(poll.registry(), Token(0)).unwrap();
        let mut buffer = [0; 8];
        let length = loop {
            match stream.socket.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => break other.unwrap(),
            }
            wait(&mut poll, "nothing arrived");
        };
        assert_eq!(&buffer[..length], b"bye");
    }

    fn assert_in_use_by_us(error: &StartError, advice: &str) {
        let words = error.to_string();
        assert!(matches!(error, StartError::InUse { .. }), "{words}");
        if cfg!(target_os = "linux") {
            let by_us = format!("(pid {});", std::process::id());
            assert!(words.contains(&by_us), "{words}");
        }
        assert!(words.ends_with(advice), "{words}");
    }

    /// A path of its own for each test, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("pushserver-test-{}-{number}.sock", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn listen(&self) -> Listen {
            Listen::Unix(self.0.clone())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }
}
