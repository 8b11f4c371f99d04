//! That the tests' own client is not disturbed by what happens beside it.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use signal_hook::consts::SIGUSR2;

use pushserver_testkit::{Daemon, settings, until};

use crate::BINARY;

#[test]
fn whoever_is_interrupted_while_nothing_comes_waits_on() {
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGUSR2, Arc::clone(&interrupted)).unwrap();
    let daemon = Daemon::start(BINARY, settings());
    let mut client = daemon.hold("a", 1).remove(0);
    let socket = format!("{:#x}", client.socket().as_raw_fd());
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        // "PROCESS/task/THREAD"
        tell.send(fs::read_link("/proc/thread-self").unwrap()).unwrap();
        client.answer()
    });
    let path = told.recv().unwrap();
    until("the thread waits for the socket", || {
        let call = fs::read_to_string(format!("/proc/{}/syscall", path.display())).unwrap();
        call.split(' ').nth(1) == Some(&socket)
    });
    let thread = path.file_name().unwrap();
    assert!(Command::new("kill").arg("-USR2").arg(thread).status().unwrap().success());
    until("the signal arrives", || interrupted.load(Ordering::Relaxed));
    daemon.publish("a", "m");
    assert_eq!(reader.join().unwrap().text(), "m");
}
