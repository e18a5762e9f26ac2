//! Turns that run: read on, and stopped, from any connection of their user.

use crate::{
    app::{App, LogReader, Running},
    chatkit::ThreadId,
    ops::{OpError, PATIENCE, threads::unknown_thread},
    user::User,
};

/// The events after that number of the turn that runs on this thread; none when no turn runs.
pub async fn attach(
    app: &App,
    user: &User,
    thread: &ThreadId,
    after: u64,
) -> Result<Option<LogReader>, OpError> {
    check_owner(app, user, thread).await?;
    match app.running.find(thread) {
        Running::Nothing => Ok(None),
        Running::WithItsClient => Err(OpError::Conflict(
            "the turn that runs on this thread can be read by its own client only: begin turns with `?resumable=true`"
                .to_owned(),
        )),
        Running::Logged(log) => match log.read_after(after) {
            Ok(reader) => Ok(Some(reader)),
            Err(err) => Err(OpError::Gone(err.to_string())),
        },
    }
}

/// Ends the turn that runs on this thread, as its client would by leaving. Whether there was one.
pub async fn stop(app: &App, user: &User, thread: &ThreadId) -> Result<bool, OpError> {
    check_owner(app, user, thread).await?;
    Ok(app.running.cancel(thread, PATIENCE).await)
}

async fn check_owner(app: &App, user: &User, thread: &ThreadId) -> Result<(), OpError> {
    let loaded = app.store.of(&user.key).load_thread(thread).await;
    loaded.map(drop).map_err(unknown_thread)
}
