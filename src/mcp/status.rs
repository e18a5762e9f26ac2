use jiff::Timestamp;
use serde::Serialize;

use crate::{
    credential::OwnLogin,
    mcp::{fault::Fault, file::Transport, link::State, server::Server},
};

/// What the operator sees of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    pub id: String,
    pub path: String,
    pub transport: &'static str,
    /// The URL, or the program.
    pub target: String,
    pub state: Word,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What it says that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Those that stand.
    pub connections: usize,
    /// By their full names.
    pub tools: Vec<String>,
    /// What was left out, and why.
    pub warnings: Vec<String>,
    /// Tools that are not as they were when they were listed first.
    pub changed: Vec<String>,
}

/// How a server is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Nobody has needed it yet, or for some time.
    Stopped,
    Connecting,
    Ready,
    NeedsLogin,
    Failed,
}

impl Word {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::NeedsLogin => "needs a login",
            Self::Failed => "failed",
        }
    }
}

impl Server {
    pub fn status(&self) -> Status {
        let file = self.file();
        let (transport, target) = match &file.transport {
            Transport::Http { url } => ("http", url.to_string()),
            Transport::Stdio(program) => ("stdio", program.command.clone()),
        };
        let mut status = Status {
            id: file.id.clone(),
            path: file.path.clone(),
            transport,
            target,
            state: Word::Stopped,
            reason: None,
            next_try_at: None,
            protocol: None,
            server: None,
            connections: 0,
            tools: Vec::new(),
            warnings: Vec::new(),
            changed: Vec::new(),
        };
        // Of several connections the best tells of the server.
        for link in self.links() {
            status.take(link.state());
        }
        for listing in self.listings() {
            let tools = listing.listed.tools.values().map(|it| it.spec.name.clone());
            status.tools.extend(tools);
            status.warnings.extend(listing.listed.warnings.iter().cloned());
            status.changed.extend(listing.changed.iter().cloned());
        }
        if status.connections == 0 && self.file().rules.login().is_some_and(OwnLogin::has_asked) {
            status.state = Word::NeedsLogin;
            status.reason = Some("its users log in to it".to_owned());
        }
        if status.state == Word::Ready
            && let Some(fault) = self.faults().pop()
        {
            status.reason = Some(format!("its tools could not be listed: {fault}"));
        }
        for list in [&mut status.tools, &mut status.warnings, &mut status.changed] {
            list.sort();
            list.dedup();
        }
        status
    }
}

impl Status {
    fn take(&mut self, state: State) {
        let word = match &state {
            State::Stopped => Word::Stopped,
            State::Connecting { .. } => Word::Connecting,
            State::Ready(_) => Word::Ready,
            State::Failed { fault: Fault::NeedsLogin { .. }, .. } => Word::NeedsLogin,
            State::Failed { .. } => Word::Failed,
        };
        let rank = |word: Word| match word {
            Word::Stopped => 0,
            Word::NeedsLogin => 1,
            Word::Failed => 2,
            Word::Connecting => 3,
            Word::Ready => 4,
        };
        if rank(word) < rank(self.state) {
            return;
        }
        self.state = word;
        (self.reason, self.next_try_at) = (None, None);
        match state {
            State::Stopped | State::Connecting { .. } => (),
            State::Ready(connection) => {
                self.connections += 1;
                self.protocol = Some(connection.info.protocol.clone());
                self.server.clone_from(&connection.info.server);
            }
            State::Failed { fault, next_try_at, .. } => {
                self.reason = Some(fault.to_string());
                self.next_try_at = Some(next_try_at);
            }
        }
    }
}
