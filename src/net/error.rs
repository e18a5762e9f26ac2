use std::error::Error;

/// Why there is no secure connection, if that is what the error says.
pub fn tls_error(err: &(dyn Error + 'static)) -> Option<String> {
    err.downcast_ref::<rustls::Error>().map(ToString::to_string)
}

/// The first thing that `find` sees in the error or its causes.
pub fn find_source<T>(
    err: &(dyn Error + 'static),
    find: impl Fn(&(dyn Error + 'static)) -> Option<T>,
) -> Option<T> {
    let mut next = Some(err);
    while let Some(err) = next {
        if let Some(found) = find(err) {
            return Some(found);
        }
        next = match err.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            // It passes over what it holds when it is asked for its source.
            Some(inner) => Some(inner),
            None => err.source(),
        };
    }
    None
}
