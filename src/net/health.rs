//! Health: asks a daemon whether it is well, for a container's `HEALTHCHECK` in an image that holds
//! nothing else. Not part of the loop: it waits.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ureq::http::Uri;

use crate::clock::Clock;

/// What is asked where the URL does not say it.
const PATH: &str = "/pushserver/readyz";

/// How long each step may take.
const WITHIN: Duration = Duration::from_secs(5);

/// The begin of an answer that is read: `HTTP/1.1 200`.
const ANSWER_BYTES: usize = 12;

/// Asks what `url` names: `http://…`, `https://…`, or `unix:/path/of/socket` with perhaps `:/path`
/// behind it. A certificate is not checked: nothing secret is sent, and an empty image trusts
/// nobody.
///
/// # Errors
/// It is not well, or does not answer; in one line.
pub fn check(url: &str) -> Result<(), String> {
    let status = ask(url)?;
    match status {
        200..300 => Ok(()),
        _ => Err(format!("--health {url}: the answer is {status}")),
    }
}

fn ask(url: &str) -> Result<u16, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("--health {url}: no answer within {} seconds", WITHIN.as_secs())
        }
        _ => format!("--health {url}: {error}"),
    };
    if let Some(socket) = url.strip_prefix("unix:") {
        let (socket, path) = socket.split_once(":/").unwrap_or((socket, &PATH[1..]));
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(WITHIN)).map_err(failed)?;
        stream.set_write_timeout(Some(WITHIN)).map_err(failed)?;
        return answer(stream, "localhost", &format!("/{path}")).map_err(failed);
    }
    let expected = || {
        format!("--health {url}: expected http://HOST:PORT/PATH, https://… or unix:/SOCKET:/PATH")
    };
    let uri: Uri = url.parse().map_err(|_| expected())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(expected());
    };
    let path = match uri.path_and_query().map(|path| path.as_str()) {
        None | Some("/") => PATH,
        Some(path) => path,
    };
    match scheme {
        "http" => {
            let port = uri.port_u16().unwrap_or(80);
            let stream = connect(authority.host(), port).map_err(failed)?;
            stream.set_read_timeout(Some(WITHIN)).map_err(failed)?;
            stream.set_write_timeout(Some(WITHIN)).map_err(failed)?;
            answer(stream, authority.as_str(), path).map_err(failed)
        }
        "https" => secure(&format!("https://{authority}{path}"))
            .map_err(|why| format!("--health {url}: {why}")),
        _ => Err(expected()),
    }
}

/// Connects. `localhost` is known without a file or a name server.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = match (plain, plain.parse::<IpAddr>()) {
        (_, Ok(ip)) => vec![(ip, port).into()],
        ("localhost", _) => vec![(Ipv4Addr::LOCALHOST, port).into()],
        _ => (plain, port).to_socket_addrs()?.collect(),
    };
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, WITHIN) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The status of the answer.
fn answer(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut begin = Vec::new();
    let began = Clock::start();
    let mut piece = [0; ANSWER_BYTES];
    // One that sends a byte now and then is not well either.
    while begin.len() < ANSWER_BYTES {
        if u128::from(began.now().since_start_ms()) > WITHIN.as_millis() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match stream.read(&mut piece)? {
            0 => break,
            len => begin.extend_from_slice(&piece[..len]),
        }
    }
    let line = String::from_utf8_lossy(&begin);
    let status = line.strip_prefix("HTTP/1.").and_then(|line| line.get(2..5)?.parse().ok());
    status.ok_or_else(|| io::Error::other("what answers there speaks no HTTP"))
}

#[cfg(feature = "tls")]
fn secure(url: &str) -> Result<u16, String> {
    use std::sync::Arc;

    use ureq::tls::TlsConfig;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(WITHIN))
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .tls_config(tls);
    let agent: ureq::Agent = config.build().into();
    let answer = agent.get(url).call().map_err(|error| error.to_string())?;
    Ok(answer.status().as_u16())
}

#[cfg(not(feature = "tls"))]
fn secure(_: &str) -> Result<u16, String> {
    Err("this pushserver was built without the feature \"tls\"".to_owned())
}
