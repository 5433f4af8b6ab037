//! A small HTTP/1.1 responder: enough for curl, browsers, load generators and the project's own tests.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | a line of text |
//! | `GET /bytes/N` | N bytes of [`Pattern`] |
//! | `PUT` or `POST` to any path | JSON: the length and SHA-256 of the body |

use super::pattern::Pattern;
use super::session::Session;
use sha2::{Digest, Sha256};

/// The largest request head.
const HEAD_LIMIT: usize = 8 * 1024;
/// The most headers in it.
const HEADERS: usize = 64;

/// An HTTP conversation.
#[derive(Debug)]
pub struct Http {
    step: Step,
    /// Answer bytes that wait to be sent, before any of `step`.
    output: Vec<u8>,
    keep_alive: bool,
    ended: bool,
}

#[derive(Debug)]
enum Step {
    /// Collecting a request head.
    Head(Vec<u8>),
    /// Hashing a request body.
    Body { left: u64, len: u64, hash: Box<Sha256> },
    /// Sending a generated body.
    Download { left: u64, pattern: Pattern },
    /// Nothing more after the output.
    Closing,
}

impl Default for Http {
    fn default() -> Self {
        Self { step: Step::Head(Vec::new()), output: Vec::new(), keep_alive: true, ended: false }
    }
}

impl Session for Http {
    fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && self.output.is_empty() {
            match &mut self.step {
                Step::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(&bytes[taken..]);
                    let Some(end) = end_of_head(head) else {
                        taken = bytes.len();
                        if head.len() > HEAD_LIMIT {
                            self.refuse("431 Request Header Fields Too Large");
                        }
                        break;
                    };
                    taken += end - before;
                    let head = head[..end].to_vec();
                    self.on_head(&head);
                }
                Step::Body { left, hash, .. } => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - taken);
                    hash.update(&bytes[taken..taken + len]);
                    taken += len;
                    *left -= len as u64;
                    self.finish_body();
                }
                Step::Download { .. } => break,
                Step::Closing => return bytes.len(),
            }
        }
        taken
    }

    fn receive_end(&mut self) {
        self.ended = true;
    }

    fn transmit(&mut self, room: &mut [u8]) -> usize {
        let head = self.output.len().min(room.len());
        room[..head].copy_from_slice(&self.output[..head]);
        self.output.drain(..head);
        head + self.transmit_body(&mut room[head..])
    }

    fn is_over(&self) -> bool {
        self.output.is_empty()
            && match &self.step {
                Step::Closing => true,
                Step::Head(_) | Step::Body { .. } => self.ended,
                Step::Download { .. } => false,
            }
    }
}

