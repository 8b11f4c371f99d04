//! Round of settings. Whatever the file holds, there is no panic; what is accepted can be served
//! with, printed, and means the same when it is read again; what is refused is refused in one line.

use pushserver::clock::Now;
use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::{Command, Relay};
use serde_json::Value;

/// The bytes of a settings file.
pub fn round(data: &[u8]) {
    if asks_a_name_server(data) {
        return;
    }
    let config = match read(data) {
        Ok(config) => config,
        Err(error) => return one_line(&error.to_string()),
    };
    let first_id = MessageId { time: 1_700_000_000, tag: 0 };
    let now = Now::at(0, 1_700_000_001);
    let hub = config.hub_options(first_id, 1);
    let mut relay = Relay::new(&config.relay_options(), hub.clone(), now);
    relay.command(Command::Reload(&config.relay_options(), hub.stores), now);
    config.warnings().iter().for_each(|warning| one_line(warning));
    let printed = config.to_json().expect("there is one address at most");
    let again = read(printed.as_bytes()).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(again.to_json().as_ref(), Ok(&printed), "printed settings give themselves again");
    if let Err(error) = config.to_nginx() {
        one_line(&error.to_string());
    }
}

fn read(data: &[u8]) -> Result<Config, pushserver::config::Error> {
    Config::parse(data, Source::Defaults, Overrides::default())
}

fn one_line(text: &str) {
    assert!(!text.is_empty() && text.trim() == text, "{text:?}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 1000, "{} bytes: {text}", text.len());
}

/// Whether the upstream is given by a name: fuzzing is not to ask the network for it.
fn asks_a_name_server(data: &[u8]) -> bool {
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let Ok(settings) = serde_json::from_slice::<Value>(data) else { return false };
    let Some(url) = settings.get("allrequests").and_then(Value::as_str) else { return false };
    let host = url.strip_prefix("http://").unwrap_or_default();
    host.bytes().any(|byte| !byte.is_ascii_digit() && !b".:[]/".contains(&byte))
}
