//! What is somebody's is nobody else's: each operation and each route, with other people's ids, in each mode of login.
//!
//! An operation or a route that is new has no attack yet, and fails the test until it has one.

mod mcp;
mod operations;
mod routes;
mod scene;
