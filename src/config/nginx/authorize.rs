//! nginx authorize: has nginx ask the application whether a token lets a request in. nginx has no
//! HMAC-SHA-256, so the view of the Django app checks the same tokens. Reads no token.
//!
//! By `auth_request`, whose 401 comes with the view's `WWW-Authenticate`, by which scripts know
//! that a token has expired: `nchan_authorize_request` of Nchan 1.3.6 makes 403 of it.

use super::super::settings::{Common, Location, Settings};
use super::{Output, quoted};

/// Where nginx asks: no client can.
const PLACE: &str = "/pushserver-authorize";

/// Below the URL of notices, where the Django app has its view.
const VIEW: &str = "authorize";

/// Writes who is asked, if a location is signed.
pub(super) fn server(out: &mut Output, settings: &Settings) {
    let is_signed = |one: &Location| one.common().is_some_and(|keys| keys.signed);
    if !settings.locations.iter().any(is_signed) {
        return;
    }
    out.line("");
    out.note("Who checks the tokens of signed locations: the view of pushserver.urls. Revocations");
    out.note("are not known here, and what is held outlasts its token until the next request.");
    let Some(url) = view(settings) else {
        out.note("No location has a passthrough that says where that is: nobody gets in, until");
        out.note("you put proxy_pass http://HOST/PATH/authorize; in the place of return 403.");
        return out.block(&format!("location = {PLACE}"), &["internal;", "return 403;"]);
    };
    let pass = format!("proxy_pass {};", quoted(&url));
    let lines = [
        "internal;",
        "proxy_http_version 1.1;",
        "proxy_pass_request_body off;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header Connection \"\";",
        "proxy_set_header Upgrade \"\";",
        "proxy_set_header Content-Length \"\";",
        // They are about messages.
        "proxy_set_header If-Modified-Since \"\";",
        "proxy_set_header If-None-Match \"\";",
        "proxy_set_header X-Original-URI $request_uri;",
        "proxy_set_header X-Original-Method $request_method;",
        &pass,
    ];
    out.block(&format!("location = {PLACE}"), &lines);
}

/// Writes that it is asked, if the location is signed.
pub(super) fn directives(out: &mut Output, common: &Common) {
    if !common.signed {
        return;
    }
    out.note("Not nchan_authorize_request, which answers 403 to what is to be 401.");
    out.line(&format!("auth_request {PLACE};"));
}

/// The view's URL: that of notices leads to the same file of URLs. `None`: there is none, or nginx
/// has no way to write it.
fn view(settings: &Settings) -> Option<String> {
    let mut subscribing = settings.locations.iter().filter_map(Location::subscribing);
    let url = subscribing.find_map(|keys| keys.passthrough.as_deref())?;
    let url = url.split(['?', '#']).next()?.trim_end_matches('/');
    (!url.contains('$')).then(|| format!("{url}/{VIEW}"))
}
