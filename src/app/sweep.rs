use std::time::Duration;

use jiff::ToSpan;
use tracing::warn;

use crate::{
    app::{App, sweep_retention},
    chatkit::now,
    telemetry,
};

const INTERVAL: Duration = Duration::from_hours(1);
const SHORTLY: Duration = Duration::from_secs(15);
/// How long an attachment may wait for its upload and its message.
const HOURS: i64 = 24;

/// Takes away what was uploaded and never used, now and then every hour, until the server stops.
pub async fn sweep_hourly(app: App) {
    while !app.stopping.is_cancelled() {
        let time = now() - HOURS.hours();
        if let Err(err) = app.store.sweep_attachments(time).await {
            warn!("attachments that nobody uses stay for now: {err}");
        }
        if let Err(err) = app.store.sweep_logins().await {
            warn!("logins that nobody came back from stay for now: {err}");
        }
        if let Err(err) = app.store.sweep_ended_logins(now()).await {
            warn!("logins that have ended stay for now: {err}");
        }
        app.limiter.sweep().await;
        if let Err(err) = sweep_retention(&app).await {
            warn!("threads that are too old stay for now: {err}");
        }
        tokio::select! {
            () = app.stopping.cancelled() => (),
            () = tokio::time::sleep(INTERVAL) => (),
        }
    }
}

/// Does what is due every few seconds, until the server stops.
pub async fn keep_up(app: App) {
    while !app.stopping.is_cancelled() {
        telemetry::upkeep();
        app.limiter.renew().await;
        tokio::select! {
            () = app.stopping.cancelled() => (),
            () = tokio::time::sleep(SHORTLY) => (),
        }
    }
}
