//! The key pair by which push services know this server (VAPID, RFC 8292): kept by the operator, and given to every
//! browser that subscribes. An operator who loses it loses every subscription.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{
    GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

/// Base64url as people paste it: padded or not.
const PASTED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes of an uncompressed point of P-256, and of a private key.
const PUBLIC: usize = 65;
const PRIVATE: usize = 32;
/// Of the digest, in a fingerprint.
const FINGERPRINT_BYTES: usize = 16;

/// Why keys are not a VAPID pair. Shows nothing of the private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VapidError {
    /// The public key is no point of P-256.
    #[error("the public key is not the base64url of 65 bytes, an uncompressed point of P-256")]
    Public,
    /// The private key is none of P-256.
    #[error(
        "the private key is neither the base64url of 32 bytes nor a PEM with a private key of P-256"
    )]
    Private,
    /// The two are no pair.
    #[error("the private key does not belong to the public key")]
    Mismatch,
    /// New keys could not be generated.
    #[error("the keys could not be made: {0}")]
    Crypto(&'static str),
}

/// A pair for ES256. Cloning is cheap.
#[derive(Clone)]
pub struct VapidKeys {
    pair: Arc<EcdsaKeyPair>,
    public: String,
}

impl VapidKeys {
    /// A new pair, from the system's random source.
    ///
    /// # Errors
    /// If that source fails.
    pub fn generate() -> Result<Self, VapidError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| VapidError::Crypto("no key was generated"))?;
        Ok(VapidKeys::new(pair))
    }

    /// The public key in base64url, the private key in base64url or PEM (SEC 1 or PKCS 8).
    ///
    /// # Errors
    /// If one of them is no key, or they do not belong together.
    pub fn parse(public: &str, private: &str) -> Result<Self, VapidError> {
        let public = PASTED
            .decode(public.trim())
            .map_err(|_| VapidError::Public)?;
        if public.len() != PUBLIC {
            return Err(VapidError::Public);
        }
        let private = private.trim();
        let pair = if private.starts_with("-----BEGIN") {
            pair_of_pem(private)?
        } else {
            let scalar = PASTED.decode(private).map_err(|_| VapidError::Private)?;
            if scalar.len() != PRIVATE {
                return Err(VapidError::Private);
            }
            EcdsaKeyPair::from_private_key_and_public_key(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                &scalar,
                &public,
            )
            .map_err(|_| VapidError::Mismatch)?
        };
        if pair.public_key().as_ref() != public.as_slice() {
            return Err(VapidError::Mismatch);
        }
        let keys = VapidKeys::new(pair);
        keys.prove()?;
        Ok(keys)
    }

    /// A pair from its private key alone, in PEM (SEC 1 or PKCS 8).
    ///
    /// # Errors
    /// If it is none.
    pub fn from_pem(pem: &str) -> Result<Self, VapidError> {
        Ok(VapidKeys::new(pair_of_pem(pem)?))
    }

    fn new(pair: EcdsaKeyPair) -> Self {
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        VapidKeys {
            pair: Arc::new(pair),
            public,
        }
    }

    /// Signs and verifies once: whatever a library takes for a pair, a signature tells.
    fn prove(&self) -> Result<(), VapidError> {
        let signature = self.signature(b"proof")?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(b"proof", &signature)
            .map_err(|_| VapidError::Mismatch)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, VapidError> {
        let signed = self.pair.sign(&SystemRandom::new(), message);
        signed
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| VapidError::Crypto("nothing was signed"))
    }

    /// What browsers take as `applicationServerKey`.
    pub fn public_base64url(&self) -> &str {
        &self.public
    }

    /// Names the public key beside a device that was subscribed for it: 22 characters of its SHA-256.
    pub fn fingerprint(&self) -> String {
        let digest = digest(&SHA256, self.pair.public_key().as_ref());
        URL_SAFE_NO_PAD.encode(&digest.as_ref()[..FINGERPRINT_BYTES])
    }

    /// For the file or secret that keeps it. Never log it.
    ///
    /// # Errors
    /// If the library does not give the key out.
    pub fn private_base64url(&self) -> Result<String, VapidError> {
        let scalar: EcPrivateKeyBin<'_> = self
            .pair
            .private_key()
            .as_be_bytes()
            .map_err(|_| VapidError::Crypto("the private key cannot be written"))?;
        Ok(URL_SAFE_NO_PAD.encode(scalar.as_ref()))
    }

    /// The private key as PKCS 8. Never log it.
    ///
    /// # Errors
    /// If the library does not give the key out.
    pub fn private_pem(&self) -> Result<String, VapidError> {
        let der = self
            .pair
            .to_pkcs8v1()
            .map_err(|_| VapidError::Crypto("the private key cannot be written"))?;
        let text = STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for (index, letter) in text.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// A token for one push service (RFC 8292, section 2): `audience` is its origin.
    ///
    /// # Errors
    /// If nothing can be signed.
    pub fn token(
        &self,
        audience: &str,
        contact: &Contact,
        expires: SystemTime,
    ) -> Result<String, VapidError> {
        let expires = expires
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        let claims =
            serde_json::json!({ "aud": audience, "exp": expires, "sub": contact.as_str() });
        let head = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"ES256"}"#);
        let mut token = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

fn pair_of_pem(pem: &str) -> Result<EcdsaKeyPair, VapidError> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| VapidError::Private)?;
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der())
        .map_err(|_| VapidError::Private)
}

