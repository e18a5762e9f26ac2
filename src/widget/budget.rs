//! What one rendering may take of the machine.
//!
//! The engine bounds steps and nothing else: a few steps can make a text of gigabytes. So each value is
//! measured where it gets a name or is printed, and between two such places it grows by little.

use std::time::{Duration, Instant};

use minijinja::{
    Error, ErrorKind, State, Value,
    functions::dict,
    value::{Kwargs, ValueKind},
};

use super::list::List;

/// Of one value: lists, maps and scalars in it, each as often as it stands there.
pub const VALUE_NODES: usize = 100_000;
/// Of the texts in one value, and of the rendered text.
pub const VALUE_BYTES: usize = 1 << 20;
/// Values in values.
const DEPTH: usize = 64;
/// Of all that is measured in one rendering.
const ALL_NODES: usize = 4_000_000;
const ALL_BYTES: usize = 64 << 20;
/// Of one rendering; milliseconds are usual.
const TIME: Duration = Duration::from_secs(2);

/// What one rendering has taken.
struct Spent {
    begin: Instant,
    nodes: usize,
    bytes: usize,
}

/// The size of a value.
#[derive(Default, Clone, Copy)]
pub struct Size {
    pub nodes: usize,
    pub bytes: usize,
}

/// Whether a value may hold what is undefined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Undefined {
    /// It is an error where it is used.
    Kept,
    Refused,
}

/// Measures a value that gets a name. One that is computed as it is read becomes a list.
pub fn admit(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::Iterable {
        return list(state, value);
    }
    measure(state, value, Undefined::Kept)?;
    Ok(value.clone())
}

/// A list with these entries that can grow.
pub fn list(state: &mut State<'_, '_>, values: &Value) -> Result<Value, Error> {
    let copy = copy(state, values)?;
    Ok(Value::from_object(List::new(copy.try_iter()?.collect())))
}

/// A value that is stored in another: a copy of its own, so that nothing comes to hold itself. A list that
/// can grow stays the same list, and settles where it is part of the value.
pub fn copy(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let mut walk = Walk::new(state, Undefined::Kept);
    let copy = walk.copy(value, 0);
    walk.finish(copy)
}

/// As [`copy`], for a value that itself may be a list that grows on.
pub fn keep(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if value.downcast_object_ref::<List>().is_some() {
        return admit(state, value);
    }
    if value.kind() == ValueKind::Iterable {
        return list(state, value);
    }
    copy(state, value)
}

pub fn measure(
    state: &mut State<'_, '_>,
    value: &Value,
    undefined: Undefined,
) -> Result<Size, Error> {
    let mut walk = Walk::new(state, undefined);
    let size = walk.measure(value, 0);
    let size = size.map(|()| walk.size);
    walk.finish(size)
}

/// Counts text of this length as made.
pub fn spend(state: &mut State<'_, '_>, bytes: usize) -> Result<(), Error> {
    if bytes > VALUE_BYTES {
        return Err(too_large());
    }
    Walk::new(state, Undefined::Kept).spent().add(Size { nodes: 1, bytes })
}

pub fn too_large() -> Error {
    let message = format!(
        "a value is larger than a widget can be ({VALUE_BYTES} bytes, {VALUE_NODES} entries)"
    );
    Error::new(ErrorKind::InvalidOperation, message)
}

impl Spent {
    fn add(&mut self, size: Size) -> Result<(), Error> {
        self.nodes += size.nodes;
        self.bytes += size.bytes;
        if self.nodes > ALL_NODES || self.bytes > ALL_BYTES || self.begin.elapsed() > TIME {
            return Err(Error::from(ErrorKind::OutOfFuel));
        }
        Ok(())
    }
}

struct Walk<'a, 'template, 'env> {
    state: &'a mut State<'template, 'env>,
    undefined: Undefined,
    size: Size,
}

impl<'a, 'template, 'env> Walk<'a, 'template, 'env> {
    fn new(state: &'a mut State<'template, 'env>, undefined: Undefined) -> Self {
        Self { state, undefined, size: Size::default() }
    }

    fn spent(&mut self) -> &mut Spent {
        let new = || Spent { begin: Instant::now(), nodes: 0, bytes: 0 };
        self.state.get_or_insert_extension_with(new)
    }

    fn finish<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        let size = self.size;
        self.spent().add(size)?;
        result
    }

    fn measure(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.count(value, depth)?;
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                for entry in value.try_iter()?.checked() {
                    self.measure(&entry?, depth + 1)?;
                }
            }
            ValueKind::Map => {
                let Some(object) = value.as_object() else { return Ok(()) };
                for (key, entry) in object.try_iter_pairs().into_iter().flatten() {
                    self.measure(&key, depth + 1)?;
                    self.measure(&entry, depth + 1)?;
                }
            }
            _ => (),
        }
        Ok(())
    }

    fn copy(&mut self, value: &Value, depth: usize) -> Result<Value, Error> {
        match value.kind() {
            // Settled ones stay as they are.
            ValueKind::Seq | ValueKind::Iterable
                if value.downcast_object_ref::<List>().is_none() =>
            {
                self.count(value, depth)?;
                let mut values = Vec::new();
                for entry in value.try_iter()?.checked() {
                    values.push(self.copy(&entry?, depth + 1)?);
                }
                Ok(Value::from(values))
            }
            ValueKind::Map => {
                self.count(value, depth)?;
                let mut pairs = Vec::new();
                if let Some(object) = value.as_object() {
                    for (key, entry) in object.try_iter_pairs().into_iter().flatten() {
                        self.count(&key, depth + 1)?;
                        pairs.push((key.to_string(), self.copy(&entry, depth + 1)?));
                    }
                }
                // Keyword arguments keep their order, as maps do.
                dict(None, pairs.into_iter().collect::<Kwargs>())
            }
            _ => {
                // It becomes a part of another value.
                if let Some(list) = value.downcast_object_ref::<List>() {
                    list.settle();
                }
                self.measure(value, depth)?;
                Ok(value.clone())
            }
        }
    }

    fn count(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            let message = format!("a value is nested deeper than {DEPTH} levels");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        self.size.nodes += 1;
        self.size.bytes += value.as_str().map_or(0, str::len);
        if self.size.nodes > VALUE_NODES || self.size.bytes > VALUE_BYTES {
            return Err(too_large());
        }
        if value.is_undefined() && self.undefined == Undefined::Refused {
            // Says what it is that is undefined.
            self.state.format(value.clone())?;
        }
        Ok(())
    }
}
