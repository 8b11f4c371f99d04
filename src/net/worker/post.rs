//! Post: one notice as an HTTP request, and the bounds within which it is sent. Keeps no queue.

use std::io::Read;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use percent_encoding::percent_encode;
use ureq::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ureq::http::{Request, StatusCode, Uri};
#[cfg(feature = "tls")]
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::queue::What;
use crate::relay::notice::{Event, FORM};

/// Whether a request to `url` can be made of it.
#[must_use]
pub fn is_url(url: &str) -> bool {
    url.parse::<Uri>().is_ok()
}

/// The clients for both schemes.
#[derive(Debug)]
pub(super) struct Agents {
    plain: ureq::Agent,
    /// Made by the first notice that needs it: it reads whom the system trusts.
    secure: OnceLock<ureq::Agent>,
    answer_within: Duration,
}

impl Agents {
    pub(super) fn new(answer_within: Duration) -> Self {
        Self { plain: agent(answer_within, false), secure: OnceLock::new(), answer_within }
    }

    fn of(&self, url: &str) -> &ureq::Agent {
        match url.starts_with("https:") {
            true => self.secure.get_or_init(|| agent(self.answer_within, true)),
            false => &self.plain,
        }
    }
}

/// A client that follows nothing, takes nothing from the environment and waits for nothing long.
fn agent(answer_within: Duration, is_secure: bool) -> ureq::Agent {
    let agent = ureq::Agent::config_builder()
        // A bound for each phase and none for the whole: with one, ureq starts a thread for every
        // request to look up the host, and panics if it cannot.
        .timeout_connect(Some(CONNECT_WITHIN))
        .timeout_send_request(Some(SEND_WITHIN))
        .timeout_send_body(Some(SEND_WITHIN))
        .timeout_recv_response(Some(answer_within))
        .timeout_recv_body(Some(SEND_WITHIN))
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        // Only what the subscriber sent: an empty value adds no header of ureq's own.
        .user_agent("")
        .accept("")
        .accept_encoding("")
        .max_response_header_size(16 << 10)
        .input_buffer_size(16 << 10)
        // One header line of a subscriber must fit (limits.header_bytes, 32 KiB by default).
        .output_buffer_size(64 << 10)
        .max_idle_connections(4)
        .max_idle_connections_per_host(1);
    #[cfg(feature = "tls")]
    let agent = if is_secure { agent.tls_config(tls()) } else { agent };
    #[cfg(not(feature = "tls"))]
    debug_assert!(!is_secure, "the settings refuse it");
    agent.build().into()
}

/// Who is trusted: whom the system trusts, and nobody by default.
#[cfg(feature = "tls")]
fn tls() -> TlsConfig {
    let trusted = rustls_native_certs::load_native_certs().certs;
    let roots = trusted.iter().map(|der| Certificate::from_der(der).to_owned());
    TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// Posts one notice and reads the answer; waits for as long as the agents' bounds allow. Gives the
/// answer's status.
///
/// # Errors
/// Not delivered, not answered in time, or the answer is no HTTP.
pub(super) fn send(agents: &Agents, what: &What) -> Result<StatusCode, ureq::Error> {
    let mut response = agents.of(what.url()).run(request(what)?)?;
    // Only a connection whose answer was read to the end is used again. What fails here no longer
    // matters: the notice was answered.
    let mut body = response.body_mut().as_reader().take(ANSWER_BYTES_MAX);
    let _ = std::io::copy(&mut body, &mut std::io::sink());
    Ok(response.status())
}

fn request(what: &What) -> Result<Request<String>, ureq::http::Error> {
    let (body, headers, peer) = match what {
        What::Hold(event, notice) => {
            let channel_id = percent_encode(&notice.channel_id, FORM);
            let event = match event {
                Event::Subscribe => "subscribe",
                Event::Unsubscribe => "unsubscribe",
            };
            let body = format!("channel_id={channel_id}&{event}=1");
            (body, &notice.headers, notice.peer)
        }
        What::Members(_, telling) => (telling.body.clone(), &telling.headers, telling.peer),
    };
    let mut request = Request::post(&**what.url()).body(body)?;
    copy_headers(headers, request.headers_mut());
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, form);
    if let Some(peer) = peer {
        let peer = HeaderValue::try_from(peer.to_string())?;
        request.headers_mut().insert("x-forwarded-for", peer);
    }
    Ok(request)
}

fn copy_headers(lines: &[u8], headers: &mut HeaderMap) {
    for line in lines.split(|&byte| byte == b'\n') {
        let mut parts = line.splitn(2, |&byte| byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        let Ok(name) = HeaderName::from_bytes(name) else { continue };
        let Ok(value) = HeaderValue::from_bytes(value.trim_ascii()) else { continue };
        // Fails beyond 32,768 headers only; the relay's own limit is far below.
        let _ = headers.try_append(name, value);
    }
}

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const SEND_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 8 << 10;