impl fmt::Debug for VapidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VapidKeys")
            .field("public", &self.public)
            .field("private", &"***")
            .finish()
    }
}

/// Whom push services write to about this server: a `mailto:` or `https:` address. Some services refuse tokens without
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact(String);

/// Not an address to write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give a mailto: address or an https: URL")]
pub struct ContactError;

impl Contact {
    /// # Errors
    /// If it is neither `mailto:somebody@somewhere` nor an `https:` URL with a host.
    pub fn parse(text: &str) -> Result<Self, ContactError> {
        let text = text.trim();
        let url = url::Url::parse(text).map_err(|_| ContactError)?;
        let good = match url.scheme() {
            "mailto" => url.path().rsplit_once('@').is_some_and(|(name, host)| {
                !name.is_empty() && !host.is_empty() && !host.contains('%')
            }),
            "https" => url.host_str().is_some_and(|host| !host.is_empty()),
            _ => false,
        };
        let plain = text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good && plain {
            Ok(Contact(text.to_owned()))
        } else {
            Err(ContactError)
        }
    }

    /// The `mailto:` or `https:` URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC1: &str = "\
-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIJc91ncxujBXahkNZqTiWiC/qOMihshPFkXW7S/FGd7poAoGCCqGSM49
AwEHoUQDQgAEe0OfGeNIfEFHFHqguaLTkeH0/S6xQmGaD7eWZTxB+ahclRYFsOz5
IGXdctKiVL7toXvK/EJuONb+HFW6E16F2w==
-----END EC PRIVATE KEY-----
";

    #[test]
    fn a_pair_is_read_back_in_each_form() {
        let keys = VapidKeys::generate().unwrap();
        let (public, private) = (keys.public_base64url(), keys.private_base64url().unwrap());
        assert_eq!((public.len(), private.len()), (87, 43));
        let forms = [
            private.clone(),
            format!("{private}="),
            keys.private_pem().unwrap(),
        ];
        for form in &forms {
            let read = VapidKeys::parse(public, form).unwrap();
            assert_eq!(read.private_base64url().unwrap(), private);
            assert_eq!(read.public_base64url(), public);
        }
        assert_eq!(
            VapidKeys::from_pem(&forms[2]).unwrap().public_base64url(),
            public
        );
    }

    #[test]
    fn a_sec1_pem_of_openssl_is_read() {
        // Made by `openssl ecparam -name prime256v1 -genkey`, its parameters in front as that prints them.
        let public = "BHtDnxnjSHxBRxR6oLmi05Hh9P0usUJhmg-3lmU8QfmoXJUWBbDs-SBl3XLSolS-7aF7yvxCbjjW_hxVuhNehds";
        assert_eq!(
            VapidKeys::parse(public, SEC1).unwrap().public_base64url(),
            public
        );
    }

    #[test]
    fn keys_that_do_not_belong_together_are_refused() {
        let (one, other) = (
            VapidKeys::generate().unwrap(),
            VapidKeys::generate().unwrap(),
        );
        for private in [
            other.private_base64url().unwrap(),
            other.private_pem().unwrap(),
        ] {
            let error = VapidKeys::parse(one.public_base64url(), &private).unwrap_err();
            assert_eq!(error, VapidError::Mismatch);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let keys = VapidKeys::generate().unwrap();
        let (public, private) = (keys.public_base64url(), keys.private_base64url().unwrap());
        for wrong in [
            "",
            "PUBLIC_KEY_HERE",
            &private,
            &public[..86],
            &format!("A{}", &public[1..]),
        ] {
            assert!(VapidKeys::parse(wrong, &private).is_err(), "{wrong}");
        }
        for wrong in [
            "",
            "AAAA",
            public,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        ] {
            assert_eq!(
                VapidKeys::parse(public, wrong).unwrap_err(),
                VapidError::Private,
                "{wrong}"
            );
        }
    }

    #[test]
    fn debug_shows_only_the_public_key() {
        let keys = VapidKeys::generate().unwrap();
        let shown = format!("{keys:?}");
        assert!(shown.contains(keys.public_base64url()));
        assert!(!shown.contains(&keys.private_base64url().unwrap()));
    }

    #[test]
    fn contacts_can_be_written_to() {
        for good in [
            "mailto:ops@gom.example",
            "https://gom.example/contact",
            " mailto:a@b ",
        ] {
            assert!(Contact::parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "ops@gom.example",
            "mailto:",
            "mailto:ops",
            "http://gom.example",
            "https://",
            "mailto:a b@c",
        ] {
            assert_eq!(Contact::parse(wrong), Err(ContactError), "{wrong}");
        }
    }
}
