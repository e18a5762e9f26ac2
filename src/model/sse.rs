use bytes::{Buf, Bytes};

/// No event may be longer: images come in events of a few megabytes.
const MAX_EVENT_BYTES: usize = 32 << 20;
/// What a buffer keeps between events.
const KEPT_BYTES: usize = 16 << 10;

/// Cuts a body into server-sent events and gives the data of each.
///
/// A body that is plain JSON, as some servers send errors, is one event.
// Of our own, so that a burst is cut in one pass and no event costs an allocation.
#[derive(Default)]
pub struct SseParser {
    chunk: Bytes,
    /// The beginning of a line that goes on in the next chunk.
    line: Vec<u8>,
    /// The lines of data of the present event, each with a line break.
    data: Vec<u8>,
    /// The present event was given out.
    given: bool,
    body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing but white space so far.
    #[default]
    Empty,
    Events,
    Json,
}

#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl SseParser {
    /// Takes the next piece of the body, once [`Self::next_event`] has nothing more.
    pub fn push(&mut self, mut chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "events were left behind");
        if self.body == Body::Empty {
            let begin = chunk.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != 0xEF);
            match begin.map(|index| chunk[index]) {
                None => return,
                Some(b'{' | b'[') => self.body = Body::Json,
                Some(_) => self.body = Body::Events,
            }
            if chunk.starts_with(b"\xEF\xBB\xBF") {
                chunk.advance(3);
            }
        }
        self.chunk = chunk;
    }

    pub const fn body(&self) -> Body {
        self.body
    }

    /// The data of the next event that is whole.
    pub fn next_event(&mut self) -> Result<Option<&[u8]>, TooLong> {
        if self.given {
            recycle(&mut self.data);
            self.given = false;
        }
        if self.body == Body::Json {
            self.data.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            return self.check_length();
        }
        while let Some(end) = self.chunk.iter().position(|byte| *byte == b'\n') {
            let rest = self.chunk.split_to(end + 1);
            let ends_event = if self.line.is_empty() {
                take_line(&rest, &mut self.data)
            } else {
                self.line.extend_from_slice(&rest);
                let ends_event = take_line(&self.line, &mut self.data);
                recycle(&mut self.line);
                ends_event
            };
            if ends_event && !self.data.is_empty() {
                return Ok(Some(self.give()));
            }
        }
        self.line.extend_from_slice(&self.chunk);
        self.chunk = Bytes::new();
        self.check_length()
    }

    /// The data of an event that the end of the body completes.
    pub fn end(&mut self) -> Option<&[u8]> {
        if self.given {
            return None;
        }
        if self.body != Body::Json {
            take_line(&self.line, &mut self.data);
            recycle(&mut self.line);
        }
        (!self.data.is_empty()).then(|| self.give())
    }

    fn give(&mut self) -> &[u8] {
        self.given = true;
        self.data.trim_ascii()
    }

    fn check_length(&self) -> Result<Option<&[u8]>, TooLong> {
        if self.line.len() + self.data.len() > MAX_EVENT_BYTES { Err(TooLong) } else { Ok(None) }
    }
}

/// Adds what a line says to the data; whether it is the blank line that ends an event.
fn take_line(line: &[u8], data: &mut Vec<u8>) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(value) = line.strip_prefix(b"data:") {
        data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        data.push(b'\n');
    }
    line.is_empty()
}

fn recycle(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a body that comes in chunks of `size` bytes.
    fn events(body: &[u8], size: usize) -> Vec<String> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for chunk in body.chunks(size) {
            parser.push(Bytes::copy_from_slice(chunk));
            while let Some(data) = parser.next_event().unwrap() {
                events.push(String::from_utf8(data.to_vec()).unwrap());
            }
        }
        events.extend(parser.end().map(|data| String::from_utf8(data.to_vec()).unwrap()));
        events
    }

    #[track_caller]
    fn check(body: &str, expected: &[&str]) {
        for size in [1, 2, 3, 5, 7, 64, 4096] {
            assert_eq!(events(body.as_bytes(), size), expected, "in chunks of {size}");
        }
    }

    #[test]
    fn events_are_the_same_wherever_the_body_is_cut() {
        check("data: {\"a\":\"é🎉\"}\n\ndata: b\n\n", &["{\"a\":\"é🎉\"}", "b"]);
    }

    #[test]
    fn comments_blank_lines_and_other_fields_are_passed_over() {
        check(": ping\n\n\n\nevent: x\nid: 1\ndata: a\n\n:\n\nretry: 5\n\ndata:b\n\n", &["a", "b"]);
    }

    #[test]
    fn lines_may_end_as_on_windows() {
        check("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]);
    }

    #[test]
    fn several_lines_of_data_are_one_event() {
        check("data: {\ndata: }\n\n", &["{\n}"]);
    }

    #[test]
    fn a_last_event_without_a_blank_line_is_not_lost() {
        check("data: a\n\ndata: b\n", &["a", "b"]);
        check("data: a\n\ndata: b", &["a", "b"]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(events(b"\xEF\xBB\xBFdata: a\n\n", 4096), ["a"]);
    }

    #[test]
    fn a_body_of_json_is_one_event() {
        check("\n {\"error\":\n\n\"x\"}\n", &["{\"error\":\n\n\"x\"}"]);
    }

    #[test]
    fn other_bodies_have_no_events() {
        check("<html>oops</html>\n\n", &[]);
        check("", &[]);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = SseParser::default();
        let chunk = Bytes::from(vec![b'x'; 1 << 20]);
        let mut chunks = 0;
        loop {
            parser.push(chunk.clone());
            chunks += 1;
            match parser.next_event() {
                Ok(event) => assert_eq!(event, None),
                Err(TooLong) => break,
            }
        }
        assert_eq!(chunks, 33);
    }
}
