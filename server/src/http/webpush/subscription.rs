//! A browser's `PushSubscription` as JSON: `{ endpoint, expirationTime, keys: { p256dh, auth } }`.

use gom_actors::push::{
    AUTH_BYTES, Device, DeviceKeys, KeysError, MAX_ENDPOINT_BYTES, P256DH_BYTES, PushEndpoint,
};
use serde_json::{Map, Value, json};

use crate::http::json_body::Fields;
use crate::http::openapi::{reference, text};
use crate::http::rest_error::RestError;

/// The last moment that JavaScript can name, in milliseconds since 1970.
const LAST_MOMENT: f64 = 8.64e15;
/// More than either key has in any spelling.
const KEY_CHARACTERS: usize = 100;

/// A subscription, as far as a schema can say it: the key must also be a point on the curve.
pub fn schemas() -> Value {
    let mut endpoint = text(MAX_ENDPOINT_BYTES);
    endpoint["pattern"] = "^https://".into();
    endpoint["format"] = "uri".into();
    endpoint["description"] =
        "Of a host that may be connected to; without user, password or fragment.".into();
    let key = |bytes: usize| json!({ "type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS, "description": format!("{bytes} bytes in base64url.") });
    json!({
        "PushSubscription": {
            "examples": [{
                "endpoint": "https://push.example/devices/1",
                "expirationTime": null,
                // The keys of RFC 8291, appendix A.
                "keys": {
                    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
                },
            }],
            "type": "object",
            "required": ["endpoint", "keys"],
            "properties": {
                "endpoint": endpoint,
                "expirationTime": {
                    "type": ["number", "null"], "minimum": 0, "maximum": LAST_MOMENT,
                    "description": "Milliseconds since 1970.",
                },
                "keys": {
                    "type": "object",
                    "required": ["p256dh", "auth"],
                    "properties": { "p256dh": key(P256DH_BYTES), "auth": key(AUTH_BYTES) },
                },
            },
        },
        "PushRenewal": {
            "type": "object",
            "required": ["old", "new"],
            "properties": {
                "old": reference("PushSubscription"),
                "new": reference("PushSubscription"),
            },
        },
    })
}

/// The device that a body describes. What else browsers may add to it is passed over.
///
/// # Errors
/// All that is wrong with it.
pub fn device(body: Map<String, Value>) -> Result<Device, RestError> {
    read(body).map_err(RestError::invalid)
}

/// The devices that a body describes in two of its members.
///
/// # Errors
/// All that is wrong with both.
pub fn two_devices(
    mut body: Map<String, Value>,
    names: [&str; 2],
) -> Result<[Device; 2], RestError> {
    let [one, two] = names.map(|name| match body.remove(name) {
        Some(Value::Object(object)) => read(object).map_err(|problems| {
            problems
                .iter()
                .map(|problem| format!("{name}.{problem}"))
                .collect()
        }),
        _ => Err(vec![format!("{name} must be a subscription")]),
    });
    match (one, two) {
        (Ok(one), Ok(two)) => Ok([one, two]),
        (one, two) => {
            let problems = [one, two].into_iter().filter_map(Result::err).flatten();
            Err(RestError::invalid(problems.collect()))
        }
    }
}

fn read(mut body: Map<String, Value>) -> Result<Device, Vec<String>> {
    let expires = body.remove("expirationTime");
    let keys = body.remove("keys");
    let mut fields = Fields::of(body);
    let endpoint = fields.text("endpoint", MAX_ENDPOINT_BYTES);
    let endpoint = (!endpoint.is_empty()).then(|| PushEndpoint::parse(&endpoint));
    let endpoint = endpoint.and_then(|endpoint| {
        endpoint
            .map_err(|e| fields.problem(format!("endpoint {e}")))
            .ok()
    });
    let expires = moment(expires)
        .map_err(|problem| fields.problem(problem))
        .ok();
    let keys = match keys {
        Some(Value::Object(keys)) => self::keys(&keys)
            .map_err(|problem| fields.problem(problem))
            .ok(),
        _ => {
            fields.problem("keys must be an object with p256dh and auth");
            None
        }
    };
    match (endpoint, keys, expires) {
        (Some(endpoint), Some(keys), Some(expires)) => Ok(Device {
            endpoint,
            keys,
            expires,
        }),
        // Each that is missing has left one.
        _ => Err(fields.into_problems()),
    }
}

fn keys(object: &Map<String, Value>) -> Result<DeviceKeys, String> {
    let text = |name: &str| {
        object
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| text.len() <= KEY_CHARACTERS)
    };
    DeviceKeys::parse(
        text("p256dh").unwrap_or_default(),
        text("auth").unwrap_or_default(),
    )
    .map_err(|error| {
        let name = match error {
            KeysError::P256dh => "p256dh",
            KeysError::Auth => "auth",
        };
        format!("keys.{name} {error}")
    })
}

/// Milliseconds, of which some browsers send fractions; nothing for no end.
fn moment(value: Option<Value>) -> Result<Option<i64>, &'static str> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value
            .as_f64()
            .filter(|moment| (0.0..=LAST_MOMENT).contains(moment))
        {
            // Whole numbers up to there are exact.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "within the bounds of JavaScript's dates"
            )]
            Some(moment) => Ok(Some(moment as i64)),
            None => Err("expirationTime must be milliseconds since 1970, or null"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;
    use actix_web::body::to_bytes;

    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn parse(body: &Value) -> Result<Device, RestError> {
        let Value::Object(body) = body.clone() else {
            unreachable!()
        };
        device(body)
    }

    #[test]
    fn a_browsers_subscription_is_read() {
        let keys = json!({ "p256dh": P256DH, "auth": AUTH });
        for (expires, expected) in [
            (Value::Null, None),
            (json!(1_700_000_000_000_i64), Some(1_700_000_000_000)),
            (json!(1_700_000_000_000.5), Some(1_700_000_000_000)),
            (
                json!(8_640_000_000_000_000_i64),
                Some(8_640_000_000_000_000),
            ),
        ] {
            let body = json!({ "endpoint": "https://push.example/a", "expirationTime": expires, "keys": keys,
                "something": ["new"] });
            let device = parse(&body).unwrap();
            assert_eq!(
                (device.endpoint.as_str(), device.expires),
                ("https://push.example/a", expected)
            );
        }
        assert_eq!(
            parse(&json!({ "endpoint": "https://a.b/", "keys": keys }))
                .unwrap()
                .expires,
            None
        );
    }

    #[actix_web::test]
    async fn all_problems_are_reported_together() {
        let keys = json!({ "p256dh": P256DH, "auth": AUTH });
        for (body, expected) in [
            (
                json!({}),
                json!([
                    "endpoint should not be empty",
                    "keys must be an object with p256dh and auth"
                ]),
            ),
            (
                json!({ "endpoint": "http://a.b/", "keys": [], "expirationTime": "soon" }),
                json!([
                    "endpoint must begin with https://",
                    "expirationTime must be milliseconds since 1970, or null",
                    "keys must be an object with p256dh and auth",
                ]),
            ),
            (
                json!({ "endpoint": 7, "keys": keys }),
                json!(["endpoint must be a string"]),
            ),
            (
                json!({ "endpoint": "https://a.b/", "keys": { "p256dh": P256DH } }),
                json!(["keys.auth must be 16 bytes in base64url"]),
            ),
            (
                json!({ "endpoint": "https://a.b/", "keys": { "p256dh": 1, "auth": AUTH }, "expirationTime": -1 }),
                json!([
                    "expirationTime must be milliseconds since 1970, or null",
                    "keys.p256dh must be an uncompressed point on P-256: 65 bytes in base64url",
                ]),
            ),
        ] {
            let answer = parse(&body).unwrap_err().error_response();
            assert_eq!(answer.status(), 400);
            let Ok(bytes) = to_bytes(answer.into_body()).await else {
                panic!("no body")
            };
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(answer["message"], expected, "{body}");
        }
    }
}
