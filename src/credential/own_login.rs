use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Accounts, Source};
use crate::{
    context::RequestContext,
    oauth::{At, Challenge, Target},
};

/// The user's login at an MCP server itself, whose token goes with everything.
pub struct OwnLogin {
    accounts: Accounts,
    target: Target,
    /// None: the server's file names it.
    asked: Option<Mutex<Asked>>,
}

/// What a server whose file names no login has asked for by itself.
#[derive(Default)]
struct Asked {
    wanted: Wanted,
    challenge: Option<Challenge>,
    /// It asked, and said nothing that can be relied on: nobody looks again so soon.
    not_before: Option<Instant>,
}

/// What a server wants a login for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Wanted {
    #[default]
    Nothing,
    /// Some calls.
    Calls,
    /// Whatever it is asked.
    Everything,
}

/// Between two looks at what a server says of its logins.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

impl OwnLogin {
    /// One that the server's file names.
    pub const fn named(accounts: Accounts, target: Target) -> Self {
        Self { accounts, target, asked: None }
    }

    /// One that is there once the server asks for it.
    pub fn on_demand(accounts: Accounts, target: Target) -> Self {
        Self { accounts, target, asked: Some(Mutex::default()) }
    }

    /// What its users log in to.
    pub fn target(&self) -> Target {
        let mut target = self.target.clone();
        if let (Some(asked), At::Challenged { challenge, .. }) = (&self.asked, &mut target.at) {
            challenge.clone_from(&lock(asked).challenge);
        }
        target
    }

    pub fn wanted(&self) -> Wanted {
        self.asked.as_ref().map_or(Wanted::Everything, |it| lock(it).wanted)
    }

    /// Whether the server itself asked for it, with whatever it was asked.
    pub fn has_asked(&self) -> bool {
        self.asked.as_ref().is_some_and(|it| lock(it).wanted == Wanted::Everything)
    }

    pub fn source(&self) -> Box<dyn Source> {
        self.accounts.login(self.target())
    }

    /// That of whoever sent the request, where it is to go along.
    pub async fn of(&self, request: &RequestContext) -> Option<Box<dyn Source>> {
        match self.wanted() {
            Wanted::Nothing => None,
            Wanted::Everything => Some(self.source()),
            Wanted::Calls => {
                let source = self.source();
                source.has(request).await.then_some(source)
            }
        }
    }

    /// Takes note that the server asked for a login; says whether it has one, by its own metadata.
    pub async fn ask(&self, challenge: &str, wanted: Wanted) -> bool {
        let Some(asked) = &self.asked else { return true };
        let parsed = Challenge::parse([challenge]);
        if parsed.is_none() && !challenge.is_empty() {
            // It knows other ways than tokens.
            return false;
        }
        let parsed = parsed.unwrap_or_default();
        {
            let asked = lock(asked);
            if asked.wanted >= wanted && asked.challenge.as_ref() == Some(&parsed) {
                return true;
            }
            if asked.not_before.is_some_and(|it| Instant::now() < it) {
                return false;
            }
        }
        let label = &self.target.label;
        let mut target = self.target();
        if let At::Challenged { challenge, .. } = &mut target.at {
            *challenge = Some(parsed.clone());
        }
        let problem = match self.accounts.vault().keys().check() {
            Err(err) => Some(err.to_string()),
            Ok(()) => self.accounts.oauth.check(&target).await.err().map(|it| it.to_string()),
        };
        let mut asked = lock(asked);
        if let Some(problem) = problem {
            asked.not_before = Some(Instant::now() + LOOK_AGAIN);
            tracing::warn!(
                server = %label,
                "MCP server `{label}` wants a login, and its users cannot log in: {problem}"
            );
            return asked.wanted >= wanted;
        }
        if asked.wanted == Wanted::Nothing {
            tracing::info!(server = %label, "MCP server `{label}` has its users log in");
        }
        asked.wanted = asked.wanted.max(wanted);
        asked.challenge = Some(parsed);
        true
    }
}

fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}
