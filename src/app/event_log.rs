use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

/// The most that is kept of one turn, in bytes of JSON.
const MAX_BYTES: usize = 8 << 20;

/// The events of one turn, numbered, for readers that come later or come again. It lasts as long as the turn and
/// those who read it.
pub struct EventLog {
    events: Mutex<Events>,
    /// Whether the turn has ended.
    ended: watch::Sender<bool>,
}

struct Events {
    /// The number of the oldest event that is kept.
    first: u64,
    kept: VecDeque<Arc<str>>,
    bytes: usize,
    /// Whether older ones were dropped, because there was no more room.
    dropped: bool,
}

/// An event's number and its JSON. Numbers grow by one within a turn, and grow from turn to turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedEvent {
    pub number: u64,
    pub json: Arc<str>,
}

/// Events that were asked for are not kept any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the events after that one are no longer kept: list the thread's items, and read on with the next turn"
)]
pub struct Dropped;

/// Reads a log from some event on.
pub struct LogReader {
    log: Arc<EventLog>,
    /// The number of the next event.
    next: u64,
    ended: watch::Receiver<bool>,
}

impl Default for EventLog {
    /// An empty log, whose numbers begin above those of the turns before: at the time, in microseconds.
    fn default() -> Self {
        Self::with_first(u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(1))
    }
}

impl EventLog {
    fn with_first(first: u64) -> Self {
        let events = Events { first, kept: VecDeque::new(), bytes: 0, dropped: false };
        Self { events: Mutex::new(events), ended: watch::Sender::new(false) }
    }

    /// The number of the next event.
    pub fn next_number(&self) -> u64 {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.first + events.kept.len() as u64
    }

    /// Adds an event, as JSON, and wakes the readers.
    pub fn push(&self, event: String) {
        {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.bytes += event.len();
            events.kept.push_back(event.into());
            while events.bytes > MAX_BYTES
                && let Some(oldest) = events.kept.pop_front()
            {
                events.bytes -= oldest.len();
                events.first += 1;
                events.dropped = true;
            }
        }
        self.ended.send_modify(|_| ());
    }

    /// Says that nothing more will come.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Reads the events after the one of this number: from the turn's first on where that was in an earlier turn.
    pub fn read_after(self: Arc<Self>, number: u64) -> Result<LogReader, Dropped> {
        let next = {
            let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            let next = number.saturating_add(1);
            if events.dropped && next < events.first {
                return Err(Dropped);
            }
            // A number that was never given, from beyond the end, asks for what comes.
            next.clamp(events.first, events.first + events.kept.len() as u64)
        };
        let ended = self.ended.subscribe();
        Ok(LogReader { log: self, next, ended })
    }
}

impl LogReader {
    /// The events that have come since, at least one; none when the turn has ended.
    pub async fn read(&mut self) -> Result<Option<Vec<NumberedEvent>>, Dropped> {
        loop {
            let ended = *self.ended.borrow_and_update();
            let events = self.take()?;
            if !events.is_empty() {
                return Ok(Some(events));
            }
            // The log is held, so that its sender is there.
            if ended || self.ended.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    fn take(&mut self) -> Result<Vec<NumberedEvent>, Dropped> {
        let events = self.log.events.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(skipped) = self.next.checked_sub(events.first) else { return Err(Dropped) };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let new: Vec<_> = (self.next..)
            .zip(events.kept.iter().skip(skipped))
            .map(|(number, json)| NumberedEvent { number, json: json.clone() })
            .collect();
        self.next += new.len() as u64;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn log() -> Arc<EventLog> {
        Arc::new(EventLog::with_first(10))
    }

    fn read(reader: &mut LogReader) -> Option<String> {
        let events = reader.read().now_or_never()?.unwrap()?;
        let events = events.iter().map(|it| format!("{}{}", it.number, it.json));
        Some(events.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_reader_gets_what_was_and_what_comes() {
        let log = log();
        log.push("a".to_owned());
        log.push("b".to_owned());
        let mut early = log.clone().read_after(0).unwrap();
        let mut late = log.clone().read_after(10).unwrap();
        assert_eq!(read(&mut early).unwrap(), "10a 11b");
        assert_eq!(read(&mut late).unwrap(), "11b");
        assert_eq!(late.read().now_or_never(), None);
        log.push("c".to_owned());
        assert_eq!(read(&mut early).unwrap(), "12c");
        assert_eq!(read(&mut late).unwrap(), "12c");
    }

    #[test]
    fn the_end_comes_after_the_last_event() {
        let log = log();
        let mut reader = log.clone().read_after(0).unwrap();
        log.push("a".to_owned());
        log.end();
        assert_eq!(read(&mut reader).unwrap(), "10a");
        assert_eq!(reader.read().now_or_never(), Some(Ok(None)));
    }

    #[test]
    fn a_number_from_beyond_the_end_asks_for_what_comes() {
        let log = log();
        log.push("a".to_owned());
        let mut reader = log.clone().read_after(u64::MAX).unwrap();
        log.push("b".to_owned());
        assert_eq!(read(&mut reader).unwrap(), "11b");
    }

    #[test]
    fn what_no_longer_fits_is_dropped_and_said() {
        let log = log();
        let mut slow = log.clone().read_after(0).unwrap();
        for _ in 0..3 {
            log.push("x".repeat(MAX_BYTES / 2));
        }
        assert_eq!(slow.read().now_or_never(), Some(Err(Dropped)));
        assert!(log.clone().read_after(0).is_err());
        assert!(log.clone().read_after(9).is_err());
        let mut reader = log.clone().read_after(10).unwrap();
        assert_eq!(reader.read().now_or_never().unwrap().unwrap().unwrap().len(), 2);
    }

    #[test]
    fn numbers_grow_from_turn_to_turn() {
        let first = EventLog::default();
        first.push("a".to_owned());
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(EventLog::default().next_number() > first.next_number());
    }
}
