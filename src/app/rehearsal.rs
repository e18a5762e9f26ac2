use std::sync::PoisonError;

use crate::{
    app::{App, Generation, ProjectFiles, Surroundings},
    load_error::LoadError,
};

impl App {
    /// The project's files as they were read last.
    pub fn files(&self) -> ProjectFiles {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The generation that there would be with these files, of which nothing is in force. Loading takes a while, and
    /// components are compiled meanwhile.
    pub fn rehearse(&self, files: &ProjectFiles) -> Result<Generation, Vec<LoadError>> {
        let surroundings = Surroundings {
            project: &self.project,
            environment: &self.environment,
            store: &self.store,
            mcp: &self.mcp,
            logins: &self.logins,
            models: self.models.clone(),
            compiled: None,
        };
        Generation::build(files, Some(&self.generation()), &surroundings)
    }
}
