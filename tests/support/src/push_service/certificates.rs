//! A certificate authority for one run, and the service's certificate.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

const NAMES: [&str; 5] = ["localhost", "127.0.0.1", "::1", "push.test", "*.push.test"];

/// The authority's certificate as PEM, and what accepts connections.
pub(super) fn make(http2: bool) -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "Gom's tests");
    let key = KeyPair::generate().expect("a key");
    let authority = params
        .self_signed(&key)
        .expect("the authority's certificate")
        .pem();
    let issuer = Issuer::new(params, key);

    let names = NAMES.map(str::to_owned);
    let mut params = CertificateParams::new(names).expect("names of hosts");
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().expect("a key");
    let certificate = params
        .signed_by(&key, &issuer)
        .expect("the service's certificate");

    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("key and certificate belong together");
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    (authority, TlsAcceptor::from(Arc::new(config)))
}
