use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Enumerator, Object, ObjectRepr, from_args},
};

use super::budget;

/// A list that can grow, as Jinja2's can, as long as it is in no other value: so it cannot come to hold itself.
#[derive(Default)]
pub struct List(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    values: Vec<Value>,
    /// It is part of another value.
    settled: bool,
}

impl List {
    pub fn new(values: Vec<Value>) -> Self {
        Self(Mutex::new(Entries { values, settled: false }))
    }

    /// From now on it stays as it is.
    pub fn settle(&self) {
        self.lock().settled = true;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extend(&self, values: Vec<Value>) -> Result<Value, Error> {
        let mut entries = self.lock();
        if entries.settled {
            let message = "the list is part of another value by now: fill it first";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        if entries.values.len() + values.len() > budget::VALUE_NODES {
            return Err(budget::too_large());
        }
        entries.values.extend(values);
        Ok(Value::from(()))
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("List")
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.lock().values.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.lock().values.len())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "append" => {
                let (value,): (&Value,) = from_args(args)?;
                let value = budget::copy(state, value)?;
                self.extend(vec![value])
            }
            "extend" => {
                let (values,): (&Value,) = from_args(args)?;
                let values: Value = values.try_iter()?.take(budget::VALUE_NODES + 1).collect();
                let values = budget::copy(state, &values)?;
                self.extend(values.try_iter()?.collect())
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}
