use std::net::IpAddr;

use crate::{app::Payer, config::Measure, user::User};

use super::{Server, error::ApiError};

/// What collectors and load balancers ask for, however often.
const FREE: &[&str] = &["/healthz", "/readyz", "/metrics"];

/// Counts a request by where it comes from.
pub async fn admit_address(
    server: &Server,
    path: &str,
    address: Option<IpAddr>,
) -> Result<(), ApiError> {
    if address.is_none() || FREE.contains(&path) {
        return Ok(());
    }
    admit(server, Payer::of_address(address)).await
}

/// Counts a request of somebody who is known by now.
pub async fn admit_user(server: &Server, user: &User) -> Result<(), ApiError> {
    admit(server, Payer::of_user(user)).await
}

async fn admit(server: &Server, payer: Payer<'_>) -> Result<(), ApiError> {
    let limits = &server.app.generation().config.limits;
    match server.app.limiter.take(limits, &payer, Measure::RequestsPerMinute, 1).await {
        Ok(_) => Ok(()),
        Err(exceeded) => Err(exceeded.into()),
    }
}