impl Http {
    fn on_head(&mut self, head: &[u8]) {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(head).is_err() {
            return self.refuse("400 Bad Request");
        }
        let header = |name: &str| {
            request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.trim_ascii())
        };
        let connection = header("connection").unwrap_or_default();
        self.keep_alive = match request.version {
            Some(1) => !connection.eq_ignore_ascii_case(b"close"),
            _ => connection.eq_ignore_ascii_case(b"keep-alive"),
        };
        if header("transfer-encoding").is_some() {
            return self.refuse("411 Length Required");
        }
        let length = match header("content-length").map(|text| str::from_utf8(text).ok()?.parse().ok()) {
            None => 0,
            Some(Some(length)) => length,
            Some(None) => return self.refuse("400 Bad Request"),
        };
        let expects = header("expect").is_some_and(|e| e.eq_ignore_ascii_case(b"100-continue"));
        match (request.method.unwrap_or_default(), request.path.unwrap_or_default()) {
            ("GET", "/") => self.answer("200 OK", "text/plain", b"synward: a real client got through\n"),
            ("GET", path) => match path.strip_prefix("/bytes/").and_then(|n| n.parse().ok()) {
                Some(left) => self.download(left),
                None => self.answer("404 Not Found", "text/plain", b"try / or /bytes/N, or PUT a body\n"),
            },
            ("PUT" | "POST", _) => self.upload(length, expects),
            _ => self.refuse("405 Method Not Allowed"),
        }
    }

    fn download(&mut self, left: u64) {
        self.head("200 OK", "application/octet-stream", left);
        self.step = Step::Download { left, pattern: Pattern::default() };
    }

    fn upload(&mut self, left: u64, expects: bool) {
        if expects {
            self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.step = Step::Body { left, len: left, hash: Box::default() };
        self.finish_body();
    }

    fn finish_body(&mut self) {
        if let Step::Body { left: 0, len, hash } = &mut self.step {
            let digest: String = std::mem::take(hash).finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            let body = format!("{{\"bytes\":{len},\"sha256\":\"{digest}\"}}\n");
            self.answer("200 OK", "application/json", body.as_bytes());
        }
    }

    fn transmit_body(&mut self, room: &mut [u8]) -> usize {
        let Step::Download { left, pattern } = &mut self.step else { return 0 };
        let len = usize::try_from(*left).unwrap_or(usize::MAX).min(room.len());
        pattern.fill(&mut room[..len]);
        *left -= len as u64;
        if *left == 0 {
            self.next_request();
        }
        len
    }

    fn answer(&mut self, status: &str, kind: &str, body: &[u8]) {
        self.head(status, kind, body.len() as u64);
        self.output.extend_from_slice(body);
        self.next_request();
    }

    /// Answers and closes: the rest of the request cannot be trusted to be framed.
    fn refuse(&mut self, status: &str) {
        self.keep_alive = false;
        self.answer(status, "text/plain", b"");
    }

    fn head(&mut self, status: &str, kind: &str, length: u64) {
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        self.output.extend_from_slice(
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: {connection}\r\n\r\n"
            )
            .as_bytes(),
        );
    }

    fn next_request(&mut self) {
        self.step = if self.keep_alive { Step::Head(Vec::new()) } else { Step::Closing };
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

#[cfg(test)]
mod tests {
    use super::{Http, Session};

    fn converse(requests: &[u8], piece: usize) -> (String, bool) {
        let (mut http, mut out, mut room, mut offset) = (Http::default(), Vec::new(), [0; 64], 0);
        loop {
            let end = requests.len().min(offset + piece);
            let taken = http.receive(&requests[offset..end]);
            offset += taken;
            let sent = http.transmit(&mut room);
            out.extend_from_slice(&room[..sent]);
            if taken == 0 && sent == 0 {
                return (String::from_utf8_lossy(&out).into_owned(), http.is_over());
            }
        }
    }

    #[test]
    fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
        let requests = b"GET / HTTP/1.1\r\n\r\nPUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /bytes/5 HTTP/1.1\r\nConnection: close\r\n\r\n";
        let (whole, over) = converse(requests, requests.len());
        assert!(over);
        assert_eq!(whole.matches("200 OK").count(), 3, "{whole}");
        assert!(whole.contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "{whole}");
        for piece in 1..40 {
            assert_eq!(converse(requests, piece), (whole.clone(), true));
        }
    }

    #[test]
    fn bad_requests_get_a_status_and_a_close() {
        let long = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'y'; 9000]].concat();
        for (request, status) in [
            (b"nonsense\r\n\r\n".as_slice(), "400"),
            (b"PUT / HTTP/1.1\r\ncontent-length: many\r\n\r\n", "400"),
            (b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", "411"),
            (b"BREW / HTTP/1.1\r\n\r\n", "405"),
            (&long, "431"),
        ] {
            let (answer, over) = converse(request, 1 << 16);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(over);
        }
    }

    #[test]
    fn a_client_that_expects_100_continue_gets_it_before_its_body() {
        let request = b"PUT / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx";
        let (answer, _) = converse(request, request.len() - 1);
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), "{answer}");
    }
}
