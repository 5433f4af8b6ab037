//! What is sent, and when it is answered.

use crate::paced::Request;
use std::io;

/// Sixty-four bytes, which an echo server returns.
const ECHO: [u8; 64] = [0x5a; 64];
/// The largest head of an answer.
const HEAD_LIMIT: usize = 8 * 1024;
/// The most headers in it.
const HEADERS: usize = 32;

/// What is sent for a request.
pub(super) fn question(request: Request, close: bool) -> &'static [u8] {
    match (request, close) {
        (Request::Http, true) => b"GET / HTTP/1.1\r\nhost: front\r\nconnection: close\r\n\r\n",
        (Request::Http, false) => b"GET / HTTP/1.1\r\nhost: front\r\n\r\n",
        (Request::Echo, _) => &ECHO,
    }
}

/// An answer on its way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The head of an answer over HTTP, as far as it came.
    Head(Vec<u8>),
    /// So many bytes of a body are yet to come.
    Body(u64),
    /// So many bytes of the echo are yet to come.
    Echo(usize),
}

impl Answer {
    pub(super) fn to(request: Request) -> Self {
        match request {
            Request::Http => Self::Head(Vec::new()),
            Request::Echo => Self::Echo(ECHO.len()),
        }
    }

    /// Takes what has arrived, and says whether the answer is complete.
    ///
    /// # Errors
    /// It is not the answer that was asked for, or more than that.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match self {
            Self::Head(head) if head.is_empty() => self.take_head(bytes),
            Self::Head(head) => {
                head.extend_from_slice(bytes);
                let all = std::mem::take(head);
                self.take_head(&all)
            }
            Self::Body(left) => {
                let excess = || wrong("more than the answer");
                *left = left.checked_sub(bytes.len() as u64).ok_or_else(excess)?;
                Ok(*left == 0)
            }
            Self::Echo(left) => {
                *left = left.checked_sub(bytes.len()).ok_or_else(|| wrong("more than the echo"))?;
                if bytes.iter().any(|byte| *byte != ECHO[0]) {
                    return Err(wrong("the echo differs"));
                }
                Ok(*left == 0)
            }
        }
    }

    /// Takes all that has come of an answer whose head was not whole before.
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match body_of(bytes)? {
            Some((start, length)) => {
                *self = Self::Body(length);
                self.take(&bytes[start..])
            }
            None if bytes.len() > HEAD_LIMIT => Err(wrong("the head of an answer is too long")),
            None => {
                *self = Self::Head(bytes.to_vec());
                Ok(false)
            }
        }
    }
}

/// Where the body begins and how long it is; `None` while the head is not whole.
fn body_of(bytes: &[u8]) -> io::Result<Option<(usize, u64)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let start = match response.parse(bytes).map_err(|_| wrong("not HTTP"))? {
        httparse::Status::Complete(start) => start,
        httparse::Status::Partial => return Ok(None),
    };
    if response.code != Some(200) {
        return Err(wrong("not an HTTP 200 answer"));
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
    length.map(|length| Some((start, length))).ok_or_else(|| wrong("an answer without a length"))
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn an_answer_is_complete_with_its_last_byte_however_it_is_cut() {
        for (request, whole) in [(Request::Http, HTTP), (Request::Echo, &ECHO)] {
            for cut in 1..whole.len() {
                for second in cut..whole.len() {
                    let mut answer = Answer::to(request);
                    let pieces = [&whole[..cut], &whole[cut..second], &whole[second..]];
                    let complete = pieces.map(|piece| answer.take(piece).expect("the answer"));
                    assert_eq!(complete, [false, false, true], "{request:?} cut at {cut} and {second}");
                }
            }
        }
    }

    #[test]
    fn an_answer_without_a_body_is_complete_with_its_head() {
        let mut answer = Answer::to(Request::Http);
        assert!(answer.take(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("the answer"));
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let refused = |request, bytes: &[u8]| Answer::to(request).take(bytes).expect_err("no answer").to_string();
        assert_eq!(refused(Request::Http, b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"), "not an HTTP 200 answer");
        assert_eq!(refused(Request::Http, &ECHO), "not HTTP");
        assert_eq!(refused(Request::Http, b"HTTP/1.1 200 OK\r\n\r\n"), "an answer without a length");
        assert_eq!(refused(Request::Http, &[HTTP, b"!"].concat()), "more than the answer");
        let endless = [b"HTTP/1.1 200 OK\r\na: ", &[b'b'; HEAD_LIMIT][..]].concat();
        assert_eq!(refused(Request::Http, &endless), "the head of an answer is too long");
        assert_eq!(refused(Request::Echo, &[0x5b; 64]), "the echo differs");
        assert_eq!(refused(Request::Echo, &[0x5a; 65]), "more than the echo");
    }
}
