use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::{
    load_error::LoadError,
    plugin::{CallError, HandlerId, Manifest, Plugin, Registration},
    tool::CallContext,
};

/// A pack of scripts and components: one plugin, whatever its handlers are written in.
pub struct Joined {
    scripts: Arc<dyn Plugin>,
    components: Arc<dyn Plugin>,
    registration: Registration,
    /// The first handler that is a component's.
    first: usize,
}

impl Joined {
    pub fn new(
        scripts: Arc<dyn Plugin>,
        components: Arc<dyn Plugin>,
    ) -> Result<Self, Vec<LoadError>> {
        let mut registration = scripts.registration().clone();
        let first = registration.handlers();
        registration.join(components.registration().clone(), first);
        let path = &scripts.manifest().path;
        registration.check().map_err(|err| vec![LoadError::new(path, err)])?;
        Ok(Self { scripts, components, registration, first })
    }
}

impl Plugin for Joined {
    fn manifest(&self) -> &Manifest {
        self.scripts.manifest()
    }

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn call(
        self: Arc<Self>,
        handler: HandlerId,
        argument: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, CallError>> {
        match handler.0.checked_sub(self.first) {
            None => self.scripts.clone().call(handler, argument, context),
            Some(handler) => self.components.clone().call(HandlerId(handler), argument, context),
        }
    }
}
