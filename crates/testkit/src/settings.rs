//! Settings: those that tests begin with, and what adds to them.

use serde_json::{Value, json};

/// The default locations, where a GET makes its channel; `subscriber` holds further keys of the
/// subscriber location.
pub fn subscriber(subscriber: Value) -> Value {
    let mut location = json!({"type": "subscriber", "prefix": "/subscriber/"});
    location["create_on_get"] = true.into();
    merge(&mut location, subscriber);
    json!({"locations": [{"type": "publisher", "prefix": "/publisher/"}, location]})
}

/// [`subscriber`] with nothing further.
pub fn settings() -> Value {
    subscriber(json!({}))
}

/// [`settings`] with these limits.
pub fn limits(limits: Value) -> Value {
    let mut settings = settings();
    settings["limits"] = limits;
    settings
}

/// Adds the keys of `more`.
pub fn merge(value: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("no object: {more}") };
    value.as_object_mut().expect("settings are objects").extend(more);
}
