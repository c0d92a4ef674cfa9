//! Private keys of an issuer, and the tokens that are signed with them.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsBigEndian, EcPublicKeyUncompressedBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A private key with the name that it is published under.
#[derive(Clone)]
pub struct Signer {
    pub kid: String,
    key: Arc<PrivateKey>,
}

enum PrivateKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl Signer {
    /// Making an RSA key takes a while: the first two of a process are made once.
    pub fn rsa(kid: &str) -> Signer {
        static KEY: OnceLock<Arc<PrivateKey>> = OnceLock::new();
        Signer {
            kid: kid.into(),
            key: Arc::clone(KEY.get_or_init(Self::new_rsa)),
        }
    }

    pub fn other_rsa(kid: &str) -> Signer {
        static KEY: OnceLock<Arc<PrivateKey>> = OnceLock::new();
        Signer {
            kid: kid.into(),
            key: Arc::clone(KEY.get_or_init(Self::new_rsa)),
        }
    }

    fn new_rsa() -> Arc<PrivateKey> {
        Arc::new(PrivateKey::Rsa(
            RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        ))
    }

    pub fn ec(kid: &str) -> Signer {
        let key = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Signer {
            kid: kid.into(),
            key: Arc::new(PrivateKey::Ec(key)),
        }
    }

    pub fn algorithm(&self) -> &'static str {
        match *self.key {
            PrivateKey::Rsa(_) => "RS256",
            PrivateKey::Ec(_) => "ES256",
        }
    }

    /// As it is published.
    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &*self.key {
            PrivateKey::Rsa(key) => {
                let public = key.public_key();
                json!({
                    "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
                    "n": encode(public.modulus().big_endian_without_leading_zero()),
                    "e": encode(public.exponent().big_endian_without_leading_zero()),
                })
            }
            PrivateKey::Ec(key) => {
                let point: EcPublicKeyUncompressedBin<'_> = key.public_key().as_be_bytes().unwrap();
                let point = point.as_ref();
                json!({
                    "kty": "EC", "use": "sig", "crv": "P-256", "kid": self.kid,
                    "x": encode(&point[1..33]), "y": encode(&point[33..65]),
                })
            }
        }
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(
            &json!({ "alg": self.algorithm(), "typ": "JWT", "kid": self.kid }),
            claims,
        )
    }

    /// With any header.
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let random = SystemRandom::new();
        let signature = match &*self.key {
            PrivateKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &signature::RSA_PKCS1_SHA256,
                    &random,
                    signed.as_bytes(),
                    &mut signature,
                )
                .unwrap();
                signature
            }
            PrivateKey::Ec(key) => key
                .sign(&random, signed.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// `header.payload`
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}
