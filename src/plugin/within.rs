use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::plugin::CallError;

/// Waits for a handler no longer than its turn does, nor than its tool's own `timeout`, which counts all that it does
/// and waits for.
pub async fn within<T>(
    cancelled: &CancellationToken,
    timeout: Option<Duration>,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let elapsed = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = cancelled.cancelled() => Err(CallError::Cancelled),
        result = call => result,
        () = elapsed => Err(CallError::Limit(format!(
            "the tool took longer than {} s, its `timeout`",
            timeout.unwrap_or_default().as_secs_f64()
        ))),
    }
}
