//! Websocket frames from the server: whole messages, not masked (RFC 6455, section 5.2).

use actix_web::web::Bytes;

use super::close_code::CloseCode;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// What a control frame may hold.
const MAX_CONTROL_BYTES: usize = 125;

/// A text of several parts.
pub fn text(parts: &[&[u8]]) -> Bytes {
    frame(TEXT, parts)
}

pub fn ping(payload: &[u8]) -> Bytes {
    frame(PING, &[&payload[..payload.len().min(MAX_CONTROL_BYTES)]])
}

pub fn pong(payload: &[u8]) -> Bytes {
    frame(PONG, &[&payload[..payload.len().min(MAX_CONTROL_BYTES)]])
}

pub fn close(code: CloseCode, reason: &str) -> Bytes {
    let mut end = reason.len().min(MAX_CONTROL_BYTES - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    frame(
        CLOSE,
        &[
            &code.number().unwrap_or_default().to_be_bytes(),
            &reason.as_bytes()[..end],
        ],
    )
}

fn frame(kind: u8, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 10);
    out.push(kind);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(middle)) => {
            out.push(126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_the_shortest_way() {
        assert_eq!(text(&[b"a", b"", b"bc"]), &b"\x81\x03abc"[..]);
        assert_eq!(text(&[&[b'x'; 125]])[..2], [0x81, 125]);
        assert_eq!(text(&[&[b'x'; 126]])[..4], [0x81, 126, 0, 126]);
        assert_eq!(text(&[&[b'x'; 65_535]])[..4], [0x81, 126, 0xff, 0xff]);
        assert_eq!(
            text(&[&[b'x'; 65_536]])[..10],
            [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]
        );
        assert_eq!(ping(b""), &b"\x89\0"[..]);
        assert_eq!(ping(b"12"), &b"\x89\x0212"[..]);
        assert_eq!(pong(b"hi"), &b"\x8a\x02hi"[..]);
        assert_eq!(close(CloseCode::Normal, "bye"), &b"\x88\x05\x03\xe8bye"[..]);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = close(CloseCode::BadRequest, &"é".repeat(100));
        assert_eq!(frame[1], 124);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
