use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// The MCP servers whose results have come in a turn: a call of another server may carry them away.
#[derive(Clone, Default)]
pub struct Hops {
    /// Those that the model had seen when it made the calls that run now.
    seen: Arc<BTreeSet<Arc<str>>>,
    /// These, and those that have come since.
    come: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Hops {
    pub fn new(servers: BTreeSet<Arc<str>>) -> Self {
        Self { seen: Arc::new(servers.clone()), come: Arc::new(Mutex::new(servers)) }
    }

    /// For the calls of a model that has seen all that has come.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { seen: Arc::new(self.come()), come: self.come.clone() }
    }

    /// A result of this server has come.
    pub fn add(&self, server: &Arc<str>) {
        self.come.lock().unwrap_or_else(PoisonError::into_inner).insert(server.clone());
    }

    pub fn come(&self) -> BTreeSet<Arc<str>> {
        self.come.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A server other than this one whose results the model has seen.
    pub fn seen_beside(&self, server: &str) -> Option<&Arc<str>> {
        self.seen.iter().find(|it| &***it != server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_counts_from_the_next_calls_of_the_model_on() {
        let hops = Hops::default();
        hops.add(&Arc::from("notes"));
        assert_eq!(hops.seen_beside("jira"), None);
        let next = hops.next();
        assert_eq!(next.seen_beside("jira").map(|it| &**it), Some("notes"));
        assert_eq!(next.seen_beside("notes"), None);
        next.add(&Arc::from("jira"));
        assert_eq!(hops.next().seen_beside("notes").map(|it| &**it), Some("jira"));
    }
}
