//! Keeps calls apart: what a closure captured at load is as loading left it in every call.

use std::ptr;

use rhai::{Array, Dynamic, FnPtr, Map};

use super::limits::DEPTH;

/// Parts of what a closure captures, counted on each path to them.
const LARGEST: usize = 1_000_000;

/// The same closure with captured variables of its own.
///
/// Rhai would let all calls share one. Variables that two closures capture together stay together.
pub fn copy(closure: &FnPtr) -> FnPtr {
    if closure.is_curried() { Copies::default().closure(closure) } else { closure.clone() }
}

/// A value without anything shared in it, or None: it holds a closure with captured variables.
pub fn unshared(value: &Dynamic) -> Option<Dynamic> {
    let flat = value.flatten_clone();
    is_unshared(&flat, 0).then_some(flat)
}

/// Whether a value, with all that it captures, is small enough to be copied for each call.
pub fn is_small(value: &Dynamic) -> bool {
    fits(value, DEPTH, &mut { LARGEST })
}

/// Whether a value is nothing but data: a copy of it is as large as it is.
pub fn is_data(value: &Dynamic) -> bool {
    if value.is_shared() || value.is_fnptr() {
        return false;
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().all(is_data);
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map.values().all(is_data);
    }
    true
}

#[derive(Default)]
struct Copies(Vec<(usize, Dynamic)>);

impl Copies {
    fn closure(&mut self, closure: &FnPtr) -> FnPtr {
        let mut copy = closure.clone();
        for captured in copy.iter_curry_mut() {
            *captured = self.value(captured);
        }
        copy
    }

    fn value(&mut self, value: &Dynamic) -> Dynamic {
        if !value.is_shared() {
            return self.plain(value);
        }
        let Some(inner) = value.read_lock::<Dynamic>() else { return value.flatten_clone() };
        if inner.is_read_only() {
            // Nobody can tell a constant from its copy.
            return self.plain(&inner).into_read_only();
        }
        let address = ptr::from_ref::<Dynamic>(&inner).addr();
        if let Some((_, copy)) = self.0.iter().find(|(it, _)| *it == address) {
            return copy.clone();
        }
        let mut copy = Dynamic::UNIT.into_shared();
        // Before its content: a closure may capture the variable that it is kept in.
        self.0.push((address, copy.clone()));
        let content = self.plain(&inner);
        if let Some(mut cell) = copy.write_lock::<Dynamic>() {
            *cell = content;
        }
        copy
    }

    fn plain(&mut self, value: &Dynamic) -> Dynamic {
        if let Ok(array) = value.as_array_ref() {
            return Dynamic::from_array(array.iter().map(|it| self.value(it)).collect::<Array>());
        }
        if let Some(map) = value.read_lock::<Map>() {
            let entries = map.iter().map(|(key, it)| (key.clone(), self.value(it)));
            return Dynamic::from_map(entries.collect::<Map>());
        }
        if let Some(closure) = value.read_lock::<FnPtr>() {
            return Dynamic::from(self.closure(&closure));
        }
        value.clone()
    }
}

fn is_unshared(value: &Dynamic, depth: usize) -> bool {
    if value.is_shared() || depth > DEPTH {
        return false;
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().all(|it| is_unshared(it, depth + 1));
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map.values().all(|it| is_unshared(it, depth + 1));
    }
    if let Some(closure) = value.read_lock::<FnPtr>() {
        return closure.iter_curry().all(|it| is_unshared(it, depth + 1));
    }
    true
}

fn fits(value: &Dynamic, depth: usize, left: &mut usize) -> bool {
    let (Some(depth), Some(parts)) = (depth.checked_sub(1), left.checked_sub(1)) else {
        return false;
    };
    *left = parts;
    if value.is_shared() {
        return value.read_lock::<Dynamic>().is_none_or(|inner| fits(&inner, depth, left));
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().all(|it| fits(it, depth, left));
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map.values().all(|it| fits(it, depth, left));
    }
    if let Some(closure) = value.read_lock::<FnPtr>() {
        return closure.iter_curry().all(|it| fits(it, depth, left));
    }
    true
}
