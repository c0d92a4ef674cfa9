//! Files that are built in: named after their content where they are cached without end, sent compressed to clients that accept it,
//! and not at all to whom has them.

use std::borrow::Cow;
use std::io::Read;
use std::sync::OnceLock;

use actix_web::http::header::{
    self, AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, Encoding, EntityTag,
    Header, HeaderValue, IfNoneMatch, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use aws_lc_rs::digest::{SHA256, digest};
use flate2::read::GzDecoder;

/// Bytes of the digest in a name and a tag.
const DIGEST_BYTES: usize = 8;

/// A file that does not change while the server runs.
#[derive(Debug)]
pub struct File {
    name: String,
    media_type: &'static str,
    content: Content,
    digest: String,
    forever: bool,
}

#[derive(Debug)]
enum Content {
    Plain(Bytes),
    /// By gzip; unpacked only when somebody asks who does not accept it.
    Packed {
        packed: &'static [u8],
        unpacked: OnceLock<Bytes>,
    },
}

impl File {
    /// A file that is sent as it is.
    pub fn plain(name: &str, media_type: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        let bytes = match text.into() {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        let digest = shortened(&bytes);
        File {
            name: name.to_owned(),
            media_type,
            content: Content::Plain(bytes),
            digest,
            forever: false,
        }
    }

    /// A file that is built in compressed, by gzip.
    pub fn packed(name: &str, media_type: &'static str, packed: &'static [u8]) -> Self {
        let content = Content::Packed {
            packed,
            unpacked: OnceLock::new(),
        };
        File {
            name: name.to_owned(),
            media_type,
            content,
            digest: shortened(packed),
            forever: false,
        }
    }

    /// The same, with its digest in its name (`console-….js`): another content has another name, so browsers may keep it.
    #[must_use]
    pub fn forever(self) -> Self {
        let (stem, extension) = self.name.rsplit_once('.').unwrap_or((&self.name, ""));
        File {
            name: format!("{stem}-{}.{extension}", self.digest),
            forever: true,
            ..self
        }
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file, compressed or not as the request accepts it; 304 without it for whom has it.
    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        // Weak: the same content compressed and not is not the same byte for byte.
        let tag = EntityTag::new_weak(self.digest.clone());
        let had = match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|other| other.weak_eq(&tag)),
            Err(_) => false,
        };
        let mut response = if had {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        let keep = if self.forever {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        response
            .insert_header((ETAG, tag))
            .insert_header((CACHE_CONTROL, HeaderValue::from_static(keep)))
            .insert_header((VARY, HeaderValue::from_static("Accept-Encoding")));
        if had {
            return response.finish();
        }
        response
            .insert_header((CONTENT_TYPE, HeaderValue::from_static(self.media_type)))
            .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        match &self.content {
            Content::Packed { packed, .. } if accepts_gzip(request) => {
                response.insert_header((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
                response.body(Bytes::from_static(packed))
            }
            content => response.body(content.unpacked()),
        }
    }

    #[cfg(test)]
    pub fn text(&self) -> String {
        String::from_utf8(self.content.unpacked().to_vec()).expect("it is a text")
    }
}

impl Content {
    fn unpacked(&self) -> Bytes {
        match self {
            Content::Plain(bytes) => bytes.clone(),
            Content::Packed { packed, unpacked } => unpacked.get_or_init(|| unpack(packed)).clone(),
        }
    }
}

fn unpack(packed: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    // It is built in, and a test unpacks it.
    GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .expect("the built-in file can be unpacked");
    Bytes::from(bytes)
}

/// A request without `Accept-Encoding` gets none.
fn accepts_gzip(request: &HttpRequest) -> bool {
    if !request.headers().contains_key(header::ACCEPT_ENCODING) {
        return false;
    }
    let offered = [Encoding::gzip(), Encoding::identity()];
    let accepted = AcceptEncoding::parse(request)
        .ok()
        .and_then(|accepted| accepted.negotiate(offered.iter()));
    accepted == Some(Encoding::gzip())
}

fn shortened(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .take(DIGEST_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
