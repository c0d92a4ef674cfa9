//! An issuer of users' access tokens, as `auth.issuers` names one: its discovery document, its keys, and tokens with any claims.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// Of the tokens that are made here.
pub const AUDIENCE: &str = "https://api.example";

/// A running issuer. Every one publishes its key under the same name.
pub struct TokenIssuer {
    /// The claim `iss` of its tokens.
    pub name: String,
    key: EncodingKey,
}

impl TokenIssuer {
    pub fn start() -> TokenIssuer {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let public = pair.public_key().as_ref();
        let keys = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "the key",
            "x": URL_SAFE_NO_PAD.encode(&public[1..33]), "y": URL_SAFE_NO_PAD.encode(&public[33..65]),
        }] });
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("http://{}", listener.local_addr().unwrap());
        let document = json!({ "issuer": name, "jwks_uri": format!("{name}/keys") });
        std::thread::spawn(move || answer(&listener, &document, &keys));
        TokenIssuer {
            name,
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
        }
    }

    /// Its entry in `auth.issuers`, with more keys than its name and its audience.
    pub fn entry(&self, more: &Value) -> Value {
        with(
            json!({ "issuer": self.name, "audiences": [AUDIENCE], "leeway": 0 }),
            more,
        )
    }

    /// A good token of a user, with other claims; null takes one away.
    pub fn token(&self, subject: &str, changes: &Value) -> String {
        let claims = json!({
            "iss": self.name, "sub": subject, "aud": AUDIENCE, "iat": in_seconds(0), "exp": in_seconds(600),
        });
        let header = Header {
            kid: Some("the key".to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, &with(claims, changes), &self.key).unwrap()
    }
}

/// Seconds since 1970, that many from now.
pub fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

fn with(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        object[name] = value.clone();
    }
    let fields = object.as_object_mut().unwrap();
    fields.retain(|_, value| !value.is_null());
    object
}

fn answer(listener: &TcpListener, document: &Value, keys: &Value) {
    for mut stream in listener.incoming().map_while(Result::ok) {
        let mut request = [0; 4_096];
        let length = stream.read(&mut request).unwrap_or_default();
        let line = String::from_utf8_lossy(&request[..length]);
        let (status, body) = if line.starts_with("GET /keys ") {
            ("200 OK", keys.to_string())
        } else if line.starts_with("GET /.well-known/openid-configuration ") {
            ("200 OK", document.to_string())
        } else {
            ("404 Not Found", String::new())
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        // A client that has gone away needs no answer.
        let _ = stream.write_all((head + &body).as_bytes());
    }
}
