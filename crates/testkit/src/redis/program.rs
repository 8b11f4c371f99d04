//! Program: which programs are started, and at which addresses.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use pushserver::store::redis::options::Address;

use crate::directory::Directory;

/// An address that nobody listens at.
#[must_use]
pub fn refusing() -> Address {
    let address = free_address();
    Address::Tcp(address.ip().to_string(), address.port())
}

/// On a loopback address of this process's own, so that hardly anybody takes a port of it while a
/// server is down.
pub(crate) fn free_address() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let last = u8::try_from(count % 250 + 2).expect("it is below 252");
    let own = Ipv4Addr::new(127, high | 1, low, last);
    let listener = TcpListener::bind((own, 0))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

/// A program that is installed with Redis.
///
/// # Panics
/// If it is not.
pub(crate) fn program(name: &str) -> Command {
    let own = std::env::var_os("PUSHSERVER_REDIS").filter(|_| name == "redis-server");
    let program = own.unwrap_or_else(|| name.into());
    let is_there = Command::new(&program).arg("--version").output().is_ok();
    assert!(is_there, "{program:?} is missing: run `apt-get install redis-server redis-sentinel`");
    Command::new(program)
}

/// What a program in this directory said.
pub(crate) fn log(directory: &Directory) -> String {
    fs::read_to_string(directory.file("log")).unwrap_or_default()
}
