//! Who used which tool and which credential: lines of their own, without arguments, results and secrets. Users are
//! pseudonyms in them, which nobody is who was deleted.

use tracing::info;

use crate::user::UserKey;

/// What these lines are known by.
pub const TARGET: &str = "kitfox::audit";

/// A call of a tool, once it is over.
pub fn tool(
    user: Option<&UserKey>,
    thread: Option<&str>,
    tool: &str,
    provider: &str,
    outcome: &'static str,
) {
    let user = user.map(UserKey::pseudonym);
    info!(target: TARGET, event = "tool", user, thread, tool, provider, outcome);
}

/// A use of a credential on somebody's behalf.
pub fn credential(user: Option<&UserKey>, thread: Option<&str>, credential: &str) {
    let user = user.map(UserKey::pseudonym);
    info!(target: TARGET, event = "credential", user, thread, credential);
}
