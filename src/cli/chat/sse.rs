/// Reads server-sent events from bytes that come in pieces.
#[derive(Default)]
pub struct EventReader {
    buffer: Vec<u8>,
}

/// One event: its name where it has one, and its data.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerEvent {
    pub name: Option<String>,
    pub data: String,
}

impl EventReader {
    /// The events that are whole now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<ServerEvent> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.buffer.windows(2).position(|it| it == b"\n\n") {
            let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
            events.extend(parse(&String::from_utf8_lossy(&frame)));
        }
        events
    }
}

fn parse(frame: &str) -> Option<ServerEvent> {
    let mut name = None;
    let mut data: Vec<&str> = Vec::new();
    for line in frame.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = Some(value.to_owned()),
            "data" => data.push(value),
            // Comments keep the connection alive.
            _ => (),
        }
    }
    (!data.is_empty()).then(|| ServerEvent { name, data: data.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::{EventReader, ServerEvent};

    #[test]
    fn events_come_whole_however_the_bytes_are_cut() {
        let bytes = ": hi\n\nevent: tool\ndata: {\"é\": 1}\n\ndata: x\n\n".as_bytes();
        for size in 1..bytes.len() {
            let mut reader = EventReader::default();
            let events: Vec<_> = bytes.chunks(size).flat_map(|it| reader.push(it)).collect();
            assert_eq!(
                events,
                [
                    ServerEvent { name: Some("tool".to_owned()), data: "{\"é\": 1}".to_owned() },
                    ServerEvent { name: None, data: "x".to_owned() },
                ]
            );
        }
    }
}
