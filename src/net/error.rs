//! Start errors: why the daemon cannot start, in one line that says what to do.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::net::listen::port_owner::PortOwner;
use crate::net::options::Listen;
use crate::net::worker::persist::PersistError;

/// Why the reactor cannot start. The process exits with code 1.
#[derive(Debug)]
pub enum StartError {
    /// Another program listens there already.
    InUse {
        /// The wanted address.
        listen: Listen,
        /// Which one, if the system shows it.
        owner: Option<PortOwner>,
    },
    /// The path of a Unix socket is taken by another kind of file.
    NotASocket(PathBuf),
    /// The system refuses to listen there.
    Listen {
        /// The wanted address.
        listen: Listen,
        /// Its reason.
        error: io::Error,
    },
    /// A store cannot have its file.
    Persist(PersistError),
    /// The system refuses something else that the loop needs.
    System {
        /// What, as in "cannot watch standard input".
        what: &'static str,
        /// Its reason.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { listen, owner } => {
                write!(f, "{} is in use by ", place(listen))?;
                match owner {
                    Some(PortOwner { name, pid }) => write!(f, "{name} (pid {pid})")?,
                    None => f.write_str("another program")?,
                }
                let another = match listen {
                    Listen::Tcp(_) => "port",
                    Listen::Unix(_) => "path",
                };
                write!(f, "; stop it or choose another {another}")
            }
            Self::NotASocket(path) => write!(
                f,
                "{} exists and is not a socket; remove it or choose another path",
                path.display()
            ),
            Self::Listen { listen, error } => {
                write!(f, "cannot listen on {}: {}", place(listen), reason(listen, error))
            }
            Self::Persist(error) => error.fmt(f),
            Self::System { what, error } => write!(f, "{what}: {error}"),
        }
    }
}

/// Without a source: the text has it already.
impl std::error::Error for StartError {}

/// The address as it is given with `--listen`.
fn place(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(_) => listen.to_string(),
    }
}

fn reason(listen: &Listen, error: &io::Error) -> String {
    let words = match (listen, error.kind()) {
        (Listen::Tcp(address), ErrorKind::PermissionDenied) if address.port() < 1024 => {
            "ports below 1024 are for root or CAP_NET_BIND_SERVICE; choose another port"
        }
        (Listen::Tcp(_), ErrorKind::AddrNotAvailable) => {
            "this machine has no such address; 127.0.0.1 is always there, 0.0.0.0 means all"
        }
        (Listen::Unix(_), ErrorKind::PermissionDenied) => {
            "this user may not create files in that directory"
        }
        (Listen::Unix(_), ErrorKind::NotFound) => "there is no such directory; create it first",
        (Listen::Unix(_), ErrorKind::InvalidInput) => {
            "the path is too long for a socket; at most 107 bytes fit"
        }
        _ => return error.to_string(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::StartError;
    use crate::net::listen::port_owner::PortOwner;
    use crate::net::options::Listen;

    #[test]
    fn an_address_in_use_names_who_holds_it_and_what_to_do() {
        let listen = Listen::Tcp("127.0.0.1:8001".parse().unwrap());
        let owner = Some(PortOwner { name: "pushserver".to_owned(), pid: 123 });
        let error = StartError::InUse { listen: listen.clone(), owner };
        assert_eq!(
            error.to_string(),
            "127.0.0.1:8001 is in use by pushserver (pid 123); stop it or choose another \
             port"
        );
        let error = StartError::InUse { listen, owner: None };
        assert_eq!(
            error.to_string(),
            "127.0.0.1:8001 is in use by another program; stop it or choose another port"
        );
    }

    #[test]
    fn a_low_port_tells_who_may_have_it() {
        let listen = Listen::Tcp("127.0.0.1:80".parse().unwrap());
        let error = io::ErrorKind::PermissionDenied.into();
        assert_eq!(
            StartError::Listen { listen, error }.to_string(),
            "cannot listen on 127.0.0.1:80: ports below 1024 are for root or \
             CAP_NET_BIND_SERVICE; choose another port"
        );
    }

    #[test]
    fn an_unwritable_directory_is_told() {
        let listen = Listen::Unix("/run/push.sock".into());
        let error = io::ErrorKind::PermissionDenied.into();
        assert_eq!(
            StartError::Listen { listen, error }.to_string(),
            "cannot listen on unix:/run/push.sock: this user may not create files in that \
             directory"
        );
    }

    #[test]
    fn what_has_no_words_of_ours_is_told_in_the_systems() {
        let error = StartError::System {
            what: "cannot open an epoll instance",
            error: io::Error::from_raw_os_error(24),
        };
        let words = error.to_string();
        assert!(words.starts_with("cannot open an epoll instance: "), "{words}");
        assert!(words.contains("open files"), "{words}");
    }
}
