//! nginx with Nchan on a free port, with the configuration that pushserver makes of its settings;
//! stopped when dropped.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::BINARY;
use pushserver_testkit::Client;
use pushserver_testkit::transcripts::targets::Server;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// How long it may take to start or to stop.
const LIFE_PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at a process.
const PAUSE: Duration = Duration::from_millis(5);

/// In its directory.
const PID_FILE: &str = "nginx.pid";

/// Starts that fail because another took the port that was free a moment ago.
const TRIES: usize = 5;

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Nginx {
    /// Starts it with these settings, whose port is set. Returns once it accepts.
    pub(crate) fn start(settings: Value) -> Self {
        Self::start_with(settings, "")
    }

    /// As before, with more in its server.
    pub(crate) fn start_with(mut settings: Value, more: &str) -> Self {
        for _ in 0..TRIES {
            let port = free_port();
            settings["port"] = json!(port);
            let made = configuration(&settings.to_string());
            let directory = prepare(&made.replacen("server {", &format!("server {{ {more}"), 1));
            let mut child = nginx(&directory).spawn().expect("nginx can be started");
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if is_ready(&mut child, &directory) {
                return Self { child, address, directory };
            }
            let log = log(&directory);
            assert!(log.contains("Address already in use"), "nginx did not start: {log}");
        }
        panic!("no port stayed free");
    }
}

/// Whether it listens; not, if it has ended. Whoever accepts on its port may be another, as nginx
/// tries for seconds to have it; what it does next is to write this file.
fn is_ready(child: &mut Child, directory: &Path) -> bool {
    let deadline = Instant::now() + LIFE_PATIENCE;
    while !directory.join(PID_FILE).exists() {
        if child.try_wait().expect("it is our child").is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "nginx listens within {LIFE_PATIENCE:?}");
        thread::sleep(PAUSE);
    }
    true
}

impl Server for Nginx {
    // What it has not answered by then it never will; what it holds is let go after a second.
    const PATIENCE: Duration = Duration::from_secs(3);

    fn connect(&self) -> Client {
        Client::tcp(self.address)
    }

    fn stop(&self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
    }

    fn log(&self) -> String {
        log(&self.directory)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers would outlive a master that is killed.
        self.stop();
        let deadline = Instant::now() + LIFE_PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What `pushserver --nginx-config` makes of settings.
pub(crate) fn configuration(settings: &str) -> String {
    let mut child = Command::new(BINARY)
        .args(["-q", "--config", "-", "--nginx-config"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pushserver can be started");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(settings.as_bytes()).expect("it reads its settings");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{settings}: {error}");
    String::from_utf8(output.stdout).expect("it writes text")
}

/// What `nginx -t` has against a configuration.
pub(crate) fn check(configuration: &str) -> Result<(), String> {
    let directory = prepare(configuration);
    let mut nginx = nginx(&directory);
    let output = nginx.arg("-t").stderr(Stdio::piped()).output().expect("nginx can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let _ = fs::remove_dir_all(&directory);
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// A directory of its own with this configuration in the `http` context.
fn prepare(configuration: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    assert!(
        Path::new(MODULE).exists(),
        "{MODULE} is missing: apt-get install nginx libnginx-mod-nchan"
    );
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("nginx-{}-{number}", std::process::id());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("the directory can be made");
    let around = format!(
        "load_module {MODULE};\ndaemon off;\nworker_processes 1;\npid {PID_FILE};\nuser root;\n\
         error_log error.log warn;\nevents {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n\
         client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\ninclude pushserver.conf;\n}}\n"
    );
    fs::write(directory.join("nginx.conf"), around).expect("it can be written");
    fs::write(directory.join("pushserver.conf"), configuration).expect("it can be written");
    directory
}

fn nginx(directory: &Path) -> Command {
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "error.log"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

fn log(directory: &Path) -> String {
    fs::read_to_string(directory.join("error.log")).unwrap_or_default()
}
