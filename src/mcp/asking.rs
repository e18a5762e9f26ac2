//! Servers that ask in the middle of a call: which call it is, and who hears of it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rmcp::model::{ErrorData, RequestId};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::mcp::elicitation::{cancelled, declined};

/// A call is noted right after it was sent: a server that asks in it may be as fast.
const NOTED: Duration = Duration::from_millis(200);
/// What is remembered of pages that were opened.
const MAX_DONE: usize = 256;

/// The calls of a connection that are under way.
#[derive(Default)]
pub struct Calls {
    under_way: Mutex<HashMap<RequestId, mpsc::Sender<Asking>>>,
    /// The elicitations of which the server said that they are done.
    done: Mutex<BTreeSet<String>>,
    told: Notify,
}

/// What a server asks, as it asks it, and where the `ElicitResult` goes.
pub struct Asking {
    pub params: Value,
    pub reply: Answer,
}

pub type Answer = oneshot::Sender<Result<Value, ErrorData>>;

/// A call that is under way, until it is dropped.
pub struct UnderWay {
    calls: Arc<Calls>,
    id: RequestId,
    pub asks: mpsc::Receiver<Asking>,
}

impl Calls {
    /// Takes note of a call that was sent.
    pub fn note(self: &Arc<Self>, id: &RequestId) -> UnderWay {
        let (sender, asks) = mpsc::channel(1);
        lock(&self.under_way).insert(id.clone(), sender);
        UnderWay { calls: self.clone(), id: id.clone(), asks }
    }

    /// Has whoever waits for the call answer. Without a call, where the connection does not tell, it is the only one.
    pub async fn ask(&self, call: Option<&RequestId>, params: Value) -> Result<Value, ErrorData> {
        let Some(asks) = self.find(call).await else {
            let reason = "it is not known which call it belongs to, and so whom to ask";
            tracing::info!("a server asks the user something, which is declined: {reason}");
            return Ok(declined(reason));
        };
        let (reply, answer) = oneshot::channel();
        // Whoever waited may have gone meanwhile.
        let _ = asks.send(Asking { params, reply }).await;
        answer.await.unwrap_or_else(|_| Ok(cancelled("nobody answers any more")))
    }

    async fn find(&self, call: Option<&RequestId>) -> Option<mpsc::Sender<Asking>> {
        let find = || {
            let calls = lock(&self.under_way);
            match call {
                Some(id) => calls.get(id).cloned(),
                None if calls.len() == 1 => calls.values().next().cloned(),
                None => None,
            }
        };
        if let Some(asks) = find() {
            return Some(asks);
        }
        tokio::time::sleep(NOTED).await;
        find()
    }

    /// The server says that what it had the user open a page for is done.
    pub fn note_done(&self, id: &str) {
        let mut done = lock(&self.done);
        if done.len() >= MAX_DONE {
            done.pop_first();
        }
        done.insert(id.to_owned());
        self.told.notify_waiters();
    }

    /// Waits until the server has said so.
    pub async fn done(&self, id: &str) {
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            told.as_mut().enable();
            if lock(&self.done).contains(id) {
                return;
            }
            told.await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.calls.under_way).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(id: i64) -> RequestId {
        RequestId::Number(id)
    }

    #[tokio::test]
    async fn a_question_is_asked_in_the_call_that_it_came_with() {
        let calls = Arc::<Calls>::default();
        let (mut one, mut two) = (calls.note(&request(1)), calls.note(&request(2)));
        let id = request(2);
        let asked = calls.ask(Some(&id), json!("?"));
        let answered = async {
            let Asking { params, reply } = two.asks.recv().await.unwrap();
            reply.send(Ok(params)).unwrap();
        };
        assert_eq!(tokio::join!(asked, answered).0, Ok(json!("?")));
        assert!(one.asks.try_recv().is_err());
        // Without a call it could be another user's.
        let result = calls.ask(None, json!("?")).await.unwrap();
        assert_eq!(result["action"], "decline");
        drop(two);
        let answered = async { one.asks.recv().await.map(|it| it.reply.send(Ok(json!("!")))) };
        assert_eq!(tokio::join!(calls.ask(None, json!("?")), answered).0, Ok(json!("!")));
        // A call that is over asks nobody.
        let result = calls.ask(Some(&id), json!("?")).await.unwrap();
        assert_eq!(result["action"], "decline");
    }

    #[tokio::test]
    async fn what_is_done_is_heard_before_and_after() {
        let calls = Calls::default();
        calls.note_done("a");
        calls.done("a").await;
        let told = async { calls.note_done("b") };
        tokio::join!(calls.done("b"), told);
    }
}
