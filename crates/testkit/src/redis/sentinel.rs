//! Sentinel: a real `redis-sentinel` on a port of its own; stopped when dropped.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use pushserver::store::redis::options::Address;
use pushserver::store::redis::resp::Value;

use super::connection::Connection;
use super::program::{free_address, log, program};
use crate::directory::Directory;
use crate::wait::until;

/// A running `redis-sentinel` that watches one master, alone, and is quick to promote another.
pub struct Sentinel {
    child: Child,
    address: SocketAddr,
    directory: Directory,
}

impl Sentinel {
    /// A sentinel that calls the server at this address `name`. Returns once it knows of a replica
    /// of that.
    ///
    /// # Panics
    /// If it does not: with what it said.
    #[must_use]
    pub fn of(name: &str, watched: SocketAddr) -> Self {
        let directory = Directory::create();
        let address = free_address();
        let (ip, port) = (address.ip(), address.port());
        let socket = directory.file("redis.sock");
        let settings = format!(
            "bind {ip}\nport {port}\nunixsocket {}\ndir {}\n\
             sentinel monitor {name} {} {} 1\n\
             sentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 3000\n",
            socket.display(),
            directory.file("").display(),
            watched.ip(),
            watched.port(),
        );
        let file = directory.file("sentinel.conf");
        fs::write(&file, settings).expect("the directory is writable");
        let output = fs::File::create(directory.file("log")).expect("the directory is writable");
        let mut command = program("redis-server");
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(output);
        let child = command.spawn().expect("it can be started");
        let sentinel = Self { child, address, directory };
        until("the sentinel knows the replica", || {
            let Ok(mut connection) = Connection::new(&socket) else { return false };
            let replicas = connection.ask(&["SENTINEL", "REPLICAS", name]);
            matches!(replicas, Value::List(replicas) if !replicas.is_empty())
        });
        sentinel
    }

    /// Has it promote a replica of the master that it calls so, which is well.
    ///
    /// # Panics
    /// If it does not begin to.
    #[track_caller]
    pub fn fail_over(&self, name: &str) {
        let mut connection =
            Connection::new(&self.directory.file("redis.sock")).expect("it listens");
        let answer = connection.ask(&["SENTINEL", "FAILOVER", name]);
        assert!(matches!(answer, Value::Text(_)), "{answer:?}");
    }

    /// Where it listens, as a setting.
    #[must_use]
    pub fn tcp(&self) -> Address {
        Address::Tcp(self.address.ip().to_string(), self.address.port())
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("redis-sentinel said {}", log(&self.directory));
        }
    }
}
